"""`rfile` as an object: what it is, its attributes, its end."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import socket
import sys
import weakref
from unittest import mock

import pytest

from streams.outcomes import outcome


def test_open_reader_is_stock_buffered_reader(streams, pair):
    """`isinstance` checks of every kind hold."""
    with streams.open_reader(pair[0], -1) as reader:
        assert type(reader) is io.BufferedReader
        assert isinstance(reader.raw, socket.SocketIO)
        assert isinstance(reader.raw, io.RawIOBase)


def test_attributes_are_standard(streams, pair):
    """Names that programs read."""
    ours, _ = pair
    with streams.open_reader(ours, -1) as reader:
        assert reader.mode == reader.raw.mode == "rb"
        assert reader.name == reader.raw.name == reader.fileno() == ours.fileno()
        assert reader.raw._sock is ours
        assert reader.raw._timeout_occurred is False
        assert (reader.readable(), reader.writable(), reader.seekable()) == (True, False, False)
        assert reader.isatty() is False
        assert repr(reader) == f"<_io.BufferedReader name={ours.fileno()}>"


CALLS = {
    "tell": (),
    "seek": (0,),
    "truncate": (),
    "flush": (),
    "readable": (),
    "writable": (),
    "seekable": (),
    "fileno": (),
    "isatty": (),
    "read": (1,),
    "readinto": (bytearray(1),),
    "readline": (),
    "readlines": (),
    "readall": (),
    "read1": (1,),
    "readinto1": (bytearray(1),),
    "peek": (),
    "write": (b"x",),
    "writelines": ([b"x"],),
    "detach": (),
    "__iter__": (),
    "__next__": (),
    "__enter__": (),
    "close": (),
}


def outcomes(target, name):
    """What the call does, without the objects that differ anyway."""
    result = outcome(lambda: getattr(target, name)(*CALLS[name]))
    if isinstance(result, io.IOBase):
        return isinstance(result, io.RawIOBase)
    if isinstance(result, tuple):
        text = result[1].replace("SocketReader", "SocketIO")
        return result[0], text
    return result


@pytest.mark.parametrize("state", ["closed", "raw closed", "closed raw", "ended", "detached"])
@pytest.mark.parametrize("name", CALLS)
def test_every_method_after_the_end_equals_standard(name, state, compiled):
    """Each method of a file that is closed, ended or detached: same result, same exception."""
    found = []
    for open_reader in (lambda sock, size: sock.makefile("rb", size), compiled.open_reader):
        ours, peer = socket.socketpair()
        with ours, peer:
            target = reader = open_reader(ours, -1)
            raw = reader.raw
            peer.shutdown(socket.SHUT_WR)
            if state == "closed":
                reader.close()
            elif state == "raw closed":
                raw.close()
            elif state == "closed raw":
                raw.close()
                target = raw
            elif state == "detached":
                target = reader.detach()
            fd_text = str(ours.fileno())
            result = outcomes(target, name)
            found.append("fd" if str(result) == fd_text else result)
            found.append((raw.closed, raw._sock is None))
            raw.close()
    assert found[:2] == found[2:]


@pytest.mark.parametrize("name", ["closed", "name", "mode", "raw"])
def test_attribute_after_close_equals_standard(name, compiled):
    """Attributes of a closed file."""
    found = []
    for open_reader in (lambda sock, size: sock.makefile("rb", size), compiled.open_reader):
        ours, peer = socket.socketpair()
        with ours, peer:
            reader = open_reader(ours, -1)
            reader.close()
            result = getattr(reader, name)
            found.append(isinstance(result, socket.SocketIO) or result)
    assert found[0] == found[1]


def test_close_twice_gives_up_socket_once(streams, pair):
    """A second `close()` must not take away somebody else's reference."""
    ours, _ = pair
    first = streams.open_reader(ours, -1)
    second = streams.open_reader(ours, -1)
    assert ours._io_refs == 2
    first.close()
    first.close()
    assert ours._io_refs == 1
    second.close()
    assert ours._io_refs == 0


def test_socket_stays_open_until_reader_is_closed(streams, pair):
    """`sock.close()` waits for the files made from it."""
    ours, peer = pair
    reader = streams.open_reader(ours, -1)
    ours.close()
    assert ours.fileno() >= 0
    peer.sendall(b"line\n")
    assert reader.readline() == b"line\n"
    reader.close()
    assert ours.fileno() == -1


@pytest.mark.parametrize("cyclic", [False, True])
def test_forgotten_reader_gives_up_socket(streams, pair, cyclic):
    """The garbage collector closes what nobody closed."""
    ours, _ = pair
    reader = streams.open_reader(ours, -1)
    if cyclic:
        reader.raw.myself = reader
    alive = weakref.ref(reader.raw)
    del reader
    gc.collect()
    assert alive() is None
    assert ours._io_refs == 0


def test_reader_cannot_be_pickled(streams, pair):
    """As any file; nor the raw one, which holds the socket."""
    with streams.open_reader(pair[0], -1) as reader:
        for target in (reader, reader.raw):
            with pytest.raises(TypeError, match="cannot pickle"):
                pickle.dumps(target)


def test_copied_raw_file_shares_the_socket(streams, pair):
    """`copy.copy()` of `rfile.raw`; `rfile` itself refuses. Each gives the socket up."""
    ours, peer = pair
    with streams.open_reader(ours, -1) as reader:
        with pytest.raises(TypeError, match="cannot pickle"):
            copy.copy(reader)
        reader.raw.note = "mine"
        other = copy.copy(reader.raw)
        assert type(other) is type(reader.raw)
        assert (other._sock, other.note) == (ours, "mine")
        peer.sendall(b"copied")
        assert other.read(6) == b"copied"
        second = socket.socket.makefile(ours, "rb")  # so that the count stays above 0
        other.close()
        assert (other.closed, reader.raw.closed) == (True, False)
        second.close()
    assert ours._io_refs == 0


def test_zero_buffer_gives_standard_raw_file(compiled, pair):
    """`rbufsize = 0`."""
    with compiled.open_reader(pair[0], 0) as reader:
        assert type(reader) is socket.SocketIO


@pytest.mark.parametrize("rbufsize", [None, True, -5])
def test_odd_buffer_size_equals_makefile(compiled, pair, rbufsize):
    """All that `makefile` takes."""
    ours, peer = pair
    peer.sendall(b"ab\n")
    with compiled.open_reader(ours, rbufsize) as reader:
        assert type(reader) is io.BufferedReader
        assert reader.readline() == b"ab\n"


@pytest.mark.parametrize("rbufsize", ["8", 1.5, sys.maxsize + 1, sys.maxsize])
def test_impossible_buffer_size_raises_as_makefile(compiled, pair, rbufsize):
    """The exception, and a socket that can still be closed."""
    ours, _ = pair
    expected = outcome(ours.makefile, "rb", rbufsize)
    assert isinstance(expected, tuple)
    assert outcome(compiled.open_reader, ours, rbufsize) == expected


def test_default_buffer_size_is_read_each_time(compiled, pair):
    """`io.DEFAULT_BUFFER_SIZE`, as `makefile` does."""
    ours, peer = pair
    peer.sendall(b"abcdef")
    with (
        mock.patch.object(io, "DEFAULT_BUFFER_SIZE", 3),
        compiled.open_reader(ours, -1) as reader,
    ):
        assert reader.peek() == b"abc"


class Wrapped(socket.socket):
    """A socket type of somebody's own."""

    made = ()

    def makefile(self, *args):
        self.made = args
        return super().makefile(*args)


def test_subclass_of_socket_keeps_its_makefile(compiled):
    """TLS sockets and other types."""
    ours, peer = socket.socketpair()
    with peer, Wrapped(fileno=ours.detach()) as wrapped:
        compiled.open_reader(wrapped, 5).close()
        assert wrapped.made == ("rb", 5)
        compiled.open_writer(wrapped, 7).close()
        assert wrapped.made == ("wb", 7)


def test_any_object_is_asked_for_makefile(compiled):
    """Handlers are tried with requests that are no sockets at all."""
    request = mock.Mock()
    assert compiled.open_reader(request, -1) is request.makefile.return_value
    request.makefile.assert_called_once_with("rb", -1)


def test_replaced_raw_socket_is_used(streams, pair):
    """`rfile.raw._sock` put in by a program."""
    ours, _ = pair
    other, other_peer = socket.socketpair()
    with other, other_peer, streams.open_reader(ours, -1) as reader:
        other_peer.sendall(b"other\n")
        reader.raw._sock = other
        assert reader.readline() == b"other\n"
        reader.raw._sock = ours


def test_raw_socket_of_another_type_is_used(streams, pair):
    """The same with an object that only looks like a socket."""
    ours, _ = pair
    fake = mock.Mock(recv_into=mock.Mock(side_effect=[0]))
    with streams.open_reader(ours, -1) as reader:
        reader.raw._sock = fake
        assert reader.readline() == b""
        reader.raw._sock = ours
    fake.recv_into.assert_called_once()


def test_open_and_close_leave_no_reference(compiled, pair):
    """Nothing that grows with the number of connections."""
    ours, _ = pair
    types = [compiled.SocketReader, compiled.SocketWriter]

    def use():
        for _ in range(200):
            compiled.open_writer(ours, 0).close()
            compiled.open_reader(ours, -1).close()

    use()
    before = [sys.getrefcount(thing) for thing in (ours, *types)]
    use()
    assert [sys.getrefcount(thing) for thing in (ours, *types)] == before
    assert ours._io_refs == 0
