"""`StreamRequestHandler.timeout`: what each value does to the connection and its streams."""

from __future__ import annotations

import pytest


def served(impl, request, timeout, handle):
    """A connection through a handler with that time limit."""
    attributes = {"timeout": timeout, "handle": handle}
    return type("Handler", (impl.StreamRequestHandler,), attributes)(request, None, None)


@pytest.mark.parametrize(
    ("timeout", "expected"), [(None, 9.0), (0, 0.0), (0.0, 0.0), (False, 0.0), (2.5, 2.5)]
)
def test_time_limit_is_that_of_the_connection(impl, pair, timeout, expected):
    """Source: `if self.timeout is not None`. None leaves what the socket has."""
    seen = []
    pair[0].settimeout(9.0)
    served(impl, pair[0], timeout, lambda self: seen.append(self.connection.gettimeout()))
    assert seen == [expected]


def test_time_limit_of_zero_makes_streams_non_blocking(impl, pair):
    """Nothing there: None. No space: BlockingIOError."""

    def handle(self):
        assert self.rfile.read(1) is None
        with pytest.raises(BlockingIOError):
            self.wfile.write(bytes(10_000_000))

    served(impl, pair[0], 0, handle)


def test_time_limit_ends_a_wait(impl, pair):
    """Of the reader and of the writer."""

    def handle(self):
        with pytest.raises(TimeoutError):
            self.wfile.write(bytes(10_000_000))
        with pytest.raises(TimeoutError):
            self.rfile.readline()

    served(impl, pair[0], 0.01, handle)
