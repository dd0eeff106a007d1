#include "fss_fork.h"

#include <pthread.h>

static long fork_count;

static void count_fork(void)
{
    fork_count++; /* the child has one thread only */
}

int fss_fork_watch(void)
{
    return -pthread_atfork(0, 0, count_fork);
}

long fss_fork_count(void)
{
    return fork_count;
}
