"""handle_error: runs inside the `except`, while the request is still open."""

from __future__ import annotations

import io
import sys
import threading
import traceback

import pytest

from support.clients import connected, exchange, read_to_end
from support.serving import serving


class Boom(Exception):
    """What a handler raises."""


def failing(request, client_address, server):
    raise Boom("from the handler")


def test_handle_error_sees_the_exception(make_server, enter_loop):
    """sys.exc_info() is set; so are traceback.format_exc() and the traceback itself."""
    seen = []

    def handle_error(self, request, client_address):
        seen.append((sys.exc_info(), traceback.format_exc()))
        self._BaseServer__shutdown_request = True

    server = make_server(handler=failing, handle_error=handle_error)
    with connected(server) as client:
        enter_loop(server)
        assert read_to_end(client) == b""
    (((kind, value, trace), text),) = seen
    assert kind is Boom
    assert str(value) == "from the handler"
    assert value.__traceback__ is trace
    assert "in failing" in text
    seen.clear()


def test_handle_error_gets_request_and_address(make_server):
    """`self.handle_error(request, client_address)`; the request is STILL OPEN (sshtunnel)."""
    seen = []

    def handle_error(self, request, client_address):
        seen.append((request.getsockname(), request.getpeername(), client_address))
        request.sendall(b"sorry")

    server = make_server(handler=failing, handle_error=handle_error)
    with serving(server), connected(server) as client:
        assert read_to_end(client) == b"sorry"
        own = client.getsockname()
    assert seen == [(server.server_address, own, own)]


def test_handle_error_bare_raise_leaves_the_loop(make_server, enter_loop):
    """test_socketserver, idlelib, breezy, werkzeug: `raise` inside the override."""
    kept = []

    def handle_error(self, request, client_address):
        kept.append(request)
        raise

    server = make_server(handler=failing, handle_error=handle_error)
    with connected(server):
        with pytest.raises(Boom):
            enter_loop(server)
        kept[0].close()


def test_handle_error_raising_leaves_the_request_open(make_server):
    """_handle_request_noblock: shutdown_request comes after handle_error, unprotected."""
    kept, closed = [], []

    def handle_error(self, request, client_address):
        kept.append(request)
        raise RuntimeError("again")

    server = make_server(
        handler=failing,
        handle_error=handle_error,
        shutdown_request=lambda self, request: closed.append(request),
    )
    with connected(server):
        with pytest.raises(RuntimeError) as caught:
            server.handle_request()
        assert isinstance(caught.value.__context__, Boom)
        with kept[0]:
            assert kept[0].fileno() != -1
    assert not closed


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_handle_error_stock_prints_a_traceback(make_server, monkeypatch, base):
    """Two rules, the address, the traceback."""
    text = io.StringIO()
    monkeypatch.setattr(sys, "stderr", text)
    server = make_server(base, handler=failing)
    with serving(server), connected(server) as client:
        assert read_to_end(client) == b""
        own = client.getsockname()
    server.server_close()
    lines = text.getvalue().splitlines()
    assert lines[0] == lines[-1] == "-" * 40
    assert lines[1] == f"Exception occurred during processing of request from {own}"
    assert lines[2] == "Traceback (most recent call last):"
    assert lines[-2].endswith("Boom: from the handler")


def test_handle_error_stock_prints_on_stderr_as_of_the_moment(make_server, monkeypatch):
    """`file=sys.stderr` is looked up at each call."""
    server = make_server(handler=failing)
    with serving(server):
        for _ in range(2):
            text = io.StringIO()
            monkeypatch.setattr(sys, "stderr", text)
            exchange(server)
            assert "Boom" in text.getvalue()


def test_handle_error_stock_text_equals_the_standard_one(impl, make_server, monkeypatch):
    """Called by hand: byte for byte what the standard module prints."""
    import socketserver

    server = make_server()
    texts = []
    for function in (type(server).handle_error, socketserver.BaseServer.handle_error):
        text = io.StringIO()
        monkeypatch.setattr(sys, "stderr", text)
        try:
            raise Boom("by hand")
        except Boom:
            assert function(server, None, ("host", 1)) is None
        texts.append(text.getvalue())
    assert texts[0] == texts[1]


def test_handle_error_overridden_silently_serves_on(make_server):
    """Silence for disconnects."""
    server = make_server(handler=failing, handle_error=lambda self, *args: None)
    with serving(server):
        assert [exchange(server) for _ in range(3)] == [b""] * 3


def test_handle_error_threaded_runs_in_the_requests_thread(make_server):
    """process_request_thread: `except Exception: self.handle_error(...)`."""
    seen = []

    def handler(*_):
        seen.append(threading.current_thread())
        raise Boom

    def handle_error(self, request, client_address):
        seen.append(threading.current_thread())
        request.sendall(sys.exc_info()[0].__name__.encode())

    server = make_server("ThreadingTCPServer", handler=handler, handle_error=handle_error)
    with serving(server) as loop:
        assert exchange(server) == b"Boom"
    assert seen[0] is seen[1]
    assert seen[0] is not loop.thread


def test_handle_error_not_called_when_all_is_well(make_server):
    """Nor for a refused request."""
    calls = []
    server = make_server(
        handle_error=lambda self, *args: calls.append(args),
        verify_request=lambda self, request, address: request.recv(1) == b"y",
    )
    with serving(server):
        assert exchange(server, b"y") == b"ok"
        assert exchange(server, b"n") == b""
    assert not calls


def test_handle_error_exception_is_not_visible_to_the_next_request(make_server):
    """The `except` block has ended."""
    seen = []

    def handler(request, client_address, server):
        seen.append(sys.exc_info())
        raise Boom

    server = make_server(handler=handler, handle_error=lambda self, *args: None)
    with serving(server):
        exchange(server)
        exchange(server)
    assert seen == [(None, None, None)] * 2
