"""A cache of worker threads with a limit: each request is handed to one, last in, first out.

Rules: all state is guarded by the GIL; no Python code runs between looking at it and
changing it. A request belongs to the thread that submits it until it is held back, given to
an idle worker, or taken by the worker that was started for it; each of these is one step
without Python code, so whatever a signal handler raises, the request has one owner. Counts
follow from the same steps: a worker counts from before its thread is started until it has
ended, or it is certain that its thread will serve nothing.

A worker parks on a lock of its own, without the GIL. Who takes it off `idle` must give it a
request or its end, so a worker whose time-out races the hand-over sees that it was taken off
and goes on waiting for what is coming.

Choice: CPython's own lock (`PyThread_type_lock`, a futex on Linux) parks a worker; it is
portable, monotonic and costs one system call each way.

Programs see none of this: what `threading.current_thread()` gives, and what is listed in
`_threads`, is an object for one request, as in the standard module. It borrows the worker's
thread for as long as the request takes. Cost: 0.1 us per request.
"""

import sys
import threading
from _thread import allocate_lock, get_ident
from collections import deque
from time import process_time_ns

from cpython.list cimport PyList_Append
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport int64_t

from _batching cimport (
    MOST_HELD, Batching, batching_count_finished, batching_refill,
    batching_skips_hold, batching_wants_refill, batching_workers_wanted)
from _errors cimport raise_if_error

cdef extern from "fss_fork.h":
    int fss_fork_watch() noexcept
    long fss_fork_count() noexcept

cdef extern from "fss_clock.h":
    int64_t fss_clock_now_ns() noexcept nogil

cdef extern from "Python.h":
    ctypedef void *PyThread_type_lock
    ctypedef long long PY_TIMEOUT_T
    enum PyLockStatus:
        PY_LOCK_FAILURE
        PY_LOCK_ACQUIRED
        PY_LOCK_INTR
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock) noexcept
    PyLockStatus PyThread_acquire_lock_timed(
        PyThread_type_lock, PY_TIMEOUT_T microseconds, int interruptible) noexcept nogil
    void PyThread_release_lock(PyThread_type_lock) noexcept nogil
    object PyContext_New()
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1
    ctypedef struct PyThreadState:
        PyObject *c_traceobj
        PyObject *c_profileobj
    PyThreadState *PyThreadState_Get() noexcept
    bint PyMethod_Check(object) noexcept
    PyObject *PyMethod_GET_FUNCTION(object) noexcept

cdef PY_TIMEOUT_T FOR_EVER_US = -1

# Idle workers beyond the first few that nobody needed for a second end: they are left from
# a burst. A thread start costs 50 us to 100 us, so a burst each second pays 0.2 % of it.
cdef Py_ssize_t SPARE_WORKERS = 16
cdef PY_TIMEOUT_T SPARE_US = 1000000

# How often to try again when a signal handler interrupts the start of a worker for a request
# that was held back. A handler that raises each 100 us, about as long as a start takes, still
# interrupts this many in a row only once in some hundred times.
cdef int MOST_INTERRUPTS = 8

raise_if_error(fss_fork_watch())

# Workers whose thread was started, or is about to be, and has not ended.
live_workers = set()
# A thread that was never started: what it says of itself holds for a request that waits.
cdef object unstarted = threading.Thread(name="unstarted")
cdef tuple no_arguments = ()
cdef dict threading_names = vars(threading)
# What `threading.current_thread()` and `enumerate()` look into.
cdef dict threads_by_ident = threading._active
# Of all pools, ever.
cdef long finished_requests = 0


cdef enum RequestState:
    WAITING   # for a worker
    SERVED    # by a worker, now
    FINISHED  # or taken back: nobody will serve it


cdef class BaseRequestThread:
    """One request, and what the `threading.Thread` of that request shows of itself.

    To be mixed with `threading.Thread`, whose methods find in it what they find in the
    worker's thread.
    """

    cdef object target
    cdef object request
    cdef object client_address
    cdef bint is_daemon
    cdef RequestState state
    cdef long forks_seen
    cdef int64_t held_ns  # since when it has been held back
    # None until it is served; then the thread that did.
    cdef BaseWorker worker
    # Locks that joiners wait for; None when there are none.
    cdef list joiners
    cdef object given_name
    cdef object function

    def __getattr__(self, name):
        return getattr(unstarted if self.worker is None else self.worker, name)

    @property
    def _name(self):
        # Made when somebody asks; the standard library's counts, and so are unique.
        if self.given_name is None:
            name = threading._newname("Thread-%d")
            function = getattr(self.function, "__name__", None)
            self.given_name = name if function is None else f"{name} ({function})"
        return self.given_name

    @_name.setter
    def _name(self, name):
        self.given_name = name

    @property
    def _daemonic(self):
        return self.is_daemon

    def start(self):
        """Raise RuntimeError: it starts by itself."""
        raise RuntimeError("threads can only be started once")

    def is_alive(self):
        """Whether the request waits for its turn or is being served."""
        return self.is_pending() or self.is_current()

    def join(self, timeout=None):
        """Wait until the request is done.

        Args:
            timeout: seconds, None for ever.
        Raises:
            RuntimeError: called on the thread of the request itself.
        """
        if self.is_current():
            raise RuntimeError("cannot join current thread")
        done = allocate_lock()
        done.acquire()
        # No Python code from here on: the request cannot finish in between.
        if not self.is_pending():
            return
        if self.joiners is None:
            self.joiners = []
        joiners = self.joiners
        joiners.append(done)
        try:
            if timeout is None:
                done.acquire()
            else:
                done.acquire(timeout=max(timeout, 0))
        finally:
            if done in joiners:  # else it is being released
                joiners.remove(done)

    cdef bint is_pending(self) noexcept:
        """Whether it will be finished in this process."""
        return self.state != FINISHED and self.forks_seen == fss_fork_count()

    cdef bint is_current(self) except -1:
        """Whether this is what `threading.current_thread()` gives here."""
        return threads_by_ident.get(get_ident()) is self

    cdef int finish(self) except -1:
        """It was served, or never will be: let joiners go. Runs no Python code."""
        global finished_requests
        self.state = FINISHED
        finished_requests += 1
        joiners, self.joiners = self.joiners, None
        if joiners is not None:
            for done in joiners:
                done.release()
        return 0


cdef enum WorkerState:
    UNSTARTED  # its thread has not come to run()
    RUNNING
    CANCELLED  # its thread may come to run(), and finds that it has nothing to do


cdef class BaseWorker:
    """The part of a worker thread that waits for requests, to be mixed with
    `threading.Thread`."""

    cdef PyThread_type_lock parked
    cdef WorkerState state
    cdef bint is_daemon
    cdef long forks_seen
    cdef Pool pool
    # Its next request; None is its end.
    cdef BaseRequestThread job

    def __cinit__(self):
        self.parked = PyThread_allocate_lock()
        if self.parked is NULL:
            raise MemoryError("no lock for a worker thread")
        PyThread_acquire_lock_timed(self.parked, FOR_EVER_US, 0)
        self.forks_seen = fss_fork_count()

    def __dealloc__(self):
        if self.parked is not NULL:
            PyThread_free_lock(self.parked)

    @property
    def exists(self):
        """Whether this is a thread of this process, not of one that forked it."""
        return self.forks_seen == fss_fork_count()

    def run(self):
        """Serve requests until the pool says that it is enough."""
        cdef Pool pool = self.pool
        if self.state == CANCELLED:
            return
        self.state = RUNNING
        try:
            pool.work(self)
        finally:
            self.pool = None
            live_workers.discard(self)

    cdef bint cancel(self) except -1:
        """After a start that failed or was interrupted: whether the thread serves nothing.

        It may come to life all the same, just to end.
        """
        if self.state != UNSTARTED:
            return False
        self.state = CANCELLED
        self.job = None
        self.pool = None
        live_workers.discard(self)
        return True

    cdef bint wait(self, PY_TIMEOUT_T wait_us) noexcept:
        """Wait until somebody gives it something; False on time-out."""
        cdef PyLockStatus status
        with nogil:
            status = PyThread_acquire_lock_timed(self.parked, wait_us, 0)
        return status == PY_LOCK_ACQUIRED

    cdef int give(self, BaseRequestThread job) except -1:
        self.job = job
        PyThread_release_lock(self.parked)
        return 0


cdef class Pool:
    """The workers of one server, idle and busy, and the requests that wait for one."""

    cdef list idle
    # Requests that were held back, the oldest first.
    cdef object held
    # The thread in a batch, from hold() to settle(); and when to hold back.
    cdef unsigned long holder
    cdef Batching batching
    # Those for which no thread could be started, until somebody reports them.
    cdef list failed
    # Workers that were told to end, and have not yet.
    cdef list ending
    cdef Py_ssize_t busy_workers
    cdef Py_ssize_t starting_workers
    cdef readonly Py_ssize_t size
    cdef object new_worker
    cdef type request_thread
    cdef object loops
    # Settings; see configure().
    cdef bint is_daemon
    cdef object idle_timeout
    cdef PY_TIMEOUT_T idle_us
    cdef object max_threads
    cdef object present_max_threads
    cdef bint is_closed
    # Nobody serves: workers end instead of waiting.
    cdef bint resting
    cdef long forks_seen
    cdef list waiters
    cdef object __weakref__

    def __init__(self, new_worker, request_thread, loops, present_max_threads):
        """
        Args:
            new_worker: `new_worker(daemon)` makes an unstarted `BaseWorker` thread.
            request_thread: a class, `BaseRequestThread` and `threading.Thread`.
            loops: list of running `Loop`s to wake when a worker becomes free.
            present_max_threads: called without arguments while the pool is full, in case
                that the limit was changed.
        """
        self.idle = []
        self.held = deque()
        self.failed = []
        self.ending = []
        self.new_worker = new_worker
        self.request_thread = request_thread
        self.loops = loops
        self.present_max_threads = present_max_threads
        self.forks_seen = fss_fork_count()
        self.waiters = []

    def configure(self, daemon, idle_timeout, max_threads):
        """Settings for the requests that come from now on.

        Args:
            daemon: whether their threads are daemons.
            idle_timeout: seconds that an idle worker waits for its next request.
            max_threads: most workers at once, None for any number.
        """
        cdef bint is_daemon = daemon
        if (is_daemon == self.is_daemon and idle_timeout == self.idle_timeout
                and max_threads == self.max_threads):
            return
        ends_idle = is_daemon != self.is_daemon or not idle_timeout
        self.is_daemon = is_daemon
        self.idle_timeout = idle_timeout
        self.idle_us = <PY_TIMEOUT_T>(idle_timeout * 1e6)
        self.max_threads = max_threads
        if ends_idle:
            self.end_idle()
        self.release_waiters()

    @property
    def closed(self):
        """Whether it takes no more requests: after `close()`, and in a forked child, where
        none of its workers exists."""
        return self.is_shut()

    cdef bint is_shut(self) noexcept:
        return self.is_closed or self.forks_seen != fss_fork_count()

    @property
    def starting(self):
        """Whether some thread of this process is about to start a worker."""
        return self.starting_workers > 0 and self.forks_seen == fss_fork_count()

    @property
    def idle_count(self):
        """How many workers wait for a request."""
        return len(self.idle)

    # -- what a loop asks; see Loop.sleep ---------------------------------------------

    def full(self):
        """Whether a loop should leave the next request where it is.

        It would have to wait for a worker, or enough of them do.
        """
        if self.is_shut():
            return False
        return len(self.held) >= MOST_HELD or self.is_at_limit()

    def hold(self):
        """The calling thread submits a batch now and calls `settle()` after it."""
        if self.idle_us > 0:
            self.holder = get_ident()

    def settle(self, bint overdue):
        """Have workers started for a batch that was held back, as far as that is useful.

        Args:
            overdue: a millisecond has passed since the last call.
        Returns:
            `(waiting, failed)`: whether requests still wait for a busy worker, so that
            this has to be called again in a millisecond; and a list of
            `(request, client_address, exception)` that no thread could be started for.
        """
        cdef int64_t now_ns
        cdef int64_t oldest_ns
        cdef Py_ssize_t wanted
        cdef Py_ssize_t room
        self.holder = 0
        if self.forks_seen != fss_fork_count():
            return False, []
        # After close() whoever closed it has started what could be; the rest is for the workers
        # that are busy.
        if self.held and not (self.is_closed and self.busy_workers > 0):
            now_ns = fss_clock_now_ns()
            oldest_ns = (<BaseRequestThread>self.held[0]).held_ns
            self.refill(now_ns, oldest_ns)
            wanted = batching_workers_wanted(
                &self.batching, now_ns - oldest_ns, len(self.held), self.busy_workers, overdue)
            room = len(self.idle) + self.batching.allowance
            self.start_held(min(wanted, max(room, self.busy_workers == 0)))
        return bool(self.held), self.take_failed()

    def start_all(self):
        """Start a worker for each request that waits; those that failed, as `settle()`.

        Should a signal handler raise again and again, the rest waits for the next call.
        """
        if self.forks_seen != fss_fork_count():
            return []  # they are the parent's
        self.holder = 0
        self.start_held(len(self.held))
        return self.take_failed()

    def rest(self):
        """Serving has ended: idle workers end, and busy ones after their requests and those
        that wait, until somebody submits again.

        Not all programs call the `server_close()` that would end them.
        """
        if self.forks_seen != fss_fork_count():
            return
        self.resting = True
        self.holder = 0
        try:
            # Interrupted in the midst of start_all(); or the interpreter exits, and does not
            # let threads be started any more (Python 3.12).
            if self.busy_workers == 0:
                self.start_held(1)
        finally:
            self.end_idle()

    # -- the serving thread ----------------------------------------------------------

    def submit(self, target, request, client_address, threads):
        """Have `target(request, client_address)` called by an idle worker or a new one.

        Waits only where `max_threads` workers are busy.

        Args:
            threads: the server's `_threads`; the thread of the request is appended.
        Raises:
            RuntimeError: no thread can be started.
            BaseException: what a signal handler raises. The request is the caller's then,
                unless its worker has begun with it.
        """
        cdef BaseRequestThread job
        cdef PyTypeObject *kind = <PyTypeObject *>self.request_thread
        self.resting = False
        # Not Thread.__init__(): what that makes is the worker's.
        job = <BaseRequestThread>kind.tp_new(self.request_thread, <PyObject *>no_arguments, NULL)
        job.target = target
        job.function = (<object>PyMethod_GET_FUNCTION(target) if PyMethod_Check(target)
                        else target)
        job.request = request
        job.client_address = client_address
        job.is_daemon = self.is_daemon
        job.forks_seen = self.forks_seen
        try:
            threads.append(job)
            while self.is_at_limit():
                self.wait_for_free()
            # No Python code between finding room and taking it.
            if self.holder != 0 and self.holder == get_ident() and self.holds_back(job):
                self.held.append(job)
            else:
                self.start(job)
        except:
            if job.state == WAITING:
                job.finish()
            raise

    def withdraw(self, request):
        """Have a request that waits not served: its caller closes it, after an exception."""
        cdef BaseRequestThread job
        for job in list(self.held):
            if job.request is request:
                self.held.remove(job)
                job.finish()

    cdef bint is_at_limit(self) except -1:
        """Whether the next request would have to wait for a worker to become free."""
        if self.max_threads is None or self.is_shut() or self.has_room():
            return False
        self.max_threads = self.present_max_threads()
        return self.max_threads is not None and not self.has_room()

    cdef bint has_room(self) except -1:
        return len(self.idle) + self.max_threads - self.size > len(self.held)

    cdef bint holds_back(self, BaseRequestThread job) except -1:
        """Whether a request of the present batch waits for `settle()`."""
        if self.is_closed:
            return False
        job.held_ns = fss_clock_now_ns()
        if self.held or not batching_skips_hold(&self.batching):
            return True
        if self.idle:
            return False
        self.refill(job.held_ns, job.held_ns)
        return self.batching.allowance == 0

    cdef int refill(self, int64_t now_ns, int64_t oldest_ns) except -1:
        if batching_wants_refill(&self.batching, now_ns):
            batching_refill(&self.batching, now_ns, process_time_ns(), oldest_ns,
                            self.size, self.busy_workers)
        return 0

    cdef int start_held(self, Py_ssize_t count) except -1:
        """Start workers for so many of the requests that wait.

        What a signal handler raises meanwhile is raised at the end: the others are to be
        served all the same.
        """
        cdef BaseRequestThread job
        cdef int interrupts = 0
        interrupt = None
        while count > 0 and self.held and interrupts < MOST_INTERRUPTS:
            job = self.held.popleft()
            try:
                self.start(job)
                count -= 1
            except BaseException as error:
                if job.state == WAITING and isinstance(error, Exception):
                    job.finish()
                    self.failed.append((job.request, job.client_address, error))
                    count -= 1
                    continue
                if job.state == WAITING:
                    self.held.appendleft(job)
                interrupts += 1
                if interrupt is None:
                    interrupt = error
        if interrupt is not None:
            raise interrupt
        return 0

    cdef list take_failed(self):
        failed, self.failed = self.failed, []
        return failed

    cdef int start(self, BaseRequestThread job) except -1:
        """Give `job` to the worker that became idle last, or to a new one.

        When this raises, `job.state` tells whether its worker has it all the same.
        """
        cdef BaseWorker worker
        while self.idle:
            worker = self.idle.pop()
            if worker.is_daemon == job.is_daemon:
                self.busy_workers += 1
                worker.give(job)
                return 0
            self.ending.append(worker)
            worker.give(None)
        # Counted first: making it runs Python code, and another thread may look meanwhile.
        self.size += 1
        self.busy_workers += 1
        self.starting_workers += 1
        if self.batching.allowance > 0:
            self.batching.allowance -= 1
        worker = None
        try:
            worker = self.new_worker(job.is_daemon)
            worker.is_daemon = job.is_daemon
            worker.pool = self
            worker.job = job
            live_workers.add(worker)
            worker.start()
        except:
            if worker is None or worker.cancel():
                self.size -= 1
                self.busy_workers -= 1
                self.announce_capacity()
            raise
        finally:
            self.starting_workers -= 1
        return 0

    cdef int wait_for_free(self) except -1:
        """Block until a worker becomes free: only outside of `serve_forever()`."""
        lock = allocate_lock()
        lock.acquire()
        self.waiters.append(lock)
        if self.is_at_limit():
            lock.acquire()
        return 0

    # -- its end ---------------------------------------------------------------------

    def close(self):
        """Take no more requests: workers end when they are done, idle ones with
        `end_workers()`."""
        self.is_closed = True
        if self.forks_seen == fss_fork_count():
            self.release_waiters()

    def end_workers(self):
        """Tell idle workers to end.

        Returns: all that were told and have not ended (list of threads), to be joined.
        """
        if self.forks_seen != fss_fork_count():
            return []
        self.end_idle()
        return list(self.ending)

    cdef int end_idle(self) except -1:
        cdef BaseWorker worker
        if self.forks_seen != fss_fork_count():
            return 0
        workers, self.idle = self.idle, []
        self.ending += workers
        for worker in workers:
            worker.give(None)
        return 0

    # -- the worker ------------------------------------------------------------------

    cdef int work(self, BaseWorker worker) except -1:
        """Serve requests on this thread until the worker is not needed any more."""
        try:
            while worker.job is not None:
                if not self.serve_all(worker) or not self.await_job(worker):
                    break
        finally:
            self.size -= 1
            if worker in self.ending:
                self.ending.remove(worker)
            self.announce_capacity()
        return 0

    cdef bint serve_all(self, BaseWorker worker) except -1:
        """The request of this worker, then those that wait: whether it is idle after them."""
        cdef BaseRequestThread job = worker.job
        cdef bint goes_on
        worker.job = None
        while True:
            try:
                goes_on = self.serve(worker, job) and self.forks_seen == fss_fork_count()
            except:
                self.leave(worker, job, False)
                raise
            if not (goes_on and self.held
                    and (<BaseRequestThread>self.held[0]).is_daemon == worker.is_daemon):
                return self.leave(worker, job, goes_on)
            batching_count_finished(&self.batching)
            job.finish()
            job = self.held.popleft()

    cdef bint leave(self, BaseWorker worker, BaseRequestThread job, bint goes_on) except -1:
        """The worker has no request any more: whether it is idle now, or about to end.

        Joiners are let go in the same step, so that whoever waited for the request before he
        ends the workers finds this one.
        """
        batching_count_finished(&self.batching)
        self.busy_workers -= 1
        goes_on = (goes_on and not self.is_closed and not self.resting and self.idle_us > 0
                   and worker.is_daemon == self.is_daemon)
        (self.idle if goes_on else self.ending).append(worker)
        job.finish()
        return goes_on

    cdef bint serve(self, BaseWorker worker, BaseRequestThread job) except -1:
        """One request, in a context of its own, as in a new thread.

        Returns: False if it ended by an exception, which is the end of its thread.
        """
        cdef bint ended_well = True
        job.worker = worker
        job.state = SERVED
        target, request, client_address = job.target, job.request, job.client_address
        job.target = job.request = job.client_address = None
        threads_by_ident[get_ident()] = job
        context = PyContext_New()
        PyContext_Enter(context)
        try:
            renew_tracing()
            target(request, client_address)
        except:
            ended_well = False
            worker._invoke_excepthook(job)
        finally:
            PyContext_Exit(context)
        if job.function is target:
            job.function = None  # it may keep the server alive
        return ended_well

    cdef bint await_job(self, BaseWorker worker) except -1:
        """Be idle until a request comes (True), or it is time to end (False)."""
        self.announce_capacity()
        if worker.wait(min(self.idle_us, SPARE_US)):
            return True
        if worker in self.idle and len(self.idle) <= SPARE_WORKERS and self.idle_us > SPARE_US:
            if worker.wait(self.idle_us - SPARE_US):
                return True
        if worker in self.idle:
            self.idle.remove(worker)
            self.ending.append(worker)
            return False
        worker.wait(FOR_EVER_US)  # taken off meanwhile: something is coming
        return True

    cdef int announce_capacity(self) except -1:
        """A worker is free, or gone; and so may be a descriptor."""
        for loop in self.loops:
            if loop.waits_for_capacity:
                loop.wake()
        return self.release_waiters()

    cdef int release_waiters(self) except -1:
        while self.waiters:
            self.waiters.pop().release()
        return 0


cdef int renew_tracing() except -1:
    """Trace and profile as a new thread does, whatever the last request set."""
    cdef PyThreadState *thread = PyThreadState_Get()
    # Kept there by settrace() and setprofile() of threading; its getters cost ten times this.
    trace = threading_names["_trace_hook"]
    profile = threading_names["_profile_hook"]
    if thread.c_traceobj != (NULL if trace is None else <PyObject *>trace):
        sys.settrace(trace)
    if thread.c_profileobj != (NULL if profile is None else <PyObject *>profile):
        sys.setprofile(profile)
    return 0


# What `reap()` looked at last: nothing has ended in there since.
cdef PyObject *reaped_list = NULL
cdef long reaped_finished = -1
cdef long reaped_forks = -1


def append(threads, thread):
    """Add a thread to a list of those to be joined, and take out those that have ended.

    Source: `socketserver._Threads.append`.
    """
    reap(threads)
    if not thread_is_daemon(thread):
        PyList_Append(threads, thread)


def reap(threads):
    """Take those that have ended out of a list of threads.

    Source: `socketserver._Threads.reap`.
    """
    global reaped_list, reaped_finished, reaped_forks
    cdef long finished = finished_requests
    if (reaped_list == <PyObject *>threads and reaped_finished == finished
            and reaped_forks == fss_fork_count()):
        return
    living = [thread for thread in threads if is_living(thread)]
    if len(living) < len(threads):
        threads[:] = living
    reaped_list, reaped_finished, reaped_forks = <PyObject *>threads, finished, fss_fork_count()


cdef bint thread_is_daemon(thread) except -1:
    if isinstance(thread, BaseRequestThread):
        return (<BaseRequestThread>thread).is_daemon
    return thread.daemon


cdef bint is_living(thread) except -1:
    if isinstance(thread, BaseRequestThread):
        return ((<BaseRequestThread>thread).is_pending()
                or (<BaseRequestThread>thread).is_current())
    return thread.is_alive()
