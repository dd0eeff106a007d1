"""`server_close()` for the standard classes themselves, when they get our methods.

Ours goes on to the standard twin's. Where it takes that one's place, it does what it did, and
then our part.
"""

from __future__ import annotations

import functools

from fastsocketserver._base import tell_loops_of_close
from fastsocketserver._forking import ForkingMixIn, end_watch
from fastsocketserver._tcp import TCPServer
from fastsocketserver._threading import ThreadingMixIn, end_workers, start_held

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


_made: dict[type, Callable[[Any], None]] = {}


def make_server_close(cls: type) -> Callable[[Any], None]:
    """The method for `cls`; the same one each time, whoever asks at once.

    Args:
        cls: the standard module's TCPServer, ThreadingMixIn or ForkingMixIn.
    """
    # Not functools.cache: of two calls at once, each would get one of its own.
    return _made.get(cls) or _made.setdefault(cls, _MAKERS[cls.__name__](cls))


def _for_tcp_server(cls: type) -> Callable[[Any], None]:
    @functools.wraps(TCPServer.server_close)
    def server_close(self: Any) -> None:
        try:
            self.socket.close()
        finally:
            tell_loops_of_close(self)

    return server_close


def _for_threading(cls: type) -> Callable[[Any], None]:
    @functools.wraps(ThreadingMixIn.server_close)
    def server_close(self: Any) -> None:
        try:
            start_held(self)
        finally:
            try:
                super(cls, self).server_close()  # type: ignore[arg-type]
                self._threads.join()
            finally:
                end_workers(self)

    return server_close


def _for_forking(cls: type) -> Callable[[Any], None]:
    @functools.wraps(ForkingMixIn.server_close)
    def server_close(self: Any) -> None:
        super(cls, self).server_close()  # type: ignore[arg-type]
        self.collect_children(blocking=self.block_on_close)
        end_watch(self)

    return server_close


_MAKERS = {
    "TCPServer": _for_tcp_server,
    "ThreadingMixIn": _for_threading,
    "ForkingMixIn": _for_forking,
}
