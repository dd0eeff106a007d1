/* Counts the forks that led to this process.
 *
 * Fact: functions registered with os.register_at_fork() run as Python code in each child
 * and make it copy some twenty pages, a noticeable part of what a ForkingMixIn request
 * costs. Choice: a pthread_atfork(3) handler that adds one; whoever holds what a fork
 * invalidates (threads, pollers) compares counts when it is used.
 */
#ifndef FSS_FORK_H
#define FSS_FORK_H

/* Starts counting, if nobody has yet. Under the GIL. 0 or -errno. */
int fss_fork_watch(void);

/* Forks since fss_fork_watch(), in this process and its ancestors. */
long fss_fork_count(void);

#endif
