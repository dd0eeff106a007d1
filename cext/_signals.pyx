"""Ending a wait when a signal arrives, on whatever thread it lands.

Facts: CPython's C handler only notes a signal; the Python handler runs when the main thread
looks. A signal that lands between that look and the wait, or on another thread, would sleep
through a wait without a tick. The C handler also writes a byte to the "wakeup fd", of which
there is one per process.
Choice: for the time of a wait on the main thread, that is the loop's wake-up pipe. It is
not held while handlers run, where asyncio and others want it.
Cost: 1.2 us per wait on the main thread; none when something is ready already. While the
descriptor is somebody else's (an asyncio loop around us), waits have to be cut short.
CPython does not tell whose it is but by exchanging it, which each loop does once: what
signals wrote meanwhile is passed on, but `warn_on_full_buffer=False` is forgotten.

Rules: only the main thread calls this. It is compiled because in Python code a signal
handler could run, and raise, between putting the descriptor in place and saying so.
"""

import os
import signal

cdef int NONE = -1
# The descriptor that we have put in place, and in which process.
cdef int our_fd = NONE
cdef int our_pid = 0
cdef object set_wakeup_fd = signal.set_wakeup_fd
cdef object getpid = os.getpid
cdef object read = os.read
cdef object write = os.write


def listen_for_signals(int write_fd, int read_fd):
    """Let signals write to `write_fd`, a pipe that ends at `read_fd`; False where that is
    somebody else's business."""
    global our_fd, our_pid
    cdef int previous
    cdef bint inherited
    try:
        previous = set_wakeup_fd(write_fd)
    except ValueError:
        return False  # a subinterpreter, where no signal handlers run
    # Forked while the parent's main thread was asleep: its pipe, of no use here.
    inherited = previous == our_fd and our_pid != getpid()
    if previous != NONE and not inherited:
        try:
            set_wakeup_fd(previous)
        except (OSError, ValueError):
            pass  # closed without telling CPython: nobody's business
        else:
            pass_on(read_fd, write_fd, previous)
            return False
    our_fd, our_pid = write_fd, getpid()
    return True


cdef int pass_on(int read_fd, int write_fd, int owner_fd) except -1:
    """Give the owner the signals that wrote to our pipe meanwhile; leave our wake-up there."""
    try:
        data = read(read_fd, 65536)
    except BlockingIOError:
        return 0
    signals = data.replace(b"\0", b"")
    if len(signals) < len(data):
        write(write_fd, b"\0")
    if signals:
        try:
            write(owner_fd, signals)
        except OSError:
            pass  # full of others, or closed
    return 0


def stop_listening_for_signals():
    """Undo `listen_for_signals()`, unless a signal handler has put another one in place."""
    global our_fd
    cdef int previous = set_wakeup_fd(NONE)
    if previous != NONE and previous != our_fd:
        set_wakeup_fd(previous)
    our_fd = NONE
