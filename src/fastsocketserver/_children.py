"""Child processes: who has exited, at the cost of those that have.

Kernel fact: a pidfd becomes readable when its process exits, and epoll tells which of many
are readable. Where the kernel has none (or no descriptor is left for one), a child is
asked for by waitpid(2) at each tick.

The serving thread uses a `Children`, and any thread that calls `collect_children()` or
`server_close()`: what it knows is guarded by its lock, which is never held while waiting. It
never takes the status of a child that is not in the server's `active_children`.
"""

from __future__ import annotations

import os
import select
import threading
import time

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

# How long to wait for a child at a time: another thread may stop the watching meanwhile.
WAIT_S = 0.5
# How often to ask meanwhile for children whose exit wakes nobody.
LOOK_S = 0.02


class Children:
    """Watches the pids in `server.active_children`. See `Loop.sleep`."""

    def __init__(self, server: Any) -> None:
        """Args: server: has `active_children` (a set of pids) and `max_children`."""
        self._server = server
        # Forked children share the epoll set, so they must leave this object alone.
        self.owner_pid = os.getpid()
        self._lock = threading.RLock()
        self._pidfds: dict[int, int] = {}
        self._pids: dict[int, int] = {}
        self._unwatched: set[int] = set()
        self._epoll: Any = None
        if hasattr(os, "pidfd_open") and hasattr(select, "epoll"):
            try:
                self._epoll = select.epoll()
            except OSError:
                pass  # no descriptor left: ask at each tick

    # -- what a loop asks --------------------------------------------------------------

    def full(self) -> bool:
        """Whether `max_children` are running: no request is taken until one exits."""
        if self.owner_pid != os.getpid():
            return False
        return bool(len(self._server.active_children or ()) >= self._server.max_children)

    def fileno(self) -> int:
        """A descriptor that is readable when a child has exited; -1 where there is none."""
        if self.owner_pid != os.getpid():
            return -1
        with self._lock:
            return -1 if self._epoll is None else self._epoll.fileno()

    def needs_tick(self) -> bool:
        """Whether there are children whose exit wakes nobody."""
        return bool(self._unwatched)

    # -- the life of a child ----------------------------------------------------------

    def add(self, pid: int) -> None:
        """Watch a child that was just forked."""
        with self._lock:
            if not self._watch(pid):
                self._unwatched.add(pid)

    def _watch(self, pid: int) -> bool:
        if self._epoll is None:
            return False
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return False
        try:
            self._epoll.register(pidfd, select.EPOLLIN)
        except OSError:
            os.close(pidfd)
            return False
        self._pidfds[pid] = pidfd
        self._pids[pidfd] = pid
        return True

    def reap(self) -> None:
        """Take the status of those that have exited. Costs nothing for the others."""
        if self.owner_pid != os.getpid():
            return  # in a forked process: they are the parent's
        with self._lock:
            self._adopt()
            ready = self._epoll.poll(0, len(self._pids)) if self._pids else ()
            pids = [self._pids[pidfd] for pidfd, _ in ready] + list(self._unwatched)
        for pid in pids:
            self._reap_one(pid, os.WNOHANG)

    def wait_for_one(self) -> None:
        """Block until a child of ours has exited, at most for a while; take its status."""
        with self._lock:
            wait_s = LOOK_S if self._unwatched else WAIT_S
            watched = self._epoll if self._pids or self._unwatched else None
        if watched is not None:
            try:
                watched.poll(wait_s, 1)
            except (OSError, ValueError):
                pass  # closed meanwhile by another thread
        elif self._unwatched:
            time.sleep(LOOK_S)
        self.reap()

    def wait_for_all(self) -> None:
        """Block until all children of ours have exited."""
        for pid in list(self._server.active_children):
            self._reap_one(pid, 0)

    def _reap_one(self, pid: int, flags: int) -> None:
        active = self._server.active_children or set()
        if pid in active:
            try:
                exited, _ = os.waitpid(pid, flags)
            except ChildProcessError:
                exited = pid  # somebody else took its status
            except OSError:
                return
            if not exited:
                return
            active.discard(pid)
        with self._lock:
            self._forget(pid)

    def _forget(self, pid: int) -> None:
        self._unwatched.discard(pid)
        pidfd = self._pidfds.pop(pid, None)
        if pidfd is not None:
            del self._pids[pidfd]
            # Children have copies of the descriptor: closing ours does not suffice.
            self._epoll.unregister(pidfd)
            os.close(pidfd)

    def _adopt(self) -> None:
        """Watch pids that somebody else put into `active_children`."""
        active = self._server.active_children or ()
        if len(active) > len(self._pidfds) + len(self._unwatched):
            for pid in active - self._pidfds.keys() - self._unwatched:
                self.add(pid)

    def close(self) -> None:
        """Stop watching; the children go on."""
        if self.owner_pid != os.getpid():
            self._lock = threading.RLock()  # who holds it is no thread of this process
        with self._lock:
            for pidfd in self._pids:
                os.close(pidfd)
            self._pids.clear()
            self._pidfds.clear()
            self._unwatched.clear()
            if self._epoll is not None:
                self._epoll.close()
                self._epoll = None
