"""Radicale: a CalDAV server with a loop of its own, plain and over TLS.

It keeps its servers in a dictionary keyed by `server.socket`, `select()`s on those and calls
`handle_request()` and `service_actions()`; never `serve_forever()`. `get_request` smuggles a
socket in the client address, a nested tuple that must reach `verify_request`,
`process_request`, `finish_request` and `handle_error` as it is; that socket's end tells the
loop that a worker is done. `server_bind` sets IPV6_V6ONLY and wraps the socket in TLS before
`listen()`; the handshake is done in `finish_request`, which may call `handle_error` and
`shutdown_request` itself, so that both run twice.
"""

import logging
import socket
import sys
import tempfile
from base64 import b64encode
from typing import ClassVar

from _scenario import (
    HOST,
    HTTP_HALF,
    PATIENCE_S,
    Certificates,
    Program,
    free_port,
    http_request,
    listening,
    run,
    wait_until,
)

EVENT = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//scenario//EN\r
BEGIN:VEVENT\r
UID:event{number}\r
DTSTAMP:20240101T000000Z\r
DTSTART:20240101T120000Z\r
SUMMARY:Event {number}\r
END:VEVENT\r
END:VCALENDAR\r
"""


def load():
    from radicale import config, server

    logging.getLogger("radicale").setLevel(logging.CRITICAL)

    class Plain(Program):
        half = HTTP_HALF
        context = None
        options: ClassVar = {}

        def start(self):
            self.directory = tempfile.TemporaryDirectory()
            self.address = (HOST, free_port())
            self.prepare()
            configuration = config.load()
            configuration.update(
                {
                    "server": {
                        "hosts": f"{HOST}:{self.address[1]}",
                        "max_connections": "50",
                        "timeout": str(int(PATIENCE_S)),
                        **self.options,
                    },
                    "storage": {"filesystem_folder": self.directory.name},
                    "auth": {"type": "none"},
                    "rights": {"type": "authenticated"},
                    "logging": {"level": "critical"},
                },
                "scenario",
            )
            self.end, stopper = socket.socketpair()
            self.in_thread(server.serve, configuration, stopper)
            wait_until(lambda: listening(self.address), "the server")

        def prepare(self):
            pass

        def converse(self, number):
            user = f"user{number}"
            headers = {"Authorization": f"Basic {b64encode(f'{user}:x'.encode()).decode()}"}
            headers["Depth"] = "1"

            def request(method, path, body=None):
                return http_request(
                    self.address, method, path, body, context=self.context, **headers
                )

            made, _ = request("MKCALENDAR", f"/{user}/calendar/")
            body = EVENT.format(number=number).encode()
            put, _ = request("PUT", f"/{user}/calendar/event.ics", body)
            status, text = request("GET", f"/{user}/calendar/event.ics")
            found, listing = request("PROPFIND", f"/{user}/calendar/")
            refused, _ = request("PUT", f"/{user}/calendar/bad.ics", b"nonsense")
            deleted, _ = request("DELETE", f"/{user}/calendar/")
            assert status == 200
            assert f"SUMMARY:Event {number}\r\n".encode() in text
            assert b"event.ics" in listing
            return made, put, status, found, refused, deleted

        def stop(self):
            self.end.close()
            self.join()

        def cleanup(self):
            self.directory.cleanup()

    class Tls(Plain):
        answers_garbage = False

        def prepare(self):
            certificates = Certificates(self.directory.name)
            self.context = certificates.client_context
            self.options = {
                "ssl": "True",
                "certificate": certificates.certificate,
                "key": certificates.key,
            }

    return [Plain, Tls]


if __name__ == "__main__":
    sys.exit(run(load))
