"""BaseServer: the way of a request, hook by hook."""

from __future__ import annotations

import os
import socketserver
import sys
import threading

from fastsocketserver._loop import Loop, dispatch
from fastsocketserver._state import state_if_any, state_of

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any


def wake_loops(server: Any) -> None:
    """Let running loops look at the server again. Any thread, also signal handlers."""
    state = state_if_any(server)
    if state is not None:
        for loop in state.loops:
            loop.wake()


def tell_loops_of_close(server: Any) -> None:
    """Let running loops end, unless the server has another listener by then. Any thread."""
    state = state_if_any(server)
    if state is not None:
        for loop in state.loops:
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
    subclass, a mix-in, on the instance, or on the class while serving.

    Attributes:
        timeout: seconds that `handle_request()` waits; None for ever.
        server_address: what the constructor was given, or what the socket is bound to.
        RequestHandlerClass: any callable, called with (request, client_address, server).

    Source: `socketserver.BaseServer`.
    """

    timeout: float | None = None

    def __init__(self, server_address: Any, RequestHandlerClass: Any) -> None:
        """Remember the arguments. Makes no thread, no descriptor, no flag.

        Args:
            server_address: for subclasses; not looked at here.
            RequestHandlerClass: callable, called once for each request.

        Source: `socketserver.BaseServer.__init__`.
        """
        self.server_address = server_address
        self.RequestHandlerClass = RequestHandlerClass
        self.__is_shut_down = threading.Event()
        self.__shutdown_request = False

    # Programs set this name, mangled, to stop a server: it has to wake the loop.
    __shutdown_request = property(_get_shutdown_request, _set_shutdown_request)

    def server_activate(self) -> None:
        """Do nothing; for subclasses.

        Source: `socketserver.BaseServer.server_activate`.
        """

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
            self.__is_shut_down.clear()
            if not self.__shutdown_request:
                _run_loop(self, poll_interval)
        finally:
            try:
                self.__shutdown_request = False
                self.__is_shut_down.set()
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
        is_shut_down = self.__is_shut_down
        if type(is_shut_down) is threading.Event and _nobody_else_serves(self):
            return
        is_shut_down.wait()

    def service_actions(self) -> None:
        """Do nothing. An override is called by `serve_forever()` after each wake-up
        (a batch of at most 64 requests) and each `poll_interval`.

        Threads: the serving thread. Exceptions leave `serve_forever()`.
        Source: `socketserver.BaseServer.service_actions`.
        """

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

    def _handle_request_noblock(self) -> None:
        """Serve one request that is known to be there.

        An OSError from `get_request()` means that there is none after all.

        Source: `socketserver.BaseServer._handle_request_noblock`.
        """
        try:
            request, client_address = self.get_request()
        except OSError:
            return
        dispatch(self, request, client_address)

    def handle_timeout(self) -> Any:
        """Called by `handle_request()` when no request came in time; its result is returned.

        Source: `socketserver.BaseServer.handle_timeout`.
        """

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether to serve this request; False closes it.

        Threads: the serving thread. Exceptions leave the loop.
        Source: `socketserver.BaseServer.verify_request`.
        """
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve one request here and now; mix-ins give it to a thread or a process.

        Args:
            request: what `get_request()` returned first; closed before this returns.
            client_address: what it returned second.

        Source: `socketserver.BaseServer.process_request`.
        """
        self.finish_request(request, client_address)
        self.shutdown_request(request)

    def server_close(self) -> None:
        """Do nothing; for subclasses.

        Source: `socketserver.BaseServer.server_close`.
        """

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Call `RequestHandlerClass(request, client_address, self)`; the result is ignored.

        Source: `socketserver.BaseServer.finish_request`.
        """
        self.RequestHandlerClass(request, client_address, self)  # type: ignore[arg-type]

    def shutdown_request(self, request: Any) -> None:
        """End one request: calls `close_request()`.

        Source: `socketserver.BaseServer.shutdown_request`.
        """
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        """Do nothing; for subclasses.

        Source: `socketserver.BaseServer.close_request`.
        """

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report the exception at hand (`sys.exc_info()`) on `sys.stderr`.

        The request is still open. What an override raises leaves the loop, or ends the
        worker thread.

        Source: `socketserver.BaseServer.handle_error`.
        """
        import traceback

        rule = "-" * 40
        print(rule, file=sys.stderr)
        print(
            "Exception occurred during processing of request from",
            client_address,
            file=sys.stderr,
        )
        traceback.print_exc()
        print(rule, file=sys.stderr)

    def __enter__(self) -> Any:
        """The server itself.

        Source: `socketserver.BaseServer.__enter__`.
        """
        return self

    def __exit__(self, *args: object) -> None:
        """`server_close()`.

        Source: `socketserver.BaseServer.__exit__`.
        """
        self.server_close()


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


# Every loop that runs in this process, for `uninstall()` to wake.
running_loops: set[Loop] = set()


def _run_loop(server: Any, poll_interval: float | None) -> None:
    loop = Loop(server)
    state = state_of(server)
    loops = state.loops
    try:
        # In here, since a signal handler may raise anywhere.
        loops.append(loop)
        running_loops.add(loop)
        loop.run(poll_interval)
    finally:
        running_loops.discard(loop)
        if loop in loops:
            loops.remove(loop)
        loop.close()
        if state.pool is not None and not loops:
            state.pool.rest()
