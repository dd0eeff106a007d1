"""How a serving thread sleeps, and what ends its sleep.

Rules: a Waiter belongs to the thread that waits; others call `wake()` alone. `with nogil`
wraps the wait and nothing else. A signal ends a wait on the main thread, and its Python
handler runs before the wait returns; see _signals.pyx. A wait returns after one sleep, and
whoever called it looks at everything anew: a signal handler may have set the stop flag, or
forked.

Fact: a forked child shares its parent's epoll set and pipe. So both count as closed there;
and where a program has closed them by their numbers, as daemons do.
Without a descriptor to be had for a pipe nothing can wake a wait. Choice: it is cut short,
and the pipe opened as soon as that works.
"""

import threading
from _thread import get_ident

from libc.errno cimport EINTR
from libc.stdint cimport INT64_MAX, int64_t

from _errors cimport raise_if_error

from fastsocketserver._signals import listen_for_signals, stop_listening_for_signals

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef extern from "fss_clock.h":
    int fss_clock_wait_ms(int64_t deadline_ns) noexcept nogil

cdef extern from "fss_fork.h":
    int fss_fork_watch() noexcept
    long fss_fork_count() noexcept

cdef extern from "fss_wake.h":
    cdef struct fss_wake:
        int write_fd
        int read_fd
    int fss_wake_open(fss_wake *wake) noexcept nogil
    void fss_wake_signal(const fss_wake *wake) noexcept nogil
    void fss_wake_drain(fss_wake *wake) noexcept nogil
    void fss_wake_close(fss_wake *wake) noexcept nogil

cdef extern from "fss_poller.h":
    enum:
        FSS_READY_LISTENER
        FSS_READY_WAKE
    cdef struct fss_poller:
        fss_wake wake
        int owned_fd
    const char *fss_poller_name() noexcept nogil
    void fss_poller_open(fss_poller *poller, int listener_fd) noexcept nogil
    int fss_poller_watch_children(fss_poller *poller, int child_fd) noexcept nogil
    int fss_poller_wait(fss_poller *poller, bint with_listener, int wait_ms) noexcept nogil
    void fss_poller_close(fss_poller *poller) noexcept nogil
    int fss_poller_wait_once(
        int listener_fd, int wake_fd, int child_fd, int wait_ms) noexcept nogil

# How often to look for what cannot end a wait: the standard module's poll interval.
cdef int LOOK_MS = 500
# The same while requests wait for a thread or a child to become free.
cdef int FULL_LOOK_MS = 20

raise_if_error(fss_fork_watch())


def poller_name():
    """Name of the poller that this build waits with: "epoll" or "poll"."""
    return fss_poller_name().decode("ascii")


cdef int shorter_ms(int wait_ms, int other_ms) noexcept:
    """The shorter of two waits for poll(2), of which -1 is the longest."""
    if wait_ms < 0 or other_ms < 0:
        return max(wait_ms, other_ms)
    return min(wait_ms, other_ms)


cdef inline int wait_ms_until(int64_t deadline_ns) noexcept:
    """For poll(2); INT64_MAX is never."""
    return -1 if deadline_ns == INT64_MAX else fss_clock_wait_ms(deadline_ns)


cdef int ready_or_interrupted(int ready) except -1:
    """A set of FSS_READY_*, 0 after a signal; raises for an error."""
    return 0 if ready == -EINTR else raise_if_error(ready)


cdef class Waiter:
    """Waits for a listener, a wake-up, children; or once, for any descriptor."""

    cdef fss_poller poller
    cdef fss_wake lone_wake
    cdef bint in_main_thread
    cdef bint signals_are_taken
    cdef long forks_seen

    def __cinit__(self):
        self.poller.owned_fd = -1
        self.poller.wake.read_fd = self.poller.wake.write_fd = -1
        self.lone_wake.read_fd = self.lone_wake.write_fd = -1
        self.look_who_waits()

    def __dealloc__(self):
        fss_poller_close(&self.poller)
        fss_wake_close(&self.lone_wake)

    cdef int look_who_waits(self) except -1:
        self.forks_seen = fss_fork_count()
        self.in_main_thread = threading.main_thread().ident == get_ident()
        return 0

    def open(self, int listener_fd):
        """Begin to wait for this listener: at first, after a fork, for another one."""
        fss_poller_close(&self.poller)
        self.look_who_waits()
        fss_poller_open(&self.poller, listener_fd)

    @property
    def can_be_woken(self):
        """Whether `wake()` works: not without a descriptor for the pipe, nor in a forked
        child, until it is opened again."""
        return self.poller.wake.read_fd >= 0 and self.forks_seen == fss_fork_count()

    def wake(self):
        """End the present `wait()`, or the next one. Any thread, also in signal handlers."""
        if self.forks_seen == fss_fork_count():
            fss_wake_signal(&self.poller.wake)

    def watch_children(self, int child_fd):
        """Wake up, too, when `child_fd` becomes readable; False where that is not possible,
        or the descriptor is closed by now. -1: for none."""
        return fss_poller_watch_children(&self.poller, child_fd) >= 0

    def wait(self, bint with_listener, int64_t deadline_ns, int tick_ms):
        """Sleep once: a set of FSS_READY_*, 0 on time-out, after a signal, or at any time
        while `can_be_woken` is false.

        tick_ms is how often to look for what cannot end the wait; -1 where nobody says.
        """
        cdef int ready
        cdef bint owned
        cdef int wait_ms = wait_ms_until(deadline_ns)
        if self.poller.wake.read_fd < 0:
            wait_ms = shorter_ms(wait_ms, LOOK_MS if with_listener else FULL_LOOK_MS)
            wait_ms = shorter_ms(wait_ms, tick_ms)
        if not self.in_main_thread:
            with nogil:
                ready = fss_poller_wait(&self.poller, with_listener, wait_ms)
            return ready_or_interrupted(ready)
        with nogil:
            ready = fss_poller_wait(&self.poller, with_listener, 0)
        if ready == 0 and wait_ms != 0:
            owned = self.listen_for_signals(&self.poller.wake)
            if not owned:
                wait_ms = shorter_ms(shorter_ms(wait_ms, LOOK_MS), tick_ms)
            try:
                PyErr_CheckSignals()
                # A child that a handler forked must not sleep on what is its parent's.
                if self.forks_seen == fss_fork_count():
                    with nogil:
                        ready = fss_poller_wait(&self.poller, with_listener, wait_ms)
            finally:
                if owned:
                    stop_listening_for_signals()
        PyErr_CheckSignals()
        return ready_or_interrupted(ready)

    def wait_once(self, int fd, int64_t deadline_ns):
        """Wait until `fd` is readable (True), the deadline, or a signal (False).

        Needs no poller. fd -1: for the deadline alone.
        """
        cdef int ready
        cdef int wait_ms = wait_ms_until(deadline_ns)
        PyErr_CheckSignals()
        if self.forks_seen != fss_fork_count():
            self.close()
            self.look_who_waits()
        if self.in_main_thread:
            with nogil:
                ready = fss_poller_wait_once(fd, -1, -1, 0)
            if ready == 0 and wait_ms != 0:
                ready = self.wait_for_signals_too(fd, wait_ms)
        else:
            with nogil:
                ready = fss_poller_wait_once(fd, -1, -1, wait_ms)
        PyErr_CheckSignals()
        ready = ready_or_interrupted(ready)
        if ready & FSS_READY_WAKE:
            fss_wake_drain(&self.lone_wake)
        return bool(ready & FSS_READY_LISTENER)

    cdef int wait_for_signals_too(self, int fd, int wait_ms) except? -1:
        """What `fss_poller_wait_once()` returns, on the main thread."""
        cdef int ready
        cdef bint owned
        if self.lone_wake.read_fd < 0:
            # Without a descriptor to be had it stays closed, and the wait is cut short.
            fss_wake_open(&self.lone_wake)
        owned = self.listen_for_signals(&self.lone_wake)
        if not owned:
            wait_ms = shorter_ms(wait_ms, LOOK_MS)
        try:
            PyErr_CheckSignals()
            with nogil:
                ready = fss_poller_wait_once(fd, self.lone_wake.read_fd, -1, wait_ms)
        finally:
            if owned:
                stop_listening_for_signals()
        return ready

    cdef bint listen_for_signals(self, fss_wake *wake) except -1:
        """Let signals end the wait. False: they cannot; look for them now and then."""
        if self.signals_are_taken or wake.write_fd < 0:
            return False
        self.signals_are_taken = not listen_for_signals(wake.write_fd, wake.read_fd)
        return not self.signals_are_taken

    def close(self):
        """Give up the poller and what woke it; harmless when closed already."""
        fss_poller_close(&self.poller)
        fss_wake_close(&self.lone_wake)
