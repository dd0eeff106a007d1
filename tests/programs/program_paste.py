"""Paste: its HTTP server, on a pool of its own and with threads.

The constructor lets the base bind, replaces `self.socket` and binds the same port again. On
the pool, `serve_forever` is a loop of its own over `handle_request()` on a listener with a
time-out of a second, `process_request` queues, `handle_error` may re-raise, `server_activate`
is `settimeout(1)` only, `server_close` does not call the base's.
"""

import sys
from typing import ClassVar

from _scenario import HOST, HTTP_HALF, Program, http_request, run


def load():
    from paste import httpserver

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/fail":
            raise RuntimeError("on purpose")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answer = f"{environ['REQUEST_METHOD']} {len(body)}".encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]

    class Pool(Program):
        half = HTTP_HALF
        options: ClassVar = {"use_threadpool": True, "threadpool_workers": 8}

        def start(self):
            self.server = httpserver.serve(
                application, HOST, 0, start_loop=False, request_queue_size=50, **self.options
            )
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        def converse(self, number):
            seen = []
            for path, body in (("/", b"x" * number * 1000), ("/fail", b"")):
                status, answer = http_request(self.address, "POST", path, body)
                seen.append((status, answer.decode() if status == 200 else ""))
            assert seen == [(200, f"POST {number * 1000}"), (500, "")]
            return seen

        def stop(self):
            self.server.running = False
            self.join()
            self.server.server_close()

    class Threads(Pool):
        options: ClassVar = {"use_threadpool": False}

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

    return [Pool, Threads]


if __name__ == "__main__":
    sys.exit(run(load))
