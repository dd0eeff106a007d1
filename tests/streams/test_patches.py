"""What a program patches in the standard classes wins: before the import, later, and undone.

On streams that are open already, too: programs that trace or count put themselves in while
connections are served.
"""

from __future__ import annotations

import contextlib
import functools
import io
import socket
import socketserver
import sys
import threading
from unittest import mock

import pytest

from native.processes import run_program


@contextlib.contextmanager
def wrapped(owner, name):
    """The method calls the one that was there, and notes it: a list of the names."""
    original = getattr(owner, name)
    calls = []

    @functools.wraps(original)  # looks like the original in all that can be copied
    def wrapper(self, *args):
        calls.append(name)
        return original(self, *args)

    with mock.patch.object(owner, name, wrapper, create=name not in vars(owner)):
        yield calls


class Both:
    """Both streams of a connection, open, and used as handlers do."""

    def __init__(self, streams, pair):
        ours, self.peer = pair
        self.reader = streams.open_reader(ours, -1)
        self.writer = streams.open_writer(ours, 0)

    def use(self):
        self.peer.sendall(b"line\n")
        assert self.reader.readline() == b"line\n"
        assert self.writer.write(b"reply") == 5
        assert self.peer.recv(5) == b"reply"

    def close(self):
        if not self.writer.closed:
            self.writer.flush()
        self.writer.close()
        self.reader.close()


PATCHED = [
    (socket.socket, "recv_into"),
    (socket.socket, "sendall"),
    (socket.SocketIO, "readinto"),
    (socket.SocketIO, "close"),
    (io.RawIOBase, "readable"),
    (socketserver._SocketWriter, "write"),
    (socketserver._SocketWriter, "flush"),
    (socketserver._SocketWriter, "close"),
]
NAMES = [f"{owner.__name__}.{name}" for owner, name in PATCHED]


@pytest.mark.parametrize(("owner", "name"), PATCHED, ids=NAMES)
@pytest.mark.parametrize("opened", ["before", "after"])
def test_method_patched_later_is_called(streams, pair, owner, name, opened):
    """On streams opened before and after the patch, and no longer when it is undone.

    `readable` of the base class is never called: SocketIO has one of its own.
    """
    before = Both(streams, pair)
    before.use()
    with wrapped(owner, name) as calls:
        both = before if opened == "before" else Both(streams, pair)
        both.use()
        if name in ("flush", "close"):
            both.close()
            assert both.writer.closed
            assert both.reader.closed
    assert bool(calls) == (name != "readable")
    calls.clear()
    if both.reader.closed:
        both = Both(streams, pair)
    both.use()
    both.close()
    before.close()
    assert calls == []
    assert pair[0]._io_refs == 0


@pytest.mark.parametrize("name", ["makefile", "send"])
def test_method_of_the_socket_class_patched_later_is_called(streams, pair, name):
    """`makefile()` opens `rfile`, and both with a buffer; these send by `send()`."""
    with wrapped(socket.socket, name) as calls:
        streams.open_reader(pair[0], -1).close()
        with streams.open_writer(pair[0], 100) as writer:
            writer.write(b"x")
    assert calls


@pytest.mark.parametrize(
    ("module", "name"),
    [(socket, "SocketIO"), (io, "BufferedReader"), (socketserver, "_SocketWriter")],
    ids=["SocketIO", "BufferedReader", "_SocketWriter"],
)
def test_class_replaced_later_is_used(streams, pair, module, name):
    """By one that is no class, as adapters do; and no longer when it is undone."""
    original = getattr(module, name)
    with mock.patch.object(module, name, side_effect=original) as replacement:
        both = Both(streams, pair)
        both.use()
        both.close()
    assert replacement.call_count == 1
    both = Both(streams, pair)
    both.use()
    both.close()
    assert replacement.call_count == 1


def test_socket_class_replaced_later_leaves_streams_alone(streams, pair):
    """`socket.socket` is another class now; connections made before are what they were."""
    both = Both(streams, pair)
    subclass = type("Traced", (socket.socket,), {})
    with mock.patch.object(socket, "socket", subclass):
        both.use()
        later = Both(streams, pair)
        later.use()
        later.close()
    both.use()
    both.close()


def python_calls(function):
    """The names of the functions written in Python that ran meanwhile."""
    names = []
    before = sys.getprofile()
    sys.setprofile(
        lambda frame, event, _: event == "call" and names.append(frame.f_code.co_name)
    )
    try:
        function()
    finally:
        sys.setprofile(before)
    return names


def test_native_code_is_back_when_a_patch_is_undone(compiled, pair):
    """However often the classes change and change back."""
    both = Both(compiled, pair)
    for _ in range(3):
        for owner, name in PATCHED:
            with wrapped(owner, name):
                both.use()
        with mock.patch.object(socket, "socket", type("Traced", (socket.socket,), {})):
            both.use()
            Both(compiled, pair).close()
        for module, name in ((socket, "SocketIO"), (socketserver, "_SocketWriter")):
            with mock.patch.object(module, name, side_effect=getattr(module, name)):
                Both(compiled, pair).close()
    assert set(python_calls(both.use)) <= {"use"}
    opening = python_calls(lambda: Both(compiled, pair).close())
    assert "makefile" not in opening
    assert "write" not in opening
    both.close()


def test_patched_recv_into_wins_while_threads_compete(streams, pair):
    """Streams that keep the GIL receive by themselves; they must not when it is patched.

    A thread that takes the GIL at each write, and keeps it for long, brings that about.
    """
    both = Both(streams, pair)
    stop = threading.Event()
    turns = []

    def compete():
        while not stop.is_set():
            turns.append(sum(range(10_000)))

    competing = threading.Thread(target=compete)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    competing.start()
    try:
        while len(turns) < 200:
            both.use()
            both.peer.sendall(b"line\n")
            with wrapped(socket.socket, "recv_into") as calls:
                assert both.reader.readline() == b"line\n"
            assert calls == ["recv_into"]
    finally:
        stop.set()
        competing.join()
        sys.setswitchinterval(interval)
        both.close()


# -- patched before the first import ----------------------------------------------------

HANDLE = """
import importlib, socket, sys

def handle():
    module = importlib.import_module(sys.argv[1])

    class Handler(module.StreamRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.readline())

    ours, peer = socket.socketpair()
    with ours, peer:
        peer.sendall(b"line")
        peer.shutdown(socket.SHUT_WR)
        Handler(ours, None, None)
        ours.close()
        assert peer.recv(100) == b"line"
"""
BEFORE_THE_IMPORT = {
    "socket class": """
class Traced(socket.socket):
    def sendall(self, *args):
        calls.append("sendall")
        return super().sendall(*args)
    def recv_into(self, *args):
        calls.append("recv_into")
        return super().recv_into(*args)
socket.socket = Traced
""",
    "methods of the socket class": """
for name in ("sendall", "recv_into", "makefile"):
    wrap(socket.socket, name)
""",
    "raw file's methods": """
for name in ("__init__", "readinto", "readable", "close"):
    wrap(socket.SocketIO, name)
""",
    "raw file's inherited methods": """
for name in ("flush", "tell"):
    wrap(socket.SocketIO, name)
""",
    "writer's methods": """
import socketserver
for name in ("__init__", "write", "close"):
    wrap(socketserver._SocketWriter, name)
""",
    "classes that are none": """
import io, socketserver
for module, name in ((socketserver, "_SocketWriter"), (socket, "SocketIO")):
    def factory(*args, original=getattr(module, name), name=name):
        calls.append(name)
        return original(*args)
    setattr(module, name, factory)
""",
}


@pytest.mark.parametrize("patch", BEFORE_THE_IMPORT.values(), ids=BEFORE_THE_IMPORT.keys())
def test_patched_before_the_import_is_called(patch):
    """What is there when we come is not what was shipped: as often as without us."""
    program = f"""{HANDLE}
import functools
calls = []
def wrap(owner, name):
    original = getattr(owner, name)
    @functools.wraps(original)
    def wrapper(*args):
        calls.append(name)
        return original(*args)
    setattr(owner, name, wrapper)
{patch}
handle()
print(*calls)
"""
    standard, ours = (
        run_program(program, name) for name in ("socketserver", "fastsocketserver")
    )
    assert standard != [""]
    assert ours == standard


def test_undone_after_the_import_gives_native_code():
    """Test suites import programs while something is patched; that costs nothing for good."""
    program = f"""{HANDLE}
from unittest import mock
import socketserver
with (
    mock.patch.object(socket, "socket", type("Traced", (socket.socket,), {{}})),
    mock.patch.object(socket.SocketIO, "readinto", lambda self, b: 0),
    mock.patch.object(socketserver._SocketWriter, "write", lambda self, b: 0),
):
    importlib.import_module(sys.argv[1])
handle()
names = []
sys.setprofile(lambda frame, event, _: event == "call" and names.append(frame.f_code.co_name))
handle()
sys.setprofile(None)
print(*sorted({{"makefile", "readinto", "write"}} & {{*names}}))
"""
    assert run_program(program, "socketserver") == ["makefile readinto write"]
    assert run_program(program, "fastsocketserver") == [""]
