"""verify_request: sees each request first, on the serving thread, and may refuse it."""

from __future__ import annotations

import threading

import pytest

from support.clients import connected, exchange, read_to_end
from support.serving import serving


class Boom(Exception):
    """What a hook raises."""


@pytest.mark.parametrize("verdict", [False, None, 0, ""])
def test_verify_request_false_shuts_the_request_down(impl, make_server, verdict):
    """`else: self.shutdown_request(request)`, and no process_request."""
    log = []

    def shutdown_request(self, request):
        log.append("shutdown_request")
        impl.TCPServer.shutdown_request(self, request)

    server = make_server(
        verify_request=lambda self, request, address: verdict,
        process_request=lambda self, *args: log.append("process_request"),
        shutdown_request=shutdown_request,
    )
    with serving(server):
        assert exchange(server) == b""
    assert log == ["shutdown_request"]


@pytest.mark.parametrize("verdict", [True, 1, "yes", [0]])
def test_verify_request_true_processes_the_request(make_server, verdict):
    """Its truth is asked, not its type."""
    server = make_server(verify_request=lambda self, request, address: verdict)
    with serving(server):
        assert exchange(server) == b"ok"


def test_verify_request_sees_request_and_address(make_server, enter_loop):
    """`self.verify_request(request, client_address)`, positionally."""
    seen = []

    def verify_request(self, *args):
        seen.append((args[0].getpeername(), args[1]))
        self._BaseServer__shutdown_request = True
        return True

    server = make_server(verify_request=verify_request)
    with connected(server) as client:
        enter_loop(server)
        assert seen == [(client.getsockname(), client.getsockname())]
        assert read_to_end(client) == b"ok"


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_verify_request_runs_on_the_serving_thread(make_server, base):
    """Also when the handler does not."""
    threads = []

    def verify_request(self, request, client_address):
        threads.append(threading.current_thread())
        return True

    server = make_server(base, verify_request=verify_request)
    with serving(server) as loop:
        exchange(server)
    assert threads == [loop.thread]


@pytest.mark.parametrize("error", [Boom, OSError, KeyboardInterrupt])
def test_verify_request_raising_leaves_the_loop_and_the_request_open(
    make_server, enter_loop, error
):
    """The call stands outside of the `try`: nothing is handled, nothing is shut down."""
    kept, touched = [], []

    def verify_request(self, request, client_address):
        kept.append(request)
        raise error

    server = make_server(
        verify_request=verify_request,
        handle_error=lambda self, *args: touched.append("handle_error"),
        shutdown_request=lambda self, *args: touched.append("shutdown_request"),
    )
    with connected(server):
        with pytest.raises(error):
            enter_loop(server)
        with kept[0]:
            assert kept[0].fileno() != -1
    assert not touched


def test_verify_request_may_answer_by_itself(make_server):
    """Refusals with a message."""

    def verify_request(self, request, client_address):
        request.sendall(b"too many")
        return False

    server = make_server(verify_request=verify_request)
    with serving(server):
        assert exchange(server) == b"too many"


def test_verify_request_stock_returns_true(impl, make_server):
    """BaseServer.verify_request."""
    assert make_server().verify_request(None, None) is True
