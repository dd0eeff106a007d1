"""What the loops, the pool and the children of one server share: one object per server.

It is made when something first needs it, so that a server has nothing of ours before it
serves, and lives under one mangled name in the server's `__dict__`. That may be a subclass
of dict whose methods do other things; Python itself looks attributes up without them, and so
do we.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from collections import deque
    from typing import Any

    from fastsocketserver._children import Children
    from fastsocketserver._loop import Loop
    from fastsocketserver._pool import Pool

KEY = "_BaseServer__state"


class ServerState:
    """All fields are written under the GIL, by whom the comment says; anyone may read."""

    __slots__ = ("children", "loops", "next_log_ns", "pending", "pool", "truncated")

    def __init__(self) -> None:
        # The running loops: each serving thread adds and removes its own.
        self.loops: list[Loop] = []
        # Who serves requests elsewhere: process_request() of the mix-in puts it there,
        # server_close() takes it away. A class may have both.
        self.pool: Pool | None = None
        self.children: Children | None = None
        # Datagrams taken from the kernel and not served yet: appended by a thread in the
        # loop, popped by any.
        self.pending: deque[Any] | None = None
        # Datagrams that were cut: counted by a thread in the loop.
        self.truncated = 0
        # When the next record about exhaustion may be logged: the serving threads.
        self.next_log_ns = 0


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
