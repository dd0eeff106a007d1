"""What each errno out of accept means for the loop: one table.

Facts are from accept(2) on Linux, which also hands over errors of the network that are
pending on the new connection; those concern one peer only, and so does every errno that
has no row.
"""

from __future__ import annotations

import enum
import errno

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any


class Outcome(enum.Enum):
    """What the loop does after an error."""

    SKIPPED = "that peer has gone; there may be others"
    EXHAUSTED = "nothing can be accepted for now; back off"
    CLOSED = "there is no listener any more; stop serving"


def _named(*names: str) -> frozenset[int]:
    """The errno values among `names` that this platform has."""
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


ACCEPT_ERRORS = {
    # The second line: a socket that does not listen (yet). It stays "ready" for ever.
    Outcome.EXHAUSTED: _named(
        "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM",
        "EINVAL", "EOPNOTSUPP",
    ),
    Outcome.CLOSED: _named("EBADF", "ENOTSOCK"),
}  # fmt: skip

_OUTCOME_BY_ERRNO = {
    number: outcome for outcome, numbers in ACCEPT_ERRORS.items() for number in numbers
}


def outcome_of(error: OSError) -> Outcome:
    """The meaning of `error`; one without a row concerns one peer."""
    return _OUTCOME_BY_ERRNO.get(error.errno or 0, Outcome.SKIPPED)


def report_exhaustion(server: Any, error: OSError, next_try_ms: int) -> None:
    """One record on the logger `fastsocketserver`; the loop sees to it that it is rare."""
    import logging  # only here: most servers never come to this

    logging.getLogger("fastsocketserver").warning(
        "cannot accept on %r: %s; next try in %d ms",
        getattr(server, "server_address", None),
        error,
        next_try_ms,
    )
