"""ForkingMixIn: each request in a process of its own."""

from __future__ import annotations

import os
import socketserver

from fastsocketserver._children import Children
from fastsocketserver._state import state_if_any, state_of

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any


class ForkingMixIn(socketserver.ForkingMixIn):
    """Serve each request in a forked child.

    Attributes, on the class or the instance:
        timeout: seconds without a request after which `handle_request()` collects children.
        active_children: set of the pids of running children; None before the first one.
        max_children: most children at once. `serve_forever()` takes no request while so
            many are running; `collect_children()` waits until one exits.
        block_on_close: `server_close()` waits for all children.

    Hooks, beside those of the server that it is mixed with:
        collect_children(): called by `handle_timeout()`, by `service_actions()` and by
            `server_close()`. While the latter two are stock, the loop reaps children when
            they exit and does not tick.

    Source: `socketserver.ForkingMixIn`.
    """

    def collect_children(self, *, blocking: bool = False) -> None:
        """Take the status of children of ours that have exited; of no other process.

        Waits while `max_children` or more are running.

        Does nothing in a forked process: the children are its parent's.

        Args:
            blocking: wait for all of them, without a limit.
        Raises:
            BaseException: only what a signal handler raises during a wait.
        Threads: any.
        Source: `socketserver.ForkingMixIn.collect_children`.
        """
        if self.active_children is None:
            return
        children = _children_of(self)
        if self.active_children is None:
            return
        children.reap()
        while self.active_children and len(self.active_children) >= self.max_children:
            children.wait_for_one()
        if blocking:
            children.wait_for_all()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Fork; the child serves the request and exits, the parent closes its copy.

        Never returns in the child, whatever is raised there.

        Raises:
            OSError: no process can be forked; the loop reports it and goes on.
        Threads: any; the child has the calling thread alone. From Python 3.12 on, `os.fork()`
            warns (DeprecationWarning) if there are others.
        Source: `socketserver.ForkingMixIn.process_request`.
        """
        children = _children_of(self)
        pid = os.fork()
        if pid:
            if self.active_children is None:
                self.active_children = set()
            self.active_children.add(pid)
            children.add(pid)
            self.close_request(request)  # type: ignore[attr-defined]
            return
        status = 1
        try:
            self.finish_request(request, client_address)  # type: ignore[attr-defined]
            status = 0
        except Exception:
            self.handle_error(request, client_address)  # type: ignore[attr-defined]
        finally:
            try:
                self.shutdown_request(request)  # type: ignore[attr-defined]
            finally:
                os._exit(status)

    def server_close(self) -> None:
        """Close the server, then collect the children; all of them if `block_on_close`.

        The wait has no limit: it is as long as the longest of their requests. Without
        `block_on_close` it waits only while `max_children` or more are running.

        Raises:
            BaseException: only what a signal handler raises during a wait.
        Threads: any. May be called twice, and in a child, which waits for nobody.
        Source: `socketserver.ForkingMixIn.server_close`.
        """
        super().server_close()  # the standard twin's collects the children
        end_watch(self)


def end_watch(server: Any) -> None:
    """Give up what watches the children of a closed server."""
    state = state_if_any(server)
    if state is not None and state.children is not None:
        children, state.children = state.children, None
        children.close()


def _children_of(server: Any) -> Children:
    """Who watches the children; made by the first request of this process."""
    state = state_of(server)
    children = state.children
    if children is not None and children.owner_pid != os.getpid():
        children = None
        server.active_children = None  # they are the parent's
    if children is None:
        children = Children(server)
        state.children = children
    return children
