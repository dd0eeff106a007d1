"""Reads that have to wait: time limits, signals, other threads, peers that misbehave."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import threading
import time

import pytest

from support.serving import Background


def reset(sock):
    """Close with a RST instead of an orderly end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_time_out_in_mid_line_ends_reading(streams, pair):
    """A further read of the socket is refused; the half line is gone (`BufferedReader`)."""
    ours, peer = pair
    with streams.open_reader(ours, -1) as reader:
        ours.settimeout(0.01)
        peer.sendall(b"half a li")
        with pytest.raises(TimeoutError, match=r"^timed out$"):
            reader.readline()
        assert reader.raw._timeout_occurred is True
        peer.sendall(b"ne\n")
        with pytest.raises(OSError, match=r"^cannot read from timed out object$"):
            reader.readline()
        reader.raw._timeout_occurred = False
        assert reader.readline() == b"ne\n"


def test_time_out_keeps_what_is_in_the_buffer(streams, pair):
    """Whole lines that came before are handed out still."""
    ours, peer = pair
    with streams.open_reader(ours, -1) as reader:
        ours.settimeout(0.01)
        peer.sendall(b"one\ntwo\n")
        assert reader.readline() == b"one\n"
        with pytest.raises(TimeoutError):
            reader.raw.read(1)
        assert reader.readline() == b"two\n"
        with pytest.raises(OSError, match=r"^cannot read from timed out object$"):
            reader.readline()


def test_time_limit_may_change_between_reads(streams, pair):
    """The socket's time limit counts as of each read."""
    ours, peer = pair
    with streams.open_reader(ours, -1) as reader:
        peer.sendall(b"one\n")
        assert reader.readline() == b"one\n"
        ours.settimeout(0.01)
        with pytest.raises(TimeoutError):
            reader.readline()


def test_time_limit_with_data_there_is_no_time_out(streams, pair):
    """Data that is there wins over a limit that is very short."""
    ours, peer = pair
    ours.settimeout(1e-9)
    peer.sendall(b"one\n")
    with streams.open_reader(ours, -1) as reader:
        assert reader.readline() == b"one\n"


def test_non_blocking_descriptor_under_blocking_socket(streams, pair):
    """Handlers set O_NONBLOCK with fcntl: then there is no waiting."""
    ours, peer = pair
    flags = fcntl.fcntl(ours, fcntl.F_GETFL)
    fcntl.fcntl(ours, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    with streams.open_reader(ours, -1) as reader:
        assert reader.read(3) is None
        assert reader.raw.read(3) is None
        peer.sendall(b"abc")
        assert reader.read(3) == b"abc"


def test_waiting_read_gets_data_of_other_thread(streams, pair):
    """Waiting gives up the GIL: the thread that sends runs meanwhile."""
    ours, peer = pair
    with streams.open_reader(ours, -1) as reader:
        line = Background(reader.readline)
        peer.sendall(b"late\n")
        assert line.join() == b"late\n"


def test_one_byte_at_a_time(streams, tcp_pair):
    """The slowest peer."""
    ours, peer = tcp_pair
    data = b"".join(b"line %d\n" % number for number in range(40))

    def send():
        for index in range(len(data)):
            peer.sendall(data[index : index + 1])
        peer.shutdown(socket.SHUT_WR)

    with streams.open_reader(ours, -1) as reader:
        sender = Background(send)
        assert b"".join(reader) == data
        sender.join()


def test_huge_line_without_newline(streams, tcp_pair):
    """A megabyte in one `readline()`, then the end."""
    ours, peer = tcp_pair
    data = bytes(range(1, 10)) * 120_000
    with streams.open_reader(ours, -1) as reader:
        sender = Background(lambda: (peer.sendall(data), peer.shutdown(socket.SHUT_WR)))
        assert reader.readline() == data
        assert reader.readline() == b""
        sender.join()


@pytest.mark.parametrize("rbufsize", [-1, 1 << 20])
def test_large_body_arrives_whole(streams, tcp_pair, rbufsize):
    """More than any buffer, with reads above and below the size that keeps the GIL."""
    ours, peer = tcp_pair
    data = os.urandom(3_000_000)
    with streams.open_reader(ours, rbufsize) as reader:
        sender = Background(lambda: (peer.sendall(data), peer.shutdown(socket.SHUT_WR)))
        body = reader.read(100_000) + reader.read(2_000_000) + reader.read()
        assert body == data
        sender.join()


def test_close_in_mid_line_gives_the_rest(streams, tcp_pair):
    """An orderly end without newline."""
    ours, peer = tcp_pair
    peer.sendall(b"half")
    peer.close()
    with streams.open_reader(ours, -1) as reader:
        assert reader.readline() == b"half"
        assert reader.readline() == b""


@pytest.mark.parametrize("waiting", [False, True])
def test_reset_in_mid_line_raises_once(streams, tcp_pair, waiting):
    """The pending error is reported to one read; after it comes the end.

    Waiting or not: an error seen by the first attempt must not be asked for again.
    """
    ours, peer = tcp_pair
    with streams.open_reader(ours, -1) as reader:
        peer.sendall(b"half")
        assert reader.peek() == b"half"
        if waiting:
            line = Background(reader.readline)
            reset(peer)
            error = line.failure()
        else:
            reset(peer)
            with pytest.raises(ConnectionResetError) as caught:
                reader.readline()
            error = caught.value
        assert isinstance(error, ConnectionResetError)
        assert error.errno == errno.ECONNRESET
        assert reader.readline() == b""


def test_read_of_closed_descriptor_raises_bad_file(streams, pair):
    """A socket that was closed for good, or detached, under the file."""
    ours, _ = pair
    with streams.open_reader(ours, -1) as reader:
        os.close(ours.detach())
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            reader.read(1)
        assert caught.value.errno == errno.EBADF


class Interrupted(Exception):
    """Raised by a signal handler."""


@pytest.mark.parametrize("timeout_s", [None, 30.0])
def test_signal_handler_runs_and_read_goes_on(streams, pair, alarm, timeout_s):
    """EINTR: the handler runs while the read waits, several times, and nothing is lost."""
    ours, peer = pair
    ours.settimeout(timeout_s)
    ticks = []

    def tick(*_):
        ticks.append(time.monotonic())
        if len(ticks) == 3:
            peer.sendall(b" and end\n")

    with streams.open_reader(ours, -1) as reader:
        peer.sendall(b"begin")
        alarm(tick, 0.01, 0.01)
        assert reader.readline() == b"begin and end\n"
    assert len(ticks) >= 3


@pytest.mark.parametrize("timeout_s", [None, 30.0])
def test_exception_of_signal_handler_leaves_read(streams, pair, alarm, timeout_s):
    """The half line is gone, as in `BufferedReader`; reading can go on."""
    ours, peer = pair
    ours.settimeout(timeout_s)

    def interrupt(*_):
        raise Interrupted

    with streams.open_reader(ours, -1) as reader:
        peer.sendall(b"begin")
        alarm(interrupt, 0.02)
        with pytest.raises(Interrupted):
            reader.readline()
        peer.sendall(b" and end\n")
        assert reader.readline() == b" and end\n"


def test_signals_do_not_extend_time_limit(streams, pair, alarm):
    """The deadline is kept however often the wait is interrupted."""
    ours, _ = pair
    ours.settimeout(0.1)
    with streams.open_reader(ours, -1) as reader:
        alarm(lambda *_: None, 0.01, 0.01)
        with pytest.raises(TimeoutError):
            reader.readline()


def test_shutdown_by_other_thread_ends_waiting_read(streams, tcp_pair):
    """How servers wake a handler that waits."""
    ours, _ = tcp_pair
    with streams.open_reader(ours, -1) as reader:
        line = Background(reader.readline)
        ours.shutdown(socket.SHUT_RD)
        assert line.join() == b""


def test_close_by_other_thread_while_reading(streams):
    """Closing races with reading: data, an end or an exception, never a crash or a hang."""
    for _ in range(40):
        ours, peer = socket.socketpair()
        with peer:
            reader = streams.open_reader(ours, -1)
            ready = threading.Barrier(2)

            def read(reader=reader, ready=ready):
                ready.wait(10)
                while reader.readline():
                    pass

            reading = Background(read)
            peer.sendall(b"line\n" * 50)
            ready.wait(10)
            ours.close()
            peer.shutdown(socket.SHUT_RDWR)
            reader.close()
            error = reading.failure()
            assert error is None or isinstance(error, (OSError, ValueError)), error


def test_two_threads_share_a_reader(streams, tcp_pair):
    """`read(n)` is atomic: each record goes to exactly one of them, whole."""
    ours, peer = tcp_pair
    records = [b"%05d\n" % number for number in range(2000)]
    with streams.open_reader(ours, -1) as reader:
        readers = [
            Background(lambda: list(iter(lambda: reader.read(6), b""))) for _ in range(2)
        ]
        peer.sendall(b"".join(records))
        peer.shutdown(socket.SHUT_WR)
        found = [record for part in readers for record in part.join()]
    assert sorted(found) == records
