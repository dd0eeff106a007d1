"""Whether the requests of a batch share workers, and how fast workers may become more.

Fact: workers that are woken together contend for the GIL, and each request then costs two to
three context switches. Choice: a loop that takes a batch holds its requests back and starts
one worker, which takes the next request when it is done. Gain: 0.75x to 0.88x the CPU per
threaded connection, 16 clients. Should no request be finished within a millisecond, the
handlers wait for something: then those that are held back get workers, and the next
`PROMPT_REQUESTS` are not held back, so that handlers that wait pay for the attempt once in so
many. Cost: that millisecond.

Fact: threads beyond some ten make handlers that compute slower, not faster, and in a flood
the next look comes before the first of many new threads has run. Choice: workers at most
double each millisecond, up to `QUICK_WORKERS`; beyond, only where more of them help: when
nothing was finished, or requests wait although the process computes less than half of the
time, `LOOKS` times in a row. 200 handlers that block are all running after 30 ms to 60 ms, and
a flood of datagrams whose handlers sleep or compute for 1 ms gets `QUICK_WORKERS` threads.

Inline, plain C values, no Python code: the pool calls it in the midst of its own steps.
"""

from libc.stdint cimport int64_t


cdef enum:
    NS_PER_MS = 1000000
    # Requests to start at once after one that was held back in vain.
    PROMPT_REQUESTS = 256
    # Requests held back at most; until some are served the loop takes no more. Two batches:
    # one that is being served, one that waits.
    MOST_HELD = 128
    # How often workers may double. The loop looks again after a millisecond, see Loop.sleep.
    TICK_NS = NS_PER_MS
    # As many as are added without a look at whether more help. A flood of datagrams whose
    # handlers sleep for a millisecond is served nearly as fast as with 1,000; with the
    # program's own, there are fewer than 64 threads.
    QUICK_WORKERS = 60
    # A batch of quick requests is served within 3 ms; one that waits longer is not among such.
    LATE_NS = 10 * NS_PER_MS
    # So many ticks: one may fall into a pause of the machine, and handlers that compute have
    # had turns, of 5 ms each, within all of them.
    LOOKS = 10
    # With n workers the oldest may wait n times this: LATE_NS with QUICK_WORKERS, ...
    WAITING_WORKER_NS = 170000
    # ... and 240 ms while the process computes: 128 requests of handlers that compute for a
    # millisecond each take half of that.
    COMPUTING_WORKER_NS = 4 * NS_PER_MS


cdef struct Batching:
    # Requests that are not held back.
    int prompt_requests
    # Requests that were finished, ever; how many of them a batch and a look found.
    long finished
    long finished_at_batch
    long finished_at_look
    # Looks in a row that found nothing new, or a request that waits for too long.
    int stuck_looks
    int late_looks
    # How many workers may be added, since when, and the CPU time used until then.
    Py_ssize_t allowance
    int64_t refill_ns
    int64_t refill_cpu_ns


cdef inline int batching_count_finished(Batching *batching) noexcept:
    batching.finished += 1
    return 0


cdef inline bint batching_skips_hold(Batching *batching) noexcept:
    """Whether the next request of a batch had better not be held back."""
    if batching.prompt_requests == 0:
        return False
    batching.prompt_requests -= 1
    return True


cdef inline bint batching_wants_refill(Batching *batching, int64_t now_ns) noexcept:
    """Whether it is time to look again how many workers may be added."""
    return now_ns - batching.refill_ns >= TICK_NS


cdef inline int batching_refill(Batching *batching, int64_t now_ns, int64_t cpu_ns,
                                int64_t oldest_ns, Py_ssize_t size, Py_ssize_t busy) noexcept:
    """See how many workers may be added now.

    Args:
        cpu_ns: CPU time that the process has used.
        oldest_ns: since when the oldest request has waited.
        size, busy: workers there are, and of these with a request.
    """
    cdef bint computes = 2 * (cpu_ns - batching.refill_cpu_ns) > now_ns - batching.refill_ns
    cdef int64_t patience_ns = size * (COMPUTING_WORKER_NS if computes else WAITING_WORKER_NS)
    batching.refill_ns = now_ns
    batching.refill_cpu_ns = cpu_ns
    batching.stuck_looks += 1
    if batching.finished != batching.finished_at_look:
        batching.finished_at_look = batching.finished
        batching.stuck_looks = 0
    batching.late_looks = batching.late_looks + 1 if now_ns - oldest_ns >= patience_ns else 0
    if size < QUICK_WORKERS:
        batching.allowance = min(max(1, busy), QUICK_WORKERS - size)
    elif batching.stuck_looks >= LOOKS:
        batching.allowance = size
        batching.stuck_looks = 0
    elif batching.late_looks >= LOOKS:
        batching.allowance = size // 2
        batching.late_looks = 0
    else:
        batching.allowance = 0
    return 0


cdef inline Py_ssize_t batching_workers_wanted(Batching *batching, int64_t waited_ns,
                                               Py_ssize_t held, Py_ssize_t busy,
                                               bint overdue) noexcept:
    """A batch is over: how many of its requests had better get a worker.

    Args:
        waited_ns: for how long the oldest has waited.
        held: how many of them there are.
        busy: workers with a request.
        overdue: it is a millisecond since the last call.
    """
    cdef bint progressed = batching.finished != batching.finished_at_batch
    batching.finished_at_batch = batching.finished
    if overdue and not progressed:
        batching.prompt_requests = PROMPT_REQUESTS
        return held
    if waited_ns >= LATE_NS:
        return held
    return 0 if progressed and busy else 1
