/* The wake-up descriptor of one waiting thread.
 *
 * Fact: CPython's C signal handler can write one byte to a descriptor (the
 * "wakeup fd"); eventfd(2) refuses writes shorter than 8 bytes. Choice: a pipe,
 * so that threads and signals wake the same way. Cost: two descriptors per
 * waiting loop instead of one.
 */
#ifndef FSS_WAKE_H
#define FSS_WAKE_H

struct fss_wake {
    int read_fd;
    int write_fd;
};

#define FSS_WAKE_CLOSED {-1, -1}

/* Opens both ends, non-blocking and close-on-exec. 0 or -errno. */
int fss_wake_open(struct fss_wake *wake);

/* Ends the present or next wait. Any thread, also a signal handler. */
void fss_wake_signal(const struct fss_wake *wake);

/* Swallows all wake-ups so far. */
void fss_wake_drain(const struct fss_wake *wake);

/* Closes both ends; harmless when closed already. */
void fss_wake_close(struct fss_wake *wake);

#endif
