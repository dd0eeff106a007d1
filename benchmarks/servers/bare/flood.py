"""A threaded datagram server whose handlers take a while: ``flood.py MODULE SECONDS``.

- ``handled``: how many datagrams were, so far.
"""

import sys
import threading
import time

import wire

module = wire.server_module()

HANDLER_S = float(sys.argv[2])


class Server(module.ThreadingUDPServer):
    daemon_threads = True


class Sleep(module.BaseRequestHandler):
    def handle(self):
        time.sleep(HANDLER_S)
        handled.append(None)  # a single operation: no lock


def obey():
    for _ in wire.commands():
        wire.answer(value=len(handled))


handled = []
server = Server(("127.0.0.1", 0), Sleep)
threading.Thread(target=obey, daemon=True).start()
wire.answer(port=server.server_address[1], modules=wire.own_modules())
server.serve_forever()
