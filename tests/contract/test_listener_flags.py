"""The listener's flags, which all its copies and all processes share: O_NONBLOCK."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import threading

import pytest

from support.clients import connected, exchange, read_to_end
from support.serving import Loop, serving

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

ORDERS = pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)


def reply_pid(request, client_address, server):
    request.sendall(b"%d" % os.getpid())


class Process:
    """A forked child that serves until it is told to stop, and then keeps its listener."""

    def __init__(self, server):
        self.stop_reader, self.stop_writer = os.pipe()
        self.ready_reader, self.ready_writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                signal.alarm(30)
                self._serve(server)
            finally:
                os._exit(1)

    def _serve(self, server):
        loop = threading.Thread(target=server.serve_forever, args=(0.01,))
        loop.start()
        os.write(self.ready_writer, b".")
        os.read(self.stop_reader, 1)
        server.shutdown()
        loop.join()
        os.write(self.ready_writer, b".")
        # Stays, with its copy of the listener, until it is killed.
        os.read(self.stop_reader, 1)

    def wait(self):
        assert os.read(self.ready_reader, 1) == b"."

    def stop(self):
        os.write(self.stop_writer, b".")
        self.wait()

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        for fd in (self.stop_reader, self.stop_writer, self.ready_reader, self.ready_writer):
            os.close(fd)


@pytest.fixture
def processes():
    """Start serving children; they are killed at the end."""
    started = []

    def start(server):
        started.append(Process(server))
        started[-1].wait()
        return started[-1]

    yield start
    for each in started:
        each.end()


@ORDERS
def test_preforked_children_stopping_in_any_order_leave_the_others_serving(
    make_server, processes, order
):
    """Who set the flag may be the first to go, and clears it; the others go on."""
    server = make_server(handler=reply_pid)
    # The standard module's loops need it: who loses a race would block in accept().
    server.socket.settimeout(0.02)
    children = [processes(server) for _ in range(3)]
    running = {child.pid for child in children}
    for number in order:
        assert {int(exchange(server)) for _ in range(20)} <= running
        children[number].stop()
        running.discard(children[number].pid)
    with serving(server):
        assert int(exchange(server)) == os.getpid()


@ORDERS
def test_preforked_children_stopped_leave_the_listener_as_it_was(
    impl, make_server, processes, order
):
    """Blocking, as soon as the last loop has ended, whichever that is."""
    server = make_server(handler=reply_pid)
    children = [processes(server) for _ in range(3)]
    for number in order:
        if impl.__name__ == "fastsocketserver":  # others may block in accept()
            assert all(exchange(server) for _ in range(20))
        children[number].stop()
    assert os.get_blocking(server.fileno())


@ORDERS
def test_dupped_listeners_stopping_in_any_order_leave_the_listener_as_it_was(
    impl, make_server, order
):
    """Three loops of one process on copies of one listener."""
    servers = [make_server() for _ in range(3)]
    for other in servers[1:]:
        other.socket.close()
        other.socket = servers[0].socket.dup()
        other.server_address = servers[0].server_address
    loops = [Loop(server) for server in servers]
    for number in order:
        if impl.__name__ == "fastsocketserver":  # others may block in accept()
            assert all(exchange(servers[0]) for _ in range(20))
        loops[number].stop()
    assert all(os.get_blocking(server.fileno()) for server in servers)


@pytest.mark.parametrize("change", ["setblocking", "settimeout", "settimeout_none", "fcntl"])
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
@pytest.mark.parametrize("hook", ["handler", "verify_request", "get_request"])
def test_listener_flags_changed_while_serving_do_not_stop_it(
    impl, make_server, base, change, hook
):
    """By a handler or a hook; the standard loop accepts only what select() has seen."""

    def change_flags(server):
        if change == "setblocking":
            server.socket.setblocking(True)
        elif change == "settimeout":
            server.socket.settimeout(5)
        elif change == "settimeout_none":
            server.socket.settimeout(None)
        else:
            os.set_blocking(server.socket.fileno(), True)

    def handler(request, client_address, server):
        if hook == "handler":
            change_flags(server)
        request.sendall(b"ok")

    def override(self, *args):
        change_flags(self)
        return getattr(getattr(impl, base), hook)(self, *args)

    namespace = {} if hook == "handler" else {hook: override}
    server = make_server(base, handler=handler, **namespace)
    with serving(server):
        for _ in range(5):
            assert exchange(server) == b"ok"
    assert server.socket.gettimeout() == (5 if change == "settimeout" else None)
    # Python keeps a socket with a timeout non-blocking underneath.
    assert os.get_blocking(server.fileno()) == (change != "settimeout")
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_listener_made_nonblocking_by_a_handler_stays_so(make_server, base):
    """What the program wants, last, is what it finds."""

    def handler(request, client_address, server):
        server.socket.setblocking(False)
        request.sendall(b"ok")

    server = make_server(base, handler=handler)
    with serving(server):
        for _ in range(3):
            assert exchange(server) == b"ok"
    assert server.socket.gettimeout() == 0
    assert not os.get_blocking(server.fileno())
    server.handle_request()  # `timeout` is 0 then: nobody waits
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"


@pytest.fixture
def connecting(impl, make_server):
    """Make a server whose activation connects, as idlelib.rpc's; give its other end, too."""
    with contextlib.ExitStack() as stack:

        def make(**namespace):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def server_activate(self):
                self.socket.connect(listener.getsockname())

            def get_request(self):
                """Return the socket itself."""
                return self.socket, listener.getsockname()

            namespace = {
                "server_bind": lambda self: None,
                "server_activate": server_activate,
                "get_request": get_request,
                "close_request": lambda self, request: None,
                "shutdown_request": lambda self, request: None,
            } | namespace
            server = make_server(**namespace)
            peer = stack.enter_context(listener.accept()[0])
            peer.settimeout(10)
            return server, peer

        yield make


def answer(request, client_address, server):
    data = request.recv(100)
    if not data:
        server._BaseServer__shutdown_request = True
    else:
        request.sendall(b"re:" + data)


def test_server_that_connects_serves_through_handle_request(connecting):
    """idlelib.rpc.RPCServer: handle_request() for each message."""
    server, peer = connecting(handler=answer)
    for number in range(3):
        peer.sendall(b"%d" % number)
        server.handle_request()
        assert peer.recv(100) == b"re:%d" % number
    assert os.get_blocking(server.fileno())


def test_server_that_connects_serves_forever(connecting):
    """Until the peer ends its side."""
    server, peer = connecting(handler=answer)
    loop = Loop(server)
    for number in range(3):
        peer.sendall(b"%d" % number)
        assert peer.recv(100) == b"re:%d" % number
    peer.shutdown(socket.SHUT_WR)
    loop.join()
    assert os.get_blocking(server.fileno())


def test_server_that_connects_with_a_timeout_calls_handle_timeout(connecting):
    """Nothing comes."""
    server, _ = connecting(handler=answer, timeout=0.01, handle_timeout=lambda self: "late")
    assert server.handle_request() == "late"


def test_server_that_connects_with_stock_get_request_swallows_the_error(make_server):
    """accept(2) says EINVAL on a connected socket: no request after all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = make_server(
            server_bind=lambda self: None,
            server_activate=lambda self: self.socket.connect(listener.getsockname()),
        )
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"x")
            assert server.handle_request() is None
            loop = Loop(server)
            server.shutdown()
            loop.join()
            # The bytes are still there.
            assert server.socket.recv(10) == b"x"


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_handle_request_on_a_bound_socket_that_does_not_listen_returns(make_server, timeout):
    """poll(2) says POLLHUP: ready; accept(2) says EINVAL: no request."""
    server = make_server(bind_and_activate=False, timeout=timeout)
    server.server_bind()
    assert server.handle_request() is None
    assert os.get_blocking(server.fileno())


def test_serve_forever_serves_once_a_bound_socket_listens(make_server):
    """listen() is called under the running loop."""
    server = make_server(bind_and_activate=False)
    server.server_bind()
    with serving(server):
        server.server_activate()
        assert exchange(server) == b"ok"


def test_serve_forever_listener_replaced_by_one_that_does_not_listen_ends_on_shutdown(
    make_server,
):
    """Nothing crashes, and the loop can still be stopped."""
    server = make_server()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        loop = Loop(server)
        assert exchange(server) == b"ok"
        own, server.socket = server.socket, other
        try:
            with socket.create_connection(own.getsockname(), 10):  # wakes the loop
                server.shutdown()
                loop.join()
        finally:
            server.socket = own
