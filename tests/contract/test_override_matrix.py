"""Every hook, overridden in every place: the override is called, and its effect is seen.

Places: a subclass, a mix-in before the server, an attribute of the instance, the class
patched while the server runs, the instance patched while the server runs, and the shared
class itself patched while the server runs. A patch counts from the next wake-up at the
latest: here, from the next request.
"""

from __future__ import annotations

import types

import pytest

from support.clients import ask, datagram_client, exchange
from support.handlers import reply_datagram, reply_ok
from support.serving import serving
from support.waiting import wait_until

# Each override takes the stock method it stands for, notes its call, and has an effect
# on what the client receives: {hook: (override factory, reply)}.


def get_request(stock, calls):
    def override(self):
        request, _ = stock(self)
        calls.append("get_request")
        request.sendall(b"overridden ")
        return request, "address"

    return override


def verify_request(stock, calls):
    def override(self, request, client_address):
        calls.append("verify_request")
        request.sendall(b"refused")
        return False

    return override


def process_request(stock, calls):
    def override(self, request, client_address):
        calls.append("process_request")
        request.sendall(b"overridden ")
        stock(self, request, client_address)

    return override


def finish_request(stock, calls):
    def override(self, request, client_address):
        calls.append("finish_request")
        request.sendall(b"overridden ")
        stock(self, request, client_address)

    return override


def process_request_thread(stock, calls):
    def override(self, request, client_address):
        calls.append("process_request_thread")
        request.sendall(b"overridden ")
        stock(self, request, client_address)

    return override


def shutdown_request(stock, calls):
    def override(self, request):
        calls.append("shutdown_request")
        request.sendall(b" overridden")
        stock(self, request)

    return override


def close_request(stock, calls):
    def override(self, request):
        calls.append("close_request")
        stock(self, request)

    return override


def noblock(stock, calls):
    def override(self):
        calls.append("_handle_request_noblock")
        request, _ = self.get_request()
        request.sendall(b"overridden")
        request.close()

    return override


STREAM_HOOKS = {
    "get_request": (get_request, b"overridden ok"),
    "verify_request": (verify_request, b"refused"),
    "process_request": (process_request, b"overridden ok"),
    "finish_request": (finish_request, b"overridden ok"),
    "shutdown_request": (shutdown_request, b"ok overridden"),
    "close_request": (close_request, b"ok"),
    "_handle_request_noblock": (noblock, b"overridden"),
}
STREAM_ROWS = [
    *(("TCPServer", hook) for hook in STREAM_HOOKS),
    *(("ThreadingTCPServer", hook) for hook in STREAM_HOOKS),
    ("ThreadingTCPServer", "process_request_thread"),
    *(("UnixStreamServer", hook) for hook in STREAM_HOOKS),
]
STREAM_HOOKS["process_request_thread"] = (process_request_thread, b"overridden ok")


class Place:
    """Builds a server with one hook overridden somewhere, at once or while it serves."""

    def __init__(self, impl, free_address, monkeypatch):
        self.impl = impl
        self.free_address = free_address
        self.monkeypatch = monkeypatch

    def build(self, bases, handler):
        server_class = type("Server", bases, {})
        return server_class(self.free_address(server_class), handler)

    def start(self, base, hook, override, handler):
        """A server that is overridden from the start."""
        raise NotImplementedError

    def patch(self, server, base, hook, override):
        """Override while serving; nothing to do for the other places."""


class InSubclass(Place):
    def start(self, base, hook, override, handler):
        parent = type("Parent", (getattr(self.impl, base),), {hook: override})
        return self.build((parent,), handler)


class InMixin(Place):
    def start(self, base, hook, override, handler):
        mixin = type("Mixin", (), {hook: override})
        return self.build((mixin, getattr(self.impl, base)), handler)


class OnInstance(Place):
    def start(self, base, hook, override, handler):
        server = self.build((getattr(self.impl, base),), handler)
        setattr(server, hook, types.MethodType(override, server))
        return server


class WhileServing(Place):
    def start(self, base, hook, override, handler):
        return self.build((getattr(self.impl, base),), handler)


class OnClassWhileServing(WhileServing):
    def patch(self, server, base, hook, override):
        setattr(type(server), hook, override)


class OnInstanceWhileServing(WhileServing):
    def patch(self, server, base, hook, override):
        setattr(server, hook, types.MethodType(override, server))


class OnSharedClassWhileServing(WhileServing):
    """As `mock.patch.object(socketserver.TCPServer, ...)` does."""

    def patch(self, server, base, hook, override):
        owner = next(cls for cls in type(server).__mro__ if hook in vars(cls))
        self.monkeypatch.setattr(owner, hook, override)


PLACES = [
    InSubclass,
    InMixin,
    OnInstance,
    OnClassWhileServing,
    OnInstanceWhileServing,
    OnSharedClassWhileServing,
]


@pytest.fixture(params=PLACES, ids=lambda place: place.__name__)
def place(request, impl, free_address, monkeypatch):
    return request.param(impl, free_address, monkeypatch)


# A patch counts from the next wake-up, and a wake-up serves at most so many requests.
BATCH = 64


def ask_until_patched(ask_once, reply, calls):
    """Requests of the wake-up that was under way when the patch came may be stock ones."""
    for _ in range(BATCH + 1):
        if ask_once() == reply and calls:
            return
    pytest.fail("the patch never took effect")


def settle(server):
    """Wait for the thread of a request that was answered: it still has its endings to call."""
    if hasattr(server, "_threads"):
        server._threads.join()


@pytest.mark.parametrize(("base", "hook"), STREAM_ROWS)
def test_stream_hook_overridden_is_called_with_its_effect(impl, place, base, hook):
    """serve_forever, before and after the override where it comes later."""
    calls = []
    factory, reply = STREAM_HOOKS[hook]
    override = factory(getattr(getattr(impl, base), hook), calls)
    later = isinstance(place, WhileServing)
    with place.start(base, hook, override, reply_ok) as server:
        with serving(server):
            if later:
                assert exchange(server) == b"ok"
                assert not calls
                place.patch(server, base, hook, override)
                ask_until_patched(lambda: exchange(server), reply, calls)
            assert [exchange(server) for _ in range(3)] == [reply] * 3
        server.server_close()
    assert set(calls) == {hook}
    assert len(calls) > 3 if later else len(calls) == 3


@pytest.mark.parametrize(("base", "hook"), STREAM_ROWS)
def test_stream_hook_overridden_is_called_by_handle_request(impl, place, base, hook):
    """The other door; a patch between two calls counts for the second."""
    from support.clients import connected, read_to_end

    calls = []
    factory, reply = STREAM_HOOKS[hook]
    override = factory(getattr(getattr(impl, base), hook), calls)
    with place.start(base, hook, override, reply_ok) as server:
        if isinstance(place, WhileServing):
            with connected(server) as client:
                server.handle_request()
                assert read_to_end(client) == b"ok"
            settle(server)
            place.patch(server, base, hook, override)
        with connected(server) as client:
            server.handle_request()
            assert read_to_end(client) == reply
        server.server_close()
    assert calls == [hook]


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_handle_error_overridden_is_called_with_its_effect(impl, place, base):
    """It answers instead of printing."""

    def handle_error(self, request, client_address):
        calls.append("handle_error")
        request.sendall(b"sorry")

    def failing(request, client_address, server):
        if server.fails:
            raise ValueError
        request.sendall(b"ok")

    calls = []
    with place.start(base, "handle_error", handle_error, failing) as server:
        server.fails = False
        with serving(server):
            assert exchange(server) == b"ok"
            place.patch(server, base, "handle_error", handle_error)
            server.fails = True
            assert exchange(server) == b"sorry"  # no shortcut: at once
        server.server_close()
    assert calls == ["handle_error"]


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "UDPServer"])
def test_service_actions_overridden_is_called(impl, place, base):
    """A patch counts from the next wake-up: a request makes one."""
    calls = []

    def service_actions(self):
        calls.append("service_actions")

    handler = reply_datagram if base == "UDPServer" else reply_ok
    with place.start(base, "service_actions", service_actions, handler) as server:
        with serving(server):
            if isinstance(place, WhileServing):
                place.patch(server, base, "service_actions", service_actions)
                if base == "UDPServer":
                    with datagram_client(server) as client:
                        ask(client, b"wake")
                else:
                    exchange(server)
            wait_until(lambda: len(calls) > 5)
        server.server_close()


def test_handle_timeout_overridden_is_called(impl, place):
    """handle_request() returns what it returns."""

    def handle_timeout(self):
        return "overridden"

    with place.start("TCPServer", "handle_timeout", handle_timeout, reply_ok) as server:
        server.timeout = 0
        if isinstance(place, WhileServing):
            assert server.handle_request() is None
        place.patch(server, "TCPServer", "handle_timeout", handle_timeout)
        assert server.handle_request() == "overridden"


@pytest.mark.parametrize("hook", ["shutdown", "server_close", "handle_request", "fileno"])
def test_method_for_the_caller_overridden_is_called(impl, place, hook):
    """Looked up like any attribute."""
    calls = []
    stock = getattr(impl.TCPServer, hook)

    def override(self):
        calls.append(hook)
        if hook not in ("shutdown", "handle_request"):
            return stock(self)
        return None

    server = place.start("TCPServer", hook, override, reply_ok)
    place.patch(server, "TCPServer", hook, override)
    with server:
        getattr(server, hook)()
        assert calls
        if hook == "fileno":
            calls.clear()
            with serving(server):
                assert exchange(server) == b"ok"
            assert calls


@pytest.mark.parametrize("place_class", [InSubclass, InMixin])
@pytest.mark.parametrize("hook", ["server_bind", "server_activate"])
def test_construction_hook_overridden_is_called(
    impl, free_address, monkeypatch, place_class, hook
):
    """By the constructor."""
    calls = []
    stock = getattr(impl.TCPServer, hook)

    def override(self):
        calls.append(hook)
        stock(self)

    place = place_class(impl, free_address, monkeypatch)
    with place.start("TCPServer", hook, override, reply_ok) as server, serving(server):
        assert exchange(server) == b"ok"
    assert calls == [hook]


@pytest.mark.parametrize("hook", ["server_bind", "server_activate", "__init__"])
def test_construction_hook_patched_on_the_shared_class_is_called(impl, monkeypatch, hook):
    """Methods of TCPServer, patched in public tests."""
    calls = []
    stock = getattr(impl.TCPServer, hook)

    def override(self, *args, **kwargs):
        calls.append(hook)
        stock(self, *args, **kwargs)

    monkeypatch.setattr(impl.TCPServer, hook, override)
    with impl.ThreadingTCPServer(("127.0.0.1", 0), reply_ok):
        assert calls == [hook]


# -- datagrams ---------------------------------------------------------------------------


def datagram_get_request(stock, calls):
    def override(self):
        (data, listener), address = stock(self)
        calls.append("get_request")
        return (b"overridden " + data, listener), address

    return override


def datagram_verify_request(stock, calls):
    def override(self, request, client_address):
        calls.append("verify_request")
        request[1].sendto(b"refused", client_address)
        return False

    return override


def datagram_process_request(stock, calls):
    def override(self, request, client_address):
        calls.append("process_request")
        stock(self, (b"overridden " + request[0], request[1]), client_address)

    return override


def datagram_finish_request(stock, calls):
    def override(self, request, client_address):
        calls.append("finish_request")
        stock(self, (b"overridden " + request[0], request[1]), client_address)

    return override


def datagram_process_request_thread(stock, calls):
    def override(self, request, client_address):
        calls.append("process_request_thread")
        stock(self, (b"overridden " + request[0], request[1]), client_address)

    return override


def datagram_ending(name):
    def factory(stock, calls):
        def override(self, request):
            calls.append(name)
            stock(self, request)

        return override

    return factory


def datagram_noblock(stock, calls):
    def override(self):
        calls.append("_handle_request_noblock")
        (_, listener), address = self.get_request()
        listener.sendto(b"refused", address)

    return override


DATAGRAM_HOOKS = {
    "get_request": (datagram_get_request, b"re:overridden x"),
    "verify_request": (datagram_verify_request, b"refused"),
    "process_request": (datagram_process_request, b"re:overridden x"),
    "finish_request": (datagram_finish_request, b"re:overridden x"),
    "shutdown_request": (datagram_ending("shutdown_request"), b"re:x"),
    "close_request": (datagram_ending("close_request"), b"re:x"),
    "_handle_request_noblock": (datagram_noblock, b"refused"),
}
DATAGRAM_ROWS = [
    *(("UDPServer", hook) for hook in DATAGRAM_HOOKS),
    *(("ThreadingUDPServer", hook) for hook in DATAGRAM_HOOKS),
    ("ThreadingUDPServer", "process_request_thread"),
]
DATAGRAM_HOOKS["process_request_thread"] = (
    datagram_process_request_thread,
    b"re:overridden x",
)


@pytest.mark.parametrize(("base", "hook"), DATAGRAM_ROWS)
def test_datagram_hook_overridden_is_called_with_its_effect(impl, place, base, hook):
    """serve_forever; each datagram is answered before the next is sent."""
    calls = []
    factory, reply = DATAGRAM_HOOKS[hook]
    override = factory(getattr(getattr(impl, base), hook), calls)
    later = isinstance(place, WhileServing)
    with place.start(base, hook, override, reply_datagram) as server:
        with serving(server), datagram_client(server) as client:
            if later:
                assert ask(client, b"x") == b"re:x"
                assert not calls
                place.patch(server, base, hook, override)
                ask_until_patched(lambda: ask(client, b"x"), reply, calls)
            assert [ask(client, b"x") for _ in range(3)] == [reply] * 3
        server.server_close()
    assert set(calls) == {hook}
    assert len(calls) > 3 if later else len(calls) == 3


@pytest.mark.parametrize(("base", "hook"), DATAGRAM_ROWS)
def test_datagram_hook_overridden_is_called_by_handle_request(impl, place, base, hook):
    """The other door."""
    calls = []
    factory, reply = DATAGRAM_HOOKS[hook]
    override = factory(getattr(getattr(impl, base), hook), calls)
    with place.start(base, hook, override, reply_datagram) as server:
        place.patch(server, base, hook, override)
        with datagram_client(server) as client:
            client.send(b"x")
            server.handle_request()
            assert client.recv(100) == reply
        server.server_close()
    assert calls == [hook]


# -- processes ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_collect_children_overridden_is_called_while_serving(impl, place):
    """service_actions calls it through self."""
    calls = []
    stock = impl.ForkingMixIn.collect_children

    def collect_children(self, *, blocking=False):
        calls.append(blocking)
        stock(self, blocking=blocking)

    name = "collect_children"
    with place.start("ForkingTCPServer", name, collect_children, reply_ok) as server:
        with serving(server):
            assert exchange(server) == b"ok"
            place.patch(server, "ForkingTCPServer", name, collect_children)
            assert exchange(server) == b"ok"
            wait_until(lambda: calls and not server.active_children)
        server.server_close()


# -- taking overrides back ---------------------------------------------------------------


@pytest.mark.parametrize("hook", ["get_request", "verify_request", "_handle_request_noblock"])
def test_override_removed_from_the_instance_while_serving_is_gone(
    impl, free_address, monkeypatch, hook
):
    """`del server.hook`: the stock method is back with the next request."""
    calls = []
    factory, reply = STREAM_HOOKS[hook]
    override = factory(getattr(impl.TCPServer, hook), calls)
    place = OnInstance(impl, free_address, monkeypatch)
    with place.start("TCPServer", hook, override, reply_ok) as server, serving(server):
        assert exchange(server) == reply
        delattr(server, hook)
        ask_until_patched(lambda: exchange(server), b"ok", calls)
        calls.clear()
        assert [exchange(server) for _ in range(3)] == [b"ok"] * 3
    assert not calls


@pytest.mark.parametrize("hook", sorted({hook for _, hook in STREAM_ROWS}))
def test_override_by_getattribute_is_called(impl, free_address, hook):
    """A proxy class that answers every attribute itself."""
    calls = []
    factory, reply = STREAM_HOOKS[hook]
    override = factory(getattr(impl.ThreadingTCPServer, hook), calls)

    class Proxy(impl.ThreadingTCPServer):
        def __getattribute__(self, name):
            if name == hook:
                return types.MethodType(override, self)
            return super().__getattribute__(name)

    with Proxy(free_address(Proxy), reply_ok) as server:
        with serving(server):
            assert exchange(server) == reply
        server.server_close()
    assert calls == [hook]


@pytest.mark.parametrize("kind", ["staticmethod", "classmethod", "property", "callable"])
def test_override_of_another_kind_than_a_function_is_called(make_server, kind):
    """`self.verify_request(...)` is an ordinary attribute access and call."""

    class Callable:
        def __call__(self, request, client_address):
            return refuse(request)

    def refuse(request, *_):
        request.sendall(b"refused")
        return False

    override = {
        "staticmethod": staticmethod(refuse),
        "classmethod": classmethod(lambda cls, request, address: refuse(request)),
        "property": property(lambda self: refuse),
        "callable": Callable(),
    }[kind]
    server = make_server(verify_request=override)
    with serving(server):
        assert exchange(server) == b"refused"


@pytest.mark.parametrize("kind", ["staticmethod", "property", "mock"])
def test_get_request_of_another_kind_than_a_function_is_called(impl, make_server, kind):
    """Also the hook that has a native shortcut."""
    from unittest import mock

    server = make_server()

    def accept(*_):
        request, _ = server.socket.accept()
        request.sendall(b"overridden ")
        return request, "address"

    override = {
        "staticmethod": staticmethod(accept),
        "property": property(lambda self: accept),
        "mock": mock.Mock(side_effect=accept),
    }[kind]
    type(server).get_request = override
    with serving(server):
        assert exchange(server) == b"overridden ok"
