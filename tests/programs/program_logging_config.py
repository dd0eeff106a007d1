"""`logging.config.listen`: configurations by socket.

A `ThreadingTCPServer` subclass with `allow_reuse_address` and hooks of its own in the
constructor; `serve_until_stopped` is a loop over `select()` on `self.socket.fileno()` (a
second each) and `handle_request()`, with a lock around a flag, and `server_close()` after it.
The handler packs its length prefix from `connection` and waits for the whole message.
"""

import json
import logging
import logging.config
import struct
import sys

from _scenario import HOST, Program, connection, free_port, listening, run, wait_until


def load():
    class Listener(Program):
        # Not more than the length: at the end of half a message its handler spins for ever.
        half = b"\x00\x00"
        garbage = struct.pack(">L", 7) + b"garbage"

        def start(self):
            self.handlers = list(logging.root.handlers)
            port = free_port()
            self.address = (HOST, port)
            self.server = logging.config.listen(port, verify=self.verify)
            self.server.daemon = True
            self.server.start()
            wait_until(lambda: listening(self.address), "the server")

        def verify(self, data):
            """Keep the noise from the terminal: only JSON is let through."""
            return data if data.startswith(b"{") else None

        def converse(self, number):
            name = f"scenario.{number}"
            configuration = {
                "version": 1,
                "disable_existing_loggers": False,
                "loggers": {name: {"level": 30 + number}},
            }
            data = json.dumps(configuration).encode()
            with connection(self.address) as sock:
                message = struct.pack(">L", len(data)) + data
                sock.sendall(message[:9])  # the rest comes later
                sock.sendall(message[9:])
                assert sock.recv(1) == b""
            level = logging.getLogger(name).level
            assert level == 30 + number
            return level

        def stop(self):
            logging.config.stopListening()
            self.join(self.server)

    return [Listener]


if __name__ == "__main__":
    sys.exit(run(load))
