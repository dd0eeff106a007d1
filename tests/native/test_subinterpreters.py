"""An import in a subinterpreter is refused, and leaves the main interpreter's alone."""

from __future__ import annotations

import pytest

from native.processes import run_program

# `_xxsubinterpreters` until Python 3.12, `_interpreters` since: no other has both.
IN_SUBINTERPRETER = """
import sys, threading
try:
    import _interpreters as subinterpreters
except ImportError:
    import _xxsubinterpreters as subinterpreters

ATTEMPT = '''
try:
    import {name}
except ImportError as error:
    print(error.name, error, flush=True)
else:
    print("imported", flush=True)
'''

def in_subinterpreter(name):
    interpreter = subinterpreters.create()
    failed = subinterpreters.run_string(interpreter, ATTEMPT.format(name=name))
    assert failed is None, failed
    subinterpreters.destroy(interpreter)

def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()
"""
REFUSED = "fastsocketserver fastsocketserver cannot be used in a subinterpreter"


@pytest.mark.parametrize("name", ["fastsocketserver", "fastsocketserver._accept"])
@pytest.mark.parametrize(
    "attempt", ["in_subinterpreter(name)", "in_thread(in_subinterpreter, name)"]
)
def test_import_in_subinterpreter_first_is_refused(name, attempt):
    """Then the main one's works; and in a subinterpreter it still does not."""
    program = f"""{IN_SUBINTERPRETER}
name = {name!r}
{attempt}
import fastsocketserver
fastsocketserver.TCPServer(("127.0.0.1", 0), None).server_close()
{attempt}
"""
    assert run_program(program) == [REFUSED, REFUSED]


def test_import_in_a_thread_of_the_main_interpreter_works():
    """Also where nobody has imported `threading` in the main one."""
    program = """
import _thread
done = _thread.allocate_lock()
done.acquire()
def work():
    import fastsocketserver
    print(fastsocketserver.__name__, flush=True)
    done.release()
_thread.start_new_thread(work, ())
done.acquire()
"""
    assert run_program(program) == ["fastsocketserver"]


def test_signals_are_left_alone_by_the_import():
    """Handlers, and the descriptor that asyncio is woken through."""
    program = """
import signal, socket
ours, peer = socket.socketpair()
ours.setblocking(False)
signal.set_wakeup_fd(ours.fileno())
def state():
    return [signal.getsignal(n) for n in sorted(signal.valid_signals())]
before = state()
import fastsocketserver
assert state() == before
assert signal.set_wakeup_fd(-1) == ours.fileno()
"""
    assert run_program(program) == []
