"""Datagrams that were taken from the kernel and not served yet: none is ever lost."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

import pytest

from fastsocketserver._state import state_of
from native.processes import ask_child
from support.clients import datagram_client
from support.serving import Background, Loop, serving
from support.waiting import wait_until


@pytest.fixture
def leftovers(server_of):
    """A server that was stopped within a batch of ten datagrams; the first is served."""

    def make(base="UDPServer", **namespace):
        served = []

        def handler(request, client_address, server):
            served.append(request[0])
            if len(served) == 1:
                server._BaseServer__shutdown_request = True

        server = server_of(base, handler=handler, **namespace)
        with datagram_client(server) as client:
            for number in range(10):
                client.send(b"%d" % number)
        server.serve_forever(3600)
        assert served == [b"0"]
        assert len(state_of(server).pending) == 9
        return server, served

    return make


def wake(server):
    """End a receive that the loop should not be in."""
    with datagram_client(server) as client:
        client.send(b"wake up")


@contextlib.contextmanager
def until_served(server):
    """Serve for the time of the block; a loop that blocks is freed in the end."""
    loop = Loop(server)
    try:
        yield loop
    finally:
        server._BaseServer__shutdown_request = True
        loop.thread.join(2)
        if loop.thread.is_alive():
            wake(server)
        loop.join()


ALL = [b"%d" % number for number in range(10)]


def test_leftovers_are_served_by_a_second_loop(leftovers):
    """In their order, and before anything new."""
    server, served = leftovers()
    with serving(server, 3600):
        wait_until(lambda: len(served) == 10)
    assert served == ALL


def test_leftovers_are_served_by_handle_request(leftovers):
    """One at a time, although the kernel has none."""
    server, served = leftovers()
    for count in range(2, 11):
        server.handle_request()
        assert len(served) == count
    assert served == ALL
    server.timeout = 0
    server.handle_request()
    assert served == ALL


def test_leftovers_are_handed_out_by_get_request(leftovers):
    """Called by hand."""
    server, _ = leftovers()
    assert [server.get_request()[0][0] for _ in range(9)] == ALL[1:]


def test_leftovers_are_not_served_by_a_forked_process_too(leftovers):
    """They are the parent's, which serves them; the child receives what comes from then on."""
    server, served = leftovers()

    def serve_in_child():
        served.clear()
        with datagram_client(server) as client:
            client.send(b"for the child")
        server.timeout = 0
        server.handle_request()
        server.handle_request()
        return [data.decode() for data in served]

    assert ask_child(serve_in_child) == ["for the child"]
    with serving(server):
        wait_until(lambda: len(served) == 10)
    assert served == ALL


def test_batch_is_served_once_when_a_handler_forks_and_both_go_on(server_of):
    """The child goes on in the loop, too; the rest of the batch is the parent's."""

    def serve():
        parent = os.getpid()

        def end_child():
            if os.getpid() != parent:
                os._exit(0)

        def handler(request, client_address, server):
            data, listener = request
            if data == b"0":
                pid = os.fork()
                if pid:
                    os.waitpid(pid, 0)
            listener.sendto(data, client_address)
            if data == b"9":
                server._BaseServer__shutdown_request = True

        server = server_of("UDPServer", handler=handler, service_actions=lambda _: end_child())
        with datagram_client(server) as client:
            for number in range(10):
                client.send(b"%d" % number)
            try:
                server.serve_forever(3600)
            finally:
                end_child()
            client.setblocking(False)
            answers = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    answers.append(client.recv(10).decode())
        return sorted(answers)

    assert ask_child(serve) == sorted(["0", *map(bytes.decode, ALL)])


def test_leftovers_are_served_once_by_several_threads(leftovers):
    """Nine threads in handle_request()."""
    server, served = leftovers()
    for loop in [Background(server.handle_request) for _ in range(9)]:
        loop.join()
    assert sorted(served) == ALL


def test_leftovers_survive_a_stop_at_each_datagram(server_of):
    """Many loops, each of which serves one."""
    served = []

    def handler(request, client_address, server):
        served.append(request[0])
        server._BaseServer__shutdown_request = True

    server = server_of("UDPServer", handler=handler)
    with datagram_client(server) as client:
        for number in range(10):
            client.send(b"%d" % number)
    for _ in range(10):
        server.serve_forever(3600)
    assert served == ALL


@pytest.mark.parametrize("door", ["serve_forever", "handle_request"])
def test_leftovers_go_through_an_override_that_calls_the_stock_one(leftovers, fast, door):
    """Put in later: it sees every datagram, as if they were still in the kernel."""
    server, served = leftovers()
    seen = []

    def get_request():
        request = fast.UDPServer.get_request(server)
        seen.append(request[0][0])
        return request

    server.get_request = get_request
    if door == "serve_forever":
        with until_served(server):
            wait_until(lambda: len(served) == 10)
    else:
        for _ in range(9):
            server.handle_request()
    assert (served, seen) == (ALL, ALL[1:])
    assert os.get_blocking(server.fileno())


@pytest.mark.parametrize("door", ["serve_forever", "handle_request"])
def test_leftovers_do_not_block_an_override_that_reads_the_socket(leftovers, door):
    """The kernel has nothing for it; the loop may not sleep in it."""
    server, served = leftovers()

    def get_request():
        data, address = server.socket.recvfrom(100)
        return (data, server.socket), address

    server.get_request = get_request
    server.timeout = 0.01
    if door == "serve_forever":
        with until_served(server) as loop:
            server._BaseServer__shutdown_request = True
            loop.thread.join(5)
            assert not loop.thread.is_alive()
    else:
        handling = Background(server.handle_request)
        try:
            handling.thread.join(5)
            assert not handling.thread.is_alive()
        finally:
            wake(server)
            handling.join()
    assert set(served) <= set(ALL)
    assert os.get_blocking(server.fileno())


class Boom(BaseException):
    """What no loop stops."""


@pytest.mark.parametrize("hook", ["get_request", "_handle_request_noblock"])
def test_leftovers_and_a_hook_that_raises_leave_the_socket_blocking(leftovers, hook):
    """It must not wait while there are leftovers, and so is non-blocking meanwhile."""
    server, _ = leftovers()

    def boom():
        raise Boom

    setattr(server, hook, boom)
    with pytest.raises(Boom):
        server.serve_forever(3600)
    assert os.get_blocking(server.fileno())


def test_leftovers_are_served_after_the_listener_was_replaced(leftovers):
    """They are answered on the socket that they came from."""
    server, served = leftovers()
    old = server.socket
    with old:
        server.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.socket.bind(("127.0.0.1", 0))
        with serving(server):
            wait_until(lambda: len(served) == 10)


def test_errors_of_the_network_end_no_loop(server_of):
    """Replies to a port where nobody listens: ECONNREFUSED comes out of the next receive."""
    served = []

    def handler(request, client_address, server):
        served.append(request[0])
        request[1].sendto(b"x", client_address)

    server = server_of("UDPServer", handler=handler)
    with datagram_client(server) as friend, serving(server, 3600):
        # A connected socket is told of ICMP errors.
        server.socket.connect(friend.getsockname())
        friend.send(b"first")
        assert friend.recv(10) == b"x"
        address = friend.getsockname()
        friend.close()
        for number in range(5):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
                server.socket.send(b"nobody is there")
                again.bind(address)
                again.settimeout(10)
                again.connect(server.server_address)
                again.send(b"%d" % number)
                assert again.recv(20) == b"x"
    assert len(served) == 6


def test_datagrams_of_all_sizes_survive_restarts(server_of):
    """Stopped and begun again while a client sends; each is answered once."""
    over = threading.Event()
    server = server_of("UDPServer")

    def restart():
        while not over.is_set():
            with serving(server, 3600):
                pass

    restarting = Background(restart)
    try:
        with datagram_client(server) as client:
            for number in range(500):
                data = b"%d" % number + b"." * (number % 300)
                client.send(data)
                assert client.recv(8192) == b"re:" + data
    finally:
        over.set()
        restarting.join()
