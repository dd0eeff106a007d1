"""Overrides that come while the loop runs: it looks again whenever something has changed."""

from __future__ import annotations

import pytest

from fastsocketserver import _loop
from native.processes import run_program
from support.clients import exchange
from support.serving import serving


def test_override_on_the_instance_in_place_of_another_attribute_is_noticed(server_of, fast):
    """As many attributes as before, but not the same ones."""
    calls = []

    def get_request():
        calls.append(1)
        return fast.TCPServer.get_request(server)

    server = server_of("TCPServer")
    server.something = 1
    with serving(server):
        assert exchange(server) == b"ok"
        del server.something
        server.get_request = get_request
        assert exchange(server) == b"ok"
        assert calls


@pytest.mark.parametrize("hook", ["verify_request", "process_request"])
def test_override_on_the_instance_in_place_of_another_attribute_is_called(server_of, hook):
    """Hooks that the loop calls in any case."""
    calls = []
    server = server_of()
    server.something = 1
    with serving(server):
        assert exchange(server) == b"ok"
        stock = getattr(server, hook)
        del server.something
        setattr(server, hook, lambda *args: calls.append(1) or stock(*args))
        assert exchange(server) == b"ok"
        assert calls == [1]


def test_accept_patched_on_a_socket_class_that_was_patched_often_is_noticed():
    """CPython gives a class a limited number of version tags; then it has none."""
    assert run_program("""
        import socket, threading
        import fastsocketserver

        for number in range(5000):
            socket.socket.something = number
            socket.socket.something
        server = fastsocketserver.TCPServer(
            ("127.0.0.1", 0), lambda request, *_: request.sendall(b"ok"))
        loop = threading.Thread(target=server.serve_forever)
        loop.start()

        def ask():
            with socket.create_connection(server.server_address, 20) as client:
                client.recv(2)

        calls = []
        stock = socket.socket.accept

        def accept(self):
            calls.append(1)
            return stock(self)

        ask()
        socket.socket.accept = accept
        ask()
        server.shutdown()
        loop.join()
        server.server_close()
        print(bool(calls))
    """) == ["True"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer"])
def test_hooks_are_looked_at_once_while_nothing_changes(server_of, fast, monkeypatch, base):
    """Also where the handler's class is used in children alone, and so has no version yet."""
    looks = []
    shortcut_owner = _loop.shortcut_owner

    def counting(server, hook):
        looks.append(hook)
        return shortcut_owner(server, hook)

    class Handler(fast.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"ok")

    monkeypatch.setattr(_loop, "shortcut_owner", counting)
    server = server_of(base, Handler)
    with serving(server):
        for _ in range(10):
            assert exchange(server) == b"ok"
    assert len(looks) == len(set(looks))


@pytest.mark.parametrize("owner", ["Server", "Handler"])
def test_change_of_a_class_of_the_program_that_was_patched_often_is_noticed(owner):
    """The same of a server's class, and of a handler's."""
    assert run_program(
        """
        import socket, sys, threading
        import fastsocketserver

        class Server(fastsocketserver.TCPServer):
            pass

        class Handler(fastsocketserver.StreamRequestHandler):
            def handle(self):
                option = self.request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                self.wfile.write(b"on" if option else b"off")

        cls = {"Server": Server, "Handler": Handler}[sys.argv[1]]
        for number in range(5000):
            cls.something = number
            cls.something
        server = Server(("127.0.0.1", 0), Handler)
        loop = threading.Thread(target=server.serve_forever)
        loop.start()

        def ask():
            with socket.create_connection(server.server_address, 20) as client:
                return client.recv(3)

        print({ask() for _ in range(10)})  # until no class gets its first version any more
        if cls is Server:
            Server.get_request = lambda self: self.socket.accept()
        else:
            Handler.disable_nagle_algorithm = False
        print(ask())
        server.shutdown()
        loop.join()
        server.server_close()
    """,
        owner,
    ) == ["{b'on'}", "b'off'"]
