/* The poller on Linux.
 *
 * Kernel facts (epoll(7)): a descriptor leaves the set when the last reference
 * to its open file description is closed, and a sleeping epoll_wait() holds no
 * such reference, while poll(2) does. Consequence: a listener that is closed
 * under a sleeping loop frees its port at once. An entry is found by (file,
 * number), so a number that somebody else got meanwhile is never touched.
 * EPOLLHUP and EPOLLERR cannot be masked; a muted listener is therefore
 * edge-triggered, so that they are told at most once.
 * Cost: one more descriptor per serving loop.
 */
#define _GNU_SOURCE
#include "fss_poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENT_COUNT 3 /* listener, wake, children */

const char *fss_poller_name(void)
{
    return "epoll";
}

static int watch(const struct fss_poller *poller, int fd, uint32_t events, uint32_t tag)
{
    struct epoll_event event = {.events = events, .data.u32 = tag};
    return epoll_ctl(poller->owned_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int fss_poller_open(struct fss_poller *poller, int listener_fd)
{
    *poller = (struct fss_poller)FSS_POLLER_CLOSED;
    poller->listener_fd = listener_fd;
    int error = fss_wake_open(&poller->wake);
    if (error)
        goto out;
    poller->owned_fd = epoll_create1(EPOLL_CLOEXEC);
    if (poller->owned_fd < 0) {
        error = -errno;
        goto out;
    }
    error = watch(poller, poller->wake.read_fd, EPOLLIN, FSS_READY_WAKE);
    if (error)
        goto out;
    error = watch(poller, listener_fd, EPOLLIN, FSS_READY_LISTENER);
    if (error == -EPERM) { /* a regular file: poll(2) would call it ready, always */
        poller->always_ready = 1;
        error = 0;
    }
out:
    if (error)
        fss_poller_close(poller);
    return error;
}

int fss_poller_watch_children(struct fss_poller *poller, int child_fd)
{
    int error = watch(poller, child_fd, EPOLLIN | EPOLLET, FSS_READY_CHILD);
    return error == -EEXIST ? 0 : error;
}

static void mute(struct fss_poller *poller, int muted)
{
    struct epoll_event event = {
        .events = muted ? EPOLLET : EPOLLIN,
        .data.u32 = FSS_READY_LISTENER,
    };
    /* ENOENT or EBADF: the listener is closed; the loop finds out by itself. */
    epoll_ctl(poller->owned_fd, EPOLL_CTL_MOD, poller->listener_fd, &event);
    poller->muted = muted;
}

int fss_poller_wait(struct fss_poller *poller, int with_listener, int wait_ms)
{
    struct epoll_event events[EVENT_COUNT];
    int always_ready = poller->always_ready && with_listener;
    int ready = always_ready ? FSS_READY_LISTENER : 0;

    if (poller->muted == with_listener)
        mute(poller, !with_listener);
    int count = epoll_wait(poller->owned_fd, events, EVENT_COUNT, always_ready ? 0 : wait_ms);
    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++)
        ready |= (int)events[i].data.u32;
    if (ready & FSS_READY_WAKE)
        fss_wake_drain(&poller->wake);
    return with_listener ? ready : ready & ~FSS_READY_LISTENER;
}

void fss_poller_close(struct fss_poller *poller)
{
    fss_wake_close(&poller->wake);
    if (poller->owned_fd >= 0)
        close(poller->owned_fd);
    poller->owned_fd = -1;
}
