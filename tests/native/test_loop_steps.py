"""Single steps of the loop that no program shows when all goes well."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import threading

import pytest

from fastsocketserver._accept import Listener
from fastsocketserver._base import tell_loops_of_close, wake_loops
from fastsocketserver._loop import report_unstarted
from fastsocketserver._state import state_of
from support.clients import connect, exchange, read_to_end
from support.idle import wait_until_asleep
from support.serving import Loop, serving
from support.waiting import wait_until

HOUR_S = 3600


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_client_that_comes_with_the_stop_is_not_served(server_of, base):
    """bpo-35017: who waits in the backlog is not ours any more."""
    served = []
    server = server_of(base, lambda request, *_: served.append(1))
    loop = Loop(server, HOUR_S)
    exchange(server)
    wait_until_asleep(loop.thread)
    vars(server)["_BaseServer__shutdown_request"] = True  # wakes nobody
    with connect(server):
        loop.join()
    assert len(served) == 1


def test_back_off_begins_anew_after_a_success(server_of, caplog):
    """Else the first try after each short shortage would wait as long as the last one."""
    caplog.set_level(logging.WARNING, "fastsocketserver")
    failures = [errno.EMFILE] * 4

    def get_request(self):
        if failures:
            raise OSError(failures.pop(), "none left")
        return self.socket.accept()

    server = server_of("TCPServer", get_request=get_request)
    with serving(server, HOUR_S):
        assert exchange(server) == b"ok"
        assert not failures
        state_of(server).next_log_ns = 0
        failures.append(errno.EMFILE)
        assert exchange(server) == b"ok"
    assert [record.getMessage().rsplit("in ")[-1] for record in caplog.records] == ["5 ms"] * 2


def test_back_off_ends_with_a_wake_up(server_of):
    """A worker that has become free has closed a descriptor: no reason to wait any longer."""
    tries = []

    def get_request(self):
        tries.append(True)
        if len(tries) > 100:  # a minute, if each of them is waited for
            return self.socket.accept()
        (running,) = state_of(self).loops
        running.wake()
        raise OSError(errno.EMFILE, "none left")

    server = server_of("TCPServer", get_request=get_request)
    with serving(server, HOUR_S):
        assert exchange(server) == b"ok"


def test_capacity_is_asked_for_after_saying_that_it_is_waited_for(server_of):
    """A worker that becomes free in between has to see that it is."""
    said = []

    class Children:
        """Of which there are enough."""

        def full(self):
            said.extend(running.waits_for_capacity for running in state_of(server).loops)
            return False

        def reap(self):
            pass

        def fileno(self):
            return -1

        def needs_tick(self):
            return False

        def close(self):
            pass

    server = server_of("ForkingTCPServer", process_request=lambda self, *request: None)
    state_of(server).children = Children()
    with serving(server, HOUR_S) as loop:
        wait_until_asleep(loop.thread)
    assert said
    assert all(said)


class Boom(BaseException):
    """What a hook raises."""


@pytest.mark.parametrize("raising", ["handle_error", "shutdown_request", None])
def test_requests_without_a_thread_are_reported_and_closed_each(raising):
    """Whatever a hook raises for one of them; the last of that is raised in the end."""
    calls = []

    def hook(name):
        def call(request, *client_address):
            calls.append((name, request, sys.exc_info()[1]))
            if name == raising:
                raise Boom(request)

        return call

    class Server:
        handle_error = staticmethod(hook("handle_error"))
        shutdown_request = staticmethod(hook("shutdown_request"))

    failed = [(number, "peer", RuntimeError(number)) for number in range(3)]
    if raising is None:
        report_unstarted(Server(), failed)
    else:
        with pytest.raises(Boom, match="2"):
            report_unstarted(Server(), failed)
    reported = [(request, error) for name, request, error in calls if name == "handle_error"]
    assert reported == [(number, error) for number, _, error in failed]
    closed = [request for name, request, _ in calls if name == "shutdown_request"]
    assert closed == [0, 1, 2]


def test_datagram_that_another_thread_takes_first_is_not_missed(server_of):
    """The queue said that there is one, and has none when it is asked."""

    class Emptied:
        """What another thread has emptied in between."""

        def __len__(self):
            return 1

        def popleft(self):
            raise IndexError

    server = server_of("UDPServer")
    state_of(server).pending = Emptied()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.sendto(b"there", server.server_address)
        (data, _), _ = server.get_request()
    assert data == b"there"


def test_batch_ends_after_64_requests_for_service_actions_to_have_its_turn(server_of):
    """However many clients wait."""
    turns = []
    server = server_of(
        "TCPServer",
        lambda request, client_address, server: turns.append("request"),
        service_actions=lambda self: turns.append("actions"),
    )
    clients = [connect(server) for _ in range(130)]
    with serving(server, HOUR_S):
        for client in clients:
            with client:
                assert read_to_end(client) == b""
        wait_until(lambda: turns[-1] == "actions")
    runs = "".join(turn[0] for turn in turns).split("a")
    assert max(map(len, runs)) == 64


def test_loop_registers_and_leaves_no_trace(server_of):
    server = server_of("TCPServer")
    with serving(server):
        assert exchange(server) == b"ok"
        assert len(state_of(server).loops) == 1
    assert state_of(server).loops == []


def test_listener_that_is_dropped_leaves_the_socket_as_it_was(server_of):
    """A signal handler's exception may keep the loop from giving the flag back."""
    server = server_of("TCPServer")
    listener = Listener(server.socket)
    assert listener.accept(True) is None
    assert not os.get_blocking(server.fileno())
    del listener
    assert os.get_blocking(server.fileno())


@pytest.mark.parametrize("tell", [wake_loops, tell_loops_of_close])
def test_all_loops_are_told_while_one_of_them_ends(server_of, tell):
    """It takes itself off the list meanwhile."""
    server = server_of("TCPServer")
    loops = state_of(server).loops
    told = []

    class Ending:
        """A loop whose thread is quick."""

        def wake(self):
            loops.remove(self)
            told.append(self)

        server_was_closed = wake

    loops += [Ending(), Ending()]
    tell(server)
    assert len(told) == 2


def test_server_closed_in_the_midst_of_a_look_ends_the_loop(server_of, monkeypatch):
    """What the look has found is old by then; it must not forget that it was told."""
    server = server_of("TCPServer")
    loop = Loop(server, HOUR_S)
    assert exchange(server) == b"ok"
    wait_until_asleep(loop.thread)
    real_fstat = os.fstat

    def fstat(fd):
        found = real_fstat(fd)
        if threading.current_thread() is loop.thread:
            monkeypatch.undo()
            server.server_close()
        return found

    monkeypatch.setattr(os, "fstat", fstat)
    tell_loops_of_close(server)  # has it look
    loop.join()
