#define _GNU_SOURCE
#include "fss_wake.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
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
    struct stat pipe_stat;
    int fds[2];
    int error = open_pipe(fds);

    *wake = (struct fss_wake)FSS_WAKE_CLOSED;
    if (error)
        return error;
    if (fstat(fds[0], &pipe_stat) < 0) {
        error = -errno;
        close(fds[0]);
        close(fds[1]);
        return error;
    }
    *wake = (struct fss_wake){fds[0], fds[1], pipe_stat.st_dev, pipe_stat.st_ino};
    if (!fss_wake_leaves_descriptors(wake)) {
        fss_wake_close(wake);
        return -EMFILE;
    }
    return 0;
}

int fss_wake_leaves_descriptors(const struct fss_wake *wake)
{
    int spare = fcntl(wake->read_fd, F_DUPFD_CLOEXEC, 0);
    if (spare < 0)
        return 0;
    close(spare);
    return 1;
}

static int is_pipe(const struct fss_wake *wake, int fd)
{
    struct stat found;
    return fd >= 0 && fstat(fd, &found) == 0 && found.st_ino == wake->inode &&
           found.st_dev == wake->device;
}

int fss_wake_is_intact(const struct fss_wake *wake)
{
    return is_pipe(wake, wake->read_fd) && is_pipe(wake, wake->write_fd);
}

void fss_wake_signal(const struct fss_wake *wake)
{
    int saved_errno = errno;
    /* A full pipe (EAGAIN) holds wake-ups enough: nothing is lost. */
    if (is_pipe(wake, wake->write_fd))
        while (write(wake->write_fd, "", 1) < 0 && errno == EINTR)
            ;
    errno = saved_errno;
}

void fss_wake_drain(struct fss_wake *wake)
{
    char sink[256];
    ssize_t taken;

    if (!fss_wake_is_intact(wake)) {
        fss_wake_close(wake); /* poll(2) calls it ready for ever */
        return;
    }
    do
        taken = read(wake->read_fd, sink, sizeof sink);
    while (taken == (ssize_t)sizeof sink || (taken < 0 && errno == EINTR));
}

void fss_wake_close(struct fss_wake *wake)
{
    if (is_pipe(wake, wake->read_fd))
        close(wake->read_fd);
    if (is_pipe(wake, wake->write_fd))
        close(wake->write_fd);
    *wake = (struct fss_wake)FSS_WAKE_CLOSED;
}
