#include "fss_poller.h"

#include <errno.h>
#include <poll.h>

int fss_poller_wait_once(int fd, int wake_fd, int wait_ms)
{
    struct pollfd fds[2] = {
        {.fd = fd, .events = POLLIN},
        {.fd = wake_fd, .events = POLLIN}, /* poll(2) ignores a negative fd */
    };
    if (poll(fds, 2, wait_ms) < 0)
        return -errno;
    return (fds[0].revents ? FSS_READY_LISTENER : 0) | (fds[1].revents ? FSS_READY_WAKE : 0);
}
