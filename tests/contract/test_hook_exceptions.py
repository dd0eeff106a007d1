"""Every kind of exception out of every hook: who handles it, and what is done then.

The table is the standard module's source, `_handle_request_noblock` and
`process_request_thread`, row by row.
"""

from __future__ import annotations

import threading

import pytest

from support.clients import connected, exchange, read_to_end
from support.serving import serving


class Boom(Exception):
    """An ordinary exception."""


class Stop(BaseException):
    """One that `except Exception` does not catch."""


KINDS = [
    Boom,
    OSError,
    ConnectionResetError,
    RuntimeError,
    StopIteration,
    MemoryError,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    Stop,
]
ORDINARY = [kind for kind in KINDS if issubclass(kind, Exception)]
EXTRAORDINARY = [kind for kind in KINDS if not issubclass(kind, Exception)]

# Nothing stands between these hooks and the caller of the loop.
UNPROTECTED = ["verify_request", "_handle_request_noblock"]
# These run inside of process_request.
PROTECTED = ["process_request", "finish_request"]


@pytest.fixture
def failing_server(impl, make_server):
    """A server one hook of which raises for its first call, and then is the stock one."""

    def make(hook, kind, base="TCPServer"):
        log = []
        stock = getattr(impl, base)

        def shutdown_request(self, request):
            log.append("shutdown_request")
            stock.shutdown_request(self, request)

        def handle_error(self, request, client_address):
            log.append("handle_error")

        def failing(self, *args):
            if not failed:
                failed.append(args)
                raise kind("from the hook")
            return getattr(stock, hook)(self, *args)

        failed = []
        hooks = {"shutdown_request": shutdown_request, "handle_error": handle_error}
        server = make_server(base, **{**hooks, hook: failing})
        return server, log, failed

    return make


@pytest.mark.parametrize("hook", PROTECTED)
@pytest.mark.parametrize("kind", ORDINARY)
def test_exception_in_a_protected_hook_is_handled_and_serving_goes_on(
    failing_server, hook, kind
):
    """`except Exception: handle_error; shutdown_request`."""
    server, log, _ = failing_server(hook, kind)
    with serving(server):
        assert exchange(server) == b""
        assert exchange(server) == b"ok"
    assert log == ["handle_error", "shutdown_request", "shutdown_request"]


@pytest.mark.parametrize("hook", PROTECTED)
@pytest.mark.parametrize("kind", EXTRAORDINARY)
def test_exception_not_ordinary_in_a_protected_hook_leaves_the_loop(
    failing_server, enter_loop, hook, kind
):
    """`except: shutdown_request; raise`."""
    server, log, _ = failing_server(hook, kind)
    with connected(server) as client:
        with pytest.raises(kind, match="from the hook"):
            enter_loop(server)
        assert read_to_end(client) == b""
    assert log == ["shutdown_request"]
    with serving(server):
        assert exchange(server) == b"ok"


@pytest.mark.parametrize("hook", UNPROTECTED)
@pytest.mark.parametrize("kind", KINDS)
def test_exception_in_an_unprotected_hook_leaves_the_loop(
    failing_server, enter_loop, hook, kind
):
    """Not one of them is caught, and nothing is closed."""
    server, log, failed = failing_server(hook, kind)
    with connected(server):
        with pytest.raises(kind, match="from the hook"):
            enter_loop(server)
        for ((request, *_),) in [failed] if hook == "verify_request" else ():
            request.close()
        assert not log
    with serving(server):
        assert exchange(server) == b"ok"


@pytest.mark.parametrize("kind", KINDS)
def test_exception_in_get_request_is_swallowed_if_oserror(failing_server, kind):
    """`except OSError: return`; everything else leaves the loop."""
    server, log, _ = failing_server("get_request", kind)
    with connected(server) as client:
        if issubclass(kind, OSError):
            server.handle_request()
        else:
            with pytest.raises(kind, match="from the hook"):
                server.handle_request()
        assert not log
        server.handle_request()
        assert read_to_end(client) == b"ok"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not issubclass(kind, OSError)])
def test_exception_in_get_request_leaves_serve_forever(failing_server, kind):
    """The connection is still in the backlog, for the next loop."""
    server, _, _ = failing_server("get_request", kind)
    with connected(server) as client:
        with pytest.raises(kind, match="from the hook"):
            server.serve_forever(0.01)
        with serving(server):
            assert read_to_end(client) == b"ok"


@pytest.mark.parametrize("kind", KINDS)
def test_exception_in_handle_error_leaves_the_loop(make_server, enter_loop, kind):
    """Called in the `except` clause: nothing catches it, the request stays open."""
    kept = []

    def handler(*_):
        raise Boom

    def handle_error(self, request, client_address):
        kept.append(request)
        raise kind("from handle_error")

    server = make_server(handler=handler, handle_error=handle_error)
    with connected(server):
        with pytest.raises(kind, match="from handle_error"):
            enter_loop(server)
        with kept[0]:
            assert kept[0].fileno() != -1


@pytest.mark.parametrize("kind", ORDINARY)
def test_exception_in_close_request_goes_to_handle_error(impl, make_server, kind):
    """Through shutdown_request, out of process_request; closed by the second try."""
    log = []

    def close_request(self, request):
        log.append("close_request")
        if len(log) == 1:
            raise kind
        impl.TCPServer.close_request(self, request)

    server = make_server(
        close_request=close_request,
        handle_error=lambda self, *args: log.append("handle_error"),
    )
    with serving(server):
        assert exchange(server) == b"ok"
    assert log == ["close_request", "handle_error", "close_request"]


@pytest.mark.parametrize("kind", EXTRAORDINARY)
def test_exception_not_ordinary_in_close_request_closes_again_and_leaves(
    impl, make_server, enter_loop, kind
):
    """`except: self.shutdown_request(request); raise`."""
    log = []

    def close_request(self, request):
        log.append("close_request")
        if len(log) == 1:
            raise kind("closing")
        impl.TCPServer.close_request(self, request)

    server = make_server(close_request=close_request)
    with connected(server) as client:
        with pytest.raises(kind, match="closing"):
            enter_loop(server)
        assert read_to_end(client) == b"ok"
    assert log == ["close_request"] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_exception_in_handle_timeout_leaves_handle_request(make_server, kind):
    """Nothing catches it."""

    def handle_timeout(self):
        raise kind("in time")

    server = make_server(timeout=0, handle_timeout=handle_timeout)
    with pytest.raises(kind, match="in time"):
        server.handle_request()


@pytest.mark.parametrize("kind", KINDS)
def test_exception_in_service_actions_leaves_serve_forever(make_server, kind):
    """Nothing catches it; the server can serve again."""
    failed = []

    def service_actions(self):
        if not failed:
            failed.append(1)
            raise kind("acting")

    server = make_server(service_actions=service_actions)
    with pytest.raises(kind, match="acting"):
        server.serve_forever(0.01)
    with serving(server):
        assert exchange(server) == b"ok"


@pytest.fixture
def uncaught(monkeypatch):
    """Classes of what reached threading.excepthook."""
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_type))
    return seen


@pytest.mark.parametrize("kind", ORDINARY)
def test_exception_in_a_threads_finish_request_is_handled(failing_server, uncaught, kind):
    """process_request_thread: `except Exception: handle_error`; `finally: shutdown_request`."""
    server, log, _ = failing_server("finish_request", kind, "ThreadingTCPServer")
    with serving(server):
        assert exchange(server) == b""
        assert exchange(server) == b"ok"
    server.server_close()
    assert log == ["handle_error", "shutdown_request", "shutdown_request"]
    assert not uncaught


@pytest.mark.parametrize("kind", EXTRAORDINARY)
def test_exception_not_ordinary_in_a_threads_finish_request_ends_the_thread(
    failing_server, uncaught, kind
):
    """Closed, not handled; the loop does not notice."""
    server, log, _ = failing_server("finish_request", kind, "ThreadingTCPServer")
    with serving(server):
        assert exchange(server) == b""
        assert exchange(server) == b"ok"
    server.server_close()
    assert log == ["shutdown_request", "shutdown_request"]
    assert uncaught == [kind]


@pytest.mark.parametrize("kind", KINDS)
def test_exception_in_a_threads_shutdown_request_ends_the_thread(
    impl, make_server, uncaught, kind
):
    """In the `finally`: to threading.excepthook, whatever it is."""

    def shutdown_request(self, request):
        impl.TCPServer.shutdown_request(self, request)
        raise kind

    server = make_server("ThreadingTCPServer", shutdown_request=shutdown_request)
    with serving(server):
        assert exchange(server) == b"ok"
        assert exchange(server) == b"ok"
    server.server_close()
    assert uncaught == [kind, kind]


@pytest.mark.parametrize("kind", KINDS)
def test_exception_in_a_threads_handle_error_ends_the_thread(make_server, uncaught, kind):
    """After shutdown_request."""

    def handler(*_):
        raise Boom

    def handle_error(self, request, client_address):
        raise kind

    server = make_server("ThreadingTCPServer", handler=handler, handle_error=handle_error)
    with serving(server):
        assert exchange(server) == b""
    server.server_close()
    assert uncaught == [kind]


@pytest.mark.parametrize("kind", KINDS)
def test_exception_in_a_threaded_servers_process_request(impl, make_server, kind):
    """On the serving thread: as for a synchronous server."""
    log = []

    def process_request(self, request, client_address):
        if not log:
            log.append("process_request")
            raise kind("processing")
        impl.ThreadingTCPServer.process_request(self, request, client_address)

    server = make_server(
        "ThreadingTCPServer",
        process_request=process_request,
        handle_error=lambda self, *args: log.append("handle_error"),
    )
    with connected(server) as client:
        if issubclass(kind, Exception):
            server.handle_request()
        else:
            with pytest.raises(kind, match="processing"):
                server.handle_request()
        assert read_to_end(client) == b""
    handled = ["handle_error"] if issubclass(kind, Exception) else []
    assert log == ["process_request", *handled]
    with serving(server):
        assert exchange(server) == b"ok"


@pytest.mark.parametrize("part", ["init", "setup", "handle", "finish"])
@pytest.mark.parametrize("kind", [Boom, OSError, Stop])
def test_exception_in_a_handlers_part(impl, make_server, part, kind):
    """All parts of the handler run inside of finish_request."""
    log = []

    def fail(self, *args):
        raise kind("in the handler")

    name = "__init__" if part == "init" else part
    handler = type("Handler", (impl.StreamRequestHandler,), {name: fail})
    server = make_server(
        handler=handler, handle_error=lambda self, *args: log.append("handle_error")
    )
    with connected(server) as client:
        if issubclass(kind, Exception):
            server.handle_request()
        else:
            with pytest.raises(kind, match="in the handler"):
                server.handle_request()
        assert read_to_end(client) == b""
    assert log == (["handle_error"] if issubclass(kind, Exception) else [])
