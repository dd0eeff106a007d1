"""Starts and stops servers in one process: ``cycles.py MODULE``.

- ``cycle SECONDS``: a threaded server is started, used once, left alone for so
  long, stopped and closed; answers how long ``shutdown()`` took;
- ``threads``: answers how many there are.
"""

import socket
import threading
import time

import wire

module = wire.server_module()


class Reply(module.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.request.recv(64))


def exchange(port):
    """One connection: proof that the loop runs, and something that could leak."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"hello\n")
        while client.recv(64):
            pass


def timed_shutdown_s(rest_s):
    server = module.ThreadingTCPServer(("127.0.0.1", 0), Reply)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    exchange(server.server_address[1])
    time.sleep(rest_s)
    begin_s = time.perf_counter()
    server.shutdown()
    latency_s = time.perf_counter() - begin_s
    server.server_close()
    thread.join()
    return latency_s


wire.answer(modules=wire.own_modules())
for command, *arguments in wire.commands():
    if command == "cycle":
        wire.answer(value=timed_shutdown_s(float(arguments[0])))
    else:
        wire.answer(value=threading.active_count())
