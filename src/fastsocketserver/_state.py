"""What the loops, the pool and the children of one server share: one object per server.

It is made with the server, or when something first needs it if the server is older than our
methods, and lives under one mangled name in the server's `__dict__`. That may be a subclass
of dict whose methods do other things; Python itself looks attributes up without them, and so
do we.
"""

from __future__ import annotations

import os
import threading

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from collections import deque
    from typing import Any

    from fastsocketserver._children import ChildWatcher
    from fastsocketserver._loop import Loop
    from fastsocketserver._pool import Pool

# Not to be met by accident, also by classes that are called BaseServer.
KEY = "_BaseServer__fastsocketserver_state"


class ServerState:
    """All fields are written under the GIL, by whom the comment says; anyone may read."""

    __slots__ = (
        "children", "knows_who_serves", "loops", "next_log_ns", "pending", "pending_pid",
        "pool", "serving", "truncated",
    )  # fmt: skip

    def __init__(self) -> None:
        # The threads inside serve_forever(), `(pid, ident)` each: each adds itself before
        # it looks at the stop flag, and removes itself last.
        self.serving: list[tuple[int, int]] = []
        # False: our methods came later, and the standard module's loop may be running.
        self.knows_who_serves = False
        # The running loops: each serving thread adds and removes its own.
        self.loops: list[Loop] = []
        # Who serves requests elsewhere: process_request() of the mix-in puts it there,
        # server_close() takes it away. A class may have both.
        self.pool: Pool | None = None
        self.children: ChildWatcher | None = None
        # Datagrams taken from the kernel and not served yet: appended by a thread in the
        # loop, popped by any.
        self.pending: deque[Any] | None = None
        # Who took them. A forked copy of the queue is not to be served: it would be twice.
        self.pending_pid = 0
        # Datagrams that were cut: counted by a thread in the loop.
        self.truncated = 0
        # When the next record about exhaustion may be logged: the serving threads.
        self.next_log_ns = 0

    def own_pending(self) -> deque[Any] | None:
        """The datagrams that this process took and has not served; None when there are none."""
        if self.pending and self.pending_pid != os.getpid():
            self.pending = None
        return self.pending or None

    def serving_idents(self) -> set[int]:
        """Of the threads inside `serve_forever()`: those that exist in this process.

        Of the threads that its parent had, a forked process has the one that forked, as its
        main thread and under the same ident; a new one may have the ident of any other.
        """
        pid, main_ident = os.getpid(), threading.main_thread().ident
        return {
            ident
            for owner_pid, ident in list(self.serving)
            if owner_pid == pid or ident == main_ident
        }


def state_of(server: Any) -> ServerState:
    """The state of `server`, made now if need be. Any thread."""
    attributes = vars(server)
    state: ServerState | None = dict.get(attributes, KEY)
    if state is None:
        state = dict.setdefault(attributes, KEY, ServerState())  # one wins
    return state


def state_if_any(server: Any) -> ServerState | None:
    """The state of `server`; None when nothing has needed one so far."""
    state: ServerState | None = dict.get(vars(server), KEY)
    return state
