"""`http.server`: files by HTTP/1.1 with threads, and `python -m http.server` as it is.

`test()` of the module builds a `ThreadingHTTPServer` subclass with `server_bind` and
`finish_request` overridden (`directory` is passed on) and serves in the main thread until the
interrupt key. `CGIHTTPRequestHandler` is left out: it is gone in Python 3.15.
"""

import contextlib
import functools
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

from _scenario import (
    HOST,
    HTTP_HALF,
    PATIENCE_S,
    Program,
    free_port,
    http_get,
    http_request,
    listening,
    run,
    wait_until,
)


def load():
    import http.client
    import http.server

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    class KeepAlive(Program):
        half = HTTP_HALF

        def start(self):
            self.directory = tempfile.TemporaryDirectory()
            Path(self.directory.name, "big").write_bytes(b"0123456789" * 100_000)
            handler = functools.partial(Handler, directory=self.directory.name)
            self.server = http.server.ThreadingHTTPServer((HOST, 0), handler)
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        def converse(self, number):
            seen = []
            client = http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)
            with contextlib.closing(client):
                for method, path, body in (
                    ("GET", "/big", None),
                    ("HEAD", "/big", None),
                    ("GET", "/missing", None),  # ends the connection; a new one follows
                    ("POST", "/", b"echo" * 20_000),
                    ("POST", "/", f"echo {number}".encode()),
                    ("PURGE", "/", None),
                ):
                    client.request(method, path, body)
                    answer = client.getresponse()
                    content = answer.read()
                    seen.append((answer.status, len(content), answer.will_close))
                    if body:
                        assert content == body
            assert seen[0] == (200, 1_000_000, False)
            return seen

        def misbehave(self):
            """Requests that arrive together are answered in order, and piecewise ones too."""
            with socket.create_connection(self.address, PATIENCE_S) as sock:
                for byte in b"GET /missing1 HTTP/1.1\r\nConnection: keep-alive\r\n\r\n":
                    sock.sendall(bytes([byte]))
                with sock.makefile("rb") as answers:
                    first = answers.readline().decode()
            with socket.create_connection(self.address, PATIENCE_S) as sock:
                sock.sendall(
                    b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\none"
                    b"POST / HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo"
                )
                with sock.makefile("rb") as answers:
                    together = answers.read().split(b"\r\n")
            long = http_request(self.address, "GET", "/" + "x" * 70_000)[0]
            bodies = [line.decode() for line in together if line[-3:] in (b"one", b"two")]
            return first, bodies, long

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

        def cleanup(self):
            self.directory.cleanup()

    class Module(KeepAlive):
        """The module's `test()`, which `python -m http.server` calls."""

        def start(self):
            self.directory = tempfile.TemporaryDirectory()
            Path(self.directory.name, "small").write_text("content")
            self.address = (HOST, free_port())

        def main(self):
            directory = self.directory.name

            class Server(http.server.ThreadingHTTPServer):
                def finish_request(self, request, client_address):
                    self.RequestHandlerClass(request, client_address, self, directory=directory)

            with contextlib.suppress(SystemExit):  # its answer to the interrupt key
                http.server.test(Handler, Server, "HTTP/1.0", self.address[1], HOST)

        def converse(self, number):
            wait_until(lambda: listening(self.address), "the server")
            seen = http_get(self.address, "/small"), http_get(self.address, "/missing")[0]
            assert seen[0] == (200, b"content")
            listing = http_get(self.address, "/")[1]
            return seen[0][0], seen[1], b"small" in listing

        def misbehave(self):
            return None

        def stop(self):
            os.kill(os.getpid(), signal.SIGINT)

    return [KeepAlive, Module]


if __name__ == "__main__":
    sys.exit(run(load))
