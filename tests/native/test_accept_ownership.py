"""Between accept(2) and the finished socket object: each descriptor has one owner.

Exceptions arrive there by audit hooks, which run inside the making of a socket, and by signal
handlers. In processes of their own, since audit hooks stay.
"""

from __future__ import annotations

import pytest

from native.processes import run_program

PROGRAM = """
import os, signal, socket, sys, threading

import fastsocketserver

def answer(request, client_address, server):
    request.sendall(b"ok")


server = fastsocketserver.TCPServer(("127.0.0.1", 0), answer)


def descriptors():
    return sorted(map(int, os.listdir("/proc/self/fd")))[:-1]


def ask():
    with socket.create_connection(server.server_address, 20) as client:
        try:
            return client.recv(2)
        except OSError:
            return b"reset"
"""


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "RuntimeError", "MemoryError"])
def test_accept_left_by_an_exception_while_the_socket_is_made_closes_the_descriptor(error):
    """One that is no OSError leaves the loop; the client is told, and nothing stays open."""
    assert run_program(
        PROGRAM
        + """
armed = False


def hook(event, args):
    if armed and event == "socket.__new__" and threading.current_thread() is serving:
        raise getattr(__builtins__, sys.argv[1])("hook")


sys.addaudithook(hook)


def serve():
    global raised
    try:
        server.serve_forever()
    except BaseException as error:
        raised = type(error).__name__


for _ in range(3):
    raised = None
    serving = threading.Thread(target=serve)
    before = descriptors()
    armed = True
    serving.start()
    reply = ask()
    serving.join()
    armed = False
    print(reply in (b"", b"reset"), raised == sys.argv[1], descriptors() == before)
serving = threading.Thread(target=serve)
serving.start()
print(ask())
server.shutdown()
serving.join()
server.server_close()
""",
        error,
    ) == ["True True True"] * 3 + ["b'ok'"]


def test_accept_interrupted_by_signals_touches_no_other_descriptor():
    """A handler that raises at any bytecode: files that are opened all the time stay open."""
    assert run_program(
        PROGRAM
        + """
# An import that is interrupted may leave its lock taken: handle_error() has one.
import errno, time, traceback


class Interrupt(BaseException):
    pass


def handler(number, frame):
    # Below serve_forever() alone, so that the loop around it needs no protection; not in an
    # Event, whose lock would stay taken for good.
    while frame is not None and frame.f_globals["__name__"] != "threading":
        if frame.f_code.co_name == "serve_forever":
            raise Interrupt
        frame = frame.f_back


stop = threading.Event()
damage = []


def open_and_look():
    # The lowest free number is the one that was closed last: a second close hits it.
    while not stop.is_set():
        fd = os.open(os.devnull, os.O_RDONLY)
        inode = os.fstat(fd).st_ino
        time.sleep(0)
        try:
            if os.fstat(fd).st_ino != inode:
                damage.append("other file")
            os.close(fd)
        except OSError as error:
            damage.append(errno.errorcode[error.errno])


def load():
    while not stop.is_set():
        with socket.create_connection(server.server_address, 20) as client:
            client.settimeout(1)
            try:
                if client.recv(2) not in (b"ok", b""):
                    damage.append("reply")
            except OSError:
                pass  # the request was interrupted: reset, or kept open by the traceback


threads = [threading.Thread(target=target) for target in (open_and_look, load, load)]
for thread in threads:
    thread.start()
signal.signal(signal.SIGALRM, handler)
interrupts = 0
end = time.monotonic() + 3
signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
while time.monotonic() < end:
    try:
        server.serve_forever()
    except Interrupt:
        interrupts += 1
signal.setitimer(signal.ITIMER_REAL, 0)
stop.set()
serving = threading.Thread(target=server.serve_forever)
serving.start()
for thread in threads:
    thread.join()
server.shutdown()
serving.join()
server.server_close()
print(interrupts > 50, damage)
""",
    ) == ["True []"]
