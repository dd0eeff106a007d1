"""handle_request(): one request, or handle_timeout(), on a deadline."""

from __future__ import annotations

import select
import selectors
import signal
import time

import pytest

from support.clients import connected, exchange, read_to_end
from support.handlers import reply_ok
from support.serving import Background, serving


class Boom(Exception):
    """What a hook raises."""


def timed_out(self):
    return "timed out"


def test_handle_request_serves_exactly_one(make_server):
    """The second connection stays in the backlog."""
    server = make_server()
    with connected(server) as first, connected(server) as second:
        server.handle_request()
        assert read_to_end(first) == b"ok"
        assert select.select([server], [], [], 0)[0] == [server]
        server.handle_request()
        assert read_to_end(second) == b"ok"


def test_handle_request_waits_for_a_connection(make_server):
    """Without any timeout it blocks until one comes."""
    server = make_server()
    waiting = Background(server.handle_request)
    assert exchange(server) == b"ok"
    assert waiting.join() is None


def test_handle_request_returns_what_noblock_returns(make_server):
    """`return self._handle_request_noblock()`."""
    server = make_server(_handle_request_noblock=lambda self: ("any", "thing"))
    with connected(server):
        assert server.handle_request() == ("any", "thing")


def test_handle_request_timeout_returns_what_handle_timeout_returns(make_server):
    """`return self.handle_timeout()`."""
    server = make_server(timeout=0.01, handle_timeout=timed_out)
    assert server.handle_request() == "timed out"


def test_handle_request_stock_timeout_returns_none(make_server):
    """BaseServer.handle_timeout does nothing."""
    server = make_server(timeout=0.01)
    assert server.handle_request() is None


def test_handle_request_timeout_waits_for_its_whole_length(make_server):
    """Never earlier than asked for."""
    server = make_server(timeout=0.2, handle_timeout=timed_out)
    start = time.monotonic()
    assert server.handle_request() == "timed out"
    assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize("timeout", [0, 0.0, -1])
def test_handle_request_timeout_of_zero_or_less_polls(make_server, timeout):
    """`selector.select(0)`: what waits is served, else handle_timeout at once."""
    server = make_server(timeout=timeout, handle_timeout=timed_out)
    assert server.handle_request() == "timed out"
    with connected(server) as client:
        assert server.handle_request() is None
        assert read_to_end(client) == b"ok"


@pytest.mark.parametrize(
    ("of_socket", "of_server"), [(0.05, None), (0.05, 3600), (3600, 0.05), (0, 3600), (0, None)]
)
def test_handle_request_uses_the_smaller_of_both_timeouts(make_server, of_socket, of_server):
    """`min(self.socket.gettimeout(), self.timeout)`, None being no limit."""
    server = make_server(timeout=of_server, handle_timeout=timed_out)
    server.socket.settimeout(of_socket)
    assert server.handle_request() == "timed out"


def test_handle_request_timeout_set_on_the_instance_is_used(make_server):
    """Five observed projects set `self.timeout`; it is read at each call."""
    server = make_server(handle_timeout=timed_out)
    server.timeout = 0.01
    assert server.handle_request() == "timed out"
    server.timeout = None
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"


def test_handle_request_timeout_as_a_property_is_read(make_server):
    """A subclass may compute it."""
    server = make_server(timeout=property(lambda self: 0.01), handle_timeout=timed_out)
    assert server.handle_request() == "timed out"


@pytest.mark.parametrize("timeout", ["soon", []])
def test_handle_request_timeout_of_wrong_type_raises_typeerror(make_server, timeout):
    """`time() + timeout`."""
    server = make_server(timeout=timeout)
    with pytest.raises(TypeError):
        server.handle_request()


def test_handle_request_raising_handle_timeout_leaves_it(make_server):
    """msal: the way out of an own loop."""

    def handle_timeout(self):
        raise Boom

    server = make_server(timeout=0.01, handle_timeout=handle_timeout)
    with pytest.raises(Boom):
        server.handle_request()


def test_handle_request_listener_with_a_timeout_serves(make_server):
    """paste: the listener's timeout is not the request's."""
    timeouts = []
    server = make_server(handler=lambda request, *_: timeouts.append(request.gettimeout()))
    server.socket.settimeout(5)
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b""
    assert timeouts == [None]


def test_handle_request_leaves_the_listeners_timeout_alone(make_server):
    """The caller's socket is as it was."""
    server = make_server(timeout=0)
    server.socket.settimeout(5)
    server.handle_request()
    assert server.socket.gettimeout() == 5


def test_handle_request_leaves_the_listener_blocking(make_server):
    """Also underneath: others use the descriptor."""
    import os

    server = make_server(timeout=0)
    server.handle_request()
    with connected(server):
        server.handle_request()
    assert os.get_blocking(server.fileno())


def test_handle_request_does_not_call_service_actions(make_server):
    """service_actions belongs to serve_forever."""
    calls = []
    server = make_server(timeout=0, service_actions=lambda self: calls.append(1))
    server.handle_request()
    with connected(server):
        server.handle_request()
    assert not calls


def test_handle_request_calls_handle_timeout_once(make_server):
    """One call for one expiry."""
    calls = []
    server = make_server(timeout=0.02, handle_timeout=lambda self: calls.append(1))
    server.handle_request()
    assert calls == [1]


def test_handle_request_does_not_call_handle_timeout_when_served(make_server):
    """It is either the one or the other."""
    calls = []
    server = make_server(timeout=5, handle_timeout=lambda self: calls.append(1))
    with connected(server):
        server.handle_request()
    assert not calls


def test_handle_request_closed_server_raises_valueerror(make_server):
    """selector.register: `Invalid file descriptor: -1`."""
    server = make_server()
    server.server_close()
    with pytest.raises(ValueError, match="descriptor"):
        server.handle_request()


def test_handle_request_without_a_socket_raises_attributeerror(make_server):
    """`self.socket.gettimeout()`."""
    server = make_server()
    listener, server.socket = server.socket, None
    with pytest.raises(AttributeError, match="gettimeout"):
        server.handle_request()
    server.socket = listener


def test_handle_request_refused_by_get_request_returns(make_server):
    """An OSError there is "no request after all": no second wait."""

    def get_request(self):
        raise OSError("refused")

    server = make_server(get_request=get_request, timeout=3600)
    with connected(server):
        assert server.handle_request() is None


def test_handle_request_interrupted_by_signals_keeps_its_deadline(make_server):
    """`The loop is necessary to accommodate early wakeups due to EINTR`."""
    alarms = []
    server = make_server(timeout=0.2, handle_timeout=timed_out)
    before = signal.signal(signal.SIGALRM, lambda *_: alarms.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        start = time.monotonic()
        assert server.handle_request() == "timed out"
        assert time.monotonic() - start >= 0.2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert alarms


def test_handle_request_ignores_a_stepped_wall_clock(make_server, monkeypatch):
    """`from time import monotonic as time`."""
    server = make_server(timeout=0.05, handle_timeout=timed_out)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert server.handle_request() == "timed out"


def test_handle_request_by_several_threads_serves_all(make_server):
    """Each thread waits by itself; a lost race is an accept that finds the next one."""
    server = make_server()
    threads = [Background(server.handle_request) for _ in range(4)]
    assert [exchange(server) for _ in threads] == [b"ok"] * 4
    for thread in threads:
        thread.join()


def test_handle_request_in_an_own_loop_with_select_serves(make_server):
    """pydoc, wsgidav: `while ready(server): server.handle_request()`."""
    server = make_server()
    with connected(server) as first, connected(server) as second:
        while select.select([server], [], [], 0)[0]:
            server.handle_request()
        assert read_to_end(first) == read_to_end(second) == b"ok"


def test_handle_request_in_an_own_loop_with_selectors_serves_two_servers(make_server):
    """Radicale: several servers in one selector."""
    servers = [make_server(), make_server()]
    with selectors.DefaultSelector() as selector:
        for server in servers:
            selector.register(server, selectors.EVENT_READ)
        for server in servers:
            with connected(server) as client:
                for key, _ in selector.select(10):
                    key.fileobj.handle_request()
                assert read_to_end(client) == b"ok"


def test_handle_request_inside_a_handler_serves_the_next(make_server):
    """State is per call: the nested one takes the connection that waits."""
    served = []

    def handler(request, client_address, server):
        served.append(client_address)
        if len(served) == 1:
            server.handle_request()
        request.sendall(b"ok")

    server = make_server(handler=handler)
    with connected(server) as first, connected(server) as second:
        server.handle_request()
        assert read_to_end(first) == read_to_end(second) == b"ok"


def test_handle_request_overridden_is_not_used_by_serve_forever(make_server):
    """serve_forever calls _handle_request_noblock."""
    server = make_server(handle_request=lambda self: pytest.fail("called"))
    with serving(server):
        assert exchange(server) == b"ok"


def test_handle_request_threaded_returns_before_the_handler_is_done(make_server):
    """process_request only starts it."""
    from support.handlers import Gate

    gate = Gate()
    server = make_server("ThreadingTCPServer", handler=gate)
    with connected(server) as client:
        server.handle_request()
        gate.opened.set()
        assert read_to_end(client) == b"inout"


def test_handle_request_on_baseserver_with_own_socket_object_serves(impl):
    """The example in the module's docstring: get_request from any source."""
    import os

    class Table(impl.BaseServer):
        """Requests are table entries; a pipe says that there are some."""

        def __init__(self):
            super().__init__(None, lambda entry, number, server: entry.append(number))
            self.reader, self.writer = os.pipe()
            self.socket = self
            self.entry = []

        def gettimeout(self):
            return None

        def fileno(self):
            return self.reader

        def get_request(self):
            return self.entry, ord(os.read(self.reader, 1))

        def server_close(self):
            os.close(self.reader)
            os.close(self.writer)

    with Table() as table:
        os.write(table.writer, b"\x07\x08")
        table.handle_request()
        table.handle_request()
        assert table.entry == [7, 8]


def test_handle_timeout_called_directly_returns_none(impl):
    """It is a plain method of BaseServer."""
    assert impl.BaseServer(None, reply_ok).handle_timeout() is None
