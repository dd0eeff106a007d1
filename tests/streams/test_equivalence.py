"""Random scripts of reads on random splits of data: always what the standard streams do.

Two connections get the same bytes and the same calls, one read through `makefile()`, one
through ours; after each call the results are compared, exceptions included.
"""

from __future__ import annotations

import io
import socket
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsocketserver._streams import SocketReader, open_reader
from streams.outcomes import outcome

SIZES = st.one_of(st.none(), st.integers(-1, 20), st.just(9000))
COUNTS = st.integers(0, 20)
DATA = st.lists(
    st.sampled_from([b"\n", b"a", b"bc\n", b"d" * 9, b"\r\n", b"e" * 700]), max_size=12
)
CHUNKS = st.lists(DATA.map(b"".join), max_size=8)
BUFFER_SIZES = st.sampled_from([-1, 1, 2, 3, 7, 16, 8192, 100_000])

CALLS = st.one_of(
    st.tuples(st.sampled_from(["read", "read1", "readline"]), SIZES),
    st.tuples(st.just("readlines"), st.one_of(st.none(), st.integers(0, 40))),
    st.tuples(st.just("peek"), st.integers(-1, 20)),
    st.tuples(st.sampled_from(["readinto", "readinto1"]), COUNTS),
    st.just(("__next__",)),
)


def call(reader: Any, name: str, *args: Any) -> Any:
    """One call's outcome; for `readinto` also what is in the buffer afterwards."""
    if name.startswith("readinto"):
        buffer = bytearray(args[0])
        return outcome(getattr(reader, name), buffer), bytes(buffer)
    if args == (None,) and name == "read1":
        args = ()  # None is an error there
    return outcome(getattr(reader, name), *args)


class Twins:
    """The same stream twice; `peers` are the ends to send on."""

    def __init__(self, stack: ExitStack, rbufsize: int, kind: int = socket.SOCK_STREAM) -> None:
        pairs = [socket.socketpair(type=kind) for _ in range(2)]
        self.socks, self.peers = zip(*pairs, strict=True)
        self.standard = self.socks[0].makefile("rb", rbufsize)
        self.ours = open_reader(self.socks[1], rbufsize)
        assert isinstance(self.ours.raw, SocketReader)
        for item in (*self.socks, *self.peers, self.standard.raw, self.ours.raw):
            stack.callback(item.close)

    def send(self, data: bytes) -> None:
        for peer in self.peers:
            peer.sendall(data)

    def end(self) -> None:
        for peer in self.peers:
            peer.shutdown(socket.SHUT_WR)

    def compare(self, name: str, *args: Any) -> None:
        assert call(self.ours, name, *args) == call(self.standard, name, *args)


def run_to_the_end(twins: Twins, script: list[Any]) -> None:
    for step in script:
        twins.compare(*step)
    twins.compare("read")
    twins.compare("readline")
    assert twins.ours.closed == twins.standard.closed


@given(data=DATA.map(b"".join), script=st.lists(CALLS, max_size=15), rbufsize=BUFFER_SIZES)
@settings(max_examples=150, deadline=None)
def test_reads_whole_stream_equal_standard(data, script, rbufsize):
    """All data is there, and the end after it."""
    with ExitStack() as stack:
        twins = Twins(stack, rbufsize)
        twins.send(data)
        twins.end()
        run_to_the_end(twins, script)


@given(chunks=CHUNKS, script=st.lists(CALLS, max_size=15), rbufsize=BUFFER_SIZES)
@settings(max_examples=150, deadline=None)
def test_reads_split_stream_equal_standard(chunks, script, rbufsize):
    """Blocking reads of data in pieces.

    A packet socket hands over one piece at a time, so the splits are exact; what does not
    fit into the reader's buffer is lost, in both alike.
    """
    with ExitStack() as stack:
        twins = Twins(stack, rbufsize, socket.SOCK_SEQPACKET)
        for chunk in filter(None, chunks):
            twins.send(chunk)
        twins.end()
        run_to_the_end(twins, script)


STEPS = st.one_of(CALLS, st.tuples(st.just("send"), DATA.map(b"".join)))


@given(script=st.lists(STEPS, max_size=25), rbufsize=BUFFER_SIZES)
@settings(max_examples=150, deadline=None)
def test_reads_of_non_blocking_socket_equal_standard(script, rbufsize):
    """Data that arrives between the reads; None or BlockingIOError where there is none."""
    with ExitStack() as stack:
        twins = Twins(stack, rbufsize)
        for sock in twins.socks:
            sock.setblocking(False)
        for name, *args in script:
            if name == "send":
                twins.send(*args)
            else:
                twins.compare(name, *args)
        twins.end()
        twins.compare("read")


@given(script=st.lists(STEPS, max_size=6), rbufsize=BUFFER_SIZES)
@settings(max_examples=40, deadline=None)
def test_reads_with_time_limit_equal_standard(script, rbufsize):
    """A time-out in the middle of anything: what was read before it, and what comes after."""
    with ExitStack() as stack:
        twins = Twins(stack, rbufsize)
        for sock in twins.socks:
            sock.settimeout(0.002)
        for name, *args in script:
            if name == "send":
                twins.send(*args)
            else:
                twins.compare(name, *args)
        twins.end()
        twins.compare("read")


RAW_CALLS = st.one_of(
    st.tuples(st.just("readinto"), COUNTS),
    st.tuples(st.sampled_from(["read", "readline"]), st.integers(-1, 20)),
    st.just(("readall",)),
)


@given(data=DATA.map(b"".join), script=st.lists(RAW_CALLS, max_size=10))
@settings(max_examples=60, deadline=None)
def test_reads_of_raw_file_equal_standard(data, script):
    """`rfile.raw`, which programs reach for and `rfile.detach()` hands out."""
    with ExitStack() as stack:
        twins = Twins(stack, -1)
        twins.send(data)
        twins.end()
        twins.ours, twins.standard = twins.ours.detach(), twins.standard.detach()
        for step in script:
            twins.compare(*step)


@given(
    data=DATA.map(b"".join),
    script=st.lists(COUNTS, max_size=8),
    newline=st.sampled_from([None, "", "\n"]),
)
@settings(max_examples=60, deadline=None)
def test_text_wrapper_equals_standard(data, script, newline):
    """`io.TextIOWrapper` on top."""
    with ExitStack() as stack:
        twins = Twins(stack, 16)
        twins.send(data)
        twins.end()
        texts = [
            stack.enter_context(io.TextIOWrapper(reader, "ascii", newline=newline))
            for reader in (twins.ours, twins.standard)
        ]
        for count in script:
            ours, standard = (outcome(text.readline, count) for text in texts)
            assert ours == standard
        ours, standard = (outcome(list, text) for text in texts)
        assert ours == standard


@pytest.mark.parametrize("limit", range(12))
@pytest.mark.parametrize("rbufsize", [1, 4, 5, 8, -1])
def test_readline_limit_at_every_boundary_equals_standard(limit, rbufsize):
    """Limits before, at and after the newline and the buffer's end."""
    with ExitStack() as stack:
        twins = Twins(stack, rbufsize)
        twins.send(b"abcd\nefghij\nk")
        twins.end()
        for _ in range(14):
            twins.compare("readline", limit)


@pytest.mark.parametrize("argument", ["x", 1.5, b"", [], object()])
@pytest.mark.parametrize("name", ["read", "read1", "readline", "peek", "readinto"])
def test_wrong_argument_equals_standard(name, argument):
    """The same exception with the same text; nothing is consumed."""
    with ExitStack() as stack:
        twins = Twins(stack, -1)
        twins.send(b"abc\n")
        twins.end()
        ours = outcome(getattr(twins.ours, name), argument)
        assert ours == outcome(getattr(twins.standard, name), argument)
        twins.compare("read")


@pytest.mark.parametrize(
    "buffer",
    [b"fixed", memoryview(b"fixed"), memoryview(bytearray(8))[::2], "text", 3, bytearray()],
    ids=["bytes", "readonly", "strided", "str", "int", "empty"],
)
def test_raw_readinto_odd_buffer_equals_standard(buffer):
    """Buffers that cannot be written, or hold nothing."""
    with ExitStack() as stack:
        twins = Twins(stack, -1)
        twins.send(b"abc")
        ours = outcome(twins.ours.raw.readinto, buffer)
        assert ours == outcome(twins.standard.raw.readinto, buffer)
        twins.end()
        twins.compare("read")


def test_raw_readinto_released_memoryview_equals_standard():
    """A released view is refused with the standard text."""
    with ExitStack() as stack:
        twins = Twins(stack, -1)
        view = memoryview(bytearray(3))
        view.release()
        ours = outcome(twins.ours.raw.readinto, view)
        assert ours == outcome(twins.standard.raw.readinto, view)
