#include "fss_fork.h"

#include <pthread.h>

static long fork_count;

static void count_fork(void)
{
    fork_count++; /* the child has one thread only */
}

int fss_fork_watch(void)
{
    static int watching;
    int error = watching ? 0 : pthread_atfork(0, 0, count_fork);
    watching = !error;
    return -error;
}

long fss_fork_count(void)
{
    return fork_count;
}
