"""A server whose main thread is interrupted at any bytecode: ``interrupts.py MODULE CLASS``.

A timer's signal handler raises, `serve_forever` is entered again, and again. The
program has descriptors of its own meanwhile: some from before, some that each
`except` block opens while the traceback still holds what was left half-made, some
of a second thread. Each is looked at before it is closed: if it is closed already,
or is something else by now, somebody has touched what is not his.

- ``run INTERRUPTS SECONDS``: until so many interrupts came, each while clients were being
  accepted, at most so long; answers the counts, and goes on serving, in peace;
- ``end``: stops and answers how many descriptors were touched;
- ``modules``.
"""

import _signal  # built in; importing `signal` would bring modules that a server may lack
import os
import select
import socket
import sys
import threading
import time

import wire

module = wire.server_module()

BACKLOG = 1024
SHORTEST_S, LONGEST_S = 20e-6, 300e-6  # into the first accept, or behind some
GOLDEN = 0.618033988749895  # its multiples spread evenly, whatever the time
EACH = 4  # pipes opened per interrupt
KEPT = 64  # pipes that stay open at a time
LOST_S = 1.0  # an exception that has not come out by now was swallowed
THREAD_PAUSE_S = 0.001


class Interrupt(BaseException):
    """What the signal handler raises; nothing in a server may catch it."""


class Server(getattr(module, sys.argv[2])):
    request_queue_size = BACKLOG
    daemon_threads = True
    errors = 0

    def handle_error(self, request, client_address):
        self.errors += 1


class Reply(module.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.request.recv(64))


def identity(fd):
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


class Sentinels:
    """Pipes of one thread, the oldest closed when there are too many."""

    def __init__(self, kept):
        self.kept = kept
        self.held = []
        self.touched = 0

    def open(self):
        for fd in os.pipe():
            self.held.append((fd, identity(fd)))
        while len(self.held) > 2 * self.kept:
            self.retire()

    def retire(self):
        fd, expected = self.held.pop(0)
        try:
            if identity(fd) == expected:
                os.close(fd)
                return
        except OSError:
            pass
        self.touched += 1  # closed by somebody, or not ours any more: leave it

    def retire_all(self):
        while self.held:
            self.retire()


class Timer:
    """Interrupts the main thread once each time that it is armed."""

    def __init__(self):
        self.armed = False
        self.armed_at_s = 0.0
        self.count = 0
        _signal.signal(_signal.SIGALRM, self.interrupt)

    def arm(self):
        self.count += 1
        share = self.count * GOLDEN % 1
        self.armed, self.armed_at_s = True, time.monotonic()
        _signal.setitimer(_signal.ITIMER_REAL, SHORTEST_S + share * (LONGEST_S - SHORTEST_S))

    def interrupt(self, _, frame):
        if not self.armed:
            return
        if is_within_condition(frame):
            _signal.setitimer(_signal.ITIMER_REAL, SHORTEST_S)
            return
        self.armed = False
        raise Interrupt


def is_within_condition(frame):
    """Whether the lock of an event or a condition may be half taken.

    `Condition.__enter__` is a Python function: an exception between the acquisition in it
    and the `with` block leaves the lock taken. In the standard module that is the end of
    the next `serve_forever()`, which clears an event.
    """
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), (threading.Event, threading.Condition)):
            return True
        frame = frame.f_back
    return False


def within_accept(traceback):
    """Whether the exception came out of taking a connection."""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_name in ("accept", "get_request"):
            return True
        if code.co_name == "__init__" and code.co_filename == socket.__file__:
            return True
        traceback = traceback.tb_next
    return False


def use_descriptors(sentinels):
    """What a second thread of the program does."""
    while not ended:
        sentinels.open()
        time.sleep(THREAD_PAUSE_S)


def watch_over():
    """Arm again if an exception was swallowed, as in a destructor; end with the runner."""
    while not ended:
        time.sleep(LOST_S / 4)
        if os.getppid() != runner:
            os._exit(1)
        if serving and not timer.armed and time.monotonic() - timer.armed_at_s > LOST_S:
            timer.arm()


def run(wanted, limit_s):
    """Be interrupted; the counts."""
    global serving
    interrupts = interrupted_accepts = ended_loops = 0
    kept = None  # a program keeps its last error for a while, and with it all frames
    deadline_s = time.monotonic() + limit_s
    while interrupts < wanted and time.monotonic() < deadline_s:
        select.select([server], [], [], LOST_S)  # else most interrupts find it asleep
        try:
            serving = True
            timer.arm()
            try:
                server.serve_forever()
            except OSError:  # a connection's descriptor is closed, and not by its owner
                serving = timer.armed = False
                ended_loops += 1
        except Interrupt as interrupt:
            serving = False
            interrupts += 1
            interrupted_accepts += within_accept(interrupt.__traceback__)
            for _ in range(EACH):
                own.open()
            kept = interrupt if interrupts % 3 else None
    del kept
    return {
        "interrupts": interrupts,
        "interrupted_accepts": interrupted_accepts,
        "ended_loops": ended_loops,
    }


def obey():
    for command, *_ in lines:
        if command == "modules":
            wire.answer(value=wire.own_modules())
            continue
        server.shutdown()
        return


server = Server(("127.0.0.1", 0), Reply)
serving = ended = False
runner = os.getppid()
own, others, early = Sentinels(KEPT), Sentinels(KEPT), Sentinels(KEPT)
for _ in range(KEPT):
    early.open()
timer = Timer()
lines = wire.commands()
wire.answer(port=server.server_address[1], modules=wire.own_modules())
_, wanted, seconds = next(lines)
threads = [
    threading.Thread(target=use_descriptors, args=(others,)),
    threading.Thread(target=watch_over),
]
for thread in threads:
    thread.start()
found = run(int(wanted), float(seconds))
control = threading.Thread(target=obey)
control.start()
wire.answer(value=found)
server.serve_forever()
control.join()
ended = True
for thread in threads:
    thread.join()
for sentinels in (early, own, others):
    sentinels.retire_all()
touched = early.touched + own.touched + others.touched
wire.answer(value={"touched": touched, "handler_errors": server.errors})
for _ in lines:
    pass
