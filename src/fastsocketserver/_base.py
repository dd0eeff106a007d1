"""BaseServer: the doors of the loop, and how it is stopped."""

from __future__ import annotations

import os
import socketserver
import threading

from fastsocketserver._loop import Loop, run_loop
from fastsocketserver._state import state_if_any, state_of

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any


def wake_loops(server: Any) -> None:
    """Let running loops look at the server again. Any thread, also signal handlers."""
    state = state_if_any(server)
    if state is not None:
        for loop in list(state.loops):  # each takes itself away when it ends
            loop.wake()


def tell_loops_of_close(server: Any) -> None:
    """Let running loops end, unless the server has another listener by then. Any thread."""
    state = state_if_any(server)
    if state is not None:
        for loop in list(state.loops):  # each takes itself away when it ends
            loop.server_was_closed()


_FLAG = "_BaseServer__shutdown_request"
_MISSING: Any = object()


def _get_shutdown_request(server: Any) -> Any:
    value = dict.get(vars(server), _FLAG, _MISSING)
    if value is _MISSING:
        raise AttributeError(f"{type(server).__name__!r} object has no attribute {_FLAG!r}")
    return value


def _set_shutdown_request(server: Any, value: Any) -> None:
    dict.__setitem__(vars(server), _FLAG, value)
    if value:
        wake_loops(server)
    else:
        # By the constructor, or at the end of a loop: what runs from now on is ours.
        state_of(server).knows_who_serves = True


class BaseServer(socketserver.BaseServer):
    """Base of all servers: the loop and its hooks, without any idea of a socket.

    A subclass gives `fileno()` and `get_request()`. Every method may be overridden, in a
    subclass, a mix-in, on the instance, or on the class while serving. Those that are not
    described below are the standard module's own, and so are patches of them.

    Attributes:
        timeout: seconds that `handle_request()` waits; None for ever.
        server_address: what the constructor was given, or what the socket is bound to.
        RequestHandlerClass: any callable, called with (request, client_address, server).

    Hooks, in the order in which they are called:
        server_bind(), server_activate(): by the constructor of a server with a socket.
        fileno(): what to wait on; once, when `serve_forever()` or `handle_request()` starts.
        _handle_request_noblock(): a request is there; calls the next three.
        get_request(): take it: `(request, client_address)`. OSError: there is none after
            all. Any other exception leaves the loop.
        verify_request(request, client_address): whether to serve it; False closes it.
            Exceptions leave the loop.
        process_request(request, client_address): serve it here and now; mix-ins give it to
            a thread or a process. Exception goes to `handle_error()`, what else is raised
            leaves the loop; `shutdown_request()` follows both.
        finish_request(request, client_address): calls
            `RequestHandlerClass(request, client_address, self)`; the result is ignored.
        handle_error(request, client_address): report the exception at hand
            (`sys.exc_info()`) on `sys.stderr`; the request is still open. What an override
            raises leaves the loop, or ends the worker thread.
        shutdown_request(request): tell the peer that no more comes, then
            close_request(request): once for each request.
        service_actions(): does nothing; an override is called by `serve_forever()` after
            each wake-up (a batch of at most 64 requests) and each `poll_interval`.
            Exceptions leave the loop.
        handle_timeout(): by `handle_request()` when no request came in time, which returns
            its result.
        server_close(): when a `with` block is left.
    Up to `process_request()`, and `service_actions()`, all of it on the serving thread.

    Source: `socketserver.BaseServer`.
    """

    # Programs set this name, mangled, to stop a server: it has to wake the loop.
    __shutdown_request = property(_get_shutdown_request, _set_shutdown_request)

    def serve_forever(self, poll_interval: float | None = 0.5) -> None:
        """Serve requests until `shutdown()`, or until the listener is closed.

        Ignores `self.timeout`. Stops at once when asked to, and does not wake up otherwise.

        Args:
            poll_interval: seconds between two calls of an overridden `service_actions()`;
                0 or less for no pause, None for no ticks. Not used while that is stock.
        Raises:
            ValueError: `fileno()` gives no descriptor.
            TypeError, OverflowError: `poll_interval` is no time.
            BaseException: what a hook raises, except OSError from `get_request()` and
                Exception from `process_request()`. KeyboardInterrupt arrives at once.
        Threads: one at a time. Others may call `shutdown()`.
        Source: `socketserver.BaseServer.serve_forever`.
        """
        state = state_of(self)
        serving = state.serving
        here = os.getpid(), threading.get_ident()
        try:
            # In here, since a signal handler may raise anywhere. Before the flag is looked
            # at: `shutdown()` sets it first, and either it sees us or we see the flag.
            serving.append(here)
            state.knows_who_serves = True
            self.__is_shut_down.clear()  # type: ignore[attr-defined]
            if not self.__shutdown_request:
                run_loop(self, poll_interval)
        finally:
            try:
                self.__shutdown_request = False
                self.__is_shut_down.set()  # type: ignore[attr-defined]
            finally:
                if here in serving:
                    serving.remove(here)

    def shutdown(self) -> None:
        """Stop `serve_forever()` and wait until it has ended; at once, not at a next poll.

        From the serving thread itself (a handler, a signal handler) it requests the stop
        and returns. Before `serve_forever()` it returns too, and the next
        `serve_forever()` ends at once; but an overridden `serve_forever()` is waited for,
        as the standard module does.

        Threads: any, also signal handlers.
        Source: `socketserver.BaseServer.shutdown`.
        """
        self.__shutdown_request = True
        wake_loops(self)  # a class may have stored the flag past the property
        is_shut_down = self.__is_shut_down  # type: ignore[attr-defined]
        if type(is_shut_down) is threading.Event and _nobody_else_serves(self):
            return
        is_shut_down.wait()

    def handle_request(self) -> Any:
        """Serve one request, waiting for it if need be.

        Waits `self.timeout` or the socket's own time-out, whichever is less (seconds, None
        for ever), on a monotonic clock, then calls `handle_timeout()`.

        Returns:
            what `_handle_request_noblock()` or `handle_timeout()` returned.
        Raises:
            what `serve_forever()` raises.
        Threads: any number at once.
        Source: `socketserver.BaseServer.handle_request`.
        """
        timeout = self.socket.gettimeout()  # type: ignore[attr-defined]
        if timeout is None:
            timeout = self.timeout
        elif self.timeout is not None:
            timeout = min(timeout, self.timeout)
        loop = Loop(self)
        try:
            return loop.run_once(timeout)
        finally:
            loop.close()


_our_serve_forever = BaseServer.serve_forever


def _nobody_else_serves(server: Any) -> bool:
    """Whether there is no loop that `shutdown()` could wait for, as far as we can know."""
    state = state_if_any(server)
    if state is None or not state.knows_who_serves:
        return False
    serving = state.serving_idents()
    if serving:
        return serving == {threading.get_ident()}
    # An override may be a loop of its own, which tells us nothing.
    overridden_here = dict.__contains__(vars(server), "serve_forever")
    return type(server).serve_forever is _our_serve_forever and not overridden_here
