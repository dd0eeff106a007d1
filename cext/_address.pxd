"""Socket addresses from the kernel's form to Python's, as `socket.accept()` gives them.

Inline, so that each module that needs it carries its own copy and none imports another.
Source: `makesockaddr()` in CPython's Modules/socketmodule.c.
"""

from libc.stddef cimport size_t


cdef extern from "<sys/socket.h>":
    ctypedef unsigned int socklen_t
    ctypedef unsigned short sa_family_t
    int AF_INET, AF_INET6, AF_UNIX
    cdef struct sockaddr_storage:
        sa_family_t ss_family

cdef extern from "<netinet/in.h>":
    cdef struct in_addr:
        pass
    cdef struct in6_addr:
        pass
    cdef struct sockaddr_in:
        unsigned short sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_port
        unsigned int sin6_flowinfo
        in6_addr sin6_addr
        unsigned int sin6_scope_id
    enum: INET6_ADDRSTRLEN

cdef extern from "<arpa/inet.h>":
    unsigned short ntohs(unsigned short)
    unsigned int ntohl(unsigned int)
    const char *inet_ntop(int, const void *, char *, socklen_t)

cdef extern from "<sys/un.h>":
    cdef struct sockaddr_un:
        char *sun_path

cdef extern from "<stddef.h>":
    size_t UN_PATH_OFFSET "offsetof(struct sockaddr_un, sun_path)"

cdef extern from "Python.h":
    str PyUnicode_DecodeFSDefault(const char *)


cdef inline bint address_is_native(int family) noexcept:
    """Whether `address_object` knows this family; others go the standard way."""
    return family == AF_INET or family == AF_INET6 or family == AF_UNIX


cdef inline object address_object(const sockaddr_storage *peer, socklen_t length):
    """`(host, port)`, `(host, port, flowinfo, scope_id)`, a path, or None (no address).

    `peer` must have been zeroed before the kernel wrote to it.
    """
    cdef char host[INET6_ADDRSTRLEN]
    cdef const sockaddr_in *v4
    cdef const sockaddr_in6 *v6
    cdef const sockaddr_un *local
    if length == 0:
        return None
    if peer.ss_family == AF_INET:
        v4 = <const sockaddr_in *>peer
        inet_ntop(AF_INET, &v4.sin_addr, host, INET6_ADDRSTRLEN)
        return ((<bytes>host).decode("ascii"), ntohs(v4.sin_port))
    if peer.ss_family == AF_INET6:
        v6 = <const sockaddr_in6 *>peer
        inet_ntop(AF_INET6, &v6.sin6_addr, host, INET6_ADDRSTRLEN)
        return ((<bytes>host).decode("ascii"), ntohs(v6.sin6_port),
                ntohl(v6.sin6_flowinfo), v6.sin6_scope_id)
    local = <const sockaddr_un *>peer
    if length > UN_PATH_OFFSET and local.sun_path[0] == 0:  # Linux's abstract name space
        return (<const char *>local.sun_path)[:length - UN_PATH_OFFSET]
    return PyUnicode_DecodeFSDefault(local.sun_path)
