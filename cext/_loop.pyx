"""The loop: wait, take, dispatch, time out. There is no other one.

Rules: a Loop belongs to the thread that serves. Others reach it only through `wake()`,
`waits_for_capacity` and the server's `_BaseServer__loops`, all of them under the GIL.
How it sleeps is in _waiting.pyx. Each step asks the table of shortcuts, anew when a hook may
have changed, and otherwise calls the contract's method.
"""

import os
from collections import deque
from socket import socket as PlainSocket

from libc.stdint cimport INT64_MAX, int64_t

from fastsocketserver._accept import Listener
from fastsocketserver._accept_errors import Outcome, outcome_of, report_exhaustion
from fastsocketserver._datagrams import Receiver
from fastsocketserver._arguments import descriptor_of, wait_ms_of
from fastsocketserver._nagle import wants_nodelay
from fastsocketserver._shortcuts import TABLE, shortcut_owner
from fastsocketserver._state import state_of
from fastsocketserver._waiting import Waiter

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        unsigned int tp_version_tag

cdef extern from "fss_clock.h":
    int64_t fss_clock_now_ns() noexcept nogil

cdef extern from "fss_poller.h":
    enum:
        FSS_READY_LISTENER
        FSS_READY_WAKE

# Requests per wake-up: large enough to spread the cost of a wake-up, small enough for
# service_actions() and signals to have their turn.
cdef int BATCH = 64
cdef int64_t NS_PER_S = 1000000000
cdef int64_t NS_PER_MS = 1000000
cdef int64_t NEVER_NS = INT64_MAX
# Exhausted descriptors or memory: how soon to try again.
cdef int FIRST_BACK_OFF_MS = 5
cdef int LAST_BACK_OFF_MS = 640  # and so resumes within a second of relief
cdef int64_t LOG_INTERVAL_NS = NS_PER_S
# How often a loop that is full looks for children whose exit wakes nobody.
cdef int CHILD_LOOK_MS = 20

cdef enum Took:
    NOTHING  # no request was there, or an error says so
    LAST     # one request was served; ask the poller before the next
    MORE     # one request was served, or skipped; there may be another
    CLOSED   # the listener is closed

cdef enum Source:
    FROM_METHOD     # get_request() is overridden, or the socket is of another kind
    FROM_LISTENER   # accept natively
    FROM_DATAGRAMS  # receive natively

cdef tuple HOOKS = tuple(dict.fromkeys(row.hook for row in TABLE))


def dispatch(server, request, client_address):
    """Verify and process one request that was taken.

    Source: the second half of `socketserver.BaseServer._handle_request_noblock`.
    """
    if server.verify_request(request, client_address):
        try:
            server.process_request(request, client_address)
        except Exception:
            server.handle_error(request, client_address)
            server.shutdown_request(request)
        except:
            server.shutdown_request(request)
            raise
    else:
        server.shutdown_request(request)


cdef inline unsigned int version_tag(kind):
    return (<PyTypeObject *>kind).tp_version_tag


def report_unstarted(server, failed):
    """What `dispatch` does with an exception, for requests that got no thread in the end.

    All of them are reported and closed; then what a hook raised is raised.

    Args:
        failed: `(request, client_address, exception)` of each, from `Pool.settle()`.
    """
    raised = None
    for request, client_address, error in failed:
        try:
            try:
                raise error
            except Exception:
                server.handle_error(request, client_address)
            finally:
                server.shutdown_request(request)
        except BaseException as from_hook:
            raised = from_hook
    if raised is not None:
        raise raised


cdef object inode_of(int fd):
    """What tells one open socket from another that has its number; -1 for a closed one."""
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return -1


cdef int hooks_on_instance(server) except -1:
    """Which hooks are overridden on the instance: a set of bits."""
    cdef int bits = 0
    cdef dict attributes = server.__dict__
    for hook in HOOKS:
        bits = 2 * bits + (hook in attributes)
    return bits


cdef class Loop:
    """One call of `serve_forever()` or `handle_request()` on `server`."""

    cdef object server
    cdef object state
    cdef object waiter
    # server.fileno() when serving started, and what it was.
    cdef int fd
    cdef object inode
    # Read by workers: whether a free worker or descriptor is worth a wake-up.
    cdef readonly bint waits_for_capacity

    # What the table of shortcuts said at this wake-up.
    cdef Source source
    cdef bint takes
    cdef bint nodelay
    cdef bint calls_service_actions
    cdef bint reaps_children
    cdef bint ticks
    cdef bint holds
    # Requests of the last batch wait for a worker; and whether they have for too long.
    cdef bint unsettled
    cdef bint overdue

    # By what hooks_changed() tells that it has to be asked again.
    cdef object server_type
    cdef unsigned int server_tag
    cdef int instance_hooks
    cdef unsigned int socket_tag
    cdef object handler
    cdef unsigned int handler_tag

    cdef bint guards_listener
    cdef object listener
    cdef object receiver
    cdef object watched_children
    cdef bint watches_children
    cdef int receive_limit

    cdef int back_off_ms
    cdef int64_t retry_ns

    def __init__(self, server):
        """Args: server: a `BaseServer`, ours or one with our methods."""
        self.server = server
        self.state = state_of(server)
        self.waiter = Waiter()

    def wake(self):
        """End the wait of this loop, or its next one. Any thread, also in signal handlers."""
        self.waiter.wake()

    def close(self):
        """Give up the poller, and the listener as it was found. The serving thread only."""
        self.waiter.close()
        if self.listener is not None:
            self.listener.release()

    # -- serve_forever --------------------------------------------------------------

    def run(self, poll_interval):
        """Serve until `_BaseServer__shutdown_request` is set or the listener is closed.

        Source: `socketserver.BaseServer.serve_forever`.
        """
        self.fd = descriptor_of(self.server)
        self.inode = inode_of(self.fd)
        try:
            self.open_poller()
        except OSError:
            if not self.socket_has_no_descriptor():
                raise
        if self.socket_has_no_descriptor():
            return  # closed meanwhile: its number may be that of our own pipe
        self.consult_shortcuts()
        try:
            self.receive_limit = BATCH
            self.turn(wait_ms_of(poll_interval))
        finally:
            self.settle_for_good()

    cdef int turn(self, int tick_ms) except -1:
        cdef int ready
        server = self.server
        while not server._BaseServer__shutdown_request:
            if not self.waiter.is_open:
                if self.listener_is_closed():
                    break  # and its number may be somebody else's
                self.open_poller()
            ready = self.sleep(tick_ms)
            # Stopped while asleep: whoever waits in the backlog is not ours any more.
            if server._BaseServer__shutdown_request:
                break
            if self.hooks_changed():
                self.consult_shortcuts()
            if ready & FSS_READY_LISTENER:
                if not self.serve_batch():
                    break
            elif ready & FSS_READY_WAKE and self.listener_is_closed():
                break
            if self.unsettled:
                self.settle()
            if self.calls_service_actions:
                server.service_actions()
            elif self.reaps_children:
                if self.state.children is not None:
                    self.state.children.reap()
        return 0

    cdef int open_poller(self) except -1:
        self.watched_children = None
        self.waiter.open(self.fd)
        return 0

    cdef bint hooks_changed(self) except -1:
        """Whether a hook may have been overridden since `consult_shortcuts()`.

        CPython gives a class another version tag, or 0, when it or a base is changed.
        """
        server = self.server
        handler = getattr(server, "RequestHandlerClass", None)
        return (version_tag(type(server)) != self.server_tag or self.server_tag == 0
                or type(server) is not self.server_type
                or hooks_on_instance(server) != self.instance_hooks
                or getattr(server, "socket", None) is not self.listener.sock
                or version_tag(PlainSocket) != self.socket_tag or self.socket_tag == 0
                or handler is not self.handler
                or (isinstance(handler, type)
                    and (version_tag(handler) != self.handler_tag or self.handler_tag == 0)))

    cdef int consult_shortcuts(self) except -1:
        """Look at every hook once; what is overridden is called from now on."""
        server = self.server
        sock = getattr(server, "socket", None)
        if self.listener is None or sock is not self.listener.sock:
            if self.listener is not None:
                self.listener.release()
            self.listener = Listener(sock)
            self.receiver = Receiver(sock)
        self.takes = shortcut_owner(server, "_handle_request_noblock") is not None
        taker = shortcut_owner(server, "get_request")
        self.source = FROM_METHOD
        if taker == "TCPServer" and self.listener.native:
            self.source = FROM_LISTENER
        elif taker == "UDPServer" and self.receiver.plain:
            self.source = FROM_DATAGRAMS
        # Overrides find the listener as it was: they may want to wait in accept().
        self.guards_listener = taker == "TCPServer"
        if not self.guards_listener:
            self.listener.release()
        self.handler = getattr(server, "RequestHandlerClass", None)
        self.nodelay = self.listener.is_tcp and wants_nodelay(self.handler)
        self.holds = (self.source != FROM_METHOD
                      and shortcut_owner(server, "process_request") == "ThreadingMixIn")
        actor = shortcut_owner(server, "service_actions")
        self.reaps_children = actor == "ForkingMixIn"
        self.calls_service_actions = actor is None
        self.ticks = (self.calls_service_actions
                      or shortcut_owner(server, "_BaseServer__shutdown_request") is None)
        self.server_type = type(server)
        self.server_tag = version_tag(self.server_type)
        self.instance_hooks = hooks_on_instance(server)
        self.socket_tag = version_tag(PlainSocket)
        self.handler_tag = (version_tag(self.handler) if isinstance(self.handler, type) else 0)
        return 0

    cdef int sleep(self, int tick_ms) except -1:
        """Wait for something to do: a set of FSS_READY_*, 0 for a tick."""
        cdef int ready
        cdef bint with_listener
        cdef bint unwatched
        cdef int64_t deadline_ns = NEVER_NS
        cdef int64_t settle_ns = 0
        # Set first, asked after: a worker that becomes free in between sees it and wakes us.
        self.waits_for_capacity = True
        children = self.state.children
        if children is not self.watched_children:
            self.watch(children)
        with_listener = self.retry_ns == 0 and not self.holds_back()
        self.waits_for_capacity = not with_listener
        if with_listener and self.leftovers() is not None:
            return FSS_READY_LISTENER
        unwatched = self.reaps_children and children is not None and (
            not self.watches_children or children.needs_tick())
        if tick_ms >= 0 and (self.ticks or unwatched):
            deadline_ns = fss_clock_now_ns() + tick_ms * NS_PER_MS
        if unwatched and not with_listener:
            deadline_ns = min(deadline_ns, fss_clock_now_ns() + CHILD_LOOK_MS * NS_PER_MS)
        if self.retry_ns:
            deadline_ns = min(deadline_ns, self.retry_ns)
        if self.unsettled:
            settle_ns = fss_clock_now_ns() + NS_PER_MS
            deadline_ns = min(deadline_ns, settle_ns)
        while True:
            ready = self.waiter.wait(with_listener, deadline_ns, tick_ms)
            if ready or deadline_ns <= fss_clock_now_ns():
                break
        self.overdue = self.unsettled and settle_ns <= fss_clock_now_ns()
        self.waits_for_capacity = False
        if self.retry_ns and (ready & FSS_READY_WAKE or self.retry_ns <= fss_clock_now_ns()):
            self.retry_ns = 0
            ready |= FSS_READY_LISTENER
        return ready

    cdef bint is_full(self) except -1:
        """Whether the next request would have to wait for a thread, or for a child's exit."""
        pool, children = self.state.pool, self.state.children
        return ((pool is not None and pool.full())
                or (children is not None and children.full()))

    cdef bint holds_back(self) except -1:
        """Whether requests stay in the backlog until there is room for them.

        Not where an override is to collect the children: it may do so only when called,
        after the next request, or never.
        """
        pool, children = self.state.pool, self.state.children
        return ((pool is not None and pool.full())
                or (self.reaps_children and children is not None and children.full()))

    cdef int watch(self, children) except -1:
        """Wake up for children that exit, where the platform can tell."""
        cdef int fd = -1 if children is None else children.fileno()
        self.watched_children = children
        self.watches_children = fd >= 0 and self.waiter.watch_children(fd)
        return 0

    # -- taking requests ------------------------------------------------------------

    cdef object leftovers(self):
        """The queue of datagrams already taken from the kernel; None when it is empty."""
        return self.state.pending if self.state.pending else None

    cdef bint serve_batch(self) except -1:
        """Serve what is ready, at most `BATCH` requests. False: the listener is closed."""
        cdef int served
        cdef Took took
        server = self.server
        pool = self.state.pool
        if self.holds and pool is not None:
            pool.hold()
            self.unsettled = True
        for served in range(BATCH):
            if served:
                if server._BaseServer__shutdown_request:
                    break
                if self.hooks_changed():
                    self.consult_shortcuts()
                    if not self.holds:
                        self.settle_for_good()
                if self.source == FROM_LISTENER and not self.listener.pending():
                    break
            if self.is_full() if served else self.holds_back():
                break
            took = self.take()
            if took == CLOSED:
                return False
            if took != MORE:
                break
        return True

    cdef int settle(self) except -1:
        """Have workers started for the requests of a batch."""
        pool = self.state.pool
        self.unsettled = False
        if pool is not None:  # else the server was closed, which starts all
            self.unsettled, failed = pool.settle(self.overdue)
            report_unstarted(self.server, failed)
        return 0

    cdef int settle_for_good(self) except -1:
        """Leave nothing behind that waits for this loop."""
        pool = self.state.pool
        if self.unsettled and pool is not None:
            self.unsettled = False
            report_unstarted(self.server, pool.start_all())
        return 0

    cdef Took take(self) except *:
        """Take one request by the shortcut or the hook, and dispatch it."""
        cdef Took after = LAST
        server = self.server
        queue = self.leftovers()
        if not self.takes:
            if queue is None:
                server._handle_request_noblock()
            else:
                self.call_with_leftovers(queue)
            return LAST
        try:
            if queue is not None:
                pair = self.take_leftover(queue)
                if self.source != FROM_METHOD:
                    after = MORE
            elif self.source == FROM_LISTENER:
                pair = self.listener.accept(self.nodelay)
                after = MORE
            elif (self.source == FROM_DATAGRAMS
                  and self.receiver.native(server.max_packet_size)):
                pair = self.receive()
                after = MORE
            else:
                if self.guards_listener:
                    self.listener.keep_nonblocking()
                pair = server.get_request()
            if pair is None and self.source != FROM_METHOD:
                return NOTHING
            request, client_address = pair
        except OSError as error:
            return self.after_error(error)
        self.back_off_ms = 0
        dispatch(server, request, client_address)
        return after

    cdef int call_with_leftovers(self, queue) except -1:
        """Call an overridden `_handle_request_noblock()`; see that a datagram gets served."""
        server = self.server
        fd = server.socket.fileno()
        waiting = len(queue)
        blocking = os.get_blocking(fd)
        os.set_blocking(fd, False)
        try:
            server._handle_request_noblock()
        finally:
            os.set_blocking(fd, blocking)
        if queue and len(queue) == waiting:
            dispatch(server, *queue.popleft())
        return 0

    cdef object take_leftover(self, queue):
        """A datagram taken before; an override has it from the stock method, if it asks."""
        server = self.server
        if self.source != FROM_METHOD:
            return queue.popleft()
        fd = server.socket.fileno()
        blocking = os.get_blocking(fd)
        os.set_blocking(fd, False)  # an override that reads the socket finds nothing there
        try:
            return server.get_request()
        except BlockingIOError:
            return queue.popleft()
        finally:
            os.set_blocking(fd, blocking)

    cdef object receive(self):
        """Refill the queue; its first request, None when nothing is there."""
        server = self.server
        if self.state.pending is None:
            self.state.pending = deque()
        queue = self.state.pending
        self.receiver.receive(server.max_packet_size, queue, self.receive_limit)
        if self.receiver.truncated:
            self.count_truncated()
        return queue.popleft() if queue else None

    cdef int count_truncated(self) except -1:
        """Add to the server's count; see `truncated_datagrams()`."""
        self.state.truncated += self.receiver.truncated
        self.receiver.truncated = 0
        return 0

    cdef Took after_error(self, error) except *:
        """What an OSError out of accept, or out of get_request(), means for the loop."""
        if self.listener_is_closed():
            return CLOSED
        if self.socket_has_no_descriptor():
            self.retry_ns = fss_clock_now_ns() + FIRST_BACK_OFF_MS * NS_PER_MS
            return NOTHING
        outcome = outcome_of(error)
        if outcome is Outcome.CLOSED and self.source != FROM_METHOD:
            return CLOSED
        if outcome is Outcome.EXHAUSTED:
            self.back_off(error)
            return NOTHING
        return NOTHING if self.source == FROM_METHOD else MORE

    cdef bint listener_is_closed(self) except -1:
        return self.socket_has_no_descriptor() and inode_of(self.fd) != self.inode

    cdef bint socket_has_no_descriptor(self) except -1:
        """Closed, or detached for a moment: `server.socket = wrap_socket(server.socket)`."""
        sock = getattr(self.server, "socket", None)
        return isinstance(sock, PlainSocket) and sock.fileno() < 0

    cdef int back_off(self, error) except -1:
        cdef int64_t now_ns = fss_clock_now_ns()
        self.back_off_ms = max(FIRST_BACK_OFF_MS, min(2 * self.back_off_ms, LAST_BACK_OFF_MS))
        self.retry_ns = now_ns + self.back_off_ms * NS_PER_MS
        # With the server, since each handle_request() has a loop of its own.
        if now_ns >= self.state.next_log_ns:
            self.state.next_log_ns = now_ns + LOG_INTERVAL_NS
            report_exhaustion(self.server, error, self.back_off_ms)
        return 0

    # -- handle_request -------------------------------------------------------------

    def run_once(self, timeout):
        """Serve one request, or time out.

        Args:
            timeout: seconds; None waits for ever.
        Returns:
            what `_handle_request_noblock()` or `handle_timeout()` returned, or None.
        Source: `socketserver.BaseServer.handle_request`.
        """
        cdef int64_t deadline_ns = NEVER_NS
        cdef int fd
        cdef Took took
        server = self.server
        if timeout is not None:
            wait_ms_of(timeout)  # refuses what the standard module refuses
            deadline_ns = fss_clock_now_ns() + <int64_t>(max(timeout, 0) * 1e9)
        fd = self.fd = descriptor_of(server)
        self.inode = inode_of(fd)
        self.consult_shortcuts()
        # Callers wait for the next one with a select() of their own.
        self.receive_limit = 1
        while True:
            if self.leftovers() is not None or self.waiter.wait_once(fd, deadline_ns):
                if not self.takes or (self.source == FROM_METHOD and self.leftovers() is None):
                    if self.guards_listener:
                        self.listener.keep_nonblocking()
                    return server._handle_request_noblock()
                took = self.take()
                if self.retry_ns:
                    self.waiter.wait_once(-1, self.retry_ns)
                if took != NOTHING or self.retry_ns:
                    return None
            if deadline_ns < fss_clock_now_ns():
                return server.handle_timeout()
