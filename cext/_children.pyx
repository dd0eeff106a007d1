"""Which children of a forking server have exited, without a look at every page of memory.

Rules: everything runs under the GIL, without a lock and without Python code between look
and change; only `wait_for_exit()` waits, on nothing that is shared. A status is taken of the
pids in the server's `active_children` alone. In a forked process a watcher of its parent is
left alone: descriptors and children are the parent's.

Fact: after a fork, each page that either process writes is copied, some microsecond each,
and to look at a Python object is to write to it (reference counts). Choice: all a watcher
knows is one C structure, so that what happens between two forks touches few pages.

Fact: a loop asks for exits after each request anyway, so nothing has to tell it while
requests come. Choice: as the standard module, it looks at each tick while children run;
once no more may run, or none came since the last look, some of them are watched by pidfd,
which ends the sleep at once. See fss_children.h.
"""

import os

from libc.errno cimport EINTR

from _errors cimport raise_if_error

from fastsocketserver._state import KEY, state_of

cdef extern from "Python.h":
    object PyWeakref_NewRef(object, object)

cdef extern from "unistd.h":
    int getpid() noexcept nogil

cdef extern from "fss_children.h":
    enum:
        FSS_PIDFDS
    cdef struct fss_exits:
        int owned_fd
        int count
    int fss_child_reap(int pid) noexcept nogil
    int fss_children_wait(
        const int *pids, int count, int wait_ms, int look_ms) noexcept nogil
    int fss_exits_open(fss_exits *exits) noexcept nogil
    void fss_exits_watch(fss_exits *exits, const int *pids, int count) noexcept nogil
    void fss_exits_forget(fss_exits *exits) noexcept nogil
    void fss_exits_close(fss_exits *exits) noexcept nogil

# How long to wait for a child at a time: another thread may take its status meanwhile.
cdef int WAIT_MS = 500
# How soon to look again for the children that cannot be watched.
cdef int LOOK_MS = 20


cdef int lowest(pids, int *numbers) except -1:
    """The lowest FSS_PIDFDS of `pids`, mostly the oldest children: how many there are."""
    cdef int count = 0
    for pid in sorted(pids):
        if count == FSS_PIDFDS:
            break
        numbers[count] = pid
        count += 1
    return count


cdef class ChildWatcher:
    """Knows which of the pids in `server.active_children` have exited. See `Loop.sleep`."""

    # Weak, since the server has the watcher.
    cdef object server_ref
    cdef int owner_pid
    # Whether a child was forked since the last look.
    cdef bint forked
    cdef fss_exits exits

    def __cinit__(self, server):
        """Args: server: has `active_children` (a set of pids, or None), `max_children`."""
        self.exits.owned_fd = -1
        self.owner_pid = getpid()
        self.server_ref = PyWeakref_NewRef(server, None)

    def __dealloc__(self):
        if self.owner_pid == getpid():
            fss_exits_close(&self.exits)

    cdef object server(self):
        """The server; None in a process forked from that of the watcher."""
        return self.server_ref() if self.owner_pid == getpid() else None

    # -- what a loop asks --------------------------------------------------------------

    def full(self):
        """Whether `max_children` are running: no request is taken until one exits."""
        server = self.server()
        running = None if server is None else server.active_children
        return bool(running and len(running) >= server.max_children)

    def fileno(self):
        """A descriptor that is readable when a watched child has exited; -1 without one.

        It is opened by the first call, and stays the same until `close()`.
        """
        if self.server() is None or fss_exits_open(&self.exits) < 0:
            return -1
        return self.exits.owned_fd

    def needs_tick(self):
        """Whether there are children whose exit wakes nobody."""
        server = self.server()
        running = None if server is None else server.active_children
        return bool(running and len(running) > self.exits.count)

    def reap(self):
        """Take the status of those that have exited; see that the next exit is noticed."""
        cdef bint busy = self.forked
        cdef int numbers[FSS_PIDFDS]
        server = self.server()
        running = None if server is None else server.active_children
        if not running:
            return
        self.forked = False
        for pid in list(running):
            if fss_child_reap(pid) == 1:
                running.discard(pid)
                fss_exits_forget(&self.exits)
        if self.exits.count == 0 and self.exits.owned_fd >= 0 and (not busy or self.full()):
            fss_exits_watch(&self.exits, numbers, lowest(running, numbers))

    # -- the rest of its life ----------------------------------------------------------

    def close(self):
        """Stop watching; the children go on."""
        if self.server() is not None:
            fss_exits_close(&self.exits)


def watcher_of(server):
    """Who watches the children of `server` in this process; made now if need be."""
    cdef ChildWatcher watcher
    # As state_of() looks it up, without a call of it: this runs between any two forks.
    state = dict.get(server.__dict__, KEY)
    if state is None:
        state = state_of(server)
    watcher = state.children
    if watcher is not None and watcher.owner_pid != getpid():
        server.active_children = None  # they are the parent's
        watcher = None
    if watcher is None:
        watcher = state.children = ChildWatcher(server)
    return watcher


def fork_to_serve(server, request, client_address):
    """Fork a child that serves the request; it never returns.

    Nothing that a signal handler raises can come between the fork and what has to follow
    it: no line of Python is executed there.

    Raises:
        OSError: no process can be forked.
    Source: `socketserver.ForkingMixIn.process_request`.
    """
    cdef ChildWatcher watcher = watcher_of(server)
    fss_exits_forget(&watcher.exits)
    watcher.forked = True
    pid = os.fork()
    if not pid:
        serve_and_exit(server, request, client_address)
    running = server.active_children
    if running is None:
        server.active_children = {pid}
    else:
        running.add(pid)


cdef int serve_and_exit(server, request, client_address) except -1:
    """The whole life of the child."""
    cdef int status = 1
    try:
        server.finish_request(request, client_address)
        status = 0
    except Exception:
        server.handle_error(request, client_address)
    finally:
        try:
            server.shutdown_request(request)
        finally:
            os._exit(status)


def wait_for_exit(pids):
    """Wait until one of our children exits, for half a second at most; take no status.

    Signals end the wait, too; their handlers run in the caller.

    Threads: any.
    """
    cdef int error
    cdef int numbers[FSS_PIDFDS]
    cdef int count = lowest(pids, numbers)
    cdef int wait_ms = WAIT_MS if len(pids) == count else LOOK_MS
    with nogil:
        error = fss_children_wait(numbers, count, wait_ms, LOOK_MS)
    if error != -EINTR:
        raise_if_error(error)
