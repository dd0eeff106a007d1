"""ThreadingMixIn: each request in a thread, none of which holds up another."""

from __future__ import annotations

import contextvars
import os
import threading

import pytest

from support.clients import connect, connected, exchange, read_exactly, read_to_end
from support.handlers import Gate
from support.serving import Background, serving, wait_for

BASES = ["ThreadingTCPServer", "ThreadingUnixStreamServer"]


def reply_thread_daemon(request, client_address, server):
    request.sendall(str(threading.current_thread().daemon).encode())


@pytest.mark.parametrize("base", BASES)
def test_requests_run_beside_each_other(make_server, base):
    """Ten handlers are inside at once, and so is none of them the serving thread."""
    together = threading.Barrier(10, timeout=10)

    def handler(request, client_address, server):
        together.wait()
        request.sendall(b"together")

    server = make_server(base, handler=handler, request_queue_size=64)
    with serving(server):
        clients = [Background(exchange, server) for _ in range(10)]
        assert [client.join() for client in clients] == [b"together"] * 10


def test_handler_blocking_for_ever_holds_up_nobody(make_server):
    """One connection that never ends, and many that do."""
    gate = Gate()

    def handler(request, client_address, server):
        if request.recv(1) == b"b":
            gate(request, client_address, server)
        request.sendall(b"ok")

    server = make_server("ThreadingTCPServer", handler=handler, request_queue_size=64)
    with serving(server):
        blocked = [connect(server) for _ in range(10)]
        for client in blocked:
            client.sendall(b"b")
            assert read_exactly(client, 2) == b"in"
        assert [exchange(server, b"x") for _ in range(20)] == [b"ok"] * 20
        gate.opened.set()
        for client in blocked:
            with client:
                assert read_to_end(client) == b"outok"


def test_silent_client_holds_up_nobody(make_server):
    """It connects and never sends: its handler waits, others are served."""
    server = make_server("ThreadingTCPServer", handler=lambda request, *_: request.recv(1))
    with serving(server), connect(server) as silent:
        assert exchange(server) == b""
        silent.sendall(b"x")
        assert read_to_end(silent) == b""


def test_thread_of_simultaneous_requests_has_a_name_of_its_own(make_server):
    """impacket: `current_thread().name` as the connection id."""
    together = threading.Barrier(5, timeout=10)
    names = []

    def handler(*_):
        names.append(threading.current_thread().name)
        together.wait()

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        clients = [Background(exchange, server) for _ in range(5)]
        for client in clients:
            client.join()
    assert len(set(names)) == 5


def test_thread_is_listed_by_threading_enumerate(make_server):
    """A real threading.Thread, seen by debuggers and by shutdown code."""
    seen = []

    def handler(*_):
        thread = threading.current_thread()
        seen.append((isinstance(thread, threading.Thread), thread in threading.enumerate()))

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        exchange(server)
    assert seen == [(True, True)]


@pytest.mark.parametrize("daemon", [True, False])
def test_daemon_threads_on_the_class_is_the_threads_flag(make_server, daemon):
    """`t.daemon = self.daemon_threads`, whatever the serving thread is."""
    server = make_server(
        "ThreadingTCPServer", handler=reply_thread_daemon, daemon_threads=daemon
    )
    with serving(server):
        assert exchange(server) == str(daemon).encode()


def test_daemon_threads_default_is_false_in_a_daemonic_loop(make_server):
    """The flag is not inherited from the serving thread."""
    server = make_server("ThreadingTCPServer", handler=reply_thread_daemon)
    with serving(server) as loop:
        assert loop.thread.daemon
        assert exchange(server) == b"False"


def test_daemon_threads_changed_while_serving_is_used_for_the_next(make_server):
    """Read at each request."""
    server = make_server("ThreadingTCPServer", handler=reply_thread_daemon)
    with serving(server):
        for daemon in (True, False, False, True, True, False):
            server.daemon_threads = daemon
            assert exchange(server) == str(daemon).encode()


def test_context_is_fresh_in_each_request(make_server):
    """A new thread begins with an empty context."""
    variable = contextvars.ContextVar("variable", default="fresh")

    def handler(request, client_address, server):
        request.sendall(variable.get().encode())
        variable.set("stale")

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        assert [exchange(server) for _ in range(10)] == [b"fresh"] * 10


def test_context_set_by_the_serving_thread_is_not_seen(impl, make_server):
    """Not even what process_request set just before (Python before 3.14)."""
    variable = contextvars.ContextVar("variable", default="fresh")

    def process_request(self, request, client_address):
        variable.set("serving")
        impl.ThreadingTCPServer.process_request(self, request, client_address)

    server = make_server(
        "ThreadingTCPServer",
        handler=lambda request, *_: request.sendall(variable.get().encode()),
        process_request=process_request,
    )
    with serving(server):
        assert exchange(server) == b"fresh"


def test_context_spans_the_whole_request(make_server):
    """Set in the handler, seen in shutdown_request of the same request."""
    variable = contextvars.ContextVar("variable", default="fresh")
    seen = []

    def close_request(self, request):
        seen.append(variable.get())
        request.close()

    server = make_server(
        "ThreadingTCPServer",
        handler=lambda *_: variable.set("request"),
        close_request=close_request,
    )
    with serving(server):
        exchange(server)
    server.server_close()
    assert seen == ["request"]


def test_thread_hooks_run_in_the_requests_own_thread(impl, make_server):
    """Django: thread-locals set in process_request_thread, cleared in close_request."""
    threads = []

    def logged(name):
        stock = getattr(impl.ThreadingTCPServer, name)

        def hook(self, *args):
            threads.append(threading.current_thread())
            return stock(self, *args)

        return hook

    names = ["process_request_thread", "finish_request", "shutdown_request", "close_request"]
    server = make_server("ThreadingTCPServer", **{name: logged(name) for name in names})
    with serving(server) as loop:
        exchange(server)
    server.server_close()
    assert len(threads) == 4
    assert len(set(threads)) == 1
    assert threads[0] is not loop.thread


def test_process_request_thread_overridden_is_the_threads_target(impl, make_server):
    """Found on self (Django, pynetdicom)."""

    def process_request_thread(self, request, client_address):
        request.sendall(b"own ")
        impl.ThreadingTCPServer.process_request_thread(self, request, client_address)

    server = make_server("ThreadingTCPServer", process_request_thread=process_request_thread)
    with serving(server):
        assert exchange(server) == b"own ok"


def test_process_request_thread_with_another_signature_is_used_on_its_own(make_server):
    """breezy: more parameters, called by its own process_request."""

    def process_request_thread(self, started, detached, request, client_address):
        started.set()
        self.finish_request(request, client_address)
        self.shutdown_request(request)

    def process_request(self, request, client_address):
        started = threading.Event()
        thread = threading.Thread(
            target=self.process_request_thread, args=(started, None, request, client_address)
        )
        thread.start()
        threads.append(thread)
        wait_for(started)

    threads = []
    server = make_server(
        "ThreadingTCPServer",
        process_request=process_request,
        process_request_thread=process_request_thread,
    )
    with serving(server):
        assert exchange(server) == b"ok"
    threads[0].join(10)


def test_process_request_thread_called_by_hand_serves_here(make_server):
    """It is an ordinary method: usable in any pool."""
    server = make_server("ThreadingTCPServer")
    with connected(server) as client:
        request, address = server.get_request()
        assert server.process_request_thread(request, address) is None
        assert read_to_end(client) == b"ok"
        assert request.fileno() == -1


def test_semaphore_taken_by_process_request_and_released_by_the_thread(impl, make_server):
    """Bounded servers: acquire in the one, release in the other."""
    slots = threading.BoundedSemaphore(2)

    def process_request(self, request, client_address):
        slots.acquire()
        impl.ThreadingTCPServer.process_request(self, request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            impl.ThreadingTCPServer.process_request_thread(self, request, client_address)
        finally:
            slots.release()

    server = make_server(
        "ThreadingTCPServer",
        process_request=process_request,
        process_request_thread=process_request_thread,
        request_queue_size=64,
    )
    with serving(server):
        clients = [Background(exchange, server) for _ in range(10)]
        assert [client.join() for client in clients] == [b"ok"] * 10


def test_finish_request_exception_reaches_handle_error_and_closes(make_server):
    """process_request_thread: Exception -> handle_error; shutdown_request in any case."""
    seen = []

    def handler(*_):
        raise ValueError

    server = make_server(
        "ThreadingTCPServer",
        handler=handler,
        handle_error=lambda self, request, address: seen.append(request.fileno() != -1),
    )
    with serving(server):
        assert exchange(server) == b""
    assert seen == [True]


@pytest.fixture
def uncaught(monkeypatch):
    """What reached threading.excepthook: pairs of exception class and thread."""
    seen = []
    monkeypatch.setattr(
        threading, "excepthook", lambda args: seen.append((args.exc_type, args.thread))
    )
    return seen


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, BaseException])
def test_baseexception_in_a_handler_closes_and_reaches_excepthook(make_server, uncaught, error):
    """`finally: self.shutdown_request(request)`, then the end of the thread."""
    threads = []

    def handler(*_):
        threads.append(threading.current_thread())
        raise error

    server = make_server(
        "ThreadingTCPServer", handler=handler, handle_error=lambda *_: pytest.fail("called")
    )
    with serving(server):
        assert exchange(server) == b""
    server.server_close()
    assert uncaught == [(error, threads[0])]


def test_baseexception_in_a_handler_leaves_the_server_serving(make_server, uncaught):
    """Thirty of them, and still each request is served."""

    def handler(request, client_address, server):
        if request.recv(1) == b"x":
            raise SystemExit
        request.sendall(b"ok")

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        for _ in range(30):
            assert exchange(server, b"x") == b""
            assert exchange(server, b"y") == b"ok"
    server.server_close()
    assert len(uncaught) == 30


def test_handle_error_raising_in_a_thread_closes_and_reaches_excepthook(make_server, uncaught):
    """A bare `raise` ends the thread, after shutdown_request; the loop does not notice."""

    def handler(*_):
        raise ValueError

    def handle_error(self, request, client_address):
        raise

    server = make_server("ThreadingTCPServer", handler=handler, handle_error=handle_error)
    with serving(server):
        assert exchange(server) == exchange(server) == b""
    server.server_close()
    assert [kind for kind, _ in uncaught] == [ValueError, ValueError]


def test_process_request_thread_raising_reaches_excepthook(make_server, uncaught):
    """An override without any protection."""

    def process_request_thread(self, request, client_address):
        request.close()
        raise RuntimeError

    server = make_server("ThreadingTCPServer", process_request_thread=process_request_thread)
    with serving(server):
        assert exchange(server) == b""
        assert exchange(server) == b""
    server.server_close()
    assert [kind for kind, _ in uncaught] == [RuntimeError, RuntimeError]


def test_thread_that_cannot_start_goes_to_handle_error_and_serving_goes_on(make_server):
    """`t.start()` raises RuntimeError in process_request: handle_error, shutdown_request."""
    import sys

    errors = []
    server = make_server(
        "ThreadingTCPServer",
        handle_error=lambda self, *args: errors.append(sys.exc_info()[0]),
        daemon_threads=True,  # the standard list would hold a thread that never started
    )
    before = threading.stack_size()
    with serving(server):
        threading.stack_size(1 << 46)  # more than any address space gives
        try:
            assert exchange(server) == b""
        finally:
            threading.stack_size(before)
        assert exchange(server) == b"ok"
    assert errors == [RuntimeError]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork_in_a_handler_leaves_the_parent_serving(make_server):
    """Observed: os.fork() in a handler, the child ending by os._exit."""

    def handler(request, client_address, server):
        pid = os.fork()
        if pid == 0:
            request.sendall(b"child")
            os._exit(7)
        _, status = os.waitpid(pid, 0)
        request.sendall(b" parent %d" % os.waitstatus_to_exitcode(status))

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        for _ in range(3):
            assert exchange(server) == b"child parent 7"


def test_handle_error_default_of_thread_prints_on_stderr(make_server, capsys):
    """The stock text, from the request's thread."""

    def handler(*_):
        raise ValueError("in a thread")

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        exchange(server)
    server.server_close()
    assert "ValueError: in a thread" in capsys.readouterr().err


def test_requests_are_released_when_done(make_server):
    """No worker keeps the last request, handler or exception alive."""
    import gc
    import weakref

    from support.waiting import wait_until

    references = []

    class Handler:
        def __init__(self, request, client_address, server):
            references.append(weakref.ref(self))
            references.append(weakref.ref(request))

    server = make_server("ThreadingTCPServer", handler=Handler)
    with serving(server):
        exchange(server)
        wait_until(lambda: gc.collect() >= 0 and not any(ref() for ref in references))
