"""What each errno out of accept means for the loop: one table.

Facts are from accept(2) on Linux, which also hands over errors of the network that are
pending on the new connection; those concern one peer only, and so does every errno that
has no row.
"""

from __future__ import annotations

import enum
import errno
import sys

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any


class Outcome(enum.Enum):
    """What the loop does after an error."""

    SKIPPED = "that peer has gone; there may be others"
    EXHAUSTED = "nothing can be accepted for now; back off"
    NOT_LISTENING = "the same if nothing can come from there; otherwise about one peer"


def _named(*names: str) -> frozenset[int]:
    """The errno values among `names` that this platform has."""
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


ACCEPT_ERRORS = {
    Outcome.EXHAUSTED: _named("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"),
    # A socket that does not listen (yet), and a number that is no open socket (any more),
    # stay "ready" for ever.
    Outcome.NOT_LISTENING: _named("EINVAL", "EOPNOTSUPP", "EBADF", "ENOTSOCK"),
}  # fmt: skip

_OUTCOME_BY_ERRNO = {
    number: outcome for outcome, numbers in ACCEPT_ERRORS.items() for number in numbers
}


def outcome_of(error: OSError) -> Outcome:
    """The meaning of `error`; one without a row concerns one peer."""
    return _OUTCOME_BY_ERRNO.get(error.errno or 0, Outcome.SKIPPED)


def report_exhaustion(server: Any, error: OSError, next_try_ms: int) -> None:
    """One record on the logger `fastsocketserver`; the loop sees to it that it is rare.

    Nothing is imported here, since there may be no descriptor to read a module with. A program
    that has not imported `logging` has no handler either, and gets what logging's handler of
    last resort does: the message on stderr. So it does when its own handlers fail, as one
    that wants to open its file now.
    """
    address = getattr(server, "server_address", None)
    message = f"cannot accept on {address!r}: {error}; next try in {next_try_ms} ms"
    logging: Any = sys.modules.get("logging")
    if hasattr(logging, "getLogger"):  # else not imported to its end
        try:
            logging.getLogger("fastsocketserver").warning("%s", message)
        except Exception as failure:
            message += f" (logging failed: {failure!r})"
        else:
            return
    if sys.stderr is None:  # under pythonw, say
        return
    try:
        print(message, file=sys.stderr)
    except (OSError, ValueError):
        return  # closed, or full: there is nobody to tell
