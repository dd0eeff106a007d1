/* What one serving thread sleeps on: a listener, a wake-up pipe, exited children.
 *
 * Two files implement a poller, and setup.py picks one: fss_poller_epoll.c
 * (Linux) and fss_poller_poll.c (every POSIX system). The one wait without a
 * poller is in fss_poller_once.c.
 * A poller belongs to its serving thread; only fss_wake_signal() on its `wake`
 * may be called from elsewhere.
 */
#ifndef FSS_POLLER_H
#define FSS_POLLER_H

#include "fss_wake.h"

enum {
    FSS_READY_LISTENER = 1, /* readable, in error or hung up */
    FSS_READY_WAKE = 2,     /* somebody called fss_wake_signal(); already drained */
    FSS_READY_CHILD = 4,    /* the watched descriptor of children became readable */
};

struct fss_poller {
    struct fss_wake wake;
    int listener_fd;  /* borrowed */
    int owned_fd;     /* epoll instance; -1 where there is none */
    int muted;        /* the listener is not listened to at present */
    int always_ready; /* the listener is a file that cannot be waited for */
};

#define FSS_POLLER_CLOSED {FSS_WAKE_CLOSED, -1, -1, 0, 0}

/* "epoll" or "poll". */
const char *fss_poller_name(void);

/* 0 or -errno; on error nothing stays open. */
int fss_poller_open(struct fss_poller *poller, int listener_fd);

/* Also wake up, once per change, when child_fd becomes readable.
   0, or -errno (-ENOTSUP where the platform cannot). */
int fss_poller_watch_children(struct fss_poller *poller, int child_fd);

/* Waits up to wait_ms (-1: for ever; 0: not at all), for the listener too if
   with_listener. A set of FSS_READY_*, 0 on time-out, or -errno (-EINTR too). */
int fss_poller_wait(struct fss_poller *poller, int with_listener, int wait_ms);

/* Closes what fss_poller_open() opened; harmless when closed already. */
void fss_poller_close(struct fss_poller *poller);

/* One wait without a poller: is fd readable (or in error)? wake_fd may be -1.
   A set of FSS_READY_*, 0 on time-out, or -errno. */
int fss_poller_wait_once(int fd, int wake_fd, int wait_ms);

#endif
