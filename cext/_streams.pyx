"""`rfile` and `wfile` of a connection: no GIL hand-over while there is nothing to wait for.

Rules for code here: the standard streams decide what is right. Only the case that needs no
waiting is done here; everything else (waiting, time limits, non-blocking sockets, closed
files, odd buffers, other socket types) goes to the standard method, unchanged. So does every
call as soon as one of the standard classes is no longer as it was shipped: each call asks.
Compiled methods look for signals where the interpreter would: when they are entered, and
before a wait that follows something else.

Facts:
- The standard streams release the GIL around every recv(2) and send(2). Taking it back from
  busy threads costs two context switches, where the call itself takes 0.5 to 10 us.
- Holding the GIL during the call instead saves those switches only while threads do compete
  for it on several CPUs. Threads that share one CPU, or are few, then wait for a GIL that would
  have been free: 1000 connections on one CPU ran at a quarter of the standard rate.
- A thread that never releases the GIL keeps the others out for 5 ms
  (`sys.getswitchinterval()`): one client that sends without a pause then delays all others.
- `makefile()` twice, with closing, takes 4 to 5 us, most of it in `SocketIO.__init__`.
- `socket.close()` needs the GIL to invalidate its descriptor: read and used under the GIL,
  it is never somebody else's.

Choice: a raw file with a compiled `readinto` under the stock `io.BufferedReader`, which is
then exact by construction. A compiled reader with a buffer of its own was measured too. It
saves another 1.2 us of construction per connection and nothing else that shows, and it is no
`io.BufferedReader`. Sending tries MSG_DONTWAIT first. When the GIL came back late after it,
threads compete, and the next few calls of all streams keep the GIL: credit that evidence
grants and calls use up. Only with credit does reading try MSG_DONTWAIT.

Gain, standard streams in the same run = 1.00 (Python 3.11, persistent line echo, a thread
each, rate / CPU per request): 50 connections with the server on one CPU 1.1 to 1.3 / 0.74 to
0.9, on two CPUs 1.4 / 0.69; 1000 connections on one CPU 1.0 to 1.2 / 0.85 to 0.96; opening and
closing both files 1.7 us instead of 4.4.

Cost: two looks at the clock (0.05 us) per send, and 0.01 us per call for all the asking. Without limited credit, one pipelining client
raised the median latency of the others from 0.08 to 5.2 ms.
"""

import _socket
import io
import socket
import socketserver
from _io import BufferedReader

from fastsocketserver._stock_sockets import is_stock_socket_class
from fastsocketserver._stock_streams import is_stock_raw_file, is_stock_writer

cimport cython
from cpython.buffer cimport (
    PyBUF_READ, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.errno cimport EAGAIN, EINTR
from libc.stdint cimport int64_t

from _class_version cimport class_version
from _errors cimport raise_if_error

cdef extern from "fss_clock.h":
    int64_t fss_clock_now_ns() noexcept nogil

cdef extern from "fss_stream.h":
    Py_ssize_t fss_stream_receive(int fd, void *buffer, size_t size_bytes) noexcept nogil
    Py_ssize_t fss_stream_send(int fd, const void *data, size_t size_bytes) noexcept nogil
    int fss_stream_flags_quiet() noexcept nogil

# Copying more than this takes longer than a hand-over of the GIL (64 KiB: about 10 us).
cdef Py_ssize_t HELD_SIZE_LIMIT = 65536
# How late the GIL comes back when threads compete for it: more than a switch between two
# threads takes, less than one turn of any of them. 5 us and 20 us measured alike.
cdef int64_t LATE_NS = 20000
# Calls that keep the GIL after that. Latency of other threads: at most 16 * 10 us longer.
# With 4 instead, 50 connections on two CPUs ran at 1.25 of the standard rate, not 1.4.
cdef int HELD_CALLS = 16
cdef int held_calls_left = 0  # of all streams together: there is one GIL

cdef int QUIET = fss_stream_flags_quiet()
cdef object opening = object()  # `_sock` of a raw file that BufferedReader is taking over

cdef object fileno_of = _socket.socket.fileno
cdef object send_all = _socket.socket.sendall


class NoClass:
    """For what a program has put in the place of a standard class and is none."""


@cython.final
cdef class Stock:
    """A class of the standard library, and whether it is as it was shipped."""

    cdef object cls
    cdef object question  # asks that about a class
    cdef unsigned int version  # of `cls`, when it was asked
    cdef bint shipped  # the answer

    def __init__(self, cls, question):
        self.question = question
        self.look(cls)

    cdef int look(self, cls) except -1:
        """Ask the question."""
        cdef unsigned int version
        cdef bint shipped
        if not isinstance(cls, type):
            cls = NoClass
        cls.__init__  # looking an attribute up gives a class its version
        # First the version: a change in the midst of the question makes the answer void. A
        # class that has changed too often gets no version any more, and counts as changed.
        version = class_version(cls)
        shipped = version != 0 and self.question(cls)
        self.cls, self.version, self.shipped = cls, version, shipped
        return 0


cdef inline bint is_shipped(Stock stock) except -1:
    """Whether the class is as it was shipped, whatever has its name now."""
    if class_version(stock.cls) != stock.version or stock.version == 0:
        stock.look(stock.cls)
    return stock.shipped


cdef inline bint is_plain(sock) except -1:
    """Whether it is a socket of the standard class, with all its methods as shipped."""
    if socket.socket is not sockets.cls:
        sockets.look(socket.socket)
    return type(sock) is sockets.cls and is_shipped(sockets)


cdef Stock sockets = Stock(socket.socket, is_stock_socket_class)
cdef Stock raw_files = Stock(socket.SocketIO, is_stock_raw_file)
cdef Stock writers = Stock(socketserver._SocketWriter, is_stock_writer)
# What the compiled classes derive from.
cdef object RawFile = raw_files.cls
cdef object PlainWriter = writers.cls


cdef inline bint may_hold_gil(Py_ssize_t size_bytes) noexcept:
    """Whether the next call may keep the GIL; uses up one of the calls left."""
    global held_calls_left
    if size_bytes > HELD_SIZE_LIMIT or held_calls_left <= 0:
        return False
    held_calls_left -= 1
    return True


cdef Py_ssize_t bytes_or_wait(Py_ssize_t result) except -2:
    """Bytes moved; -1 when the call has to wait; raises for an error."""
    if result == -EAGAIN or result == -EINTR:
        return -1
    if result < 0:
        raise_if_error(<int>result)
    return result


cdef Py_ssize_t receive_now(sock, buffer) except -2:
    """Receive what is there: bytes, 0 at the end; -1 when the standard method must do it."""
    cdef Py_buffer view
    cdef Py_ssize_t received
    if type(buffer) is not memoryview:  # BufferedReader passes no other
        return -1
    try:
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    except Exception:
        return -1
    try:
        # Nothing asked for is never a system call in `recv_into()`.
        if view.len == 0 or not may_hold_gil(view.len):
            return -1
        received = fss_stream_receive(fileno_of(sock), view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return bytes_or_wait(received)


cdef Py_ssize_t send_now(sock, const Py_buffer *view) except -2:
    """Send what there is space for: bytes; -1 when there is none."""
    global held_calls_left
    cdef Py_ssize_t sent
    cdef int64_t sent_ns
    cdef int fd = fileno_of(sock)
    if may_hold_gil(view.len):
        sent = fss_stream_send(fd, view.buf, view.len)
    else:
        with nogil:
            sent = fss_stream_send(fd, view.buf, view.len)
            sent_ns = fss_clock_now_ns()
        if fss_clock_now_ns() - sent_ns > LATE_NS:
            held_calls_left = HELD_CALLS
    return bytes_or_wait(sent)


@cython.auto_pickle(False)
cdef class ReaderMethods:
    """The compiled methods of `SocketReader`. Without fields, so that they go before SocketIO.

    `_sock` says everything: `opening`, the socket, or None when closed.
    """

    def __init__(self):
        (<object>self)._sock = opening

    def readinto(self, b):
        """Source: `socket.SocketIO.readinto`."""
        cdef object this = self
        cdef Py_ssize_t received
        # BufferedReader calls this over and over; in between it does not look.
        PyErr_CheckSignals()
        sock = this._sock
        if (type(sock) is not sockets.cls or this._timeout_occurred
                or not is_shipped(raw_files)):
            return RawFile.readinto(this, b)
        try:
            if held_calls_left > 0 and is_shipped(sockets):
                received = receive_now(sock, b)
                if received >= 0:
                    return received
            return sock.recv_into(b)
        except TimeoutError:
            this._timeout_occurred = True
            raise
        except OSError as error:
            if error.errno == EAGAIN:
                return None
            raise

    @property
    def closed(self):
        """True after `close()`."""
        return (<object>self)._sock is None

    def readable(self):
        """Source: `socket.SocketIO.readable`."""
        if not is_shipped(raw_files):
            return RawFile.readable(self)
        if (<object>self)._sock is None:
            raise ValueError("I/O operation on closed socket.")
        return True

    def tell(self):
        """Not possible. BufferedReader asks once, and an exception would take 0.5 us."""
        if (<object>self)._sock is opening:
            return 0
        raise io.UnsupportedOperation("seek")

    def flush(self):
        """Source: `io.IOBase.flush`."""
        if (<object>self)._sock is None:
            raise ValueError("I/O operation on closed file.")

    def close(self):
        """Source: `socket.SocketIO.close`."""
        cdef object this = self
        if not is_shipped(raw_files):
            return RawFile.close(this)
        sock = this._sock
        if sock is None:
            return
        this._sock = None
        if sock is not opening:
            sock._decref_socketios()


class SocketReader(ReaderMethods, RawFile):
    """What `socket.makefile("rb", 0)` returns, with compiled methods: `rfile.raw`."""

    __slots__ = ("_sock",)
    _mode = "rb"
    _reading = True
    _writing = False
    _timeout_occurred = False
    __new__ = RawFile.__new__  # for copy.copy(): that of ReaderMethods would refuse


@cython.auto_pickle(False)
cdef class WriterMethods:
    """The compiled methods of `SocketWriter`.

    The rest is inherited: a compiled `closed`, `flush()` and `close()` saved 0.08 us.
    """

    def __init__(self, sock):
        (<object>self)._sock = sock

    def write(self, b):
        """Send all of a bytes-like object; returns its length in bytes.

        Source: `socketserver._SocketWriter.write`.
        """
        cdef object this = self
        cdef Py_buffer view
        cdef Py_ssize_t sent
        # writelines() calls this over and over; in between it does not look.
        PyErr_CheckSignals()
        sock = this._sock
        if (type(sock) is not sockets.cls or not is_shipped(sockets)
                or not is_shipped(writers)):
            return PlainWriter.write(this, b)
        PyObject_GetBuffer(b, &view, PyBUF_SIMPLE)
        try:
            sent = send_now(sock, &view)
            if sent != view.len:
                sent = max(sent, 0)
                # A signal during that must not wait for the peer.
                PyErr_CheckSignals()
                rest = PyMemoryView_FromMemory(
                    <char *>view.buf + sent, view.len - sent, PyBUF_READ)
                # Not a `sendall` patched meanwhile: it could keep a view of freed memory.
                send_all(sock, rest, QUIET)
            return view.len
        finally:
            PyBuffer_Release(&view)


class SocketWriter(WriterMethods, PlainWriter):
    """`socketserver._SocketWriter` with a compiled `write`: `wfile` without a buffer."""

    __new__ = PlainWriter.__new__  # for copy.copy(): that of WriterMethods would refuse


cdef object Reader = SocketReader  # C variables: no look-up in the module for each connection
cdef object Writer = SocketWriter


def open_reader(sock, rbufsize):
    """Open `rfile`.

    Args:
        sock: the connection; anything but a plain `socket.socket` is asked for `makefile()`.
        rbufsize: buffer in bytes; negative for the default size, 0 for none.
    Returns:
        What `sock.makefile("rb", rbufsize)` would, closed by the caller.
    Raises:
        As `makefile()`.
    """
    if (not is_plain(sock) or type(rbufsize) is not int or rbufsize == 0
            or socket.SocketIO is not RawFile or not is_shipped(raw_files)
            or io.BufferedReader is not BufferedReader):
        return sock.makefile("rb", rbufsize)
    raw = Reader()
    reader = BufferedReader(raw, rbufsize if rbufsize > 0 else io.DEFAULT_BUFFER_SIZE)
    raw._sock = sock
    sock._io_refs += 1
    return reader


def open_writer(sock, wbufsize):
    """Open `wfile`.

    Args:
        sock: the connection, as for `open_reader()`.
        wbufsize: buffer in bytes as for `makefile("wb", wbufsize)`; 0: each write is sent
            at once and completely.
    Returns:
        A buffered writer, or a `socketserver._SocketWriter`.
    Raises:
        As `makefile()`.
    """
    if wbufsize != 0:
        return sock.makefile("wb", wbufsize)
    if (not is_plain(sock) or socketserver._SocketWriter is not PlainWriter
            or not is_shipped(writers)):
        return socketserver._SocketWriter(sock)
    return Writer(sock)
