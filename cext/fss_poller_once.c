#include "fss_poller.h"

#include <errno.h>
#include <poll.h>

int fss_poller_wait_once(int listener_fd, int wake_fd, int child_fd, int wait_ms)
{
    /* poll(2) ignores a negative fd, and calls one that is not open ready. */
    struct pollfd fds[3] = {
        {.fd = listener_fd, .events = POLLIN},
        {.fd = wake_fd, .events = POLLIN},
        {.fd = child_fd, .events = POLLIN},
    };
    if (poll(fds, 3, wait_ms) < 0)
        return -errno;
    return (fds[0].revents ? FSS_READY_LISTENER : 0) | (fds[1].revents ? FSS_READY_WAKE : 0) |
           (fds[2].revents ? FSS_READY_CHILD : 0);
}
