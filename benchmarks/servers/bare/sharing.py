"""Processes that share a listener, each looping on `handle_request()`: ``sharing.py MODULE N``.

Each keeps the longest time between two returns of `handle_request()`, and between
two beats of a second thread: that one stands still when all of the process does,
because there is no CPU for it, or because the main thread sleeps and keeps the GIL.
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


class Excuse:
    """Why this thread may have been late: it, or the main one, had no CPU, or used it.

    What is left is time in which the main thread slept with the GIL held.
    """

    def __init__(self):
        self.fds = [
            os.open(f"/proc/self/task/{tid}/schedstat", os.O_RDONLY)
            for tid in (os.getpid(), threading.get_native_id())
        ]

    def total_s(self):
        """So far: ran and waited for a CPU, in ns, are the first two fields."""
        fields = [os.pread(fd, 64, 0).split() for fd in self.fds]
        return sum(int(ran) + int(waited) for ran, waited, _ in fields) / 1e9


def watch(returns, until_fd, result_fd):
    """Beat until the parent closes its end; then tell, and end the process."""
    beats, excuse = Silence(), Excuse()
    asleep_s = 0.0
    excused_s, last_s = excuse.total_s(), time.monotonic()
    while True:
        ended, _, _ = select.select([until_fd], [], [], BEAT_S)
        beats.sign()
        before_s, excused_s = excused_s, excuse.total_s()
        late_s = beats.last_s - last_s - BEAT_S
        asleep_s = max(asleep_s, late_s - (excused_s - before_s))
        last_s = beats.last_s
        if ended:
            break
    returns.sign()
    result = {
        "served": server.served,
        "process_silent_s": max(beats.longest_s - BEAT_S, 0.0),
        "asleep_s": asleep_s,
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
