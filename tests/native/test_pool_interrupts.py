"""A signal handler raises while requests are handed to workers: one owner each, true counts.

Each program runs in a process of its own and imports nothing but the server first.
"""

from __future__ import annotations

import json

import pytest

from native.processes import run_program

# What both programs share. `Interrupted` is no Exception, like KeyboardInterrupt.
SERVER = """
import collections, json, linecache, random, signal, socket, sys, threading, time
import {module} as module

STOCK = module.__name__ == "socketserver"
MOST = {max_threads}
FILES = {{module.ThreadingMixIn.process_request.__code__.co_filename}}
if not STOCK:
    from fastsocketserver._workers import Worker, _live
    FILES.add(sys.modules["fastsocketserver._workers"].__file__)

OTHER_METHODS = {{"process_request_thread"}}
if STOCK:  # all classes are in one file
    OTHER_METHODS.update(vars(module.BaseServer), vars(module.TCPServer))
    OTHER_METHODS.remove("process_request")
    OTHER_METHODS.add("server_close")

class Interrupted(BaseException):
    pass

def starts_a_thread(frame):
    code = frame.f_code
    if code.co_filename in FILES and code.co_name not in OTHER_METHODS:
        return True
    return (
        code.co_filename == threading.__file__
        and code.co_name in ("start", "__init__")
        and isinstance(frame.f_locals.get("self"), threading.Thread if STOCK else Worker)
    )

class Handler:
    def __init__(self):
        self.lock, self.inside, self.most, self.handled = threading.Lock(), 0, 0, 0
    def __call__(self, request, address, server):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.002)
        with self.lock:
            self.inside -= 1
            self.handled += 1
        request.sendall(b"ok")

class Server(module.ThreadingTCPServer):
    request_queue_size = 100
    if not STOCK and MOST:
        limits = module.Limits(max_threads=MOST)
    ends_when = staticmethod(lambda: False)
    def service_actions(self):
        if self.ends_when():
            self._BaseServer__shutdown_request = True

def new_server():
    handler = Handler()
    return Server(("127.0.0.1", 0), handler), handler

def connect(server):
    return socket.create_connection(server.server_address, 20)

def reply(client):
    try:
        return client.recv(2).decode()
    except ConnectionResetError:
        return ""

def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.001)
"""

AT_EACH_LINE = """
COUNT = 4

class Interrupter:
    def __init__(self, at):
        self.lines_left = at

    def trace(self, frame, event, arg):
        if self.lines_left == 0 or not starts_a_thread(frame):
            return None
        # At the end of a with statement Python itself would keep the lock.
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and not line.lstrip().startswith("with "):
            self.lines_left -= 1
            if self.lines_left == 0:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise Interrupted
        return self.trace

def interrupted_at(at):
    server, handler = new_server()
    if not STOCK:  # from now on there is a pool, which may hold requests back
        with connect(server) as client:
            server.handle_request()
            reply(client)
    clients = [connect(server) for _ in range(COUNT)]
    before = handler.handled

    replies = []
    asking = threading.Thread(target=lambda: replies.extend(map(reply, clients)))
    asking.start()
    server.ends_when = lambda: not asking.is_alive()
    interrupter = Interrupter(at)
    sys.settrace(interrupter.trace)
    try:
        server.serve_forever(0.01)
    except Interrupted:
        sys.settrace(None)
        server.serve_forever(0.01)
    finally:
        sys.settrace(None)
    assert len(replies) == COUNT, (at, interrupter.where, replies)
    for client in clients:
        client.close()
    try:
        server.server_close()
    except RuntimeError:  # it joins a thread that was listed and not started
        if not STOCK:
            raise
    assert handler.inside == 0, (at, interrupter.where)
    lost = replies.count("")
    if not STOCK:
        wait_until(lambda: not _live)
        assert handler.handled - before == COUNT - lost, (at, interrupter.where)
    return interrupter.lines_left == 0, lost, handler.most

at = 0
result = collections.Counter()
while True:
    at += 1
    reached, lost, most = interrupted_at(at)
    if not reached:
        break
    result["lines"] += 1
    result["lost"] = max(result["lost"], lost)
    result["most"] = max(result["most"], most)
print(json.dumps(result))
"""


@pytest.mark.parametrize("max_threads", [None, 2])
@pytest.mark.parametrize("module", ["socketserver", "fastsocketserver"])
def test_interrupt_at_any_line_of_the_start_of_a_worker_loses_one_request(module, max_threads):
    """Only the one at hand is closed; the others are served, by no more than are allowed."""
    if module == "socketserver" and max_threads:
        pytest.skip("it has no limit")
    program = SERVER.format(module=module, max_threads=max_threads) + AT_EACH_LINE
    result = json.loads(run_program(program)[-1])
    assert result["lines"] > 20
    assert result.get("lost", 0) <= 1
    if max_threads:
        assert result["most"] <= max_threads


STORM = """
COUNT = 300
server, handler = new_server()
replies = collections.Counter()
interrupts = 0

def raise_where_a_thread_is_started(number, frame):
    global interrupts
    if frame is not None and starts_a_thread(frame):
        interrupts += 1
        raise Interrupted
    set_timer()

def set_timer():
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.0005))

def ask():
    while replies["ok"] < COUNT:
        with connect(server) as client:
            replies[reply(client)] += 1

signal.signal(signal.SIGALRM, raise_where_a_thread_is_started)
askers = [threading.Thread(target=ask) for _ in range(4)]
for each in askers:
    each.start()
server.ends_when = lambda: not any(each.is_alive() for each in askers)
while not server.ends_when():
    set_timer()
    try:
        server.serve_forever(0.01)
    except Interrupted:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)  # the handler may have set the timer once more
from fastsocketserver._state import state_of
pool = state_of(server).pool
server.server_close()
assert handler.inside == 0
wait_until(lambda: not _live)
assert pool.size == 0, pool.size
print(json.dumps([interrupts, replies["ok"], replies[""], handler.handled, handler.most]))
"""


def test_storm_of_interrupts_while_workers_are_started_keeps_the_counts():
    """Real signals. Two workers at most, whatever was interrupted; every client is answered."""
    program = SERVER.format(module="fastsocketserver", max_threads=2) + STORM
    interrupts, answered, closed, handled, most = json.loads(run_program(program)[-1])
    assert most <= 2
    assert closed <= interrupts
    assert handled >= answered > 0
    assert interrupts
