/* Monotonic time: deadlines must survive steps of the wall clock. */
#ifndef FSS_CLOCK_H
#define FSS_CLOCK_H

#include <stdint.h>

/* Nanoseconds since an arbitrary, fixed moment of this boot. */
int64_t fss_clock_now_ns(void);

/* Milliseconds until deadline_ns, rounded up so that a wait never ends early;
   0 when it has passed, INT_MAX when it is farther away than poll(2) can say. */
int fss_clock_wait_ms(int64_t deadline_ns);

#endif
