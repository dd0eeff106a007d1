/* The poller on POSIX systems other than Linux.
 *
 * Fact: poll(2) needs no descriptor of its own and takes any file.
 * Cost: on systems where a sleeping poll(2) keeps a closed listener alive, its
 * port is free only at the next wake-up (server_close() causes one).
 */
#include "fss_poller.h"

const char *fss_poller_name(void)
{
    return "poll";
}

void fss_poller_open(struct fss_poller *poller, int listener_fd)
{
    *poller = (struct fss_poller)FSS_POLLER_CLOSED;
    poller->listener_fd = listener_fd;
    fss_wake_open(&poller->wake);
}

int fss_poller_watch_children(struct fss_poller *poller, int child_fd)
{
    poller->child_fd = child_fd;
    return 0;
}

int fss_poller_wait(struct fss_poller *poller, int with_listener, int wait_ms)
{
    int ready = fss_poller_wait_once(with_listener ? poller->listener_fd : -1,
                                     poller->wake.read_fd, poller->child_fd, wait_ms);
    if (ready > 0 && ready & FSS_READY_WAKE)
        fss_wake_drain(&poller->wake);
    return ready;
}

void fss_poller_close(struct fss_poller *poller)
{
    fss_wake_close(&poller->wake);
    poller->child_fd = -1;
}
