"""BaseRequestHandler: the whole conversation happens inside its constructor."""

from __future__ import annotations

import pytest

from support.clients import connected, exchange, read_to_end
from support.serving import serving


class Boom(Exception):
    """What a method raises."""


@pytest.fixture
def logging_handler(impl):
    """A handler class that logs its three methods; one of them may raise."""

    def make(failing=(), error=Boom):
        class Handler(impl.BaseRequestHandler):
            log = []  # noqa: RUF012

            def step(self, name):
                self.log.append(name)
                if name in failing:
                    raise error(name)

            def setup(self):
                self.step("setup")

            def handle(self):
                self.step("handle")

            def finish(self):
                self.step("finish")

        return Handler

    return make


def test_init_calls_setup_handle_finish(logging_handler):
    """In this order, from the constructor."""
    handler = logging_handler()
    handler("request", "address", "server")
    assert handler.log == ["setup", "handle", "finish"]


def test_init_sets_the_three_attributes_before_setup(impl):
    """request, client_address, server."""
    seen = []

    class Handler(impl.BaseRequestHandler):
        def setup(self):
            seen.append((self.request, self.client_address, self.server))

    Handler("request", "address", "server")
    Handler(request="r", client_address="a", server="s")
    assert seen == [("request", "address", "server"), ("r", "a", "s")]


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        ("setup", ["setup"]),
        ("handle", ["setup", "handle", "finish"]),
        ("finish", ["setup", "handle", "finish"]),
    ],
)
@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt])
def test_init_method_raising_comes_through(logging_handler, failing, expected, error):
    """finish runs also when handle raises, not when setup does."""
    handler = logging_handler([failing], error)
    with pytest.raises(error, match=failing):
        handler(None, None, None)
    assert handler.log == expected


def test_init_finish_raising_after_handle_chains(logging_handler):
    """The second error wins, the first is its context."""
    handler = logging_handler(["handle", "finish"])
    with pytest.raises(Boom, match="finish") as caught:
        handler(None, None, None)
    assert str(caught.value.__context__) == "handle"


def test_methods_stock_do_nothing(impl):
    """setup, handle, finish return None."""
    handler = impl.BaseRequestHandler(None, None, None)
    assert (handler.setup(), handler.handle(), handler.finish()) == (None, None, None)


def test_init_attributes_set_before_the_base_are_there_in_handle(impl, make_server):
    """16 observed projects: __init__ sets attributes BEFORE the base's."""

    class Handler(impl.BaseRequestHandler):
        def __init__(self, *args, **kwargs):
            self.greeting = b"hello"
            super().__init__(*args, **kwargs)

        def handle(self):
            self.request.sendall(self.greeting)

    server = make_server(handler=Handler)
    with serving(server):
        assert exchange(server) == b"hello"


def test_init_not_calling_the_base_is_fine(impl, make_server):
    """Nothing depends on what the base's constructor does."""

    class Handler(impl.BaseRequestHandler):
        def __init__(self, request, client_address, server):
            request.sendall(b"bare")

    server = make_server(handler=Handler)
    with serving(server):
        assert exchange(server) == b"bare"


@pytest.mark.parametrize("failing", ["setup", "handle", "finish"])
def test_method_raising_goes_to_handle_error(make_server, logging_handler, failing):
    """And the request is closed."""
    errors = []
    server = make_server(
        handler=logging_handler([failing]),
        handle_error=lambda self, *args: errors.append(args[1]),
    )
    with serving(server), connected(server) as client:
        assert read_to_end(client) == b""
        assert errors == [client.getsockname()]


def test_handler_rewriting_its_attributes_changes_nothing_for_the_server(impl, make_server):
    """`self.request =` (TLS, detach), `self.client_address =` (proxies) are its own."""
    closed = []

    class Handler(impl.BaseRequestHandler):
        def handle(self):
            self.request.sendall(b"ok")
            self.request = None
            self.client_address = ("proxied", 1)
            self.server = None

    def close_request(self, request):
        closed.append(request)
        request.close()

    server = make_server(handler=Handler, close_request=close_request)
    with serving(server):
        assert exchange(server) == b"ok"
    assert len(closed) == 1
    assert closed[0].fileno() == -1


def test_handler_answering_every_attribute_is_never_probed(impl, make_server):
    """wsgidav's __getattr__ answers EVERY unknown name by sending a 501."""
    asked = []

    class Handler(impl.StreamRequestHandler):
        def __getattr__(self, name):
            asked.append(name)
            return lambda *args: self.wfile.write(b"501")

        def handle(self):
            self.wfile.write(b"ok")

    for base in ("TCPServer", "ThreadingTCPServer"):
        server = make_server(base, handler=Handler)
        with serving(server):
            assert exchange(server) == b"ok"
    assert not asked


def test_handler_callable_answering_every_attribute_serves(make_server):
    """A "class" that is an object with __getattr__, such as a mock."""
    from unittest import mock

    def answer(request, client_address, server):
        request.sendall(b"mock")

    handler = mock.Mock(side_effect=answer)
    server = make_server(handler=handler)
    with serving(server):
        assert exchange(server) == b"mock"
    assert handler.call_count == 1


def test_handler_mixed_with_another_base_serves(impl, make_server):
    """paramiko's ServerInterface, breezy's mediums: a second base with its own __init__."""

    class Medium:
        def __init__(self, sock):
            self.sock = sock

        def send(self, data):
            self.sock.sendall(data)

    class Handler(impl.BaseRequestHandler, Medium):
        def setup(self):
            Medium.__init__(self, self.request)

        def handle(self):
            self.send(b"medium")

    server = make_server(handler=Handler)
    with serving(server):
        assert exchange(server) == b"medium"


def test_handler_instances_are_not_kept(impl, make_server):
    """The result of the call is ignored and dropped."""
    import gc
    import weakref

    from support.waiting import wait_until

    references = []

    class Handler(impl.BaseRequestHandler):
        def handle(self):
            references.append(weakref.ref(self))

    server = make_server(handler=Handler)
    with serving(server):
        exchange(server)
        wait_until(lambda: gc.collect() >= 0 and references[0]() is None)
