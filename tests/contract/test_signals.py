"""Signals: Python handlers run while a loop waits, and lose neither time nor connection."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading

import pytest

from support.clients import connected, exchange, read_to_end
from support.serving import Background, serving, wait_for
from support.signals import handling
from support.waiting import wait_until


@contextlib.contextmanager
def alarms(interval_s, handler):
    """SIGALRM over and over."""
    with handling(signal.SIGALRM, handler):
        signal.setitimer(signal.ITIMER_REAL, interval_s, interval_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture
def noticed(make_server):
    """Make a server, and an event that is set when one of its loops has begun."""

    def make(base="TCPServer", **namespace):
        begun = threading.Event()

        def fileno(self):
            begun.set()
            return self.socket.fileno()

        return make_server(base, fileno=fileno, **namespace), begun

    return make


@contextlib.contextmanager
def signalling(begun, send):
    """Call `send` once the loop has begun, and then poke the main thread until it is over.

    The pokes are for the standard module: a signal that arrives between its last look and
    poll(2) is seen only when poll returns.
    """
    over = threading.Event()

    def run():
        wait_for(begun)
        over.wait(0.02)  # mostly asleep by now
        send()
        while not over.wait(0.05):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    with handling(signal.SIGUSR1, lambda *_: None):
        sending = Background(run)
        try:
            yield
        finally:
            over.set()
            sending.join()


def send_to_main(number):
    return lambda: signal.pthread_kill(threading.main_thread().ident, number)


class Alarm(Exception):
    """What a signal handler raises."""


def raise_alarm(*_):
    raise Alarm


def talk_then_stop(server, count):
    """In a client's thread: many exchanges, then shutdown()."""
    try:
        return [exchange(server) for _ in range(count)]
    finally:
        server.shutdown()


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_alarms_while_serving_lose_no_connection(make_server, base):
    """The main thread serves while SIGALRM fires every millisecond."""
    fired = []
    server = make_server(base)
    with alarms(0.001, lambda *_: fired.append(1)):
        clients = Background(talk_then_stop, server, 300)
        server.serve_forever(0.01)
        assert clients.join() == [b"ok"] * 300
    assert fired


def test_alarms_while_serving_datagrams_lose_none(make_server):
    """The same for UDP."""
    from support.clients import ask, datagram_client

    def talk():
        try:
            with datagram_client(server) as client:
                return [ask(client, b"%d" % n) for n in range(300)]
        finally:
            server.shutdown()

    server = make_server("UDPServer")
    with alarms(0.001, lambda *_: None):
        clients = Background(talk)
        server.serve_forever(0.01)
        assert clients.join() == [b"re:%d" % n for n in range(300)]


def test_handler_runs_while_the_loop_is_idle(make_server):
    """No request and no tick of ours is needed for it."""
    server = make_server()

    def handler(*_):
        server._BaseServer__shutdown_request = True

    with handling(signal.SIGALRM, handler):
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        server.serve_forever(0.1)


def test_handler_may_connect_to_the_server(make_server):
    """It runs between two requests, on the serving thread."""
    clients = []
    server = make_server()

    def handler(*_):
        clients.append(socket.create_connection(server.server_address, 10))
        if len(clients) == 3:
            signal.setitimer(signal.ITIMER_REAL, 0)
            server._BaseServer__shutdown_request = True

    with alarms(0.02, handler):
        server.serve_forever(0.05)
    assert len(clients) == 3
    # Those that came in time were served, the others wait for the next loop.
    with serving(server):
        for client in clients:
            with client:
                assert read_to_end(client) == b"ok"


def test_handler_raising_leaves_serve_forever(noticed):
    """The exception comes out of the wait."""
    server, begun = noticed()
    with (
        handling(signal.SIGALRM, raise_alarm),
        signalling(begun, send_to_main(signal.SIGALRM)),
        pytest.raises(Alarm),
    ):
        server.serve_forever(3600)
    assert server._BaseServer__is_shut_down.is_set()
    with serving(server):
        assert exchange(server) == b"ok"


def test_handler_raising_leaves_handle_request(noticed):
    """The other door."""
    server, begun = noticed()
    with (
        handling(signal.SIGALRM, raise_alarm),
        signalling(begun, send_to_main(signal.SIGALRM)),
        pytest.raises(Alarm),
    ):
        server.handle_request()


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "UDPServer"])
def test_keyboard_interrupt_leaves_an_idle_serve_forever(noticed, base):
    """Ctrl-C, with an hour's interval."""
    server, begun = noticed(base)
    with signalling(begun, send_to_main(signal.SIGINT)), pytest.raises(KeyboardInterrupt):
        server.serve_forever(3600)
    assert server._BaseServer__is_shut_down.is_set()
    assert server._BaseServer__shutdown_request is False


def test_keyboard_interrupt_leaves_handle_request(noticed):
    """While waiting."""
    server, begun = noticed()
    with signalling(begun, send_to_main(signal.SIGINT)), pytest.raises(KeyboardInterrupt):
        server.handle_request()


def test_keyboard_interrupt_sent_to_the_process_leaves_the_loop(noticed):
    """kill(2): the kernel may choose any thread; the main one must wake up."""
    server, begun = noticed()
    with (
        signalling(begun, lambda: os.kill(os.getpid(), signal.SIGINT)),
        pytest.raises(KeyboardInterrupt),
    ):
        server.serve_forever(3600)


def test_keyboard_interrupt_in_a_handler_closes_the_request(make_server):
    """`except: self.shutdown_request(request); raise`."""

    def handler(request, client_address, server):
        request.sendall(b"in")
        signal.raise_signal(signal.SIGINT)

    server = make_server(handler=handler)
    with connected(server) as client:
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever(0.01)
        assert read_to_end(client) == b"in"


def test_keyboard_interrupt_with_a_loop_in_another_thread_leaves_it_alone(make_server):
    """Handlers run in the main thread only."""
    server = make_server()
    with serving(server):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert exchange(server) == b"ok"


def test_wakeup_descriptor_of_the_program_is_left_in_place(make_server):
    """signal.set_wakeup_fd() belongs to the program: asyncio, for one."""
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno())
        try:
            server = make_server()

            def handler(*_):
                server._BaseServer__shutdown_request = True

            with handling(signal.SIGALRM, handler):
                signal.setitimer(signal.ITIMER_REAL, 0.02)
                server.serve_forever(0.1)
            reader.settimeout(10)
            assert reader.recv(1) == bytes([signal.SIGALRM])
            assert signal.set_wakeup_fd(-1) == writer.fileno()
        finally:
            signal.set_wakeup_fd(before)


def test_wakeup_descriptor_is_unset_after_serving(noticed):
    """Nothing of ours stays behind, whichever way the loop ends."""
    server, begun = noticed()
    with connected(server):
        server.handle_request()
    server._BaseServer__shutdown_request = True
    server.serve_forever(0.01)
    begun.clear()
    with signalling(begun, send_to_main(signal.SIGINT)), pytest.raises(KeyboardInterrupt):
        server.serve_forever(3600)
    assert signal.set_wakeup_fd(-1) == -1


def test_signal_mask_is_as_before(make_server):
    """Nothing stays blocked in the serving thread."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    masks = []
    server = make_server(
        handler=lambda *_: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    )
    with connected(server), connected(server):
        server.handle_request()
        server._BaseServer__shutdown_request = True
        server.serve_forever(0.01)
    assert masks == [before]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_children_of_others_ending_do_not_disturb(make_server):
    """SIGCHLD with a handler, while the main thread serves."""
    import subprocess

    ended = []
    server = make_server()
    with handling(signal.SIGCHLD, lambda *_: ended.append(1)):

        def talk():
            try:
                for _ in range(5):
                    subprocess.run(["true"], check=True)
                    assert exchange(server) == b"ok"
            finally:
                server.shutdown()

        talking = Background(talk)
        server.serve_forever(0.01)
        talking.join()
    wait_until(lambda: ended)
