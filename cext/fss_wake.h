/* The wake-up descriptor of one waiting thread.
 *
 * Facts: CPython's C signal handler can write one byte to a descriptor (the
 * "wakeup fd"); eventfd(2) refuses writes shorter than 8 bytes. Programs close
 * descriptors by number: a daemon that closes all it has inherited, and then
 * opens its own files, may have one of them under our number. Choice: a pipe,
 * so that threads and signals wake the same way; and it is known again by its
 * inode before it is written to or closed. Cost: two descriptors per waiting
 * loop instead of one, and 0.2 us per wake-up.
 */
#ifndef FSS_WAKE_H
#define FSS_WAKE_H

#include <sys/types.h>

struct fss_wake {
    int read_fd;
    int write_fd;
    dev_t device; /* of the pipe, whatever number it has */
    ino_t inode;
};

#define FSS_WAKE_CLOSED {-1, -1, 0, 0}

/* Opens both ends, non-blocking and close-on-exec. 0 or -errno; -EMFILE also when no
   descriptor would be left for what the caller is there for. */
int fss_wake_open(struct fss_wake *wake);

/* Whether at least one more descriptor can be opened: 1, 0. */
int fss_wake_leaves_descriptors(const struct fss_wake *wake);

/* Whether both numbers still are the pipe's: 1, 0. */
int fss_wake_is_intact(const struct fss_wake *wake);

/* Ends the present or next wait. Any thread, also a signal handler. */
void fss_wake_signal(const struct fss_wake *wake);

/* Swallows all wake-ups so far. Counts as closed from now on if a program has closed it. */
void fss_wake_drain(struct fss_wake *wake);

/* Closes both ends, unless their numbers are somebody else's by now; harmless when closed
   already. */
void fss_wake_close(struct fss_wake *wake);

#endif
