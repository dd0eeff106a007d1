"""The deliberate deviations, each shown on the standard module and on ours.

What the README lists, and nothing else, may differ. Where the standard module would block
for ever, its wait is replaced by one that says so.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import select
import signal
import socket
import socketserver
import threading
import time
import xmlrpc.server

import pytest

from support.clients import (
    connect,
    connected,
    datagram_client,
    exchange,
    nudge,
    read_to_end,
)
from support.handlers import reply_ok
from support.idle import wait_until_asleep
from support.serving import Background, Loop, serving, wait_for
from support.waiting import wait_until

LOOPBACK = ("127.0.0.1", 0)
# Nobody waits for such a poll: whatever happens was not caused by it.
HOUR_S = 3600


@pytest.fixture
def std_server():
    """A server of the standard module, closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(base="TCPServer", handler=reply_ok, **namespace):
            server_class = type("Server", (getattr(socketserver, base),), namespace)
            return stack.enter_context(server_class(LOOPBACK, handler))

        yield make


@pytest.fixture
def fast_server(fast):
    """One of ours, closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(base="TCPServer", handler=reply_ok, **namespace):
            server_class = type("Server", (getattr(fast, base),), namespace)
            return stack.enter_context(server_class(LOOPBACK, handler))

        yield make


@pytest.fixture
def std_asleep(monkeypatch):
    """An event: the standard loop has looked at its flag and gone to sleep."""
    asleep = threading.Event()

    class Selector(socketserver._ServerSelector):
        def select(self, timeout=None):
            asleep.set()
            return super().select(timeout)

    monkeypatch.setattr(socketserver, "_ServerSelector", Selector)
    return asleep


# -- shutdown() is at once ---------------------------------------------------------------


def test_shutdown_std_waits_for_the_next_poll(std_server, std_asleep):
    """serve_forever looks at its flag when select() returns."""
    server = std_server()
    loop = Loop(server, HOUR_S)
    wait_for(std_asleep)
    stopping = Background(server.shutdown)
    stopping.thread.join(0.2)
    assert stopping.thread.is_alive()
    nudge(server)
    stopping.join()
    loop.join()


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "UDPServer"])
@pytest.mark.parametrize("poll_interval", [HOUR_S, None])
def test_shutdown_ours_is_at_once(fast_server, base, poll_interval):
    """It wakes the loop."""
    server = fast_server(base)
    for _ in range(20):
        loop = Loop(server, poll_interval)
        server.shutdown()
        loop.join()


def test_shutdown_ours_is_at_once_with_an_overridden_service_actions(fast_server):
    """Also where the loop ticks."""
    server = fast_server(service_actions=lambda self: None)
    for _ in range(20):
        loop = Loop(server, HOUR_S)
        server.shutdown()
        loop.join()


def test_shutdown_flag_std_is_seen_at_the_next_poll(std_server, std_asleep):
    """Setting `_BaseServer__shutdown_request` by hand wakes nobody."""
    server = std_server()
    loop = Loop(server, HOUR_S)
    wait_for(std_asleep)
    server._BaseServer__shutdown_request = True
    loop.thread.join(0.2)
    assert loop.thread.is_alive()
    nudge(server)
    loop.join()


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "UDPServer"])
def test_shutdown_flag_ours_wakes_the_loop(fast_server, base):
    """Public code sets it: as quick as shutdown()."""
    server = fast_server(base)
    for _ in range(20):
        loop = Loop(server, HOUR_S)
        server._BaseServer__shutdown_request = True
        loop.join()


def test_shutdown_flag_ours_set_by_a_signal_handler_wakes_the_loop(fast_server):
    """At any moment, the one between the last look and the wait included."""
    server = fast_server()

    def handler(*_):
        server._BaseServer__shutdown_request = True

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for round_number in range(300):
            signal.setitimer(signal.ITIMER_REAL, 0.00002 * (1 + round_number % 25))
            server.serve_forever(HOUR_S)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_shutdown_ours_called_by_a_signal_handler_returns(fast_server):
    """SIGTERM handlers that call shutdown() itself, on the serving thread."""
    server = fast_server()
    before = signal.signal(signal.SIGALRM, lambda *_: server.shutdown())
    try:
        for _ in range(20):
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            server.serve_forever(HOUR_S)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- shutdown() from the serving thread --------------------------------------------------


class WouldDeadlock(Exception):
    """The Event was waited for by the thread that alone could set it."""


class Refusing(threading.Event):
    """An Event that refuses to be waited for while it is clear."""

    def wait(self, timeout=None):
        if not self.is_set():
            raise WouldDeadlock
        return True


def shut_down(request, client_address, server):
    server.shutdown()
    request.sendall(b"returned")


def test_shutdown_from_a_handler_std_deadlocks(std_server):
    """`self.__is_shut_down.wait()` on the thread that sets it."""
    seen = []

    def handler(request, client_address, server):
        try:
            server.shutdown()
        except WouldDeadlock:
            seen.append("deadlock")

    server = std_server(handler=handler)
    server._BaseServer__is_shut_down = Refusing()
    with connected(server) as client:
        server.serve_forever(0.01)
        assert read_to_end(client) == b""
    assert seen == ["deadlock"]


def test_shutdown_from_a_handler_ours_requests_the_stop_and_returns(fast_server):
    """The handler goes on; the loop ends after it."""
    server = fast_server(handler=shut_down)
    with connected(server) as client:
        server.serve_forever(HOUR_S)
        assert read_to_end(client) == b"returned"
    assert server._BaseServer__is_shut_down.is_set()


@pytest.mark.parametrize("hook", ["verify_request", "service_actions", "close_request"])
def test_shutdown_from_a_hook_ours_requests_the_stop_and_returns(fast, fast_server, hook):
    """Anything that runs on the serving thread."""
    stock = getattr(fast.TCPServer, hook)

    def override(self, *args):
        self.shutdown()
        return stock(self, *args)

    server = fast_server(**{hook: override})
    with connected(server) as client:
        server.serve_forever(0.01)
        if hook != "service_actions":
            assert read_to_end(client) == b"ok"


# -- shutdown() before serve_forever() ---------------------------------------------------


def test_shutdown_before_serving_std_blocks_until_a_loop_has_ended(std_server):
    """The Event is clear from the beginning."""
    server = std_server()
    stopping = Background(server.shutdown)
    stopping.thread.join(0.2)
    assert stopping.thread.is_alive()
    wait_until(lambda: server._BaseServer__shutdown_request)
    server.serve_forever(0.01)
    stopping.join()


def test_shutdown_before_serving_ours_latches(fast_server):
    """It returns; the next serve_forever() returns at once, the one after it serves."""
    server = fast_server()
    server.shutdown()
    server.shutdown()
    with connected(server) as client:
        server.serve_forever(HOUR_S)
        loop = Loop(server, HOUR_S)
        assert read_to_end(client) == b"ok"
    server.shutdown()
    loop.join()


# -- the same for classes whose constructor calls the standard one by name ---------------


@pytest.fixture
def xmlrpc_server(fast):
    """SimpleXMLRPCServer calls `socketserver.TCPServer.__init__(self, ...)`."""

    class Server(xmlrpc.server.SimpleXMLRPCServer, fast.ThreadingTCPServer):
        pass

    with Server(LOOPBACK, logRequests=False) as server:
        yield server


def test_shutdown_before_serving_ours_latches_for_xml_rpc(xmlrpc_server):
    """It returns; the next serve_forever() returns at once."""
    Background(xmlrpc_server.shutdown).join()
    xmlrpc_server.serve_forever(HOUR_S)


def test_shutdown_on_the_serving_thread_ours_returns_for_xml_rpc(xmlrpc_server):
    """And the loop ends."""
    stock = xmlrpc_server.verify_request

    def verify_request(request, client_address):
        xmlrpc_server.shutdown()
        return stock(request, client_address)

    xmlrpc_server.verify_request = verify_request
    with connected(xmlrpc_server):
        Background(xmlrpc_server.serve_forever, HOUR_S).join()


def test_shutdown_ours_is_at_once_for_xml_rpc(xmlrpc_server):
    """It wakes the loop, and has waited for its end."""
    for _ in range(20):
        loop = Loop(xmlrpc_server, HOUR_S)
        nudge(xmlrpc_server)
        xmlrpc_server.shutdown()
        loop.join()
        xmlrpc_server._BaseServer__shutdown_request = False  # it may have come too early


def test_shutdown_on_the_serving_thread_ours_returns_where_serve_forever_is_extended(
    fast, fast_server
):
    """An override that calls ours is no loop of its own."""

    def serve_forever(self, poll_interval=0.5):
        fast.TCPServer.serve_forever(self, poll_interval)

    server = fast_server(handler=shut_down, serve_forever=serve_forever)
    with connected(server) as client:
        Background(server.serve_forever, HOUR_S).join()
        assert read_to_end(client) == b"returned"


# -- service_actions() after each wake-up ------------------------------------------------


def record_turns(server, clients):
    """Serve the waiting clients; the order of requests ("r") and actions ("a")."""
    log = []

    def handler(request, client_address, server):
        log.append("r")

    def service_actions(self):
        log.append("a")
        if log.count("r") == clients:
            self._BaseServer__shutdown_request = True

    type(server).service_actions = service_actions
    server.RequestHandlerClass = handler
    with contextlib.ExitStack() as stack:
        for _ in range(clients):
            stack.enter_context(connect(server))
        server.serve_forever(0.01)
    return "".join(log)


def test_service_actions_std_is_called_after_each_request(std_server):
    """One request per turn of the loop."""
    assert record_turns(std_server(), 5) == "ra" * 5


def test_service_actions_ours_is_called_after_each_batch(fast_server):
    """All that were waiting at this wake-up."""
    assert record_turns(fast_server(), 5) == "rrrrra"


def test_service_actions_ours_has_its_turn_after_64_requests(fast_server):
    """However many are waiting."""
    assert record_turns(fast_server(), 150) == "r" * 64 + "a" + "r" * 64 + "a" + "r" * 22 + "a"


def test_service_actions_std_stock_is_called_on_a_timer(std_server):
    """A method patched in is called without any wake-up."""
    called = threading.Event()
    server = std_server()
    with serving(server):
        exchange(server)
        type(server).service_actions = lambda self: called.set()
        wait_for(called)


def test_service_actions_ours_stock_is_not_called_on_a_timer(fast_server):
    """The loop sleeps; a method patched in counts from the next wake-up."""
    called = threading.Event()
    server = fast_server()
    with serving(server) as loop:
        exchange(server)
        wait_until_asleep(loop.thread)
        type(server).service_actions = lambda self: called.set()
        assert not called.wait(0.2)
        exchange(server)
        wait_for(called)


# -- TCP_NODELAY -------------------------------------------------------------------------


def nodelay(server):
    """Whether a request had TCP_NODELAY when its handler was called."""
    seen = []
    handler_class = server.RequestHandlerClass

    def finish_request(request, client_address):
        option = request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        seen.append(bool(option))
        handler_class(request, client_address, server)

    server.finish_request = finish_request
    with connected(server) as client:
        server.handle_request()
        read_to_end(client)
    with serving(server):
        exchange(server)
    assert seen[0] == seen[1]
    return seen[0]


def test_nodelay_std_is_off(std_server):
    """Nagle's algorithm is on, as the system has it."""
    assert nodelay(std_server()) is False


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_nodelay_ours_is_on(fast_server, base):
    """As asyncio and Go have it."""
    assert nodelay(fast_server(base)) is True


def test_nodelay_ours_is_on_with_an_overridden_get_request(fast, fast_server):
    """`super().get_request()` does it."""
    server = fast_server(get_request=lambda self: fast.TCPServer.get_request(self))
    assert nodelay(server) is True


@pytest.mark.parametrize("module", ["fast", "std"])
@pytest.mark.parametrize(
    ("says", "expected"), [({}, True), ({"disable_nagle_algorithm": True}, True),
                           ({"disable_nagle_algorithm": False}, False)],
)  # fmt: skip
def test_nodelay_ours_follows_what_the_handler_class_says(
    fast, fast_server, module, says, expected
):
    """Off only if the class itself says so; the stock attribute is no statement."""
    base = (fast if module == "fast" else socketserver).StreamRequestHandler
    handler = type("Handler", (base,), says)
    assert nodelay(fast_server(handler=handler)) is expected


def test_nodelay_ours_follows_what_a_base_of_the_handler_says(fast, fast_server):
    """Inherited from a class of the program."""
    base = type("Base", (fast.StreamRequestHandler,), {"disable_nagle_algorithm": False})
    assert nodelay(fast_server(handler=type("Handler", (base,), {}))) is False


def test_nodelay_ours_follows_what_the_handler_class_says_by_now(fast, fast_server):
    """Said of the class while it is served."""

    class Handler(fast.StreamRequestHandler):
        def handle(self):
            option = self.request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            self.wfile.write(b"%d" % bool(option))

    server = fast_server(handler=Handler)
    with serving(server):
        assert exchange(server) == b"1"
        Handler.disable_nagle_algorithm = False
        assert exchange(server) == b"0"


def test_nodelay_ours_is_on_where_the_listener_names_its_protocol(fast_server):
    """`socket.socket(proto=socket.IPPROTO_TCP)`."""
    server = fast_server()
    server.socket.close()
    server.socket = socket.socket(proto=socket.IPPROTO_TCP)
    server.socket.bind(LOOPBACK)
    server.server_activate()
    server.server_address = server.socket.getsockname()
    assert nodelay(server) is True


def test_nodelay_ours_leaves_unix_sockets_alone(fast, short_directory):
    """There is no such option; nothing fails."""
    with fast.UnixStreamServer(str(short_directory / "s"), reply_ok) as server, serving(server):
        assert exchange(server) == b"ok"


# -- request_queue_size ------------------------------------------------------------------


def test_request_queue_size_std_is_five():
    """The backlog of 1995."""
    assert socketserver.TCPServer.request_queue_size == 5


def test_request_queue_size_ours_is_what_the_system_allows(fast):
    """SOMAXCONN, for all classes."""
    for name in ("TCPServer", "ThreadingTCPServer", "UnixStreamServer", "ForkingTCPServer"):
        assert getattr(fast, name).request_queue_size == socket.SOMAXCONN


def test_request_queue_size_ours_takes_400_connections_at_once(fast_server):
    """Before anybody accepts: with a backlog of five they would time out."""
    server = fast_server("ThreadingTCPServer")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(400)]
        stack.enter_context(serving(server))
        assert [read_to_end(client) for client in clients] == [b"ok"] * 400


# -- idle workers are reused -------------------------------------------------------------


def threads_of_requests(server, count=60):
    """The thread of each request, one after the other, and what thread-locals they found."""
    local = threading.local()
    threads, found = [], []

    def handler(*_):
        threads.append(threading.current_thread())
        found.append(getattr(local, "value", None))
        local.value = "set"

    server.RequestHandlerClass = handler
    with serving(server):
        for _ in range(count):
            exchange(server)
    server.server_close()
    return threads, found


def test_threads_std_are_new_for_each_request(std_server):
    """`threading.Thread(...).start()`."""
    threads, found = threads_of_requests(std_server("ThreadingTCPServer"))
    assert len(set(threads)) == len(threads)
    assert set(found) == {None}


def test_threads_ours_are_reused(fast_server):
    """An idle worker takes the next request: thread-locals persist, the objects do not."""
    threads, found = threads_of_requests(fast_server("ThreadingTCPServer"))
    assert len(set(threads)) == len(threads)
    assert "set" in found


def test_threads_ours_are_new_with_an_idle_timeout_of_zero(fast, fast_server):
    """`Limits(thread_idle_timeout=0)`."""
    limits = fast.Limits(thread_idle_timeout=0)
    threads, found = threads_of_requests(fast_server("ThreadingTCPServer", limits=limits))
    assert len(set(threads)) == len(threads)
    assert set(found) == {None}


def test_threads_ours_end_by_themselves_when_idle(fast, fast_server):
    """After the idle timeout, while the server goes on serving."""
    threads = []
    server = fast_server(
        "ThreadingTCPServer",
        handler=lambda *_: threads.append(threading.current_thread()),
        limits=fast.Limits(thread_idle_timeout=0.05),
    )
    with serving(server):
        exchange(server)
        wait_until(lambda: not threads[0].is_alive())
        exchange(server)


def test_threads_ours_keep_no_context_of_the_last_request(fast_server):
    """Reused threads, fresh contexts."""
    import contextvars

    variable = contextvars.ContextVar("variable", default="fresh")
    seen = []

    def handler(*_):
        seen.append(variable.get())
        variable.set("stale")

    server = fast_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        for _ in range(60):
            exchange(server)
    assert set(seen) == {"fresh"}


# -- exhaustion --------------------------------------------------------------------------


@contextlib.contextmanager
def no_descriptor_left():
    """Every descriptor that the limit allows is in use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
    held = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_exhaustion_std_asks_over_and_over(std_server):
    """The listener stays readable, accept() fails: 100 % CPU."""
    turns = []
    server = std_server(service_actions=lambda self: turns.append(1))
    with serving(server, 1) as loop, socket.socket() as waiting:
        assert exchange(server) == b"ok"
        wait_until_asleep(loop.thread)  # it has closed its end
        with no_descriptor_left():
            waiting.connect(server.server_address)
            turns.clear()
            wait_until(lambda: len(turns) > 300)


def test_exhaustion_ours_backs_off_and_recovers(fast_server, caplog):
    """Few turns and one log record per second at most; then the client is served."""
    turns = []
    server = fast_server(service_actions=lambda self: turns.append(1))
    with serving(server, None) as loop, socket.socket() as waiting:
        assert exchange(server) == b"ok"
        wait_until_asleep(loop.thread)  # it has closed its end
        waiting.settimeout(10)
        start = time.monotonic()
        with caplog.at_level(logging.DEBUG, "fastsocketserver"), no_descriptor_left():
            waiting.connect(server.server_address)
            turns.clear()
            time.sleep(0.4)  # a longer sleep on a busy machine makes for as few turns
            count = len(turns)
        elapsed = time.monotonic() - start
        assert read_to_end(waiting) == b"ok"
    assert count <= 20 + elapsed
    assert 1 <= len(caplog.records) <= 2 + elapsed
    assert {record.name for record in caplog.records} == {"fastsocketserver"}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_exhaustion_reported_by_an_overridden_get_request_ours_backs_off(
    fast, fast_server, caplog, number
):
    """The same errno out of an override, which calls the stock one."""
    calls = []

    def get_request(self):
        calls.append(1)
        if len(calls) < 4:
            raise OSError(number, os.strerror(number))
        return fast.TCPServer.get_request(self)

    server = fast_server(get_request=get_request)
    with caplog.at_level(logging.DEBUG, "fastsocketserver"), serving(server):
        assert exchange(server) == b"ok"
    assert len(calls) == 4
    assert caplog.records


# -- reaping -----------------------------------------------------------------------------


def reap_above_the_maximum(server):
    """collect_children() at the maximum, while a foreign child exits first."""
    ours_reader, ours_writer = os.pipe()
    foreign = os.fork()
    if foreign == 0:
        os._exit(5)
    own = os.fork()
    if own == 0:
        os.close(ours_writer)
        os.read(ours_reader, 1)
        os._exit(0)
    os.close(ours_reader)
    os.waitid(os.P_PID, foreign, os.WEXITED | os.WNOWAIT)
    server.max_children = 1
    server.active_children = {own}
    collecting = Background(server.collect_children)
    collecting.thread.join(0.1)
    os.close(ours_writer)
    collecting.join()
    try:
        _, status = os.waitpid(foreign, 0)
    except ChildProcessError:
        return "stolen"
    return os.waitstatus_to_exitcode(status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_reaping_std_takes_the_status_of_a_foreign_child(std_server):
    """`os.waitpid(-1, 0)` above max_children."""
    assert reap_above_the_maximum(std_server("ForkingTCPServer")) == "stolen"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_reaping_ours_leaves_a_foreign_child_alone(fast_server):
    """Only pids of active_children are ever waited for."""
    assert reap_above_the_maximum(fast_server("ForkingTCPServer")) == 5


# -- datagrams are taken in batches ------------------------------------------------------


def stopped_after_one_of_five(make):
    """A UDP server that served the first of five datagrams, and its log."""
    log = []

    def handler(request, client_address, server):
        log.append(request[0])
        server._BaseServer__shutdown_request = True

    server = make("UDPServer", handler=handler)
    with datagram_client(server) as client:
        for number in range(5):
            client.send(b"%d" % number)
    server.serve_forever(0.01)
    assert log == [b"0"]
    return server, log


def test_datagrams_after_a_stop_std_are_still_in_the_kernel(std_server):
    """select() sees them."""
    server, log = stopped_after_one_of_five(std_server)
    while select.select([server], [], [], 0.05)[0]:
        server.handle_request()
    assert log == [b"%d" % number for number in range(5)]


def test_datagrams_after_a_stop_ours_are_handed_out_by_handle_request(fast_server):
    """select() does not see them; none is lost, and what comes later waits behind them."""
    server, log = stopped_after_one_of_five(fast_server)
    assert select.select([server], [], [], 0.05)[0] == []
    with datagram_client(server) as client:
        client.send(b"5")
    for _ in range(5):
        server.handle_request()
    assert log == [b"%d" % number for number in range(6)]


def first_two_as_seen_by_a_handler_that_reads(make):
    """What the handler of the first of two datagrams receives from the socket itself."""
    received = []

    def handler(request, client_address, server):
        server._BaseServer__shutdown_request = True
        try:
            received.append(request[1].recvfrom(100)[0])
        except BlockingIOError:
            received.append(None)

    server = make("UDPServer", handler=handler)
    server.socket.setblocking(False)
    with datagram_client(server) as client:
        client.send(b"first")
        client.send(b"second")
    server.serve_forever(0.01)
    return received


def test_datagram_that_waits_std_is_there_for_a_handler_that_reads(std_server):
    """One recvfrom for each request."""
    assert first_two_as_seen_by_a_handler_that_reads(std_server) == [b"second"]


def test_datagram_that_waits_ours_is_taken_already(fast_server):
    """It becomes a request of its own."""
    assert first_two_as_seen_by_a_handler_that_reads(fast_server) == [None]


# -- a closed listener -------------------------------------------------------------------


def test_closing_the_listener_ends_our_loop(fast_server):
    """The standard loop would poll a descriptor that may be somebody else's by now."""
    server = fast_server()
    loop = Loop(server, HOUR_S)
    exchange(server)
    server.server_close()
    loop.join()
    assert server._BaseServer__is_shut_down.is_set()


def test_closing_the_listener_in_a_handler_ends_our_loop(fast_server):
    """On the serving thread itself."""

    def handler(request, client_address, server):
        server.server_close()
        request.sendall(b"closed")

    server = fast_server(handler=handler)
    with connected(server) as client:
        server.serve_forever(HOUR_S)
        assert read_to_end(client) == b"closed"


# -- a lost race for a connection --------------------------------------------------------


def test_listener_shared_by_two_of_our_loops_blocks_neither(fast_server):
    """The loser of a race for a connection would wait in accept() on the standard module."""
    server, other = fast_server(), fast_server()
    other.socket.close()
    other.socket = server.socket.dup()
    with serving(server), serving(other):
        assert [exchange(server) for _ in range(30)] == [b"ok"] * 30
    assert os.get_blocking(server.fileno())


# -- the listener is non-blocking while it is served -----------------------------------------


def test_accept_std_by_a_handler_waits_for_a_further_connection(std_server):
    """The listener is a blocking socket."""

    def handler(request, client_address, server):
        other, _ = server.socket.accept()
        with other:
            other.sendall(b"further")
        request.sendall(b"first")

    server = std_server(handler=handler)
    with serving(server), connect(server) as first, connect(server) as further:
        assert read_to_end(further) == b"further"
        assert read_to_end(first) == b"first"


def test_accept_ours_by_a_handler_does_not_wait(fast_server):
    """get_request() would."""
    raised = []

    def handler(request, client_address, server):
        try:
            server.socket.accept()
        except OSError as error:
            raised.append(type(error))
        request.sendall(b"ok")

    server = fast_server(handler=handler)
    with serving(server):
        assert exchange(server) == b"ok"
    assert raised == [BlockingIOError]


# -- the selector's class is not ours ----------------------------------------------------------


@pytest.fixture
def selectors_made(monkeypatch):
    """How many were made since `socketserver._ServerSelector` was replaced."""
    made = []

    class Selector(socketserver._ServerSelector):
        def __init__(self):
            made.append(1)
            super().__init__()

    monkeypatch.setattr(socketserver, "_ServerSelector", Selector)
    return made


def test_selector_std_replaced_is_used(std_server, selectors_made):
    server = std_server()
    with serving(server):
        assert exchange(server) == b"ok"
    assert selectors_made


def test_selector_ours_replaced_has_no_effect(fast_server, selectors_made):
    server = fast_server()
    with serving(server):
        assert exchange(server) == b"ok"
    assert not selectors_made


# -- a listener closed under the loop --------------------------------------------------------


def test_listener_ours_closed_and_made_anew_is_found(fast_server):
    """The standard loop spins meanwhile; ours looks each half second once it has noticed."""
    server = fast_server()
    with serving(server, HOUR_S) as loop:
        assert exchange(server) == b"ok"
        address = server.server_address
        server.socket.close()
        with contextlib.suppress(OSError):  # who is told that there is nobody
            socket.create_connection(address, 10).close()
        server.socket = socket.create_server(LOOPBACK)
        server.server_address = server.socket.getsockname()
        assert exchange(server) == b"ok"
        assert loop.thread.is_alive()
