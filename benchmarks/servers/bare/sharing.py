"""Processes that share a listener, each looping on `handle_request()`: ``sharing.py MODULE N``.

Each keeps the longest time between two returns of `handle_request()`, and between
two beats of a second thread: that one stands still when all of the process does.
``end`` answers what each has found; one that does not say so has not come back.
"""

import os
import select
import sys
import threading
import time

import wire

module = wire.server_module()

BACKLOG = 1024
BEAT_S = 0.005
ANSWER_LIMIT_S = 5.0
KILL = 9


class Server(module.TCPServer):
    request_queue_size = BACKLOG
    served = 0


class Reply(module.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.request.recv(64))
        self.server.served += 1


class Silence:
    """The longest time between two signs of life, the last one and the end included."""

    def __init__(self):
        self.last_s = None
        self.longest_s = 0.0

    def sign(self):
        now_s = time.monotonic()
        if self.last_s is not None:
            self.longest_s = max(self.longest_s, now_s - self.last_s)
        self.last_s = now_s


def watch(returns, until_fd, result_fd):
    """Beat until the parent closes its end; then tell, and end the process."""
    beats = Silence()
    while True:
        ended, _, _ = select.select([until_fd], [], [], BEAT_S)
        beats.sign()
        if ended:
            break
    returns.sign()
    result = {
        "served": server.served,
        "process_silent_s": max(beats.longest_s - BEAT_S, 0.0),
        "call_silent_s": returns.longest_s,
    }
    os.write(result_fd, repr(result).encode())  # one write, below PIPE_BUF
    os._exit(0)


def serve(until_fd, result_fd):
    returns = Silence()
    thread = threading.Thread(target=watch, args=(returns, until_fd, result_fd))
    thread.start()
    while True:
        server.handle_request()
        returns.sign()


def result_of(pid, result_fd):
    """What a child has found; "" if it has not come back."""
    answered, _, _ = select.select([result_fd], [], [], ANSWER_LIMIT_S)
    if not answered:
        os.kill(pid, KILL)
    text = os.read(result_fd, 4096).decode()
    os.waitpid(pid, 0)
    return text


server = Server(("127.0.0.1", 0), Reply)
# Of all children: readable when the parent has closed its end, or has died.
until_fd, end_fd = os.pipe()
children = {}
for _ in range(int(sys.argv[2])):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end_fd)
        serve(until_fd, writer)
    os.close(writer)
    children[pid] = reader
wire.answer(port=server.server_address[1], modules=wire.own_modules())
for _ in wire.commands():
    os.close(end_fd)
    wire.answer(value=[result_of(pid, reader) for pid, reader in children.items()])
