#define _GNU_SOURCE
#include "fss_accept.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

int fss_accept_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if (flags & O_NONBLOCK)
        return 0;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 1;
}

int fss_accept_set_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

int fss_accept_is_listening(int fd)
{
    int listening = 0;
    socklen_t length = sizeof listening;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening;
}

int fss_accept_is_pending(int listener_fd)
{
    struct pollfd listener = {.fd = listener_fd, .events = POLLIN};
    return poll(&listener, 1, 0) > 0;
}

static int accept_cloexec(int listener_fd, struct sockaddr *peer, socklen_t *length)
{
#ifdef __linux__
    return accept4(listener_fd, peer, length, SOCK_CLOEXEC);
#else
    int owned_fd = accept(listener_fd, peer, length);
    if (owned_fd >= 0) {
        fcntl(owned_fd, F_SETFD, FD_CLOEXEC);
        fss_accept_set_blocking(owned_fd); /* BSD: inherited from the listener */
    }
    return owned_fd;
#endif
}

int fss_accept_connection(int listener_fd, struct sockaddr_storage *peer,
                          socklen_t *peer_length, int *changed)
{
    int set = fss_accept_set_nonblocking(listener_fd);
    if (set < 0)
        return set;
    *changed |= set;
    memset(peer, 0, sizeof *peer); /* AF_UNIX paths may come without their NUL */
    *peer_length = sizeof *peer;
    int owned_fd = accept_cloexec(listener_fd, (struct sockaddr *)peer, peer_length);
    return owned_fd < 0 ? -errno : owned_fd;
}

int fss_accept_set_nodelay(int fd)
{
    int on = 1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ? -errno : 0;
}
