#define _GNU_SOURCE
#include "fss_wake.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#ifdef __linux__
static int open_pipe(int fds[2])
{
    return pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
}
#else
static int open_pipe(int fds[2])
{
    if (pipe(fds) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
}
#endif

int fss_wake_open(struct fss_wake *wake)
{
    int fds[2];
    int error = open_pipe(fds);
    wake->read_fd = error ? -1 : fds[0];
    wake->write_fd = error ? -1 : fds[1];
    return error;
}

void fss_wake_signal(const struct fss_wake *wake)
{
    int saved_errno = errno;
    /* A full pipe (EAGAIN) holds wake-ups enough: nothing is lost. */
    while (wake->write_fd >= 0 && write(wake->write_fd, "", 1) < 0 && errno == EINTR)
        ;
    errno = saved_errno;
}

void fss_wake_drain(const struct fss_wake *wake)
{
    char sink[256];
    ssize_t taken;
    do
        taken = read(wake->read_fd, sink, sizeof sink);
    while (taken == (ssize_t)sizeof sink || (taken < 0 && errno == EINTR));
}

void fss_wake_close(struct fss_wake *wake)
{
    if (wake->read_fd >= 0)
        close(wake->read_fd);
    if (wake->write_fd >= 0)
        close(wake->write_fd);
    wake->read_fd = wake->write_fd = -1;
}
