/* The poller on POSIX systems other than Linux.
 *
 * Facts: poll(2) needs no descriptor of its own and takes any file; without
 * pidfd there is nothing to watch children by, so the loop ticks for them.
 * Cost: on systems where a sleeping poll(2) keeps a closed listener alive, its
 * port is free only at the next wake-up (server_close() causes one).
 */
#include "fss_poller.h"

#include <errno.h>

const char *fss_poller_name(void)
{
    return "poll";
}

int fss_poller_open(struct fss_poller *poller, int listener_fd)
{
    *poller = (struct fss_poller)FSS_POLLER_CLOSED;
    poller->listener_fd = listener_fd;
    return fss_wake_open(&poller->wake);
}

int fss_poller_watch_children(struct fss_poller *poller, int child_fd)
{
    (void)poller;
    (void)child_fd;
    return -ENOTSUP;
}

int fss_poller_wait(struct fss_poller *poller, int with_listener, int wait_ms)
{
    int fd = with_listener ? poller->listener_fd : -1;
    int ready = fss_poller_wait_once(fd, poller->wake.read_fd, wait_ms);
    if (ready > 0 && ready & FSS_READY_WAKE)
        fss_wake_drain(&poller->wake);
    return ready;
}

void fss_poller_close(struct fss_poller *poller)
{
    fss_wake_close(&poller->wake);
}
