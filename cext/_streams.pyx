"""draft"""
import io
import socket
import socketserver

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBUF_READ, PyBuffer_Release, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.errno cimport EAGAIN, EINTR

from _errors cimport raise_if_error

cdef extern from "fss_stream.h":
    Py_ssize_t fss_stream_receive(int fd, void *buffer, size_t size_bytes) noexcept nogil
    Py_ssize_t fss_stream_send(int fd, const void *data, size_t size_bytes) noexcept nogil
    int fss_stream_flags_quiet() noexcept nogil

cdef object Socket = socket.socket
cdef object SocketIO = socket.SocketIO
cdef object StockWriter = socketserver._SocketWriter
cdef object BufferedReader = io.BufferedReader
cdef object stock_makefile = Socket.makefile
cdef object stock_recv_into = Socket.recv_into
cdef object stock_sendall = Socket.sendall
cdef object fileno = Socket.fileno
cdef object stock_readinto = SocketIO.readinto
cdef object stock_write = StockWriter.write
cdef int QUIET = fss_stream_flags_quiet()
cdef object UNSET = object()
import os
cdef Py_ssize_t LIMIT = int(os.environ.get("LIM", "65536"))
cdef extern from *:
    """
    #include <time.h>
    static long long fss_now(void){ struct timespec t; clock_gettime(CLOCK_MONOTONIC,&t); return t.tv_sec*1000000000LL+t.tv_nsec; }
    """
    long long fss_now() nogil
cdef long long XNS = int(os.environ.get("XUS", "0"))*1000
cdef long long last_ns = 0
cdef bint may_hold():
    global last_ns
    if not XNS: return True
    cdef long long now = fss_now()
    if now - last_ns < XNS: return True
    last_ns = now
    return False
cdef void released():
    global last_ns
    if XNS: last_ns = fss_now()
cdef int RX = int(os.environ.get("RX", "1"))
cdef int TX = int(os.environ.get("TX", "1"))


cdef inline bint must_wait(Py_ssize_t result) noexcept:
    return result == -EAGAIN or result == -EINTR

cdef Py_ssize_t receive_now(sock, buffer) except -2:
    cdef Py_buffer view
    cdef Py_ssize_t received
    if type(buffer) is not memoryview:
        return -1
    try:
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    except Exception:
        return -1
    if view.len == 0 or view.len > LIMIT:
        PyBuffer_Release(&view)
        return -1
    received = fss_stream_receive(fileno(sock), view.buf, view.len)
    PyBuffer_Release(&view)
    if must_wait(received):
        return -1
    raise_if_error(<int>received)
    return received


cdef class ReaderMethods:
    def readinto(self, b):
        cdef Py_ssize_t received
        cdef object me = self
        sock = me._sock
        if type(sock) is not Socket or me._timeout_occurred:
            return stock_readinto(self, b)
        try:
            if RX == 1 and may_hold() or (RX == 2 and not me._timeout_last):
                received = receive_now(sock, b)
                if received >= 0:
                    return received
                if RX == 2: me._timeout_last = True
            elif RX == 2: me._timeout_last = True
            r = sock.recv_into(b)
            released()
            return r
        except TimeoutError:
            me._timeout_occurred = True
            raise
        except OSError as error:
            if error.errno == EAGAIN:
                return None
            raise

    @property
    def closed(self):
        return (<object>self)._sock is None

    def readable(self):
        if (<object>self)._sock is None:
            raise ValueError("I/O operation on closed socket.")
        return True

    def tell(self):
        if (<object>self)._sock is UNSET:
            return 0
        raise io.UnsupportedOperation("seek")

    def flush(self):
        if (<object>self)._sock is None:
            raise ValueError("I/O operation on closed file.")

    def close(self):
        cdef object me = self
        sock = me._sock
        if sock is None:
            return
        me._sock = None
        if sock is not UNSET:
            sock._decref_socketios()


class SocketReader(ReaderMethods, SocketIO):
    __slots__ = ("_sock",)
    _timeout_last = False
    _mode = "rb"
    _reading = True
    _writing = False
    _timeout_occurred = False


cdef class WriterMethods:
    def write(self, b):
        cdef Py_buffer view
        cdef Py_ssize_t sent = 0
        sock = (<object>self)._sock
        if type(sock) is not Socket:
            return stock_write(self, b)
        PyObject_GetBuffer(b, &view, PyBUF_SIMPLE)
        try:
            if view.len <= LIMIT and TX and may_hold():
                sent = fss_stream_send(fileno(sock), view.buf, view.len)
                if sent == view.len:
                    return sent
                if must_wait(sent):
                    sent = 0
                raise_if_error(<int>sent)
            sock.sendall(PyMemoryView_FromMemory(<char *>view.buf + sent, view.len - sent, PyBUF_READ), QUIET)
            return view.len
        finally:
            PyBuffer_Release(&view)


class SocketWriter(WriterMethods, StockWriter):
    __slots__ = ("_sock",)

cdef extern from *:
    """
    static PyObject* fss_new(PyObject* t, PyObject* e){ return ((PyTypeObject*)t)->tp_new((PyTypeObject*)t, e, NULL);}
    """
    object fss_new(object, object)
cdef object empty = ()

def open_reader(sock, rbufsize):
    if type(sock) is not Socket or type(rbufsize) is not int or rbufsize == 0 or Socket.makefile is not stock_makefile or Socket.recv_into is not stock_recv_into:
        return sock.makefile("rb", rbufsize)
    raw = fss_new(SocketReader, empty)
    raw._sock = UNSET
    reader = BufferedReader(raw, rbufsize if rbufsize > 0 else io.DEFAULT_BUFFER_SIZE)
    raw._sock = sock
    sock._io_refs += 1
    return reader

def open_writer(sock, wbufsize):
    if wbufsize != 0:
        return sock.makefile("wb", wbufsize)
    if type(sock) is not Socket or socketserver._SocketWriter is not StockWriter or Socket.sendall is not stock_sendall:
        return socketserver._SocketWriter(sock)
    writer = fss_new(SocketWriter, empty)
    writer._sock = sock
    return writer
