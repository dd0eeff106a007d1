"""process_request and finish_request: replaced by pools, queues, TLS handshakes."""

from __future__ import annotations

import functools
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.clients import connected, exchange, read_to_end
from support.handlers import reply_ok
from support.serving import serving, wait_for


class Boom(Exception):
    """What a hook raises."""


def test_process_request_stock_finishes_then_shuts_down(impl, make_server):
    """BaseServer.process_request: the two calls, in this order."""
    log = []

    def finish_request(self, request, client_address):
        log.append(("finish_request", request, client_address))

    def shutdown_request(self, request):
        log.append(("shutdown_request", request))

    server = make_server(finish_request=finish_request, shutdown_request=shutdown_request)
    assert server.process_request("request", "address") is None
    assert log == [("finish_request", "request", "address"), ("shutdown_request", "request")]


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_process_request_overridden_with_an_own_thread_serves(impl, make_server, base):
    """A Thread per request by hand; ours is then not used."""
    names, threads = [], []

    def work(self, request, client_address):
        names.append(threading.current_thread().name)
        self.finish_request(request, client_address)
        self.shutdown_request(request)

    def process_request(self, request, client_address):
        thread = threading.Thread(target=work, args=(self, request, client_address), name="own")
        threads.append(thread)
        thread.start()

    server = make_server(base, process_request=process_request)
    with serving(server):
        assert exchange(server) == b"ok"
    threads[0].join(10)
    assert names == ["own"]


def test_process_request_overridden_with_an_executor_serves(make_server):
    """jsonrpclib: process_request_thread submitted to a pool."""
    with ThreadPoolExecutor(2) as pool:

        def process_request(self, request, client_address):
            pool.submit(self.process_request_thread, request, client_address)

        server = make_server("ThreadingTCPServer", process_request=process_request)
        with serving(server):
            assert [exchange(server) for _ in range(10)] == [b"ok"] * 10
    assert not list(vars(server).get("_threads", ()))


def test_process_request_overridden_with_a_queue_keeps_requests_open(make_server):
    """paste: queued without shutdown_request after it; the worker ends it."""
    waiting = queue.Queue()
    server = make_server(process_request=lambda self, *args: waiting.put(args))
    with serving(server), connected(server) as client:
        request, address = waiting.get(timeout=10)
        assert request.getpeername() == address == client.getsockname()
        server.finish_request(request, address)
        server.shutdown_request(request)
        assert read_to_end(client) == b"ok"


def test_process_request_overridden_calling_the_mixins_serves(impl, make_server):
    """pymodbus: `ThreadingTCPServer.process_request(self, ...)` explicitly."""
    calls = []

    def process_request(self, request, client_address):
        calls.append(client_address)
        impl.ThreadingTCPServer.process_request(self, request, client_address)

    server = make_server("ThreadingTCPServer", process_request=process_request)
    with serving(server):
        assert exchange(server) == b"ok"
    assert len(calls) == 1


@pytest.mark.parametrize("error", [Boom, OSError, ValueError])
def test_process_request_exception_goes_to_handle_error_then_shutdown(impl, make_server, error):
    """`except Exception: handle_error, shutdown_request`; the loop goes on."""
    log = []

    def process_request(self, request, client_address):
        log.append("process_request")
        raise error

    def handle_error(self, request, client_address):
        log.append(("handle_error", sys.exc_info()[0], request.fileno() != -1))

    def shutdown_request(self, request):
        log.append("shutdown_request")
        impl.TCPServer.shutdown_request(self, request)

    server = make_server(
        process_request=process_request,
        handle_error=handle_error,
        shutdown_request=shutdown_request,
    )
    with serving(server):
        assert exchange(server) == b""
        assert exchange(server) == b""
    assert log == ["process_request", ("handle_error", error, True), "shutdown_request"] * 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, BaseException])
def test_process_request_baseexception_shuts_down_and_leaves_the_loop(
    impl, make_server, enter_loop, error
):
    """`except: self.shutdown_request(request); raise`, without handle_error."""
    log = []

    def process_request(self, request, client_address):
        raise error

    def shutdown_request(self, request):
        log.append("shutdown_request")
        impl.TCPServer.shutdown_request(self, request)

    server = make_server(
        process_request=process_request,
        handle_error=lambda self, *args: log.append("handle_error"),
        shutdown_request=shutdown_request,
    )
    with connected(server) as client:
        with pytest.raises(error):
            enter_loop(server)
        assert read_to_end(client) == b""
    assert log == ["shutdown_request"]


def test_process_request_after_an_escaped_exception_the_server_serves_on(make_server):
    """A loop that was left can be entered again."""

    def handler(request, client_address, server):
        if request.recv(1) == b"x":
            raise SystemExit(1)
        request.sendall(b"ok")

    server = make_server(handler=handler)
    with connected(server, b"x"), pytest.raises(SystemExit):
        server.serve_forever(0.01)
    with serving(server):
        assert exchange(server, b"y") == b"ok"


def test_finish_request_calls_the_handler_with_three_positionals(impl, make_server):
    """`self.RequestHandlerClass(request, client_address, self)`; its result is ignored."""
    calls = []

    def handler(*args, **kwargs):
        calls.append((args, kwargs))
        return "ignored"

    server = make_server(handler=handler)
    assert server.finish_request("request", "address") is None
    assert calls == [(("request", "address", server), {})]


def test_finish_request_overridden_with_more_arguments_serves(make_server):
    """Extra arguments for the handler."""

    def handler(request, client_address, server, extra):
        request.sendall(extra)

    def finish_request(self, request, client_address):
        self.RequestHandlerClass(request, client_address, self, extra=b"extra")

    server = make_server(handler=handler, finish_request=finish_request)
    with serving(server):
        assert exchange(server) == b"extra"


def test_finish_request_overridden_passing_another_object_serves(make_server):
    """tlslite: the handler gets a TLSConnection, shutdown_request the socket."""
    closed = []

    class Wrapped:
        def __init__(self, sock):
            self.send = sock.sendall

    def finish_request(self, request, client_address):
        self.RequestHandlerClass(Wrapped(request), client_address, self)

    def close_request(self, request):
        closed.append(type(request).__name__)
        request.close()

    server = make_server(
        handler=lambda request, *_: request.send(b"wrapped"),
        finish_request=finish_request,
        close_request=close_request,
    )
    with serving(server):
        assert exchange(server) == b"wrapped"
    assert closed == ["socket"]


def test_finish_request_handling_its_own_error_and_shutdown_serves_on(make_server):
    """Radicale: handle_error and shutdown_request run twice; both tolerate it."""

    def finish_request(self, request, client_address):
        try:
            raise Boom
        except Boom:
            self.handle_error(request, client_address)
            self.shutdown_request(request)

    errors = []
    server = make_server(
        finish_request=finish_request, handle_error=lambda self, *args: errors.append(1)
    )
    with serving(server):
        assert exchange(server) == exchange(server) == b""
    assert errors == [1, 1]


class Handlers:
    """Things that stand for a handler class."""

    def method(self, request, client_address, server):
        request.sendall(b"ok")

    @staticmethod
    def static(request, client_address, server):
        request.sendall(b"ok")

    @classmethod
    def of_class(cls, request, client_address, server):
        request.sendall(b"ok")


def with_directory(request, client_address, server, directory):
    request.sendall(directory)


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
@pytest.mark.parametrize(
    "handler",
    [
        Handlers().method,
        Handlers.static,
        Handlers.of_class,
        functools.partial(with_directory, directory=b"ok"),
        reply_ok,
        lambda request, *_: request.sendall(b"ok"),
    ],
    ids=["bound method", "staticmethod", "classmethod", "partial", "function", "lambda"],
)
def test_handler_may_be_any_callable(make_server, base, handler):
    """dulwich's bound method, acme's and http.server's functools.partial."""
    server = make_server(base, handler=handler)
    assert server.RequestHandlerClass is handler
    with serving(server):
        assert exchange(server) == b"ok"


def test_handler_class_attribute_of_the_server_class_is_used(make_server):
    """`self.RequestHandlerClass` is looked up on the instance, then on the class."""
    server = make_server(RequestHandlerClass=staticmethod(reply_ok), handler=None)
    del server.RequestHandlerClass
    with serving(server):
        assert exchange(server) == b"ok"


def test_handler_stays_readable_by_others(make_server):
    """sshtunnel: `server.RequestHandlerClass.remote_address`."""

    class Handler:
        remote_address = ("host", 22)

        def __init__(self, request, client_address, server):
            request.sendall(repr(server.RequestHandlerClass.remote_address).encode())

    server = make_server(handler=Handler)
    with serving(server):
        assert exchange(server) == b"('host', 22)"


def test_hooks_run_in_the_documented_order_on_one_thread(impl, make_server):
    """The way of a request: get, verify, process, finish, shutdown, close."""
    log = []

    def logged(name):
        stock = getattr(impl.TCPServer, name)

        def hook(self, *args):
            log.append((name, threading.current_thread()))
            return stock(self, *args)

        return hook

    names = [
        "_handle_request_noblock",
        "get_request",
        "verify_request",
        "process_request",
        "finish_request",
        "shutdown_request",
        "close_request",
    ]
    done = threading.Event()
    server = make_server(
        **{name: logged(name) for name in names}, service_actions=lambda self: done.set()
    )
    with serving(server) as loop:
        assert exchange(server) == b"ok"
        wait_for(done)
    assert log == [(name, loop.thread) for name in names]
