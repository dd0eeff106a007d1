"""Werkzeug: the development server with threads, with processes, with TLS and by descriptor.

`bind_and_activate=False`, then `server_bind()` and `server_activate()` by hand; with `fd=` it
runs `server_close()` first and puts another socket in its place. `serve_forever` wraps the
base's in `try/finally: server_close()`, so the listener is closed on the serving thread and,
by the caller, a second time. `handle_error` may re-raise. `ForkingMixIn` gets `max_children`
on the instance, after construction. Handlers answer every `do_*` through `__getattr__`.
"""

import logging
import os
import socket
import sys
import tempfile
from typing import ClassVar

from _scenario import HOST, HTTP_HALF, Certificates, Program, http_request, run


def load():
    from werkzeug import Request, Response
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)

    @Request.application
    def application(request):
        if request.path == "/fail":
            raise RuntimeError("on purpose")
        return Response(f"{request.method} {request.path} {len(request.data)}")

    class Threaded(Program):
        half = HTTP_HALF
        options: ClassVar = {"threaded": True}
        context = None

        def start(self):
            self.server = make_server(HOST, 0, application, **self.options)
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        def converse(self, number):
            seen = []
            for path, body in (("/a", None), ("/b", b"x" * 100_000), ("/fail", b"")):
                status, answer = http_request(
                    self.address, "POST", path, body, context=self.context
                )
                seen.append((status, answer.decode() if status == 200 else ""))
            assert [status for status, _ in seen] == [200, 200, 500]
            assert seen[1][1] == "POST /b 100000"
            return seen

        def stop(self):
            self.server.shutdown()
            self.join()
            self.server.server_close()

    class OneByOne(Threaded):
        concurrent = False
        options: ClassVar = {}

    class Processes(Threaded):
        options: ClassVar = {"processes": 4}
        clients_apart = True
        # `max_children` requests at a time: the loop waits for one to end.
        concurrent = False

        def misbehave(self):
            return self.server.max_children

    class Tls(Threaded):
        concurrent = False
        answers_garbage = False

        def start(self):
            self.directory = tempfile.TemporaryDirectory()
            certificates = Certificates(self.directory.name)
            self.context = certificates.client_context
            pair = (certificates.certificate, certificates.key)
            self.options = {"threaded": True, "ssl_context": pair}
            super().start()

        def cleanup(self):
            self.directory.cleanup()

    class ByDescriptor(Threaded):
        """As the reloader does it: the listener comes from somewhere else."""

        def start(self):
            with socket.create_server((HOST, 0)) as listener:
                self.options = {"threaded": True, "fd": listener.fileno()}
                super().start()

    return [Threaded, OneByOne, Tls, ByDescriptor] + (
        [Processes] if hasattr(os, "fork") else []
    )


if __name__ == "__main__":
    sys.exit(run(load))
