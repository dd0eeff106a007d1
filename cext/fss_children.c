#define _GNU_SOURCE
#include "fss_children.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>
#endif

/* glibc has a wrapper from 2.36 on. A pidfd is close-on-exec. */
static int pidfd_open_of(int pid)
{
#ifdef SYS_pidfd_open
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    return pidfd < 0 ? -errno : pidfd;
#else
    (void)pid;
    return -ENOSYS;
#endif
}

int fss_child_reap(int pid)
{
    int status;
    int gone = waitpid(pid, &status, WNOHANG);
    if (gone >= 0)
        return gone != 0;
    return errno == ECHILD ? 1 : -errno;
}

int fss_children_wait(const int *pids, int count, int wait_ms, int look_ms)
{
    struct pollfd fds[FSS_PIDFDS];
    int watched = 0;
    int error = 0;
    for (int i = 0; i < count && i < FSS_PIDFDS; i++) {
        int pidfd = pidfd_open_of(pids[i]);
        if (pidfd >= 0)
            fds[watched++] = (struct pollfd){.fd = pidfd, .events = POLLIN};
    }
    if (poll(fds, (nfds_t)watched, watched < count ? look_ms : wait_ms) < 0)
        error = -errno;
    while (watched > 0)
        close(fds[--watched].fd);
    return error;
}

#ifdef __linux__

/* The last descriptor is for a connection. */
static int leaves_descriptors(const struct fss_exits *exits)
{
    int spare = fcntl(exits->owned_fd, F_DUPFD_CLOEXEC, 0);
    if (spare < 0)
        return 0;
    close(spare);
    return 1;
}

int fss_exits_open(struct fss_exits *exits)
{
    if (exits->owned_fd >= 0)
        return 0;
    exits->owned_fd = epoll_create1(EPOLL_CLOEXEC);
    if (exits->owned_fd < 0)
        return -errno;
    if (!leaves_descriptors(exits)) {
        close(exits->owned_fd);
        exits->owned_fd = -1;
        return -EMFILE;
    }
    return 0;
}

void fss_exits_watch(struct fss_exits *exits, const int *pids, int count)
{
    fss_exits_forget(exits);
    for (int i = 0; i < count && exits->count < FSS_PIDFDS && exits->owned_fd >= 0; i++) {
        struct epoll_event event = {.events = EPOLLIN};
        int pidfd = pidfd_open_of(pids[i]);
        if (pidfd < 0)
            continue;
        if (epoll_ctl(exits->owned_fd, EPOLL_CTL_ADD, pidfd, &event) < 0)
            close(pidfd);
        else
            exits->pidfds[exits->count++] = pidfd;
    }
    if (exits->count > 0 && !leaves_descriptors(exits))
        fss_exits_forget(exits);
}

void fss_exits_forget(struct fss_exits *exits)
{
    while (exits->count > 0) {
        int pidfd = exits->pidfds[--exits->count];
        /* A process forked by somebody else may have a copy: closing does not suffice. */
        epoll_ctl(exits->owned_fd, EPOLL_CTL_DEL, pidfd, 0);
        close(pidfd);
    }
}

#else

int fss_exits_open(struct fss_exits *exits)
{
    (void)exits;
    return -ENOTSUP;
}

void fss_exits_watch(struct fss_exits *exits, const int *pids, int count)
{
    (void)exits;
    (void)pids;
    (void)count;
}

void fss_exits_forget(struct fss_exits *exits)
{
    (void)exits;
}

#endif

void fss_exits_close(struct fss_exits *exits)
{
    fss_exits_forget(exits);
    if (exits->owned_fd >= 0)
        close(exits->owned_fd);
    exits->owned_fd = -1;
}
