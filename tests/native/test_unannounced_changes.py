"""Changes that nothing announces to a loop that sleeps: it looks for them every few seconds."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest

from fastsocketserver._base import tell_loops_of_close
from fastsocketserver._state import state_of
from support.clients import connected, exchange, read_to_end
from support.idle import wait_until_asleep
from support.serving import Loop, serving, wait_for

HOUR_S = 3600


def listener():
    return socket.create_server(("127.0.0.1", 0))


def ask(sock):
    """Connect to a listening socket; the whole reply."""
    with socket.create_connection(sock.getsockname(), 10) as client:
        return read_to_end(client)


def close_and_make_anew(server):
    """The new one gets the old number."""
    number = server.fileno()
    server.socket.close()
    server.socket = listener()
    assert server.fileno() == number
    return server.socket


def put_another_over_it(server):
    """dup2(): the socket object and the number stay."""
    with listener() as other:
        os.dup2(other.fileno(), server.fileno(), inheritable=False)
    return server.socket


def put_another_in_place(server):
    """With a number of its own; the old one stays open for somebody else's use."""
    server.previous = server.socket
    server.socket = listener()
    return server.socket


@pytest.mark.parametrize("change", [close_and_make_anew, put_another_over_it])
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_listener_exchanged_while_the_loop_sleeps_is_served(impl, make_server, base, change):
    """The standard module polls a number, whatever is behind it."""
    server = make_server(base)
    with serving(server) as loop:
        assert exchange(server) == b"ok"
        if impl.__name__ == "fastsocketserver":  # the other one never sleeps for long
            wait_until_asleep(loop.thread)
        sock = change(server)
        assert ask(sock) == b"ok"
        assert ask(sock) == b"ok"


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_listener_put_in_place_of_one_that_stays_open_is_served(server_of, base):
    """The standard module goes on to poll the old one.

    The look that finds it is no reason for service_actions(): that is called after requests.
    """
    turns = []
    server = server_of(base, service_actions=lambda self: turns.append(True))
    with serving(server, HOUR_S) as loop:
        assert exchange(server) == b"ok"
        wait_until_asleep(loop.thread)
        sock = put_another_in_place(server)
        with server.previous:
            assert ask(sock) == b"ok"
            wait_until_asleep(loop.thread)
    assert len(turns) == 2


def test_listener_that_another_process_keeps_open_does_not_keep_the_loop_awake(server_of):
    """Its entry in the poller goes on reporting the client that nobody of ours can accept."""
    server = server_of("TCPServer")
    with serving(server, HOUR_S) as loop:
        assert exchange(server) == b"ok"
        wait_until_asleep(loop.thread)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:  # holds the old listener
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        old_address = server.socket.getsockname()
        try:
            sock = close_and_make_anew(server)
            with socket.create_connection(old_address, 10):
                assert ask(sock) == b"ok"
                wait_until_asleep(loop.thread)
        finally:
            os.close(reader)
            os.close(writer)
            os.waitpid(child, 0)


def test_listener_closed_for_a_while_is_looked_for(server_of):
    """Not by server_close(): the standard module's loop goes on, spinning, and ours does."""
    server = server_of("TCPServer")
    with serving(server, HOUR_S) as loop:
        assert exchange(server) == b"ok"
        wait_until_asleep(loop.thread)
        number = server.fileno()
        server.socket.close()
        with socket.socket() as placeholder:  # the number of the listener is somebody else's
            assert placeholder.fileno() == number
            loop.thread.join(6)  # for the look of the loop, which comes each five seconds
            assert loop.thread.is_alive()
            server.socket = listener()
            assert ask(server.socket) == b"ok"


def test_listener_closed_for_a_while_after_a_server_close_is_looked_for(server_of):
    """The server was given another one then: it is not a closed server any more."""
    server = server_of("TCPServer")
    with serving(server, HOUR_S) as loop:
        assert exchange(server) == b"ok"
        wait_until_asleep(loop.thread)
        with listener() as second:
            closed, server.socket = server.socket, second
            closed.close()
            tell_loops_of_close(server)
            assert ask(second) == b"ok"
            wait_until_asleep(loop.thread)
            server.socket.close()
        loop.thread.join(6)  # for the look of the loop, which comes each five seconds
        assert loop.thread.is_alive()
        server.socket = listener()
        assert ask(server.socket) == b"ok"


class Boom(Exception):
    """What a signal handler raises, say."""


def test_server_close_that_raises_ends_the_loop_all_the_same(server_of):
    """The listener is closed; nothing else would tell the loop that this is for good."""

    class Raising(socket.socket):
        def close(self):
            super().close()
            raise Boom

    server = server_of("TCPServer")
    with server.socket as plain:
        server.socket = Raising(fileno=os.dup(plain.fileno()))
        loop = Loop(server, HOUR_S)
        with socket.create_connection(server.server_address, 10) as client:
            assert read_to_end(client) == b"ok"
        wait_until_asleep(loop.thread)
        with pytest.raises(Boom):
            server.server_close()
        loop.join()
        server.socket = plain


def test_stop_flag_stored_past_the_property_stops_the_loop(server_of):
    """`vars(server)[...]`: nothing wakes the loop, and it ends all the same."""
    server = server_of("TCPServer")
    loop = Loop(server, HOUR_S)
    assert exchange(server) == b"ok"
    wait_until_asleep(loop.thread)
    vars(server)["_BaseServer__shutdown_request"] = True
    loop.join()


def test_shutdown_wakes_the_loop_of_a_class_that_stores_the_flag_past_the_property(server_of):
    """Not only when that looks by itself."""

    def setattr_(self, name, value):
        self.__dict__[name] = value

    woken = []
    server = server_of("TCPServer", __setattr__=setattr_)
    state_of(server).knows_who_serves = True  # as after a first loop
    running = SimpleNamespace(wake=lambda: woken.append(True), server_was_closed=list)
    state_of(server).loops.append(running)
    server.shutdown()
    assert woken


def test_service_actions_patched_while_the_loop_sleeps_are_called(impl, make_server):
    """On the class, with nothing else happening."""
    import threading

    called = threading.Event()
    server = make_server("TCPServer")
    with serving(server) as loop:
        assert exchange(server) == b"ok"
        if impl.__name__ == "fastsocketserver":
            wait_until_asleep(loop.thread)
        type(server).service_actions = lambda self: called.set()
        wait_for(called)


def test_idle_server_looks_rarely(server_of):
    """The look of every few seconds is all that an idle loop does."""
    server = server_of("TCPServer")
    ticks = []
    server.service_actions = lambda: ticks.append(1)
    with serving(server, HOUR_S) as loop:
        assert exchange(server) == b"ok"
        wait_until_asleep(loop.thread)
        before = len(ticks)
        loop.thread.join(6)
        assert len(ticks) == before  # which is not what `poll_interval` says


def test_hook_patched_in_the_midst_of_the_look_at_hooks_is_called(impl, make_server):
    """By code that the look itself runs: what was looked at before it has to be again."""
    calls = []

    class Listener(socket.socket):
        """Patches the server's class when the server asks whether it is a listener."""

        patching = None

        def fileno(self):
            server, Listener.patching = Listener.patching, None
            if server is not None:
                stock = type(server).get_request

                def get_request(self):
                    calls.append(1)
                    return stock(self)

                type(server).get_request = get_request
            return super().fileno()

    server = make_server("TCPServer")
    server.socket.close()
    server.socket = Listener()
    server.socket.bind(("127.0.0.1", 0))
    server.server_address = server.socket.getsockname()
    server.server_activate()
    Listener.patching = server
    with serving(server):
        assert exchange(server) == b"ok"
        with connected(server) as client:
            assert read_to_end(client) == b"ok"
    assert calls
