"""shutdown_request and close_request: once per request, whatever became of it."""

from __future__ import annotations

import os
import socket

import pytest

from support.clients import connected, exchange, read_to_end
from support.serving import serving


@pytest.fixture
def counted(impl):
    """Hooks that log themselves and then do what the stock ones do."""
    log = []

    def shutdown_request(self, request):
        log.append("shutdown_request")
        impl.TCPServer.shutdown_request(self, request)

    def close_request(self, request):
        log.append("close_request")
        impl.TCPServer.close_request(self, request)

    return log, {"shutdown_request": shutdown_request, "close_request": close_request}


def end_normally(request, client_address, server):
    request.sendall(b"ok")


def close_it(request, client_address, server):
    request.close()


def detach_it(request, client_address, server):
    os.close(request.detach())


def shut_it_down(request, client_address, server):
    request.shutdown(socket.SHUT_RDWR)


def raise_error(request, client_address, server):
    raise ValueError


@pytest.mark.parametrize(
    "handler", [end_normally, close_it, detach_it, shut_it_down, raise_error]
)
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_shutdown_request_runs_exactly_once(make_server, counted, base, handler):
    """hl7apy and irc close it in the handler, others detach it."""
    log, hooks = counted
    server = make_server(base, handler=handler, handle_error=lambda self, *args: None, **hooks)
    with serving(server):
        exchange(server)
    server.server_close()
    assert log == ["shutdown_request", "close_request"]


def test_shutdown_request_sends_eof_then_closes(make_server):
    """`request.shutdown(SHUT_WR)`, then close_request()."""
    seen = []

    def close_request(self, request):
        seen.append(request.fileno() != -1)
        with pytest.raises(BrokenPipeError):
            request.send(b"after SHUT_WR")
        request.close()

    server = make_server(close_request=close_request)
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"
    assert seen == [True]


def test_shutdown_request_eof_arrives_while_others_hold_the_socket(make_server):
    """The reason for SHUT_WR: close() alone waits for the last duplicate."""
    kept = []
    server = make_server(handler=lambda request, *_: kept.append(request.dup()))
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b""
    kept[0].close()


def test_shutdown_request_overridden_to_do_nothing_keeps_the_connection(make_server):
    """Kept connections: another thread goes on with the socket."""
    kept = []
    server = make_server(shutdown_request=lambda self, request: kept.append(request))
    with connected(server) as client:
        server.handle_request()
        with kept[0] as request:
            request.sendall(b" later")
        assert read_to_end(client) == b"ok later"


def test_close_request_overridden_to_do_nothing_keeps_the_descriptor(make_server):
    """Only SHUT_WR has happened."""
    kept = []
    server = make_server(close_request=lambda self, request: kept.append(request))
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"
        with kept[0]:
            assert kept[0].fileno() != -1


@pytest.mark.parametrize("how", ["shutdown", "close"])
def test_shutdown_request_of_object_raising_oserror(make_server, how):
    """OSError of request.shutdown() is caught; that of close() is not."""

    class Request:
        closed = False

        def shutdown(self, direction):
            if how == "shutdown":
                raise OSError("ENOTCONN")

        def close(self):
            self.closed = True
            if how == "close":
                raise OSError("EBADF")

    request, server = Request(), make_server()
    if how == "shutdown":
        server.shutdown_request(request)
    else:
        with pytest.raises(OSError, match="EBADF"):
            server.shutdown_request(request)
    assert request.closed


def test_shutdown_request_other_error_of_the_request_comes_through(make_server):
    """`except OSError` only; close_request is not reached."""

    class Request:
        def shutdown(self, direction):
            raise ValueError("odd")

        def close(self):
            pytest.fail("closed")

    with pytest.raises(ValueError, match="odd"):
        make_server().shutdown_request(Request())


def test_shutdown_request_twice_is_harmless(make_server):
    """A closed socket's shutdown() is an OSError, its close() does nothing."""
    server = make_server()
    ours, peer = socket.socketpair()
    with peer:
        server.shutdown_request(ours)
        server.shutdown_request(ours)


def test_shutdown_request_raising_once_goes_to_handle_error_and_is_retried(make_server):
    """process_request failed in its second line: handle_error, shutdown_request again."""
    log = []

    def shutdown_request(self, request):
        log.append("shutdown_request")
        if log.count("shutdown_request") == 1:
            raise ValueError
        request.close()

    server = make_server(
        shutdown_request=shutdown_request,
        handle_error=lambda self, *args: log.append("handle_error"),
    )
    with serving(server):
        assert exchange(server) == b"ok"
    assert log == ["shutdown_request", "handle_error", "shutdown_request"]


def test_shutdown_request_raising_always_leaves_the_loop(make_server, enter_loop):
    """The second call stands in the `except`: nothing catches it."""
    kept = []

    def shutdown_request(self, request):
        kept.append(request)
        raise ValueError("always")

    server = make_server(
        shutdown_request=shutdown_request, handle_error=lambda self, *args: None
    )
    with connected(server), pytest.raises(ValueError, match="always"):
        enter_loop(server)
    assert len(kept) == 2
    kept[0].close()


def test_shutdown_request_raising_for_a_refused_request_leaves_the_loop(
    make_server, enter_loop
):
    """`else: self.shutdown_request(request)` stands outside of the `try`."""

    def shutdown_request(self, request):
        request.close()
        raise ValueError("refused")

    server = make_server(
        shutdown_request=shutdown_request, verify_request=lambda self, *args: False
    )
    with connected(server), pytest.raises(ValueError, match="refused"):
        enter_loop(server)


def test_baseserver_shutdown_request_only_closes(impl):
    """BaseServer.shutdown_request calls close_request, which does nothing."""
    closed = []
    base = type("Base", (impl.BaseServer,), {"close_request": lambda self, r: closed.append(r)})
    assert base(None, None).shutdown_request("request") is None
    assert closed == ["request"]
    assert impl.BaseServer(None, None).close_request("request") is None
