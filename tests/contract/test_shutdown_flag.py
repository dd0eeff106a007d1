"""The two mangled names of BaseServer that public code reads, waits on and sets."""

from __future__ import annotations

import signal
import threading

import pytest

from support.clients import connected, exchange, read_to_end
from support.handlers import reply_ok
from support.serving import Background, Loop, serving, wait_for


def poke(server):
    server._BaseServer__shutdown_request = True


def test_flag_set_by_a_handler_ends_the_loop(make_server):
    """The classic answer to the shutdown() deadlock."""

    def handler(request, client_address, server):
        request.sendall(b"bye")
        poke(server)

    server = make_server(handler=handler)
    with connected(server) as client:
        server.serve_forever(0.01)
        assert read_to_end(client) == b"bye"


@pytest.mark.parametrize(
    "hook", ["verify_request", "process_request", "finish_request", "close_request"]
)
def test_flag_set_by_a_hook_ends_the_loop(impl, make_server, hook):
    """Whoever sets it, the loop sees it before it waits again."""
    stock = getattr(impl.TCPServer, hook)

    def overridden(self, *args):
        poke(self)
        return stock(self, *args)

    server = make_server(**{hook: overridden})
    with connected(server) as client:
        server.serve_forever(0.01)
        assert read_to_end(client) == b"ok"


def test_flag_set_by_service_actions_ends_the_loop(make_server):
    """No request at all is needed."""
    server = make_server(service_actions=poke)
    server.serve_forever(0.01)


def test_flag_set_by_another_thread_ends_the_loop(make_server):
    """Within poll_interval at the latest, also when idle."""
    server = make_server()
    loop = Loop(server)
    exchange(server)
    poke(server)
    loop.join()


def test_flag_set_by_a_handler_thread_ends_the_loop(make_server):
    """ThreadingMixIn: from the request's thread."""
    server = make_server("ThreadingTCPServer", handler=lambda request, _, server: poke(server))
    loop = Loop(server)
    assert exchange(server) == b""
    loop.join()


def test_flag_set_by_a_signal_handler_ends_the_loop(make_server):
    """SIGTERM hooks: "stop without waiting"."""
    server = make_server()
    before = signal.signal(signal.SIGALRM, lambda *_: poke(server))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        server.serve_forever(0.1)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_flag_set_before_the_loop_ends_it_at_once(make_server):
    """`while not self.__shutdown_request` is false from the beginning."""
    server = make_server()
    poke(server)
    with connected(server) as client:
        server.serve_forever()
        assert server._BaseServer__shutdown_request is False
        server.handle_request()
        assert read_to_end(client) == b"ok"


def test_flag_is_reset_when_the_loop_ends(make_server):
    """`finally: self.__shutdown_request = False`."""
    server = make_server()
    with serving(server):
        exchange(server)
        assert server._BaseServer__shutdown_request is False
    assert server._BaseServer__shutdown_request is False


def test_flag_taken_back_before_the_loop_keeps_it_running(make_server):
    """It is a plain attribute: False means False."""
    server = make_server()
    poke(server)
    server._BaseServer__shutdown_request = False
    with serving(server):
        assert exchange(server) == b"ok"


@pytest.mark.parametrize("value", [1, "yes", [0]])
def test_flag_set_to_any_true_value_ends_the_loop(make_server, value):
    """Its truth is asked, not its type."""
    server = make_server()
    loop = Loop(server)
    exchange(server)
    server._BaseServer__shutdown_request = value
    loop.join()
    assert server._BaseServer__shutdown_request is False


@pytest.mark.parametrize("value", [0, "", None])
def test_flag_set_to_any_false_value_keeps_the_loop_running(make_server, value):
    """Its truth is asked, not its type."""
    server = make_server()
    with serving(server):
        server._BaseServer__shutdown_request = value
        assert exchange(server) == b"ok"


def test_flag_set_through_setattr_and_vars_ends_the_loop(make_server):
    """Poked by code that writes into the instance's dictionary."""
    server = make_server()
    vars(server)["_BaseServer__shutdown_request"] = True
    server.serve_forever(0.01)
    loop = Loop(server)
    exchange(server)
    setattr(server, "_BaseServer__shutdown_request", True)  # noqa: B010
    loop.join()


def test_flag_of_a_new_server_is_false(make_server):
    """BaseServer.__init__."""
    assert make_server()._BaseServer__shutdown_request is False


def test_flag_as_a_property_of_a_subclass_is_asked(make_server):
    """The loop reads the attribute, whatever stands behind it."""
    stop = threading.Event()
    flag = property(lambda self: stop.is_set(), lambda self, value: None)
    server = make_server(_BaseServer__shutdown_request=flag)
    loop = Loop(server)
    assert exchange(server) == b"ok"
    stop.set()
    loop.join()


def test_event_is_a_real_threading_event(make_server):
    """BaseServer.__init__: threading.Event(), clear before the first loop."""
    event = make_server()._BaseServer__is_shut_down
    assert isinstance(event, threading.Event)
    assert not event.is_set()


def test_event_is_clear_while_serving_and_set_after(make_server):
    """Read as "is it running?"."""
    server = make_server()
    event = server._BaseServer__is_shut_down
    with serving(server):
        exchange(server)
        assert not event.is_set()
    assert event.is_set()
    assert server._BaseServer__is_shut_down is event


def test_event_is_cleared_by_a_second_loop(make_server):
    """serve_forever: `self.__is_shut_down.clear()`."""
    server = make_server()
    with serving(server):
        exchange(server)
    with serving(server):
        exchange(server)
        assert not server._BaseServer__is_shut_down.is_set()


def test_event_waited_on_by_others_wakes_them(make_server):
    """Waited on instead of joining the thread."""
    server = make_server()
    loop = Loop(server)
    exchange(server)
    waiting = Background(server._BaseServer__is_shut_down.wait, 10)
    poke(server)
    assert waiting.join() is True
    loop.join()


def test_event_set_by_others_lets_shutdown_return(make_server):
    """shutdown() waits on this very Event."""
    server = make_server()
    server._BaseServer__is_shut_down.set()
    server.shutdown()
    assert server._BaseServer__shutdown_request is True


def test_event_replaced_on_the_instance_is_the_one_used(make_server):
    """The attribute is looked up at each use."""
    server = make_server()
    replaced = server._BaseServer__is_shut_down = threading.Event()
    with serving(server):
        exchange(server)
        assert not replaced.is_set()
    assert replaced.is_set()


def test_event_and_flag_reset_when_an_exception_leaves_the_loop(make_server):
    """Both are in the `finally`."""

    def handler(*_):
        raise SystemExit(3)

    server = make_server(handler=handler)
    with connected(server), pytest.raises(SystemExit):
        server.serve_forever(0.01)
    assert server._BaseServer__is_shut_down.is_set()
    assert server._BaseServer__shutdown_request is False


def copied_serve_forever(self, poll_interval=0.5):
    """A copy of the standard body, as found in subclasses."""
    import selectors

    self._BaseServer__is_shut_down.clear()
    try:
        with selectors.SelectSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            while not self._BaseServer__shutdown_request:
                ready = selector.select(poll_interval)
                if self._BaseServer__shutdown_request:
                    break
                if ready:
                    self._handle_request_noblock()
                self.service_actions()
    finally:
        self._BaseServer__shutdown_request = False
        self._BaseServer__is_shut_down.set()


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_copied_body_in_a_subclass_serves_and_base_shutdown_ends_it(make_server, base):
    """The base's shutdown() must work with a loop that is not ours."""
    server = make_server(base, serve_forever=copied_serve_forever)
    for _ in range(2):
        with serving(server):
            assert [exchange(server) for _ in range(5)] == [b"ok"] * 5


def test_copied_body_calls_the_hooks_of_a_subclass(make_server):
    """service_actions, get_request and verify_request are called from there too."""
    seen = []

    def verify_request(self, request, client_address):
        seen.append("verify")
        return False

    actions = threading.Event()
    server = make_server(
        serve_forever=copied_serve_forever,
        verify_request=verify_request,
        service_actions=lambda self: actions.set(),
    )
    with serving(server):
        assert exchange(server) == b""
        wait_for(actions)
    assert seen == ["verify"]


def test_flag_polled_by_an_own_loop_is_set_by_shutdown(make_server):
    """A loop of one's own on handle_request(), stopped by the base's shutdown()."""
    server = make_server(timeout=0.01)

    def own_loop():
        server._BaseServer__is_shut_down.clear()
        while not server._BaseServer__shutdown_request:
            server.handle_request()
        server._BaseServer__is_shut_down.set()

    loop = Background(own_loop)
    assert exchange(server) == b"ok"
    server.shutdown()
    loop.join()


def test_handler_function_reading_the_event_while_serving_sees_it_clear(make_server):
    """Read through the instance, from the serving thread."""

    def handler(request, client_address, server):
        running = not server._BaseServer__is_shut_down.is_set()
        request.sendall(str(running).encode())

    server = make_server(handler=handler)
    with serving(server):
        assert exchange(server) == b"True"


def test_event_is_left_alone_by_handle_request(make_server):
    """handle_request() touches neither name."""
    server = make_server(handler=reply_ok)
    with connected(server) as client:
        server.handle_request()
        assert read_to_end(client) == b"ok"
    assert not server._BaseServer__is_shut_down.is_set()
    server._BaseServer__is_shut_down.set()
    server.timeout = 0
    server.handle_request()
    assert server._BaseServer__is_shut_down.is_set()
