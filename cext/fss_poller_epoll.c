/* The poller on Linux.
 *
 * Kernel facts (epoll(7)): a descriptor leaves the set when the last reference
 * to its open file description is closed, and a sleeping epoll_wait() holds no
 * such reference, while poll(2) does. Consequence: a listener that is closed
 * under a sleeping loop frees its port at once. An entry is found by (file,
 * number), so a number that somebody else got meanwhile is never touched; and
 * while another process holds the file of a closed number, its entry goes on
 * reporting and cannot be removed but with the whole set.
 * EPOLLHUP and EPOLLERR cannot be masked; a muted listener is therefore
 * edge-triggered, so that they are told at most once.
 * Some files cannot be in a set (EPERM: regular ones), a number may not be open
 * (EBADF), and sets cost descriptors and memory (EMFILE, ENOMEM, ENOSPC): then
 * poll(2), which knows no such limits, does the waiting.
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

void fss_poller_open(struct fss_poller *poller, int listener_fd)
{
    *poller = (struct fss_poller)FSS_POLLER_CLOSED;
    poller->listener_fd = listener_fd;
    if (fss_wake_open(&poller->wake) < 0)
        return; /* a set of its own could not be told from somebody else's; see close */
    poller->owned_fd = epoll_create1(EPOLL_CLOEXEC);
    if (poller->owned_fd < 0)
        return;
    if (watch(poller, poller->wake.read_fd, EPOLLIN, FSS_READY_WAKE) < 0 ||
        watch(poller, listener_fd, EPOLLIN, FSS_READY_LISTENER) < 0 ||
        !fss_wake_leaves_descriptors(&poller->wake)) {
        close(poller->owned_fd);
        poller->owned_fd = -1;
    }
}

int fss_poller_watch_children(struct fss_poller *poller, int child_fd)
{
    int error = 0;
    if (poller->owned_fd < 0)
        poller->child_fd = child_fd;
    else if (child_fd >= 0)
        error = watch(poller, child_fd, EPOLLIN | EPOLLET, FSS_READY_CHILD);
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

static int wait_for_set(struct fss_poller *poller, int with_listener, int wait_ms)
{
    struct epoll_event events[EVENT_COUNT];
    int ready = 0;

    if (poller->muted == with_listener)
        mute(poller, !with_listener);
    int count = epoll_wait(poller->owned_fd, events, EVENT_COUNT, wait_ms);
    if (count < 0 && (errno == EBADF || errno == EINVAL)) {
        /* The number is nobody's, or somebody else's: a program has closed it. */
        poller->owned_fd = -1;
        fss_wake_close(&poller->wake);
        return 0;
    }
    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++)
        ready |= (int)events[i].data.u32;
    return with_listener ? ready : ready & ~FSS_READY_LISTENER;
}

int fss_poller_wait(struct fss_poller *poller, int with_listener, int wait_ms)
{
    int ready = poller->owned_fd >= 0
                    ? wait_for_set(poller, with_listener, wait_ms)
                    : fss_poller_wait_once(with_listener ? poller->listener_fd : -1,
                                           poller->wake.read_fd, poller->child_fd, wait_ms);
    if (ready > 0 && ready & FSS_READY_WAKE)
        fss_wake_drain(&poller->wake);
    return ready;
}

void fss_poller_close(struct fss_poller *poller)
{
    /* All sets have one inode, so one is ours if the pipe opened just before it still is. */
    if (poller->owned_fd >= 0 && fss_wake_is_intact(&poller->wake))
        close(poller->owned_fd);
    poller->owned_fd = -1;
    poller->child_fd = -1;
    fss_wake_close(&poller->wake);
}
