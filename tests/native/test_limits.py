"""`Limits` says what is wrong, and extreme values work."""

from __future__ import annotations

import threading
from fractions import Fraction

import pytest

from native.processes import run_program
from support.clients import exchange
from support.serving import serving


@pytest.mark.parametrize("value", ["1", None, True, b"", [1], 1j, Fraction(1, 2)])
def test_thread_idle_timeout_of_another_type_is_refused(fast, value):
    """The message names the field and the value."""
    with pytest.raises(TypeError, match="thread_idle_timeout") as caught:
        fast.Limits(thread_idle_timeout=value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "value", [-1, -1e-9, float("nan"), float("inf"), -float("inf"), threading.TIMEOUT_MAX * 2]
)
def test_thread_idle_timeout_out_of_range_is_refused(fast, value):
    """As above."""
    with pytest.raises(ValueError, match="thread_idle_timeout") as caught:
        fast.Limits(thread_idle_timeout=value)
    assert repr(value) in str(caught.value)


def test_thread_idle_timeout_beyond_any_float_is_refused(fast):
    """An integer that has no float."""
    with pytest.raises(ValueError, match="thread_idle_timeout"):
        fast.Limits(thread_idle_timeout=10**400)


@pytest.mark.parametrize("value", ["1", 1.0, True, False, [1]])
def test_max_threads_of_another_type_is_refused(fast, value):
    """As above."""
    with pytest.raises(TypeError, match="max_threads") as caught:
        fast.Limits(max_threads=value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [0, -1, -(10**30)])
def test_max_threads_below_one_is_refused(fast, value):
    """As above."""
    with pytest.raises(ValueError, match="max_threads") as caught:
        fast.Limits(max_threads=value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"thread_idle_timeout": 0},
        {"thread_idle_timeout": 1e-9},
        {"thread_idle_timeout": 5e-324},
        {"thread_idle_timeout": threading.TIMEOUT_MAX},
        {"max_threads": 1},
        {"max_threads": 10**30},
        {"thread_idle_timeout": 0, "max_threads": 1},
    ],
    ids=str,
)
def test_extreme_limits_serve(fast, server_of, values):
    """All that is not refused works."""
    server = server_of(limits=fast.Limits(**values))
    with serving(server):
        assert [exchange(server) for _ in range(5)] == [b"ok"] * 5


def test_limits_cannot_be_changed(fast):
    """Frozen: a server may read it at any time."""
    limits = fast.Limits()
    with pytest.raises(AttributeError):
        limits.max_threads = 5


@pytest.mark.parametrize("value", ["no", 5, None, {"max_threads": 1}], ids=repr)
def test_limits_of_a_type_that_is_not_ours_is_not_read(server_of, value):
    """A subclass's own attribute."""
    server = server_of(limits=value)
    with serving(server):
        assert exchange(server) == b"ok"


def test_limits_replaced_while_serving_count_from_the_next_request(fast, server_of):
    """Read at each request, as daemon_threads is."""
    threads = []
    server = server_of(handler=lambda *_: threads.append(threading.get_ident()))
    with serving(server):
        exchange(server)
        for _ in range(20):
            server.limits = fast.Limits(thread_idle_timeout=0)
            exchange(server)
            server.limits = fast.Limits(max_threads=2)
            exchange(server)
    assert len(threads) == 41


@pytest.mark.parametrize("limits", ["5", "object()"])
def test_first_request_of_a_server_with_limits_of_its_own_imports_nothing(limits):
    """There may be no descriptor left to import with."""
    program = f"""
    import socket, sys
    import fastsocketserver

    class Server(fastsocketserver.ThreadingTCPServer):
        limits = {limits}

    server = Server(("127.0.0.1", 0), lambda request, *_: request.sendall(b"ok"))
    client = socket.create_connection(server.server_address, 20)
    before = set(sys.modules)
    server.handle_request()
    print(client.recv(2).decode(), sorted(set(sys.modules) - before))
    server.server_close()
    """
    assert run_program(program) == ["ok []"]
