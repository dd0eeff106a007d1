"""The descriptor that the interpreter writes signals to: lent for a wait, and given back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from fastsocketserver._signals import listen_for_signals, stop_listening_for_signals
from native.processes import ask_child, run_program
from support.clients import nudge
from support.idle import wait_until_asleep
from support.serving import Background, wait_for
from support.signals import handling

WAKE_UP = b"\0"
SIGNALS = bytes([signal.SIGUSR1, signal.SIGUSR2])
NOBODYS = -1


@pytest.fixture
def pipe():
    """What a loop waits for: `(read_fd, write_fd)`."""
    reader, writer = os.pipe2(os.O_NONBLOCK)
    yield reader, writer
    os.close(reader)
    os.close(writer)


other_pipe = pipe


@pytest.fixture(autouse=True)
def _nobodys():
    yield
    signal.set_wakeup_fd(NOBODYS)


def now_set():
    """Whose the descriptor is; it is nobody's from here on."""
    return signal.set_wakeup_fd(NOBODYS)


def test_descriptor_that_is_nobodys_is_lent_and_given_back(pipe):
    reader, writer = pipe
    assert listen_for_signals(writer, reader)
    signal.raise_signal(signal.SIGCHLD)  # ignored by default, and written by the C handler
    stop_listening_for_signals()
    assert now_set() == NOBODYS


@pytest.mark.parametrize("written", [b"", WAKE_UP, SIGNALS, WAKE_UP + SIGNALS])
def test_descriptor_of_the_program_gets_the_signals_and_the_loop_its_wake_up(
    pipe, other_pipe, written
):
    """Whose it is can only be told by taking it: what came in between belongs to both."""
    reader, writer = pipe
    owner_reader, owner_writer = other_pipe
    signal.set_wakeup_fd(owner_writer)
    os.write(writer, written)
    assert not listen_for_signals(writer, reader)
    assert now_set() == owner_writer
    for fd, expected in (
        (reader, written.replace(SIGNALS, b"")),
        (owner_reader, written.replace(WAKE_UP, b"")),
    ):
        if expected:
            assert os.read(fd, 100) == expected
        with pytest.raises(BlockingIOError):
            os.read(fd, 100)


def test_descriptor_closed_without_telling_the_interpreter_is_nobodys(pipe):
    reader, writer = pipe
    dead_reader, dead_writer = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(dead_writer)
    os.close(dead_reader)
    os.close(dead_writer)
    assert listen_for_signals(writer, reader)
    stop_listening_for_signals()
    assert now_set() == NOBODYS


def test_descriptor_put_in_place_by_a_signal_handler_stays(pipe, other_pipe):
    """asyncio begins in a handler that runs during our wait, say."""
    reader, writer = pipe
    _, owner_writer = other_pipe
    assert listen_for_signals(writer, reader)
    signal.set_wakeup_fd(owner_writer)
    stop_listening_for_signals()
    assert now_set() == owner_writer


def test_descriptor_of_a_parent_that_was_asleep_is_taken_from_it(pipe, other_pipe):
    """Its pipe: what a signal writes there in the child would wake the parent."""
    reader, writer = pipe
    own_reader, own_writer = other_pipe
    assert listen_for_signals(writer, reader)

    def child():
        return [listen_for_signals(own_writer, own_reader), now_set() == own_writer]

    try:
        assert ask_child(child) == [True, True]
    finally:
        stop_listening_for_signals()


class Stop(Exception):
    """What the signal handler raises."""


@pytest.mark.parametrize("door", ["serve_forever", "handle_request"])
def test_descriptor_of_the_program_delays_no_signal_for_good(server_of, pipe, door):
    """On another thread it interrupts no system call, and writes to the program's pipe."""

    def send():
        wait_until_asleep(threading.main_thread())
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    def stop(number, frame):
        raise Stop

    server = server_of("TCPServer")
    with handling(signal.SIGUSR1, stop):
        signal.set_wakeup_fd(pipe[1])
        sending = Background(send)
        with pytest.raises(Stop):
            getattr(server, door)()
        sending.join()
    assert now_set() == pipe[1]


def test_signal_that_was_handled_lets_handle_request_sleep_again(server_of):
    """What it wrote to the pipe is taken out."""
    handled = threading.Event()

    def drive():
        wait_until_asleep(threading.main_thread())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        wait_for(handled)
        try:
            wait_until_asleep(threading.main_thread())
        finally:
            nudge(server)

    server = server_of("TCPServer")
    with handling(signal.SIGUSR1, lambda *_: handled.set()):
        driving = Background(drive)
        server.handle_request()
        driving.join()


def test_descriptor_is_given_back_when_a_handler_raises_before_the_wait():
    """A signal between the two: what the loop asks for its process number sends it."""
    assert (
        run_program("""
        import ctypes, functools, os, signal

        signal.signal(signal.SIGUSR1, lambda *_: None)
        getpid = os.getpid
        # Without a line of Python, in which the handler would run.
        os.getpid = functools.partial(getattr(ctypes.CDLL(None), "raise"), signal.SIGUSR1)
        import fastsocketserver
        os.getpid = getpid


        class Stop(Exception):
            pass


        def stop(number, frame):
            raise Stop


        signal.signal(signal.SIGUSR1, stop)
        with fastsocketserver.TCPServer(("127.0.0.1", 0), None) as server:
            for door in (server.serve_forever, server.handle_request):
                try:
                    door()
                except Stop:
                    print("stopped", signal.set_wakeup_fd(-1))
    """)
        == ["stopped -1"] * 2
    )
