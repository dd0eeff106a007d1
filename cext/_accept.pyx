"""Accepting connections from a plain listening socket, one system call each.

Rules: the listener is kept non-blocking, and still the GIL is not held during accept4(2):
the flag belongs to all processes that share the listener, and one of them may clear it at any
moment. From accept4(2) on the new descriptor has one owner at every line: this function,
until the socket object has taken the number, which the object itself says.
"""

import _socket
import socket

from libc.errno cimport EAGAIN
from posix.unistd cimport close

from _address cimport address_is_native, address_object, sockaddr_storage, socklen_t
from _errors cimport raise_if_error

from fastsocketserver._stock_sockets import stock_socket_class

cdef extern from "fss_accept.h":
    int fss_accept_set_nonblocking(int fd) noexcept
    int fss_accept_set_blocking(int fd) noexcept
    int fss_accept_is_listening(int fd) noexcept
    int fss_accept_is_pending(int listener_fd) noexcept
    int fss_accept_connection(int listener_fd, sockaddr_storage *peer,
                              socklen_t *peer_length, int *changed) noexcept nogil
    int fss_accept_set_nodelay(int fd) noexcept

cdef object internet_families = (socket.AF_INET, socket.AF_INET6)
cdef object listening_kinds = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
cdef object bare_socket = _socket.socket.__new__
cdef object take_number = _socket.socket.__init__
cdef object number_of = _socket.socket.fileno
cdef object time_limit_of = _socket.socket.gettimeout


cdef class Listener:
    """One listening socket while it is served.

    Keeps it non-blocking underneath, and gives it back as it was in `release()`.
    Belongs to the serving thread.
    """

    cdef readonly object sock
    cdef int family
    cdef int kind
    cdef int proto
    # Whether it was this object that made it non-blocking.
    cdef readonly int changed
    cdef bint is_socket
    cdef readonly bint is_tcp

    def __init__(self, sock):
        """Args: sock: any object; only a listening `socket.socket` is ever touched."""
        self.sock = sock
        self.changed = 0
        self.is_tcp = is_tcp(sock)
        self.is_socket = isinstance(sock, _socket.socket)
        if self.is_socket:
            self.family = sock.family
            self.kind = sock.type
            self.proto = sock.proto

    @property
    def native(self):
        """Whether `accept()` does all that `self.sock.accept()` would do.

        Not for subclasses (TLS), patched classes, or address families of other forms.
        """
        return (self.is_listening() and address_is_native(self.family)
                and type(self.sock) is stock_socket_class())

    def is_listening(self):
        """Whether connections can be accepted from it, now."""
        return self.is_socket and bool(fss_accept_is_listening(self.sock.fileno()))

    def is_dead(self):
        """Whether it is a socket that gives nothing: of a kind that listens, and it does not; or
        its number is that of no open socket."""
        if not self.is_socket:
            return False
        try:
            kind = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
        except OSError:
            return True
        return kind in listening_kinds and not self.is_listening()

    def keep_nonblocking(self):
        """Make sure that `sock.accept()` cannot block the loop; no-op on other objects."""
        cdef int changed
        if self.is_listening():
            changed = fss_accept_set_nonblocking(self.sock.fileno())
            if changed > 0:
                self.changed = 1

    def pending(self):
        """Whether `accept()` would find a connection; much cheaper than to try in vain."""
        return bool(fss_accept_is_pending(self.sock.fileno()))

    def accept(self, bint nodelay):
        """Take one connection.

        Args:
            nodelay: turn Nagle's algorithm off on it.
        Returns:
            `(socket, address)`, the socket owned by the caller; None when nobody waits.
        Raises:
            OSError: as `socket.accept()`.
        Source: `socket.socket.accept`.
        """
        cdef sockaddr_storage peer
        cdef socklen_t peer_length
        cdef int listener_fd = self.sock.fileno()
        cdef int owned_fd
        connection = bare_socket(type(self.sock))
        with nogil:
            owned_fd = fss_accept_connection(listener_fd, &peer, &peer_length, &self.changed)
        if owned_fd == -EAGAIN:
            return None
        raise_if_error(owned_fd)
        try:
            take_number(connection, self.family, self.kind, self.proto, owned_fd)
        finally:
            # Left by an exception it may or may not have the number (audit hooks run first).
            if number_of(connection) != owned_fd:
                close(owned_fd)
        connection._io_refs = 0  # as socket.socket.__init__
        connection._closed = False
        if nodelay:
            # Fails only when the peer has gone; the handler will find that out.
            fss_accept_set_nodelay(owned_fd)
        return connection, address_object(&peer, peer_length)

    def release(self):
        """Leave the socket as it was found: blocking, if it was this object that changed it."""
        if not self.changed:
            return
        self.changed = 0
        fd = number_of(self.sock)
        # With a time-out of its own, Python wants it non-blocking.
        if fd >= 0 and time_limit_of(self.sock) is None:
            fss_accept_set_blocking(fd)

    def __del__(self):
        """A signal handler's exception may have kept the loop from calling `release()`."""
        self.release()


def is_tcp(sock):
    """Whether connections accepted from `sock` speak TCP (and so have Nagle's algorithm)."""
    return (isinstance(sock, _socket.socket) and sock.family in internet_families
            and sock.type == socket.SOCK_STREAM
            and sock.proto in (0, socket.IPPROTO_TCP))
