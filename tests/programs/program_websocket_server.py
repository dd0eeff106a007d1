"""websocket-server: WebSockets by hand.

The handler's `__init__` makes a lock and replaces the socket before the base's; `finish` does
not call the base's, and is run a second time, from another thread, when the server drops a
client. The stop calls `server_close()` under the running loop and `shutdown()` after it.
"""

import contextlib
import logging
import sys

from _scenario import HOST, PATIENCE_S, Program, run, wait_until


def load():
    import websocket
    from websocket_server import WebsocketServer

    class Echo(Program):
        half = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n"

        def start(self):
            self.server = WebsocketServer(HOST, 0, loglevel=logging.CRITICAL)
            self.address = self.server.server_address
            self.server.set_fn_message_received(
                lambda client, server, message: server.send_message(client, message[::-1])
            )
            self.server.run_forever(threaded=True)

        def connect(self):
            host, port = self.address
            return contextlib.closing(
                websocket.create_connection(f"ws://{host}:{port}/", timeout=PATIENCE_S)
            )

        def converse(self, number):
            with self.connect() as client:
                seen = []
                for text in (f"hello {number}", "", "x" * 200, "y" * 70_000):
                    client.send(text)
                    seen.append(client.recv())
                    assert seen[-1] == text[::-1]
                client.ping("are you there")
                opcode, payload = client.recv_data(control_frame=True)
            return seen[0], opcode, payload.decode()

        def misbehave(self):
            with self.connect() as client:
                client.sock.sendall(b"\x81\x05hello")  # not masked: the server hangs up
                return client.sock.recv(100).decode()

        def stop(self):
            wait_until(lambda: not self.server.clients, "the clients to be gone")
            with self.connect() as client:
                client.send("warm")
                assert client.recv() == "mraw"
                self.server.shutdown_gracefully()
                assert client.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
            self.join(self.server.thread)

    return [Echo]


if __name__ == "__main__":
    sys.exit(run(load))
