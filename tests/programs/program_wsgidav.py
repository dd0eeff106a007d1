"""WsgiDAV: a WebDAV server on HTTP/1.1, with `serve_forever` and with a loop of its own.

The handler's `__getattr__` answers every unknown attribute by sending a 501, so nothing may
probe a handler; `handle_error` is overridden; `serve_forever_stoppable` calls
`handle_request()` without a time-out, and its stop sends a request to itself to wake it.
"""

import contextlib
import http.client
import logging
import socket
import sys
import tempfile

from _scenario import HOST, HTTP_HALF, PATIENCE_S, Program, run


def load():
    from wsgidav.server.ext_wsgiutils_server import ExtServer
    from wsgidav.wsgidav_app import WsgiDAVApp

    logging.getLogger("wsgidav").setLevel(logging.CRITICAL)
    logging.raiseExceptions = False  # its handle_error passes `file=` to a logger

    class Dav(Program):
        half = HTTP_HALF

        def start(self):
            self.directory = tempfile.TemporaryDirectory()
            application = WsgiDAVApp(
                {
                    "provider_mapping": {"/": self.directory.name},
                    "simple_dc": {"user_mapping": {"*": True}},
                    "verbose": 0,
                    "logging": {"enable": False},
                }
            )
            self.server = ExtServer((HOST, 0), {"": application})
            self.server.daemon_threads = True
            self.address = self.server.server_address
            self.in_thread(self.serve)

        def serve(self):
            self.server.serve_forever()

        def converse(self, number):
            client = http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)
            content = f"content {number} ".encode() * 1000
            seen = []
            with contextlib.closing(client):
                for method, path, body in (
                    ("MKCOL", f"/folder{number}", None),
                    # It reads a body to the end of the stream, not to Content-Length.
                    ("PUT", f"/folder{number}/file", content),
                    ("GET", f"/folder{number}/file", None),
                    ("PROPFIND", f"/folder{number}", None),
                    ("DELETE", f"/folder{number}/", None),
                    ("GET", f"/folder{number}/file", None),
                    ("PATCH", "/", None),
                ):
                    headers = {"Depth": "1"} if method == "PROPFIND" else {}
                    client.request(method, path, body, headers)
                    if method == "PUT":
                        client.sock.shutdown(socket.SHUT_WR)
                    answer = client.getresponse()
                    text = answer.read()
                    seen.append((method, answer.status))
                    if method == "PUT":
                        client.close()  # the next request opens another connection
                    if seen[-1] == ("GET", 200):
                        assert text == content
            assert seen[:3] == [("MKCOL", 201), ("PUT", 201), ("GET", 200)]
            return seen

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

        def cleanup(self):
            self.directory.cleanup()

    class OwnLoop(Dav):
        def serve(self):
            self.server.serve_forever_stoppable()

        def stop(self):
            self.server.stop_serve_forever()
            self.join()
            self.server.server_close()

    return [Dav, OwnLoop]


if __name__ == "__main__":
    sys.exit(run(load))
