"""ThreadingMixIn: `_threads`, block_on_close, and whom server_close() waits for."""

from __future__ import annotations

import threading

import pytest

from support.clients import connected, exchange, read_exactly, read_to_end
from support.handlers import Gate
from support.serving import Background, serving, wait_for


def closing_waits(server):
    """Start server_close() in a thread; the thread, and whether it is still waiting."""
    closing = Background(server.server_close)
    closing.thread.join(0.1)
    return closing, closing.thread.is_alive()


@pytest.fixture
def blocked_request(make_server):
    """A threaded server that serves one request, which waits at a gate."""

    def start(**namespace):
        gate = Gate()
        server = make_server("ThreadingTCPServer", handler=gate, **namespace)
        return server, gate

    return start


def hold_one(server, gate, client):
    """Take the client's request; return when its handler is inside."""
    server.handle_request()
    wait_for(gate.entered)
    assert read_exactly(client, 2) == b"in"


def test_server_close_waits_for_a_request_in_hand(blocked_request):
    """`self._threads.join()`: block_on_close, not daemonic."""
    server, gate = blocked_request()
    with connected(server) as client:
        hold_one(server, gate, client)
        closing, waiting = closing_waits(server)
        assert waiting
        assert server.fileno() == -1
        gate.opened.set()
        closing.join()
        assert read_to_end(client) == b"out"


def test_server_close_waits_for_all_requests_in_hand(make_server):
    """Several at once; it returns after the last."""
    gate = Gate()
    finished = []

    def handler(request, client_address, server):
        gate(request, client_address, server)
        finished.append(client_address)

    server = make_server("ThreadingTCPServer", handler=handler)
    with connected(server) as first, connected(server) as second, connected(server) as third:
        clients = (first, second, third)
        for client in clients:
            hold_one(server, gate, client)
        closing, waiting = closing_waits(server)
        assert waiting
        gate.opened.set()
        closing.join()
        assert len(finished) == 3
        assert [read_to_end(client) for client in clients] == [b"out"] * 3


@pytest.mark.parametrize(
    "namespace", [{"daemon_threads": True}, {"block_on_close": False}], ids=str
)
def test_server_close_does_not_wait_for(blocked_request, namespace):
    """Daemonic threads are not in the list; without block_on_close there is no list."""
    server, gate = blocked_request(**namespace)
    with connected(server) as client:
        hold_one(server, gate, client)
        server.server_close()
        gate.opened.set()
        assert read_to_end(client) == b"out"


def test_block_on_close_cleared_after_the_request_still_waits(blocked_request):
    """server_close() asks the list, not the attribute."""
    server, gate = blocked_request()
    with connected(server) as client:
        hold_one(server, gate, client)
        server.block_on_close = False
        closing, waiting = closing_waits(server)
        assert waiting
        gate.opened.set()
        closing.join()


def test_block_on_close_set_after_the_request_does_not_wait(blocked_request):
    """The request was started without a list."""
    server, gate = blocked_request(block_on_close=False)
    with connected(server) as client:
        hold_one(server, gate, client)
        server.block_on_close = True
        server.server_close()
        gate.opened.set()
        assert read_to_end(client) == b"out"


def test_block_on_close_on_the_instance_is_used(blocked_request):
    """Read when the request is processed."""
    server, gate = blocked_request()
    server.block_on_close = False
    with connected(server) as client:
        hold_one(server, gate, client)
        server.server_close()
        gate.opened.set()
        assert read_to_end(client) == b"out"


def test_daemon_threads_set_after_the_request_still_waits(blocked_request):
    """The thread's own flag counts, from when it was started."""
    server, gate = blocked_request()
    with connected(server) as client:
        hold_one(server, gate, client)
        server.daemon_threads = True
        closing, waiting = closing_waits(server)
        assert waiting
        gate.opened.set()
        closing.join()


def test_daemon_threads_mixed_waits_for_the_other_ones_only(make_server):
    """One daemonic request, one that is not."""
    gates = {b"d": Gate(), b"n": Gate()}

    def handler(request, client_address, server):
        gates[request.recv(1)](request, client_address, server)

    server = make_server("ThreadingTCPServer", handler=handler)
    with connected(server, b"d") as daemonic, connected(server, b"n") as other:
        server.daemon_threads = True
        hold_one(server, gates[b"d"], daemonic)
        server.daemon_threads = False
        hold_one(server, gates[b"n"], other)
        closing, waiting = closing_waits(server)
        assert waiting
        gates[b"n"].opened.set()
        closing.join()
        gates[b"d"].opened.set()
        assert read_to_end(daemonic) == b"out"


def test_server_close_twice_with_threads_returns(blocked_request):
    """The list was emptied by the first."""
    server, gate = blocked_request()
    gate.opened.set()
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"inout"
    server.server_close()
    server.server_close()


def test_server_close_while_serving_waits_too(make_server):
    """The loop still runs; its shutdown() comes later."""
    gate = Gate()
    server = make_server("ThreadingTCPServer", handler=gate)
    with serving(server), connected(server) as client:
        wait_for(gate.entered)
        closing, waiting = closing_waits(server)
        assert waiting
        gate.opened.set()
        closing.join()
        assert read_to_end(client) == b"inout"


def test_server_close_on_exit_of_the_context_waits(blocked_request):
    """`with ThreadingTCPServer(...)`."""
    server, gate = blocked_request()
    finished = []
    with connected(server) as client:
        with server:
            hold_one(server, gate, client)
            opener = threading.Timer(0.05, lambda: (finished.append(1), gate.opened.set()))
            opener.start()
        assert finished
        assert read_to_end(client) == b"out"
    opener.join()


def test_server_close_in_a_handler_thread_raises_runtimeerror(make_server):
    """A thread cannot join itself: the error goes to handle_error."""
    import sys

    errors = []
    server = make_server(
        "ThreadingTCPServer",
        handler=lambda request, _, server: server.server_close(),
        handle_error=lambda self, *args: errors.append(sys.exc_info()[0]),
    )
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b""
    server.server_close()
    assert errors == [RuntimeError]


def test_threads_before_any_request_is_nothing_to_join(impl, make_server):
    """The class attribute is a _NoThreads."""
    server = make_server("ThreadingTCPServer")
    assert isinstance(server._threads, impl._NoThreads)
    assert "_threads" not in vars(server)
    assert server._threads.join() is None


def test_threads_after_a_request_is_a_list_of_the_instance(impl, make_server):
    """`vars(self).setdefault('_threads', _Threads())`."""
    server = make_server("ThreadingTCPServer")
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"
    assert isinstance(vars(server)["_threads"], list)
    assert isinstance(server._threads, impl._Threads)


def test_threads_without_block_on_close_stays_none(impl, make_server):
    """No list is made."""
    server = make_server("ThreadingTCPServer", block_on_close=False)
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"
    assert isinstance(server._threads, impl._NoThreads)


def test_threads_length_counts_requests_in_hand(make_server):
    """test_socketserver: len(server._threads)."""
    gate = Gate()
    server = make_server("ThreadingTCPServer", handler=gate)
    with connected(server) as first, connected(server) as second:
        hold_one(server, gate, first)
        assert len(server._threads) == 1
        hold_one(server, gate, second)
        assert len(server._threads) == 2
        gate.opened.set()
        assert read_to_end(first) == read_to_end(second) == b"out"


def test_threads_length_counts_no_daemonic_ones(make_server):
    """`if thread.daemon: return`."""
    gate = Gate()
    server = make_server("ThreadingTCPServer", handler=gate, daemon_threads=True)
    with connected(server) as client:
        hold_one(server, gate, client)
        assert len(server._threads) == 0
        gate.opened.set()
        assert read_to_end(client) == b"out"


def test_threads_finished_are_reaped_by_the_next(make_server):
    """test_socketserver, test_threads_reaped: bpo-37193."""
    server = make_server("ThreadingTCPServer")
    with serving(server):
        for _ in range(10):
            assert exchange(server) == b"ok"
    assert len(server._threads) < 10


def test_threads_listed_are_alive_and_can_be_joined(make_server):
    """Programs list them and join() each."""
    gate = Gate()
    server = make_server("ThreadingTCPServer", handler=gate)
    with connected(server) as client:
        hold_one(server, gate, client)
        (thread,) = list(server._threads)
        assert thread.is_alive()
        assert not thread.daemon
        thread.join(0.05)
        assert thread.is_alive()
        gate.opened.set()
        assert read_to_end(client) == b"out"
        thread.join(10)
        assert not thread.is_alive()


def test_threads_contain_the_handlers_own_thread(make_server):
    """The list holds the very threads that requests run in."""
    found = []

    def handler(request, client_address, server):
        found.append(threading.current_thread() in list(server._threads))

    server = make_server("ThreadingTCPServer", handler=handler)
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b""
    assert found == [True]


def test_threads_joined_by_hand_empties_the_list(make_server):
    """`_Threads.join()`: pop_all, then join each."""
    server = make_server("ThreadingTCPServer")
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"
    server._threads.join()
    assert len(server._threads) == 0
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"


@pytest.mark.parametrize("how", ["pop", "clear", "replace"])
def test_threads_emptied_through_vars_are_not_waited_for(impl, blocked_request, how):
    """Programs that do not want to wait take the list away."""
    server, gate = blocked_request()
    with connected(server) as client:
        hold_one(server, gate, client)
        if how == "pop":
            vars(server).pop("_threads")
        elif how == "clear":
            vars(server)["_threads"].clear()
        else:
            server._threads = impl._NoThreads()
        server.server_close()
        gate.opened.set()
        assert read_to_end(client) == b"out"


def test_threads_replaced_by_an_own_object_gets_append_and_join(make_server):
    """Duck-typed: `self._threads.append(t)`, `self._threads.join()`."""

    class Own:
        def __init__(self):
            self.appended, self.joined = [], 0

        def append(self, thread):
            self.appended.append(thread)

        def join(self):
            self.joined += 1

    server = make_server("ThreadingTCPServer")
    own = server._threads = Own()
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"
    server.server_close()
    assert len(own.appended) == own.joined == 1


def test_server_close_then_serving_another_socket_runs_requests_again(make_server):
    """Closing is not final: a new socket may be put in."""
    import socket

    server = make_server("ThreadingTCPServer")
    with serving(server):
        assert exchange(server) == b"ok"
    server.server_close()
    server.socket = socket.create_server(("127.0.0.1", 0))
    server.server_address = server.socket.getsockname()
    with serving(server):
        assert exchange(server) == b"ok"


def test_threads_class_reaps_joins_and_pops(impl):
    """_Threads on its own: public code and test suites use it."""
    threads = impl._Threads()
    release = threading.Event()
    living = threading.Thread(target=release.wait, args=(10,))
    living.start()
    threads.append(living)
    daemonic = threading.Thread(target=release.wait, args=(10,), daemon=True)
    daemonic.start()
    threads.append(daemonic)
    assert list(threads) == [living]
    threads.reap()
    assert list(threads) == [living]
    release.set()
    threads.join()
    daemonic.join(10)
    assert list(threads) == []
    threads.append(living)
    assert threads.pop_all() == [living]
    assert list(threads) == []


def test_nothreads_class_forgets_all(impl):
    """_NoThreads on its own."""
    nothing = impl._NoThreads()
    assert nothing.append(threading.current_thread()) is None
    assert nothing.join() is None


def test_server_close_lets_go_of_the_threads_without_a_collector(make_server):
    """CPython's suites (threading_cleanup) find threads that only a cycle keeps alive."""
    import gc
    import weakref

    references = []
    server = make_server(
        "ThreadingTCPServer",
        handler=lambda *_: references.append(weakref.ref(threading.current_thread())),
    )
    gc.collect()
    gc.disable()
    try:
        with serving(server):
            for _ in range(3):
                exchange(server)
        server.server_close()
        assert [reference() for reference in references] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.parametrize("base", ["ThreadingTCPServer", "ThreadingUDPServer"])
def test_server_close_just_after_the_last_request_returns(make_server, base):
    """No thread is missed between its request and its rest."""
    from support.clients import ask, datagram_client

    for _ in range(30):
        server = make_server(base)
        with serving(server, 0.001):
            if base == "ThreadingTCPServer":
                exchange(server)
            else:
                with datagram_client(server) as client:
                    ask(client, b"x")
        closing = Background(server.server_close)
        closing.join()
