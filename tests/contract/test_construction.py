"""What a constructor does, and what it must not do."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
import threading

import pytest

from support import leaks
from support.clients import connected, exchange, read_to_end
from support.handlers import reply_ok
from support.serving import serving


@pytest.mark.parametrize(
    "address", [("127.0.0.1",), ("127.0.0.1", 0, 0, 0, 0), "127.0.0.1", 5, None]
)
def test_init_address_of_wrong_shape_raises_typeerror(impl, address):
    """server_bind hands the address to socket.bind, whose TypeError comes through."""
    with pytest.raises(TypeError):
        impl.TCPServer(address, reply_ok)


@pytest.mark.parametrize("port", [-1, 65536])
def test_init_port_out_of_range_raises_overflowerror(impl, port):
    """bind(): port must be 0-65535."""
    with pytest.raises(OverflowError):
        impl.TCPServer(("127.0.0.1", port), reply_ok)


def test_init_port_minus_one_a_thousand_times_leaks_nothing(impl):
    """test_socketserver, issue 12790: the constructor closes the socket it made."""
    before = leaks.open_descriptors()
    for _ in range(1000):
        with contextlib.suppress(OverflowError):
            impl.TCPServer(("127.0.0.1", -1), reply_ok)
    assert leaks.open_descriptors() == before


def test_init_address_in_use_raises_oserror(impl, make_server):
    """bind()'s own error leaves the constructor."""
    first = make_server()
    with pytest.raises(OSError, match="in use"):
        impl.TCPServer(first.server_address, reply_ok)


@pytest.mark.parametrize("handler", [None, 5, "handler"])
def test_init_handler_not_callable_is_accepted_and_fails_per_request(
    impl, make_server, handler
):
    """finish_request calls RequestHandlerClass: a TypeError for handle_error, not before."""
    seen = []

    def handle_error(self, request, client_address):
        import sys

        seen.append(sys.exc_info()[0])

    server = make_server(handle_error=handle_error)
    server.RequestHandlerClass = handler
    with serving(server):
        assert exchange(server) == b""
        assert exchange(server) == b""
    assert seen == [TypeError, TypeError]


@pytest.mark.parametrize("name", ["TCPServer", "UDPServer", "ThreadingTCPServer"])
def test_init_handler_not_callable_raises_nothing(impl, name):
    """BaseServer.__init__ only stores it."""
    with getattr(impl, name)(("127.0.0.1", 0), None) as server:
        assert server.RequestHandlerClass is None


def test_init_stores_address_and_handler(impl):
    """BaseServer.__init__: the two attributes, as they were given."""
    address = ["any", "object"]
    server = impl.BaseServer(address, reply_ok)
    assert server.server_address is address
    assert server.RequestHandlerClass is reply_ok


def test_init_by_keyword_accepts_the_standard_names(impl):
    """The parameter names are part of the contract."""
    with impl.TCPServer(
        server_address=("127.0.0.1", 0), RequestHandlerClass=reply_ok, bind_and_activate=True
    ) as server:
        assert server.server_address[1] != 0


def test_init_bound_sets_server_address_to_the_real_one(make_server):
    """server_bind: `self.server_address = self.socket.getsockname()`."""
    server = make_server()
    assert server.server_address == server.socket.getsockname()
    assert server.server_address[1] != 0


def test_init_socket_is_a_plain_blocking_one(make_server):
    """TCPServer.__init__: `socket.socket(family, type)`, without a timeout."""
    server = make_server()
    assert type(server.socket) is socket.socket
    assert server.socket.gettimeout() is None
    assert not server.socket.get_inheritable()


def test_init_makes_one_descriptor_and_no_thread(make_server):
    """Servers are built before fork (observed): nothing but the socket exists."""
    descriptors, threads = leaks.open_descriptors(), threading.enumerate()
    make_server("ThreadingTCPServer")
    assert len(leaks.open_descriptors() - descriptors) == 1
    assert threading.enumerate() == threads


def test_init_calls_bind_then_activate(impl, make_server):
    """TCPServer.__init__: server_bind(), then server_activate()."""
    calls = []

    def server_bind(self):
        calls.append("bind")
        impl.TCPServer.server_bind(self)

    def server_activate(self):
        calls.append("activate")
        impl.TCPServer.server_activate(self)

    make_server(server_bind=server_bind, server_activate=server_activate)
    assert calls == ["bind", "activate"]


def test_init_without_activation_neither_binds_nor_listens(make_server):
    """bind_and_activate=False: the socket exists, unbound."""
    server = make_server(bind_and_activate=False)
    assert server.server_address == ("127.0.0.1", 0)
    assert server.socket.getsockname()[1] == 0
    assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0


def test_init_without_activation_then_bound_by_hand_serves(make_server):
    """werkzeug, mkdocs: options on the instance and its socket, then bind and activate."""
    server = make_server(bind_and_activate=False)
    server.allow_reuse_address = True
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    server.server_bind()
    server.server_activate()
    assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0
    with serving(server):
        assert exchange(server) == b"ok"


@pytest.mark.parametrize("hook", ["server_bind", "server_activate"])
@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_init_hook_failing_closes_the_server_and_raises(impl, hook, error):
    """TCPServer.__init__: `except: self.server_close(); raise`."""
    closed = []

    def failing(self):
        raise error("no")

    def server_close(self):
        closed.append(self.socket)
        impl.TCPServer.server_close(self)

    broken = type("Broken", (impl.TCPServer,), {hook: failing, "server_close": server_close})
    with pytest.raises(error, match="no"):
        broken(("127.0.0.1", 0), reply_ok)
    assert [listener.fileno() for listener in closed] == [-1]


def test_init_attributes_set_before_the_base_are_honoured(impl):
    """pynetdicom and 10 projects more set attributes before calling the base."""

    class Early(impl.TCPServer):
        def __init__(self):
            self.address_family = socket.AF_INET
            self.allow_reuse_address = True
            self.timeout = 7
            self.socket = None
            self.server_address = ("127.0.0.1", 0)
            super().__init__(self.server_address, reply_ok)

    with Early() as server:
        assert server.timeout == 7
        assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0


def test_init_of_tcpserver_skipped_serves_its_own_socket(impl):
    """pywebsocket3, M2Crypto: BaseServer.__init__ only, then a socket of one's own."""

    class Own(impl.TCPServer):
        def __init__(self):
            impl.BaseServer.__init__(self, ("127.0.0.1", 0), reply_ok)
            self.socket = socket.create_server(("127.0.0.1", 0))
            self.server_address = self.socket.getsockname()

    with Own() as server, serving(server):
        assert exchange(server) == b"ok"


def test_init_socket_closed_and_replaced_before_activation_serves(make_server):
    """systemd activation: `socket.close()`, then another in its place."""
    server = make_server(bind_and_activate=False)
    server.socket.close()
    server.socket = socket.create_server(("127.0.0.1", 0))
    server.server_address = server.socket.getsockname()
    with serving(server):
        assert exchange(server) == b"ok"


def test_init_server_closed_then_given_an_inherited_socket_serves(make_server):
    """werkzeug: server_close() before any serving is not final."""
    server = make_server(bind_and_activate=False)
    server.server_close()
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        server.socket = socket.fromfd(inherited.fileno(), socket.AF_INET, socket.SOCK_STREAM)
    server.server_address = server.socket.getsockname()
    with serving(server):
        assert exchange(server) == b"ok"


def test_init_socket_replaced_and_bound_again_to_the_same_port_works(make_server):
    """paste: works only if nothing else keeps the first socket open."""
    server = make_server()
    server.socket.close()
    server.socket = socket.socket()
    server.server_bind()
    server.server_activate()
    with serving(server):
        assert exchange(server) == b"ok"


def test_init_class_attribute_assigned_on_the_shared_class_is_used(impl, monkeypatch):
    """impacket: `socketserver.TCPServer.allow_reuse_address = True`."""
    monkeypatch.setattr(impl.TCPServer, "allow_reuse_address", True)
    with impl.TCPServer(("127.0.0.1", 0), reply_ok) as server:
        assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0


def test_init_address_family_of_the_instance_is_used(impl, short_directory):
    """werkzeug: a TCPServer on AF_UNIX through `address_family`."""

    class Unix(impl.TCPServer):
        def __init__(self, path):
            self.address_family = socket.AF_UNIX
            super().__init__(path, reply_ok)

    with Unix(str(short_directory / "s")) as server, serving(server):
        assert exchange(server) == b"ok"


def test_init_ipv6_serves(impl):
    """`address_family = AF_INET6` is all that IPv6 takes."""
    six = type("Six", (impl.TCPServer,), {"address_family": socket.AF_INET6})
    try:
        server = six(
            ("::1", 0), lambda request, address, _: request.sendall(repr(address).encode())
        )
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    with server, connected(server) as client:
        server.handle_request()
        assert read_to_end(client).decode() == repr(client.getsockname())


def test_server_bind_reuse_options_off_by_default(make_server):
    """allow_reuse_address = False."""
    server = make_server()
    assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0
    assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0


def test_server_bind_allow_reuse_port_sets_the_option(impl, make_server):
    """server_bind: SO_REUSEPORT (Python 3.11 and newer; ours everywhere)."""
    if impl is socketserver and not hasattr(socketserver.TCPServer, "allow_reuse_port"):
        pytest.skip("Python 3.11 added allow_reuse_port to the standard module")
    server = make_server(allow_reuse_port=True)
    assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) != 0


@pytest.mark.skipif(
    (3, 11) <= sys.version_info < (3, 14), reason="the standard module sets it there, too"
)
def test_server_bind_allow_reuse_port_leaves_unix_sockets_alone(fast, short_directory):
    """Linux refuses it there; Python 3.14, and ours where it is not the standard one."""
    server_class = type("Server", (fast.UnixStreamServer,), {"allow_reuse_port": True})
    with server_class(str(short_directory / "s"), reply_ok) as server, serving(server):
        assert exchange(server) == b"ok"


def test_server_bind_overridden_without_the_base_is_enough(make_server):
    """pywbem, idlelib: server_bind that binds by itself."""

    def server_bind(self):
        self.socket.bind(("127.0.0.1", 0))
        self.server_address = self.socket.getsockname()

    server = make_server(server_bind=server_bind)
    with serving(server):
        assert exchange(server) == b"ok"


def test_server_activate_that_connects_makes_a_client_of_the_server(make_server):
    """idlelib.rpc: server_activate connects, get_request returns the socket itself."""
    with socket.create_server(("127.0.0.1", 0)) as peer_listener:

        def server_activate(self):
            self.socket.connect(peer_listener.getsockname())

        def get_request(self):
            return self.socket, self.server_address

        server = make_server(
            handler=lambda request, address, _: request.sendall(request.recv(4)),
            server_bind=lambda self: None,
            server_activate=server_activate,
            get_request=get_request,
        )
        peer, _ = peer_listener.accept()
        with peer:
            peer.settimeout(10)
            peer.sendall(b"ping")
            server.handle_request()
            assert read_to_end(peer) == b"ping"


@pytest.mark.parametrize("where", ["class", "instance"])
def test_request_queue_size_stated_by_the_user_reaches_listen(impl, where):
    """server_activate: `self.socket.listen(self.request_queue_size)`."""
    sizes = []

    class Listener(socket.socket):
        def listen(self, *args):
            sizes.append(args)
            super().listen(*args)

    class Queue(impl.TCPServer):
        if where == "class":
            request_queue_size = 77

        def server_bind(self):
            self.socket.close()
            self.socket = Listener()
            if where == "instance":
                self.request_queue_size = 77

    with Queue(("127.0.0.1", 0), reply_ok):
        assert sizes == [(77,)]


def test_init_subclass_attributes_that_look_like_settings_are_left_alone(make_server):
    """Contract: names such as ssl_context, pool, logger, stats, limits are the user's."""
    own = {
        name: object()
        for name in (
            "ssl_context",
            "max_connections",
            "stats",
            "pool",
            "logger",
            "limits",
            "workers",
            "backlog",
            "loop",
            "options",
        )
    }
    server = make_server("ThreadingTCPServer", **own)
    with serving(server):
        assert exchange(server) == b"ok"
    assert {name: getattr(server, name) for name in own} == own


def test_init_state_is_kept_in_the_two_mangled_names_only(impl):
    """BaseServer.__init__ leaves exactly the standard instance attributes behind."""
    standard = vars(socketserver.BaseServer(("127.0.0.1", 0), reply_ok))
    ours = set(vars(impl.BaseServer(("127.0.0.1", 0), reply_ok)))
    assert set(standard) <= ours
    assert not [name for name in ours - set(standard) if not name.startswith("_")]
