"""`wsgiref.simple_server`: one by one, and with threads mixed in on either side.

`server_bind` is overridden (environment); the handler reads one request line with a limit and
builds its environment from `server`; written as people write it, with the mix-in first.
"""

import socketserver
import sys
from wsgiref.validate import validator

from _scenario import HOST, HTTP_HALF, Program, http_request, run


def load():
    from wsgiref import simple_server

    class Quiet(simple_server.WSGIRequestHandler):
        def log_message(self, *args):
            pass

    @validator
    def application(environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        yield f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} ".encode()
        yield str(len(body)).encode()

    class OneByOne(Program):
        concurrent = False
        half = HTTP_HALF
        server_class = simple_server.WSGIServer

        def start(self):
            self.server = simple_server.make_server(
                HOST, 0, application, self.server_class, Quiet
            )
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        def converse(self, number):
            status, text = http_request(self.address, "PUT", f"/{number}", b"x" * 70_000)
            assert (status, text) == (200, f"PUT /{number} 70000".encode())
            return status, self.server.base_environ["SERVER_PORT"] == str(self.address[1])

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

    class Threads(OneByOne):
        concurrent = True

        class server_class(socketserver.ThreadingMixIn, simple_server.WSGIServer):
            pass

    class ThreadsInVain(OneByOne):
        """The mix-in on the wrong side does nothing, and must go on doing nothing."""

        class server_class(simple_server.WSGIServer, socketserver.ThreadingMixIn):
            pass

    return [OneByOne, Threads, ThreadsInVain]


if __name__ == "__main__":
    sys.exit(run(load))
