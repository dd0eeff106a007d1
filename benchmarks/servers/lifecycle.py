"""Starts and stops servers many times in one process; prints what it saw.

``python -m servers.lifecycle --impl MODULE --cycles N`` answers with one JSON
line: the latency of each ``shutdown()``, and the threads and descriptors that
are left at the end.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import socket
import threading
import time

IDLE_LIMIT_S = 0.05  # a server that has just served is not yet at rest


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def exchange(port: int) -> None:
    """One connection: proof that the loop runs, and something that could leak."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"hello\n")
        while client.recv(64):
            pass


def timed_shutdown_s(module) -> float:
    """A threaded server, started, used once, at rest, stopped and closed."""

    class Reply(module.BaseRequestHandler):
        def handle(self):
            self.request.sendall(self.request.recv(64))

    server = module.ThreadingTCPServer(("127.0.0.1", 0), Reply)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    exchange(server.server_address[1])
    time.sleep(random.uniform(0, IDLE_LIMIT_S))
    begin_s = time.perf_counter()
    server.shutdown()
    latency_s = time.perf_counter() - begin_s
    server.server_close()
    thread.join()
    return latency_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--impl", required=True)
    parser.add_argument("--cycles", type=int, required=True)
    options = parser.parse_args()
    module = importlib.import_module(options.impl)
    timed_shutdown_s(module)  # what a first use opens for good is no leak
    threads, descriptors = threading.active_count(), open_descriptors()
    shutdowns_s = [timed_shutdown_s(module) for _ in range(options.cycles)]
    result = {
        "shutdowns_s": shutdowns_s,
        "threads_left": threading.active_count() - threads,
        "descriptors_left": open_descriptors() - descriptors,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
