/* Which child processes have exited, and something to sleep on until one does.
 *
 * Facts: waitpid(2) of one pid takes nobody else's child; a pidfd is readable
 * once its process has exited, also when somebody else took its status. A forked
 * child inherits every pidfd that is open then. Choice: pidfds are opened when
 * there is a reason to sleep until an exit, and closed before the next fork.
 * Cost: three system calls for each; so there are few, see FSS_PIDFDS.
 */
#ifndef FSS_CHILDREN_H
#define FSS_CHILDREN_H

/* Whoever may run no more children waits for the first exit among as many of them, or for
   the next look. Each one more costs some 1.5 us per wait. */
enum { FSS_PIDFDS = 8 };

struct fss_exits {
    int owned_fd; /* epoll instance that is readable when one of them has exited; or -1 */
    int pidfds[FSS_PIDFDS];
    int count;
};

#define FSS_EXITS_CLOSED {.owned_fd = -1, .count = 0}

/* Takes the status of a child that has exited. 1: it is gone (also when its status was
   taken by somebody else); 0: it runs; or -errno. Never waits. */
int fss_child_reap(int pid);

/* Waits until one of `count` processes (at most FSS_PIDFDS) has exited, for wait_ms at most;
   for look_ms at most when one of them cannot be watched. 0 or -errno. */
int fss_children_wait(const int *pids, int count, int wait_ms, int look_ms);

/* 0, or -errno (-ENOTSUP where the platform cannot, -EMFILE also when it would take the last
   descriptor, which is for a connection); harmless when open already. */
int fss_exits_open(struct fss_exits *exits);

/* Lets owned_fd tell of these processes, at most FSS_PIDFDS, instead of those before; of none
   where that would take the last descriptor. */
void fss_exits_watch(struct fss_exits *exits, const int *pids, int count);

/* Lets owned_fd tell of none; after this a forked child inherits no pidfd. */
void fss_exits_forget(struct fss_exits *exits);

/* Gives up everything; harmless when closed already. */
void fss_exits_close(struct fss_exits *exits);

#endif
