"""The C files by themselves: no interpreter in them, so a compiler and ctypes suffice."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "cext"
NS_PER_MS = 1_000_000
LISTENER, WAKE, CHILD = 1, 2, 4


class Wake(ctypes.Structure):
    """struct fss_wake."""

    _fields_ = (
        ("read_fd", ctypes.c_int),
        ("write_fd", ctypes.c_int),
        ("device", ctypes.c_uint64),
        ("inode", ctypes.c_uint64),
    )


class Poller(ctypes.Structure):
    """struct fss_poller."""

    _fields_ = (
        ("wake", Wake),
        ("listener_fd", ctypes.c_int),
        ("child_fd", ctypes.c_int),
        ("owned_fd", ctypes.c_int),
        ("muted", ctypes.c_int),
    )


def compile_library(directory, name, *modules):
    compiler = shutil.which("cc")
    if compiler is None or not SOURCES.is_dir():
        pytest.skip("no C compiler, or no sources")
    library = directory / f"{name}.so"
    files = [str(SOURCES / f"fss_{module}.c") for module in modules]
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, *files], check=True)
    return ctypes.CDLL(str(library), use_errno=True)


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    library = compile_library(tmp_path_factory.mktemp("clock"), "clock", "clock")
    library.fss_clock_now_ns.restype = ctypes.c_int64
    library.fss_clock_wait_ms.argtypes = [ctypes.c_int64]
    return library


@pytest.fixture(scope="module", params=["epoll", "poll"])
def poller_library(request, tmp_path_factory):
    if request.param == "epoll" and sys.platform != "linux":
        pytest.skip("Linux only")
    directory = tmp_path_factory.mktemp(request.param)
    return compile_library(
        directory, "poller", f"poller_{request.param}", "poller_once", "wake"
    )


@pytest.fixture
def wake(poller_library):
    wake = Wake(-1, -1)
    assert poller_library.fss_wake_open(ctypes.byref(wake)) == 0
    yield wake
    poller_library.fss_wake_close(ctypes.byref(wake))


@pytest.fixture
def poller(poller_library):
    """A poller on a listener, and that listener."""
    poller = Poller()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        poller_library.fss_poller_open(ctypes.byref(poller), listener.fileno())
        yield poller, listener
        poller_library.fss_poller_close(ctypes.byref(poller))


def wait(library, poller, with_listener=True, wait_ms=10_000):
    return library.fss_poller_wait(ctypes.byref(poller), with_listener, wait_ms)


def test_clock_is_the_monotonic_one(clock):
    """A step of the wall clock must not move a deadline."""
    before = time.monotonic_ns()
    now = clock.fss_clock_now_ns()
    assert before <= now <= time.monotonic_ns()


def test_clock_wait_is_rounded_up(clock):
    """A wait that ends early would be repeated with nothing left to wait for."""
    far = clock.fss_clock_now_ns() + 10_000 * NS_PER_MS + NS_PER_MS // 2
    # However long this took: never shorter than what is left, nor a whole unit longer.
    before = clock.fss_clock_now_ns()
    wait_ms = clock.fss_clock_wait_ms(far)
    after = clock.fss_clock_now_ns()
    assert far - after <= wait_ms * NS_PER_MS < far - before + NS_PER_MS
    assert clock.fss_clock_wait_ms(clock.fss_clock_now_ns() + 1000 * NS_PER_MS) > 0


def test_clock_wait_for_what_has_passed_is_none(clock):
    assert clock.fss_clock_wait_ms(clock.fss_clock_now_ns()) == 0
    assert clock.fss_clock_wait_ms(0) == 0


def test_clock_wait_that_poll_cannot_express_is_its_longest(clock):
    assert clock.fss_clock_wait_ms(2**63 - 1) == 2**31 - 1


def test_wake_never_blocks_and_is_drained_at_once(poller_library, wake):
    """A full pipe holds wake-ups enough."""
    for _ in range(100_000):
        poller_library.fss_wake_signal(ctypes.byref(wake))
    poller_library.fss_wake_drain(ctypes.byref(wake))
    with pytest.raises(BlockingIOError):
        os.read(wake.read_fd, 1)


def test_wake_descriptors_are_not_inherited(wake):
    assert not os.get_inheritable(wake.read_fd)
    assert not os.get_inheritable(wake.write_fd)


def test_wake_leaves_descriptors_that_are_somebody_elses_alone(poller_library, wake):
    """Closed by number, and opened again as something else: neither written to nor closed."""
    numbers = wake.read_fd, wake.write_fd
    reader, writer = os.pipe()
    try:
        os.dup2(reader, numbers[0])
        os.dup2(writer, numbers[1])
        assert not poller_library.fss_wake_is_intact(ctypes.byref(wake))
        poller_library.fss_wake_signal(ctypes.byref(wake))
        os.set_blocking(reader, False)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
        poller_library.fss_wake_close(ctypes.byref(wake))
        assert all(os.path.exists(f"/proc/self/fd/{number}") for number in numbers)
    finally:
        for fd in {reader, writer, *numbers}:
            os.close(fd)
    assert (wake.read_fd, wake.write_fd) == (-1, -1)


def test_poller_tells_what_is_ready(poller_library, poller):
    """And drains the wake-up."""
    poller, listener = poller
    assert wait(poller_library, poller, wait_ms=0) == 0
    poller_library.fss_wake_signal(ctypes.byref(poller.wake))
    assert wait(poller_library, poller) == WAKE
    assert wait(poller_library, poller, wait_ms=0) == 0
    with socket.create_connection(listener.getsockname()):
        assert wait(poller_library, poller) == LISTENER
        assert wait(poller_library, poller) == LISTENER  # until it is accepted
        assert wait(poller_library, poller, with_listener=False, wait_ms=0) == 0
        assert wait(poller_library, poller) == LISTENER
        poller_library.fss_wake_signal(ctypes.byref(poller.wake))
        assert wait(poller_library, poller) == LISTENER | WAKE
        assert wait(poller_library, poller) == LISTENER  # drained beside the other one


def test_poller_watches_children_beside_the_listener(poller_library, poller):
    poller, _ = poller
    reader, writer = os.pipe()
    try:
        watched = poller_library.fss_poller_watch_children(ctypes.byref(poller), reader)
        assert watched == 0
        assert wait(poller_library, poller, wait_ms=0) == 0
        os.write(writer, b"x")
        assert wait(poller_library, poller, with_listener=False) == CHILD
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("kind", ["file", "not open"])
def test_poller_calls_what_cannot_be_waited_for_ready(poller_library, tmp_path, kind):
    """As poll(2) does: get_request() decides what it is."""
    poller = Poller()
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    if kind == "not open":
        os.close(fd)
    try:
        poller_library.fss_poller_open(ctypes.byref(poller), fd if kind == "file" else 99999)
        assert wait(poller_library, poller) == LISTENER
        assert wait(poller_library, poller, with_listener=False, wait_ms=0) == 0
        poller_library.fss_wake_signal(ctypes.byref(poller.wake))
        assert wait(poller_library, poller, with_listener=False) == WAKE
    finally:
        poller_library.fss_poller_close(ctypes.byref(poller))
        if kind == "file":
            os.close(fd)


def test_poller_descriptors_are_not_inherited(poller):
    poller, _ = poller
    owned = {poller.wake.read_fd, poller.wake.write_fd, poller.owned_fd} - {-1}
    assert owned
    assert not any(map(os.get_inheritable, owned))


def test_poller_closed_twice_is_closed(poller_library, poller):
    poller, _ = poller
    owned = {poller.wake.read_fd, poller.wake.write_fd, poller.owned_fd} - {-1}
    poller_library.fss_poller_close(ctypes.byref(poller))
    for fd in owned:
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            os.fstat(fd)
    poller_library.fss_poller_close(ctypes.byref(poller))
