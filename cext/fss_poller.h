/* What one serving thread sleeps on: a listener, a wake-up pipe, exited children.
 *
 * Two files implement a poller, and setup.py picks one: fss_poller_epoll.c
 * (Linux) and fss_poller_poll.c (every POSIX system). The wait that needs no
 * descriptor of its own is in fss_poller_once.c; a poller that could not be
 * opened, or cannot take this listener, waits by that one.
 * A poller belongs to its serving thread; only fss_wake_signal() on its `wake`
 * may be called from elsewhere.
 */
#ifndef FSS_POLLER_H
#define FSS_POLLER_H

#include "fss_wake.h"

enum {
    FSS_READY_LISTENER = 1, /* readable, in error, hung up, or no open descriptor */
    FSS_READY_WAKE = 2,     /* somebody called fss_wake_signal(); already drained */
    FSS_READY_CHILD = 4,    /* the watched descriptor of children became readable */
};

struct fss_poller {
    struct fss_wake wake;
    int listener_fd; /* borrowed */
    int child_fd;    /* borrowed; -1 for none */
    int owned_fd;    /* epoll instance; -1 where there is none */
    int muted;       /* the listener is not listened to at present */
};

#define FSS_POLLER_CLOSED {FSS_WAKE_CLOSED, -1, -1, -1, 0}

/* "epoll" or "poll". */
const char *fss_poller_name(void);

/* Always usable afterwards. It never takes the last descriptor, with which a request
   could be accepted. Without one for the pipe it cannot be woken: `wake.read_fd` is -1
   then, and the caller tries again later. */
void fss_poller_open(struct fss_poller *poller, int listener_fd);

/* Also wake up when child_fd becomes readable. 0, or -errno. */
int fss_poller_watch_children(struct fss_poller *poller, int child_fd);

/* Waits up to wait_ms (-1: for ever; 0: not at all), for the listener too if
   with_listener. A set of FSS_READY_*, 0 on time-out, or -errno (-EINTR too). 0, and
   `wake.read_fd` is -1 from then on, if a program has closed what this stands on. */
int fss_poller_wait(struct fss_poller *poller, int with_listener, int wait_ms);

/* Closes what fss_poller_open() opened; harmless when closed already. */
void fss_poller_close(struct fss_poller *poller);

/* One wait without a poller, for any of three descriptors; -1 for none.
   A set of FSS_READY_*, 0 on time-out, or -errno. Drains nothing. */
int fss_poller_wait_once(int listener_fd, int wake_fd, int child_fd, int wait_ms);

#endif
