"""Our classes mixed with standard ones, and with classes built on those."""

from __future__ import annotations

import http.client
import http.server
import importlib
import socketserver
import threading
import wsgiref.simple_server
import xmlrpc.client
import xmlrpc.server

import pytest

from support.clients import DEADLINE_S, exchange
from support.handlers import reply_ok
from support.serving import serving

LOOPBACK = ("127.0.0.1", 0)


class Page(http.server.BaseHTTPRequestHandler):
    """Answers with the thread it runs in."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = threading.current_thread().name.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def get(server, count=1):
    """GET over one connection, `count` times; the bodies."""
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=DEADLINE_S)
    bodies = []
    try:
        for _ in range(count):
            connection.request("GET", "/")
            response = connection.getresponse()
            assert response.status == 200
            bodies.append(response.read().decode())
    finally:
        connection.close()
    return bodies


def page_servers(fast):
    """The orders in which programs mix us with http.server: (class, threaded)."""

    class HTTPFirst(http.server.HTTPServer, fast.ThreadingTCPServer):
        pass

    class ThreadingHTTPFirst(http.server.ThreadingHTTPServer, fast.ThreadingTCPServer):
        pass

    class OurMixInFirst(fast.ThreadingMixIn, http.server.HTTPServer):
        pass

    class OurMixInBeforeThreadingHTTP(fast.ThreadingMixIn, http.server.ThreadingHTTPServer):
        pass

    class Synchronous(http.server.HTTPServer, fast.TCPServer):
        pass

    class MixInOnSynchronous(fast.ThreadingMixIn, Synchronous):
        pass

    return {
        "HTTPServer, ThreadingTCPServer": (HTTPFirst, True),
        "ThreadingHTTPServer, ThreadingTCPServer": (ThreadingHTTPFirst, True),
        "ThreadingMixIn, HTTPServer": (OurMixInFirst, True),
        "ThreadingMixIn, ThreadingHTTPServer": (OurMixInBeforeThreadingHTTP, True),
        "HTTPServer, TCPServer": (Synchronous, False),
        "ThreadingMixIn, (HTTPServer, TCPServer)": (MixInOnSynchronous, True),
    }


ORDERS = [
    "HTTPServer, ThreadingTCPServer", "ThreadingHTTPServer, ThreadingTCPServer",
    "ThreadingMixIn, HTTPServer", "ThreadingMixIn, ThreadingHTTPServer",
    "HTTPServer, TCPServer", "ThreadingMixIn, (HTTPServer, TCPServer)",
]  # fmt: skip


@pytest.fixture(params=ORDERS)
def page_server(request, fast):
    """A page server of one order, and whether it is threaded."""
    server_class, threaded = page_servers(fast)[request.param]
    with server_class(LOOPBACK, Page) as server:
        yield server, threaded


def test_http_server_mixed_in_serves(page_server):
    """Each order answers, several times over one connection."""
    server, threaded = page_server
    with serving(server) as loop:
        names = get(server, 3) + get(server)
    assert all((name == loop.thread.name) != threaded for name in names)


def test_http_server_mixed_in_keeps_its_server_bind(page_server):
    """HTTPServer.server_bind sets server_name and server_port: it must win."""
    server, _ = page_server
    assert server.server_port == server.server_address[1]
    assert isinstance(server.server_name, str)


def test_http_server_mixed_in_keeps_its_attributes(page_server):
    """`allow_reuse_address = 1` of HTTPServer, also where it stands after ours."""
    server, _ = page_server
    assert server.allow_reuse_address == http.server.HTTPServer.allow_reuse_address


def test_threading_http_server_mixed_in_keeps_daemon_threads(fast):
    """`daemon_threads = True` of ThreadingHTTPServer, also where that stands after ours."""
    for name in (
        "ThreadingHTTPServer, ThreadingTCPServer",
        "ThreadingMixIn, ThreadingHTTPServer",
    ):
        server_class, _ = page_servers(fast)[name]
        assert server_class.daemon_threads is True


def test_http_server_mixed_in_runs_on_our_loop(fast):
    """Where TCPServer of ours is among the bases, shutdown() is at once."""
    for name, (server_class, _) in page_servers(fast).items():
        if name.startswith("ThreadingMixIn, ") and "(" not in name:
            continue  # only the mix-in is ours
        assert server_class.serve_forever is fast.BaseServer.serve_forever, name
        assert server_class.get_request is fast.TCPServer.get_request, name


def test_standard_threading_mixin_on_our_server_serves(fast):
    """`class F(socketserver.ThreadingMixIn, fast.TCPServer)`."""

    class Mixed(socketserver.ThreadingMixIn, fast.TCPServer):
        pass

    with Mixed(LOOPBACK, reply_ok) as server, serving(server):
        assert [exchange(server) for _ in range(20)] == [b"ok"] * 20


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_standard_forking_mixin_on_our_server_serves(fast):
    """`class F(socketserver.ForkingMixIn, fast.TCPServer)`."""

    class Mixed(socketserver.ForkingMixIn, fast.TCPServer):
        pass

    with Mixed(LOOPBACK, reply_ok) as server, serving(server):
        assert [exchange(server) for _ in range(5)] == [b"ok"] * 5


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_our_forking_mixin_on_the_standard_server_serves(fast):
    """`class F(fast.ForkingMixIn, socketserver.TCPServer)`."""

    class Mixed(fast.ForkingMixIn, socketserver.TCPServer):
        pass

    with Mixed(LOOPBACK, reply_ok) as server, serving(server):
        assert [exchange(server) for _ in range(5)] == [b"ok"] * 5


def test_our_threading_mixin_on_the_standard_server_serves(fast):
    """`class F(fast.ThreadingMixIn, socketserver.TCPServer)`: the standard loop, our pool."""

    class Mixed(fast.ThreadingMixIn, socketserver.TCPServer):
        pass

    with Mixed(LOOPBACK, reply_ok) as server, serving(server):
        assert [exchange(server) for _ in range(20)] == [b"ok"] * 20


def test_our_threading_mixin_on_a_udp_server_of_the_standard_module_serves(fast):
    """The same for datagrams."""
    from support.clients import ask, datagram_client
    from support.handlers import reply_datagram

    class Mixed(fast.ThreadingMixIn, socketserver.UDPServer):
        pass

    with (
        Mixed(LOOPBACK, reply_datagram) as server,
        serving(server),
        datagram_client(server) as client,
    ):
        assert [ask(client, b"x") for _ in range(10)] == [b"re:x"] * 10


def test_standard_handler_on_our_server_serves(fast):
    """Handler classes of either module go with servers of either."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.readline())

    with fast.ThreadingTCPServer(LOOPBACK, Handler) as server, serving(server):
        assert exchange(server, b"line\n") == b"line\n"


def test_our_handler_on_the_standard_server_serves(fast):
    """The other way round."""

    class Handler(fast.StreamRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.readline())

    with socketserver.ThreadingTCPServer(LOOPBACK, Handler) as server, serving(server):
        assert exchange(server, b"line\n") == b"line\n"


def test_xmlrpc_server_mixed_in_serves(fast):
    """`class F(SimpleXMLRPCServer, fast.ThreadingTCPServer)`."""

    class Mixed(xmlrpc.server.SimpleXMLRPCServer, fast.ThreadingTCPServer):
        pass

    with Mixed(LOOPBACK, logRequests=False) as server:
        server.register_function(pow)
        with serving(server):
            uri = "http://{}:{}".format(*server.server_address)
            with xmlrpc.client.ServerProxy(uri) as proxy:
                assert [proxy.pow(2, n) for n in range(5)] == [1, 2, 4, 8, 16]


def test_wsgi_server_mixed_in_serves(fast):
    """`class F(WSGIServer, fast.ThreadingTCPServer)`."""

    class Mixed(wsgiref.simple_server.WSGIServer, fast.ThreadingTCPServer):
        pass

    class Quiet(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *args):
            pass

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["SERVER_NAME"].encode()]

    with Mixed(LOOPBACK, Quiet) as server:
        server.set_app(application)
        with serving(server):
            assert get(server) == [server.server_name]


@pytest.mark.parametrize("hook", ["verify_request", "get_request", "finish_request"])
def test_hook_of_a_standard_mixin_wins(fast, hook):
    """A mix-in written against the standard module overrides ours when it stands first."""
    calls = []

    class Mixin(socketserver.BaseServer):
        pass

    def override(self, *args):
        calls.append(hook)
        return getattr(fast.TCPServer, hook)(self, *args)

    setattr(Mixin, hook, override)
    mixed = type("Mixed", (Mixin, fast.TCPServer), {})
    with mixed(LOOPBACK, reply_ok) as server, serving(server):
        assert exchange(server) == b"ok"
    assert calls == [hook]


class Closing:
    """A `server_close()` that takes notes and goes on."""

    def server_close(self):
        vars(self).setdefault("notes", []).append(type(self).__name__)
        super().server_close()


def closing_servers(fast):
    """A class with a `server_close()` of its own between ours and the standard twin of it."""

    class ThreadsOf(Closing, socketserver.ThreadingMixIn):
        pass

    class ChildrenOf(Closing, socketserver.ForkingMixIn):
        pass

    class SocketOf(Closing, socketserver.TCPServer):
        pass

    return {
        "threads": type("Threads", (fast.ThreadingMixIn, ThreadsOf, fast.TCPServer), {}),
        "children": type("Children", (fast.ForkingMixIn, ChildrenOf, fast.TCPServer), {}),
        "socket": type("Socket", (fast.TCPServer, SocketOf), {}),
        "mixed": type("Mixed", (fast.ThreadingTCPServer, SocketOf), {}),
    }


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["threads", "children", "socket", "mixed"])
def test_server_close_of_a_class_between_ours_and_its_twin_is_called_once(fast, kind):
    """super() means the next class, whoever wrote it."""
    server = closing_servers(fast)[kind](LOOPBACK, reply_ok)
    with serving(server):
        assert [exchange(server) for _ in range(3)] == [b"ok"] * 3
    server.server_close()
    assert len(server.notes) == 1
    assert server.fileno() == -1


@pytest.mark.parametrize("impl_name", ["socketserver", "fastsocketserver"])
@pytest.mark.parametrize("base", ["ThreadingTCPServer", "ForkingTCPServer", "TCPServer"])
def test_server_close_that_raises_in_a_mix_in_before_ours_leaves_what_it_did(impl_name, base):
    """It never got to ours; closing again does."""
    impl = importlib.import_module(impl_name)
    failing = [True]

    class Failing:
        def server_close(self):
            if failing:
                failing.clear()
                raise ZeroDivisionError
            super().server_close()

    server = type("Server", (Failing, getattr(impl, base)), {})(LOOPBACK, reply_ok)
    with pytest.raises(ZeroDivisionError):
        server.server_close()
    assert server.fileno() != -1
    server.server_close()
    assert server.fileno() == -1
