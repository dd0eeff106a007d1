"""Accepting connections from a plain listening socket, one system call each.

Rules: the GIL is held from reading the socket's descriptor to the end of accept4(2).
`socket.close()` needs the GIL to invalidate the descriptor, so the number that is used is
never somebody else's. The accept never blocks (see fss_accept.h), which makes that cheap.
"""

import os
import socket

from libc.errno cimport EAGAIN

from _address cimport address_is_native, address_object, sockaddr_storage, socklen_t
from _errors cimport raise_if_error

cdef extern from "fss_accept.h":
    int fss_accept_set_nonblocking(int fd) noexcept
    int fss_accept_set_blocking(int fd) noexcept
    int fss_accept_is_listening(int fd) noexcept
    int fss_accept_is_pending(int listener_fd) noexcept
    int fss_accept_connection(int listener_fd, sockaddr_storage *peer,
                              socklen_t *peer_length, int *changed) noexcept
    int fss_accept_set_nodelay(int fd) noexcept

cdef object Socket = socket.socket
cdef object stock_accept = socket.socket.accept
cdef object internet_families = (socket.AF_INET, socket.AF_INET6)


cdef class Listener:
    """One listening socket while it is served.

    Keeps it non-blocking underneath, and gives it back as it was in `release()`.
    Belongs to the serving thread.
    """

    cdef readonly object sock
    cdef int family
    cdef int kind
    cdef int proto
    cdef int changed
    cdef readonly bint listening
    cdef readonly bint is_tcp

    def __init__(self, sock):
        """Args: sock: any object; only a listening `socket.socket` is ever touched."""
        self.sock = sock
        self.changed = 0
        self.listening = isinstance(sock, Socket) and fss_accept_is_listening(sock.fileno())
        self.is_tcp = is_tcp(sock)
        if self.listening:
            self.family = sock.family
            self.kind = sock.type
            self.proto = sock.proto

    @property
    def native(self):
        """Whether `accept()` does all that `self.sock.accept()` would do.

        Not for subclasses (TLS), patched classes, or address families of other forms.
        """
        return (self.listening and type(self.sock) is Socket
                and Socket.accept is stock_accept and address_is_native(self.family))

    def keep_nonblocking(self):
        """Make sure that `sock.accept()` cannot block the loop; no-op on other objects."""
        cdef int changed
        if self.listening:
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
        cdef int owned_fd = fss_accept_connection(
            self.sock.fileno(), &peer, &peer_length, &self.changed)
        if owned_fd == -EAGAIN:
            return None
        raise_if_error(owned_fd)
        if nodelay:
            # Fails only when the peer has gone; the handler will find that out.
            fss_accept_set_nodelay(owned_fd)
        try:
            connection = Socket(self.family, self.kind, self.proto, owned_fd)
        except BaseException:
            os.close(owned_fd)
            raise
        return connection, address_object(&peer, peer_length)

    def release(self):
        """Leave the socket as it was found: blocking, if it was this object that changed it."""
        if not self.changed:
            return
        self.changed = 0
        fd = self.sock.fileno()
        # With a time-out of its own, Python wants it non-blocking.
        if fd >= 0 and self.sock.gettimeout() is None:
            fss_accept_set_blocking(fd)


def is_tcp(sock):
    """Whether connections accepted from `sock` speak TCP (and so have Nagle's algorithm)."""
    return (isinstance(sock, Socket) and sock.family in internet_families
            and sock.type == socket.SOCK_STREAM
            and sock.proto in (0, socket.IPPROTO_TCP))
