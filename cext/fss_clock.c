#include "fss_clock.h"

#include <limits.h>
#include <time.h>

#define NS_PER_S 1000000000
#define NS_PER_MS 1000000

int64_t fss_clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int fss_clock_wait_ms(int64_t deadline_ns)
{
    int64_t left_ns = deadline_ns - fss_clock_now_ns();
    if (left_ns <= 0)
        return 0;
    int64_t left_ms = left_ns / NS_PER_MS + (left_ns % NS_PER_MS != 0);
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}
