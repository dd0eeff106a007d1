"""ForkingMixIn: each request in a process of its own."""

from __future__ import annotations

import os
import socketserver

from fastsocketserver._children import fork_to_serve, wait_for_exit, watcher_of
from fastsocketserver._state import state_if_any

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
        watcher_of(self).reap()
        while self.active_children and len(self.active_children) >= self.max_children:
            wait_for_exit(self.active_children)
            # Asked for anew: a signal handler may have forked, and this is its child.
            watcher_of(self).reap()
        if blocking and self.active_children:
            _wait_for_all(self.active_children)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Fork; the child serves the request and exits, the parent closes its copy.

        Never returns in the child, whatever is raised there.

        Raises:
            OSError: no process can be forked; the loop reports it and goes on.
        Threads: any; the child has the calling thread alone. From Python 3.12 on, `os.fork()`
            warns (DeprecationWarning) if there are others.
        Source: `socketserver.ForkingMixIn.process_request`.
        """
        fork_to_serve(self, request, client_address)
        self.close_request(request)  # type: ignore[attr-defined]

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
        watcher, state.children = state.children, None
        watcher.close()


def _wait_for_all(pids: set[int]) -> None:
    """Take the status of children, waiting for each; of those that are still ours to take."""
    for pid in list(pids):
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass  # somebody else took its status
        pids.discard(pid)
