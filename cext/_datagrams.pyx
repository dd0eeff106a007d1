"""Receiving datagrams in batches from a plain datagram socket.

Rules: as in _accept.pyx, the GIL is held from reading the descriptor to the end of the
system call, which never blocks. What was taken from the kernel goes to the caller's queue
before anything else can fail.
"""

import socket

from fastsocketserver._stock_sockets import stock_socket_class

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN

from _address cimport address_is_native, address_object, sockaddr_storage, socklen_t
from _errors cimport raise_if_error

cdef extern from "fss_datagram.h":
    cdef struct fss_datagram:
        char *data
        size_t length
        int truncated
        sockaddr_storage peer
        socklen_t peer_length
    cdef struct fss_datagram_batch:
        char *buffer
        size_t slot_size
        fss_datagram *slots
    int fss_datagram_resize(fss_datagram_batch *batch, size_t slot_size) noexcept
    int fss_datagram_receive(fss_datagram_batch *batch, int fd, int limit) noexcept
    void fss_datagram_free(fss_datagram_batch *batch) noexcept

# The largest datagram that IP can carry; a larger limit buys nothing here.
cdef int LARGEST_PACKET = 65535


cdef class Receiver:
    """Fills a queue with `((data, socket), address)` requests. Belongs to the serving thread."""

    cdef readonly object sock
    cdef bint is_datagram
    # Datagrams that were longer than max_packet_size, since the caller last set it to 0.
    cdef public long truncated
    cdef fss_datagram_batch batch

    def __init__(self, sock):
        """Args: sock: any object; only a plain datagram `socket.socket` is ever read."""
        self.sock = sock
        self.is_datagram = (isinstance(sock, socket.SocketType)
                            and sock.type == socket.SOCK_DGRAM
                            and address_is_native(sock.family))

    def __dealloc__(self):
        fss_datagram_free(&self.batch)

    @property
    def native(self):
        """Whether `receive()` does all that `self.sock.recvfrom()` would do: not for
        subclasses, patched classes, or address families of other forms."""
        return self.is_datagram and type(self.sock) is stock_socket_class()

    def takes(self, max_packet_size):
        """Whether `receive()` can take datagrams of that size, an object of any type."""
        return type(max_packet_size) is int and 0 < max_packet_size <= LARGEST_PACKET

    def receive(self, int max_packet_size, queue, int limit):
        """Append what is there, a batch at most, to `queue` (a `collections.deque`).

        Args:
            max_packet_size: bytes, of which `takes()` is true; longer datagrams are cut, as by
                `recvfrom`, and counted.
            limit: how many datagrams to take at most.
        Returns:
            the number of datagrams appended, 0 when none was there.
        Raises:
            OSError: as `socket.recvfrom()`.
        """
        cdef int error = fss_datagram_resize(&self.batch, max_packet_size)
        if error:
            raise MemoryError(f"no room for datagrams of {max_packet_size} bytes")
        cdef int taken = fss_datagram_receive(
            &self.batch, self.sock.fileno(), limit)
        if taken == -EAGAIN:
            return 0
        raise_if_error(taken)
        cdef int i
        cdef fss_datagram *slot
        for i in range(taken):
            slot = &self.batch.slots[i]
            self.truncated += slot.truncated
            data = PyBytes_FromStringAndSize(slot.data, slot.length)
            queue.append(((data, self.sock), address_object(&slot.peer, slot.peer_length)))
        return taken
