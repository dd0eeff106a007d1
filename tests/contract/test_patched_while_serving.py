"""Hooks patched within a batch, or by another thread: the next request is waited for first."""

from __future__ import annotations

import functools
import socket
import threading
import time

import pytest

from support.clients import ask, connect, datagram_client, exchange, nudge, read_to_end
from support.serving import Loop, serving

HOOKS = ["get_request", "_handle_request_noblock"]


def patch_class(server, hook):
    """A wrapper on the server's class, as a tracer puts it there."""
    stock = getattr(type(server), hook)

    @functools.wraps(stock)
    def wrapper(self):
        return stock(self)

    setattr(type(server), hook, wrapper)


def patch_instance(server, hook):
    """A replacement on the instance."""
    setattr(server, hook, functools.partial(getattr(type(server), hook), server))


@pytest.mark.parametrize("patch", [patch_class, patch_instance])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_hook_patched_by_a_handler_does_not_make_the_loop_wait_for_a_client(
    make_server, base, hook, patch
):
    """The backlog is empty then: a blocking accept() would hold up shutdown() for ever."""

    def handler(request, client_address, server):
        patch(server, hook)
        request.sendall(b"ok")

    server = make_server(base, handler=handler)
    with serving(server):
        assert exchange(server) == b"ok"


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_patched_by_another_thread_under_load_does_not_hold_up_shutdown(make_server, hook):
    """At any moment between two clients."""
    server = make_server()
    stock = getattr(type(server), hook)
    stop = threading.Event()

    def load():
        while not stop.is_set():
            assert exchange(server) == b"ok"

    clients = [threading.Thread(target=load) for _ in range(3)]
    with serving(server):
        for client in clients:
            client.start()
        for _ in range(30):
            patch_class(server, hook)
            time.sleep(0.001)
            setattr(type(server), hook, stock)
            time.sleep(0.001)
        patch_class(server, hook)
        stop.set()
        for client in clients:
            client.join()


def test_handler_takes_a_further_connection(make_server):
    """While the loop is served: get_request() waits for one, as long as that takes."""
    entered = threading.Event()

    def handler(request, client_address, server):
        entered.set()
        other, _ = server.get_request()
        with other:
            other.sendall(b"further")
        request.sendall(b"first")

    server = make_server(handler=handler)
    with serving(server), connect(server) as first:
        assert entered.wait(10)
        time.sleep(0.02)  # it waits by now, or soon
        with connect(server) as further:
            assert read_to_end(further) == b"further"
        assert read_to_end(first) == b"first"


def test_thread_beside_the_loop_takes_a_connection_by_get_request(make_server):
    """Whoever is first has it."""
    served = []
    server = make_server(handler=lambda request, *_: request.sendall(b"ok"))

    def take():
        request, _ = server.get_request()
        served.append(1)
        request.sendall(b"ok")
        server.shutdown_request(request)

    with serving(server) as loop:
        assert exchange(server) == b"ok"
        taker = threading.Thread(target=take)
        taker.start()
        for _ in range(1000):
            assert exchange(server) == b"ok"
            if served:
                break
        while taker.is_alive():
            exchange(server)
            taker.join(0.01)
        # The standard module's loop may be in accept(), for the client that was taken.
        server._BaseServer__shutdown_request = True
        while loop.thread.is_alive():
            nudge(server)
            loop.thread.join(0.01)
    assert served


@pytest.mark.parametrize("number", ["EINVAL", "EOPNOTSUPP", "EBADF", "ECONNABORTED"])
def test_override_of_get_request_that_fails_for_one_peer_holds_up_nobody(
    make_server, caplog, number
):
    """What an override raises is about its peer: the loop neither backs off nor says so."""
    import errno

    def get_request(self):
        request, address = self.socket.accept()
        if request.recv(1) == b"x":
            request.close()
            raise OSError(getattr(errno, number), "bad peer")
        return request, address

    server = make_server(get_request=get_request)
    with serving(server):
        for _ in range(20):
            with connect(server) as bad:
                bad.sendall(b"x")
                assert bad.recv(1) == b""
        assert exchange(server, b"y") == b"ok"
    assert not caplog.records


@pytest.mark.parametrize("number", ["EINVAL", "EOPNOTSUPP", "EBADF"])
def test_override_that_refuses_datagrams_holds_up_nobody(make_server, caplog, number):
    """A datagram socket never listens: that says nothing about it."""
    import errno

    def get_request(self):
        (data, listener), address = type(self).__mro__[1].get_request(self)
        if data == b"bad":
            raise OSError(getattr(errno, number), "bad peer")
        return (data, listener), address

    server = make_server("UDPServer", get_request=get_request)
    with datagram_client(server) as client, serving(server):
        for _ in range(20):
            client.send(b"bad")
        assert ask(client, b"good") == b"re:good"
    assert not caplog.records


def test_listener_that_is_no_socket_and_refuses_one_peer_holds_up_nobody(make_server, caplog):
    """As TLS libraries bring their own: only it knows whether it listens."""
    import errno

    class Connection:
        def __init__(self, sock):
            self.sock = sock
            self.fileno, self.close, self.gettimeout = sock.fileno, sock.close, sock.gettimeout

        def accept(self):
            request, address = self.sock.accept()
            if request.recv(1) == b"x":
                request.close()
                raise OSError(errno.EINVAL, "bad peer")
            return request, address

    def get_request(self):
        return self.socket.accept()

    server = make_server(get_request=get_request)
    server.socket = Connection(server.socket)
    with serving(server):
        for _ in range(20):
            with connect(server) as bad:
                bad.sendall(b"x")
                assert bad.recv(1) == b""
        assert exchange(server, b"y") == b"ok"
    assert not caplog.records


def test_handle_request_leaves_the_flags_of_the_listener_alone(make_server):
    """Other processes that share it may be about to accept."""
    import os

    seen = []

    def handler(request, client_address, server):
        seen.append(os.get_blocking(server.fileno()))
        request.sendall(b"ok")

    server = make_server(handler=handler)
    for _ in range(2):
        with connect(server) as client:
            server.handle_request()
            assert read_to_end(client) == b"ok"
    assert seen == [True, True]


def test_packet_size_that_changes_between_two_looks_is_read_once(make_server):
    """A property may say anything each time it is asked."""
    sizes = []

    class Sizes:
        def __get__(self, server, owner):
            sizes.append(1)
            return 8192 if len(sizes) % 2 else 0

    server = make_server("UDPServer", max_packet_size=Sizes())
    with (
        serving(server),
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(10)
        for number in range(6):
            client.sendto(b"%d" % number, server.server_address)
            reply = client.recv(100)
            assert reply in (b"re:", b"re:%d" % number)


def test_forked_child_that_closes_all_descriptors_and_leaves_keeps_its_own_files(make_server):
    """As daemons do; what leaves the loop must not close by number what is not its own."""
    import os

    def handler(request, client_address, server):
        pid = os.fork()
        if pid == 0:
            request.detach()
            os.closerange(3, 256)
            server.mine = [os.open(os.devnull, os.O_RDONLY) for _ in range(60)]
            raise SystemExit
        server.child = pid
        request.sendall(b"ok")

    server = make_server(handler=handler)

    def serve():
        try:
            server.serve_forever(0.01)
        except SystemExit:
            left = [fd for fd in server.mine if os.path.exists(f"/proc/self/fd/{fd}")]
            os._exit(0 if left == server.mine else 1)

    loop = Loop.__new__(Loop)
    loop.server = server
    super(Loop, loop).__init__(serve)
    assert exchange(server) == b"ok"
    assert os.waitstatus_to_exitcode(os.waitpid(server.child, 0)[1]) == 0
    loop.stop()
