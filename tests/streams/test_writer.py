"""`wfile` without a buffer: everything is sent at once, and the length comes back."""

from __future__ import annotations

import array
import copy
import ctypes
import errno
import gc
import io
import pickle
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
from unittest import mock

import pytest

from streams.outcomes import outcome
from support.serving import Background

BIG = b"0123456789abcdef" * 250_000  # four megabytes: no socket buffer holds it


def receive(peer, size):
    """Exactly so many bytes."""
    parts = []
    while size:
        parts.append(peer.recv(size))
        assert parts[-1], "the stream ended early"
        size -= len(parts[-1])
    return b"".join(parts)


def test_writer_is_standard_type(streams, pair):
    """`isinstance` checks hold; the socket is where programs look for it."""
    ours, _ = pair
    writer = streams.open_writer(ours, 0)
    assert isinstance(writer, socketserver._SocketWriter)
    assert isinstance(writer, io.BufferedIOBase)
    assert writer._sock is ours
    assert writer.fileno() == ours.fileno()
    assert (writer.writable(), writer.readable(), writer.seekable()) == (True, False, False)
    assert writer.closed is False
    assert ours._io_refs == 0
    writer.close()


class Header(ctypes.Structure):
    """A buffer whose format is no plain type."""

    _fields_ = (("a", ctypes.c_int), ("b", ctypes.c_char))


BUFFERS = {
    "bytes": b"abc",
    "empty": b"",
    "bytes subclass": type("Text", (bytes,), {})(b"abc"),
    "bytearray": bytearray(b"abc"),
    "memoryview": memoryview(b"abcdef")[2:4],
    "two dimensions": memoryview(bytes(range(12))).cast("B", (3, 4)),
    "no dimension": memoryview(b"x").cast("B", ()),
    "array": array.array("i", [1, 2, 3]),
    "ctypes array": (ctypes.c_double * 3)(1, 2, 3),
    "ctypes structure": Header(1, b"x"),
    "64 KiB": bytes(65536),
    "above 64 KiB": bytes(65537),
}


@pytest.mark.parametrize("data", BUFFERS.values(), ids=BUFFERS.keys())
def test_write_returns_length_in_bytes(streams, pair, data):
    """Every kind of buffer."""
    ours, peer = pair
    expected = memoryview(data).tobytes()
    with streams.open_writer(ours, 0) as writer:
        assert writer.write(data) == len(expected)
    assert receive(peer, len(expected)) == expected


def released():
    view = memoryview(b"abc")
    view.release()
    return view


BAD = {
    "str": "abc",
    "int": 3,
    "None": None,
    "list": [1],
    "strided": memoryview(b"abcdef")[::2],
    "transposed": memoryview(bytes(8)).cast("B", (2, 2, 2))[::-1],
    "released": released(),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_write_of_bad_type_raises_as_standard(compiled, pair, data):
    """The same exception with the same text; nothing is sent."""
    ours, peer = pair
    with compiled.open_writer(ours, 0) as writer:
        result = outcome(writer.write, data)
        assert isinstance(result, tuple)
        assert result == outcome(socketserver._SocketWriter(ours).write, data)
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(1)


@pytest.mark.parametrize("arguments", [(), (b"a", b"b")])
def test_write_wrong_number_of_arguments_raises_type_error(streams, pair, arguments):
    """One argument, also by its name."""
    with streams.open_writer(pair[0], 0) as writer:
        with pytest.raises(TypeError):
            writer.write(*arguments)
        assert writer.write(b=b"named") == 5


def test_writelines_and_print_work(streams, pair):
    """What io.BufferedIOBase adds."""
    ours, peer = pair
    with streams.open_writer(ours, 0) as writer:
        writer.writelines([b"a\n", bytearray(b"b\n")])
        text = io.TextIOWrapper(writer, "ascii", write_through=True)
        print("c", file=text)
        text.detach()
    assert receive(peer, 6) == b"a\nb\nc\n"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_big_write_waits_for_reader(streams, tcp_pair, kind):
    """More than the socket's buffer: everything arrives, in order."""
    ours, peer = tcp_pair
    with streams.open_writer(ours, 0) as writer:
        writing = Background(writer.write, kind(BIG))
        assert receive(peer, len(BIG)) == BIG
        assert writing.join() == len(BIG)


def test_small_writes_into_full_buffer_wait(streams, pair):
    """Partly sent, then waited: nothing twice, nothing missing."""
    ours, peer = pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    pieces = [bytes([65 + number % 26]) * 1000 for number in range(300)]
    with streams.open_writer(ours, 0) as writer:
        writing = Background(lambda: [writer.write(piece) for piece in pieces])
        assert receive(peer, 300_000) == b"".join(pieces)
        assert writing.join() == [1000] * 300


def test_never_reading_peer_times_out(streams, tcp_pair):
    """The socket's time limit holds for the whole write."""
    ours, _ = tcp_pair
    ours.settimeout(0.02)
    with (
        streams.open_writer(ours, 0) as writer,
        pytest.raises(TimeoutError, match=r"^timed out$"),
    ):
        writer.write(BIG)


def test_non_blocking_full_buffer_raises_blocking_io_error(streams, pair):
    """A time limit of 0."""
    ours, _ = pair
    ours.setblocking(False)
    with streams.open_writer(ours, 0) as writer, pytest.raises(BlockingIOError) as caught:
        writer.writelines([b"x" * 1000] * 100_000)
    assert caught.value.errno == errno.EAGAIN


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000])
def test_write_to_closed_peer_raises_broken_pipe(streams, pair, size):
    """As `sendall()`, even for nothing."""
    ours, peer = pair
    peer.close()
    with streams.open_writer(ours, 0) as writer:
        result = outcome(writer.write, bytes(size))
        assert result == outcome(socketserver._SocketWriter(ours).write, bytes(size))
        if size:
            assert result[0] is BrokenPipeError


def test_write_after_reset_raises_once_reset_then_broken_pipe(streams, tcp_pair):
    """The pending error is reported to one write."""
    ours, peer = tcp_pair
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with streams.open_writer(ours, 0) as writer:
        with pytest.raises(ConnectionResetError):
            writer.write(b"x")
        with pytest.raises(BrokenPipeError):
            writer.write(b"x")


def test_write_to_closed_socket_raises_bad_file(streams, pair):
    """The handler closed the request."""
    ours, _ = pair
    writer = streams.open_writer(ours, 0)
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        writer.write(b"x")
    assert writer.fileno() == -1
    writer.close()


def test_write_after_close_still_sends(streams, pair):
    """`close()` of this file is not the connection's end (`_SocketWriter` inherits it)."""
    ours, peer = pair
    writer = streams.open_writer(ours, 0)
    writer.close()
    writer.close()
    assert writer.closed is True
    assert writer.write(b"more") == 4
    assert receive(peer, 4) == b"more"
    assert writer.fileno() == ours.fileno()


@pytest.mark.parametrize(
    "call",
    [
        lambda writer: writer.flush(),
        lambda writer: writer.__enter__() and None,
        lambda writer: writer.writelines([b""]),
        lambda writer: writer.isatty(),
        lambda writer: writer.readable(),
        lambda writer: writer.writable(),
        lambda writer: writer.seekable(),
        lambda writer: writer.read(1),
        lambda writer: writer.readline(),
        lambda writer: writer.tell(),
        lambda writer: writer.truncate(),
        lambda writer: writer.detach(),
        lambda writer: list(writer),
        lambda writer: writer.close(),
    ],
)
@pytest.mark.parametrize("closed", [False, True])
def test_other_methods_equal_standard(compiled, pair, call, closed):
    """Open and closed: same result, same exception."""
    writers = [socketserver._SocketWriter(pair[0]), compiled.open_writer(pair[0], 0)]
    if closed:
        for writer in writers:
            writer.close()
    standard, ours = (outcome(call, writer) for writer in writers)
    assert ours == standard


def test_writer_cannot_be_pickled(streams, pair):
    """As the socket in it."""
    writer = streams.open_writer(pair[0], 0)
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(writer)


def test_copied_writer_shares_the_socket(streams, pair):
    """`copy.copy()`: another file of the same socket, with the same attributes."""
    ours, peer = pair
    with streams.open_writer(ours, 0) as writer:
        writer.note = "mine"
        other = copy.copy(writer)
        assert type(other) is type(writer)
        assert vars(other) == vars(writer) == {"_sock": ours, "note": "mine"}
        with other:
            assert other.write(b"copied") == 6
        assert (other.closed, writer.closed) == (True, False)
        assert copy.copy(other).closed is True
    assert receive(peer, 6) == b"copied"


def test_deep_copy_of_writer_raises_type_error(streams, pair):
    """A socket is not copied."""
    with (
        streams.open_writer(pair[0], 0) as writer,
        pytest.raises(TypeError, match="cannot pickle 'socket' object"),
    ):
        copy.deepcopy(writer)


def test_attributes_may_be_added(streams, pair):
    """It is an ordinary object."""
    with streams.open_writer(pair[0], 0) as writer:
        writer.note = "mine"
        assert writer.note == "mine"


def test_replaced_socket_is_used(streams, pair):
    """`wfile._sock` put in by a program, whatever it is."""
    with streams.open_writer(pair[0], 0) as writer:
        writer._sock = mock.Mock()
        assert writer.write(b"abc") == 3
        writer._sock.sendall.assert_called_once_with(b"abc")


def test_positive_buffer_size_gives_buffered_writer(streams, pair):
    """`wbufsize > 0`: sent when flushed; keeps the socket until closed."""
    ours, peer = pair
    with streams.open_writer(ours, 100) as writer:
        assert type(writer) is io.BufferedWriter
        assert writer.write(b"abc") == 3
        assert ours._io_refs == 1
    assert receive(peer, 3) == b"abc"


def test_buffer_cannot_be_resized_while_it_is_sent(streams, pair):
    """A write that waits holds on to its buffer."""
    ours, peer = pair
    data = bytearray(BIG)
    with streams.open_writer(ours, 0) as writer:
        writing = Background(writer.write, data)
        first = receive(peer, 1)  # now it is being sent
        with pytest.raises(BufferError):
            data.append(0)
        assert first + receive(peer, len(BIG) - 1) == BIG
        assert writing.join() == len(BIG)
    data.append(0)


def test_signal_during_big_write_loses_nothing(streams, tcp_pair, alarm):
    """EINTR and partial sends: the handler runs, the rest follows."""
    ours, peer = tcp_pair
    ticks = []
    enough = threading.Event()

    def tick(*_):
        ticks.append(1)
        if len(ticks) == 3:
            enough.set()

    def read_all():
        enough.wait(10)
        return receive(peer, len(BIG))

    reading = Background(read_all)
    alarm(tick, 0.01, 0.01)
    with streams.open_writer(ours, 0) as writer:
        assert writer.write(BIG) == len(BIG)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert reading.join() == BIG
    assert len(ticks) >= 3


def test_exception_of_signal_handler_leaves_write(streams, tcp_pair, alarm):
    """A handler that raises ends a write that waits for ever."""

    class Interrupted(Exception):
        pass

    def interrupt(*_):
        raise Interrupted

    ours, _ = tcp_pair
    with streams.open_writer(ours, 0) as writer:
        alarm(interrupt, 0.02)
        with pytest.raises(Interrupted):
            writer.write(BIG)


def test_shutdown_by_other_thread_ends_waiting_write(streams, tcp_pair):
    """How servers wake a handler that waits."""
    ours, peer = tcp_pair
    with streams.open_writer(ours, 0) as writer:
        writing = Background(writer.write, BIG)
        receive(peer, 1)
        ours.shutdown(socket.SHUT_RDWR)
        assert isinstance(writing.failure(), BrokenPipeError)


def test_threads_write_whole_pieces_side_by_side(streams, pair):
    """Small writes of several threads do not mix within a piece."""
    ours, peer = pair
    with streams.open_writer(ours, 0) as writer:

        def write(letter):
            for _ in range(300):
                writer.write(letter * 10)

        writing = [Background(write, letter) for letter in (b"a", b"b", b"c")]
        data = receive(peer, 9000)
        for thread in writing:
            thread.join()
    pieces = {data[start : start + 10] for start in range(0, 9000, 10)}
    assert pieces == {b"a" * 10, b"b" * 10, b"c" * 10}


def test_writer_that_is_forgotten_leaves_socket_open(streams, pair):
    """It never owned the socket."""
    ours, _ = pair
    streams.open_writer(ours, 0)
    gc.collect()
    assert ours.fileno() >= 0


@pytest.mark.parametrize("size", [10, 4_000_000])
@pytest.mark.parametrize("implementation", ["socketserver", "fastsocketserver"])
def test_peer_that_has_gone_ends_the_process_of_the_standard_module_only(implementation, size):
    """A program that restored SIGPIPE's default action, as command-line tools do.

    Ours gets the exception. With `wbufsize` both are the standard library's own files.
    """
    program = f"""
import signal, socket
from {implementation} import StreamRequestHandler
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
class Handler(StreamRequestHandler):
    def handle(self):
        try:
            self.wfile.write(bytes({size}))
        except BrokenPipeError:
            print("alive", flush=True)
ours, peer = socket.socketpair()
peer.close()
Handler(ours, None, None)
Handler.wbufsize = 10
Handler(ours, None, None)
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=30)
    assert done.returncode == -signal.SIGPIPE
    assert done.stdout == (b"alive\n" if implementation == "fastsocketserver" else b"")
