"""The loop: wait, take, dispatch, time out. There is no other one.

Rules: a Loop belongs to the thread that serves. Others reach it only through `wake()`,
`waits_for_capacity`, `keeps_nonblocking()` and the server's state, all of them under the GIL.
How it sleeps is in _waiting.pyx. Each step asks the table of shortcuts, anew when a hook may
have changed, and otherwise calls the contract's method.

Fact: not every change announces itself: a flag stored past its property, a socket exchanged,
a hook patched while nothing happens. Choice: a look at all of it each five seconds. Cost: an
idle server wakes up that often.
"""

import _socket
import os
import socket as socket_module
import sys
from collections import deque

from cpython.dict cimport PyDict_Contains
from libc.errno cimport EMFILE, ENFILE
from libc.stdint cimport INT64_MAX, int64_t

from _class_version cimport class_version

from fastsocketserver._accept import Listener
from fastsocketserver._accept_errors import Outcome, outcome_of, report_exhaustion
from fastsocketserver._arguments import descriptor_of, wait_ms_of
from fastsocketserver._datagrams import Receiver
from fastsocketserver._nagle import accept_connection, wants_nodelay
from fastsocketserver._shortcuts import TABLE, shortcut_owner, stock_owner
from fastsocketserver._standard import is_standard_function
from fastsocketserver._state import state_of
from fastsocketserver._waiting import Waiter

cdef extern from "fss_clock.h":
    int64_t fss_clock_now_ns() noexcept nogil

cdef extern from "fss_poller.h":
    enum:
        FSS_READY_LISTENER
        FSS_READY_WAKE

cdef extern from "fss_fork.h":
    long fss_fork_count() noexcept

# What a sleep ended with, beside what the poller says.
cdef int READY_TICK = 8   # time for service_actions(), or to look for children
cdef int READY_LOOK = 16  # time to look for what does not announce itself

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
cdef int64_t LOOK_INTERVAL_NS = 5 * NS_PER_S
# The same while there is no listener: the standard module's poll interval.
cdef int64_t ABSENT_INTERVAL_NS = 500 * NS_PER_MS
# How often a loop that is full looks for children whose exit wakes nobody.
cdef int64_t CHILD_LOOK_NS = 20 * NS_PER_MS

cdef enum Took:
    NOTHING  # no request was there, or an error says so
    LAST     # one request was served; ask the poller before the next
    MORE     # one request was served, or skipped; there may be another

cdef enum Source:
    FROM_METHOD     # get_request() is overridden, or the socket is of another kind
    FROM_LISTENER   # accept natively
    FROM_DATAGRAMS  # receive natively

cdef tuple HOOKS = tuple(dict.fromkeys(row.hook for row in TABLE))
cdef dict socket_names = vars(socket_module)
cdef object SocketType = _socket.socket

# Every loop that runs in this process, for `uninstall()` to wake.
running_loops = set()


def run_loop(server, poll_interval):
    """Serve until told to stop; other threads find the loop meanwhile, and not after.

    It is compiled because in Python code a signal handler could raise between two steps of
    this end, and a loop that is still found keeps its descriptors, and the listener
    non-blocking.
    """
    loop = Loop(server)
    state = state_of(server)
    loops = state.loops
    try:
        loops.append(loop)
        running_loops.add(loop)
        loop.run(poll_interval)
    finally:
        running_loops.discard(loop)
        if loop in loops:  # there may have been no memory to add it
            loops.remove(loop)
        loop.close()
        if state.pool is not None and not loops:
            state.pool.rest()


cdef int report_error(server, request, client_address, error) except -1:
    """Have `error`, which is being handled, reported by `handle_error()`.

    The standard one imports what it prints tracebacks with. Where that fails since there is
    no descriptor left to read a module with, the error is printed without.
    """
    try:
        server.handle_error(request, client_address)
    except OSError as failure:
        if failure.errno not in (EMFILE, ENFILE) or not reports_as_standard(server):
            raise
        print(f"{error!r}\n(no traceback: {failure})\n{'-' * 40}", file=sys.stderr)
    return 0


cdef bint reports_as_standard(server) except -1:
    return (is_standard_function(type(server).handle_error, "BaseServer", "handle_error")
            and not PyDict_Contains(server.__dict__, "handle_error"))


def dispatch(server, request, client_address):
    """Verify and process one request that was taken.

    Source: the second half of `socketserver.BaseServer._handle_request_noblock`.
    """
    if server.verify_request(request, client_address):
        try:
            server.process_request(request, client_address)
        except Exception as error:
            report_error(server, request, client_address, error)
            server.shutdown_request(request)
        except:
            server.shutdown_request(request)
            raise
    else:
        server.shutdown_request(request)


cdef inline unsigned int tag_of(value) except? 0:
    """`class_version()` of a value that need not be a class; no other value has hooks.

    0: it can have none any more, and is to be asked for its hooks each time.
    """
    if not isinstance(value, type):
        return 1
    # A class has none before an attribute was looked up in it: a handler class whose
    # instances live in forked children never gets one by itself.
    if class_version(value) == 0:
        getattr(value, "__init__", None)
    return class_version(value)


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
                report_error(server, request, client_address, error)
            finally:
                server.shutdown_request(request)
        except BaseException as from_hook:
            raised = from_hook
    if raised is not None:
        raise raised


cdef object file_behind(int fd):
    """What tells one open file from another that has its number; None for a closed one."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


cdef int hooks_on_instance(server) except -1:
    """Which hooks are overridden on the instance: a set of bits."""
    cdef int bits = 0
    attributes = server.__dict__  # maybe a subclass of dict, whose methods Python skips too
    for hook in HOOKS:
        bits = 2 * bits + PyDict_Contains(attributes, hook)
    return bits


cdef object first_of(queue):
    """Take the first of a queue that other threads take from, too; None when it is empty."""
    try:
        return queue.popleft()
    except IndexError:
        return None


cdef class Loop:
    """One call of `serve_forever()` or `handle_request()` on `server`."""

    cdef object server
    cdef object state
    cdef object waiter
    # What is waited for: server.fileno() when serving started, and the file behind it;
    # -1 while the server's socket is closed.
    cdef int fd
    cdef object file
    # It may not be the server's socket any more; and if there is none, serving ends.
    cdef bint must_look
    cdef bint server_closed
    # Read by workers: whether a free worker or descriptor is worth a wake-up.
    cdef readonly bint waits_for_capacity

    # What the table of shortcuts said when hooks were last looked at.
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
    cdef object socket_class
    cdef unsigned int socket_tag
    cdef object handler
    cdef unsigned int handler_tag

    cdef bint guards_listener
    cdef object listener
    cdef object receiver
    cdef object watched_children
    cdef bint watches_children
    cdef int receive_limit
    # When datagrams were taken last, by fss_fork_count().
    cdef long forks_seen

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

    def server_was_closed(self):
        """End, unless there is another listener by now. Any thread, also a forked copy of the
        serving one."""
        self.server_closed = True
        self.waiter.wake()

    def keeps_nonblocking(self, sock):
        """Whether `sock` is the listener, and non-blocking because of this loop. Any thread."""
        listener = self.listener
        return listener is not None and listener.sock is sock and listener.changed

    def close(self):
        """Give up the poller, and the listener as it was found. The serving thread only."""
        self.waiter.close()
        if self.listener is not None:
            self.listener.release()

    # -- serve_forever --------------------------------------------------------------

    def run(self, poll_interval):
        """Serve until `_BaseServer__shutdown_request` is set or `server_close()` is called.

        Source: `socketserver.BaseServer.serve_forever`.
        """
        cdef int tick_ms
        self.fd = descriptor_of(self.server)
        self.file = file_behind(self.fd)
        tick_ms = wait_ms_of(poll_interval)
        self.waiter.open(self.fd)
        if self.socket_has_no_descriptor():
            return  # closed meanwhile: its number may be that of our own pipe
        self.consult_shortcuts()
        try:
            self.receive_limit = BATCH
            # What a signal handler's exception kept the last loop from starting.
            self.unsettled = self.state.pool is not None
            self.serve(tick_ms)
        finally:
            self.settle_for_good()

    cdef int serve(self, int tick_ms) except -1:
        cdef int ready
        cdef bint closed
        server = self.server
        while not server._BaseServer__shutdown_request:
            if not self.waiter.can_be_woken:
                # Forked meanwhile, or out of descriptors: nobody could tell us anything.
                self.find_listener(0, self.server_closed)
                if self.fd < 0 and self.server_closed:
                    break
                self.watch_listener(self.fd)
                if server._BaseServer__shutdown_request:
                    break
            ready = self.sleep(tick_ms)
            # Stopped while asleep: whoever waits in the backlog is not ours any more.
            if server._BaseServer__shutdown_request:
                break
            if self.hooks_changed():
                self.consult_shortcuts()
            if self.must_look or self.server_closed or ready & READY_LOOK:
                # Before the look, or a close in the midst of it would be forgotten.
                closed, self.server_closed = self.server_closed, False
                ready = self.find_listener(ready, closed)
                if self.fd < 0 and closed:
                    break
            if ready & FSS_READY_LISTENER:
                self.serve_batch()
            if self.unsettled:
                self.settle()
            if self.calls_service_actions:
                if ready & ~READY_LOOK:
                    server.service_actions()
            elif self.reaps_children and self.state.children is not None:
                self.state.children.reap()
        return 0

    cdef int sleep(self, int tick_ms) except -1:
        """Wait for something to do: a set of FSS_READY_* and READY_*; 0 to be called again."""
        cdef int ready
        cdef bint with_listener
        cdef bint unwatched
        cdef int64_t now_ns = fss_clock_now_ns()
        cdef int64_t tick_ns = NEVER_NS
        cdef int64_t settle_ns = now_ns + NS_PER_MS if self.unsettled else NEVER_NS
        cdef int64_t retry_ns = self.retry_ns or NEVER_NS
        cdef int64_t look_ns = now_ns + (LOOK_INTERVAL_NS if self.fd >= 0 else ABSENT_INTERVAL_NS)
        cdef int64_t deadline_ns
        # Set first, asked after: a worker that becomes free in between sees it and wakes us.
        self.waits_for_capacity = True
        children = self.state.children
        if children is not self.watched_children:
            self.watch_children(children)
        with_listener = self.fd >= 0 and self.retry_ns == 0 and not self.holds_back()
        self.waits_for_capacity = not with_listener
        if with_listener and self.leftovers() is not None:
            return FSS_READY_LISTENER
        unwatched = self.reaps_children and children is not None and (
            not self.watches_children or children.needs_tick())
        if tick_ms >= 0 and (self.ticks or unwatched):
            tick_ns = now_ns + tick_ms * NS_PER_MS
        if unwatched and not with_listener:
            tick_ns = min(tick_ns, now_ns + CHILD_LOOK_NS)
        deadline_ns = min(min(tick_ns, settle_ns), min(retry_ns, look_ns))
        while True:
            ready = self.waiter.wait(with_listener, deadline_ns, tick_ms)
            now_ns = fss_clock_now_ns()
            if ready or deadline_ns <= now_ns or not self.waiter.can_be_woken:
                break
            if self.server._BaseServer__shutdown_request:
                break  # by a signal handler
        self.waits_for_capacity = False
        self.overdue = settle_ns <= now_ns
        if retry_ns <= now_ns or ready & FSS_READY_WAKE:
            self.retry_ns = 0
        if tick_ns <= now_ns:
            ready |= READY_TICK
        if look_ns <= now_ns:
            ready |= READY_LOOK
        return ready

    # -- what is waited for ------------------------------------------------------------

    cdef int watch_listener(self, int fd) except -1:
        """Wait for `fd` from now on, on a poller that is opened anew."""
        self.fd = fd
        self.file = file_behind(fd)
        self.watched_children = None
        self.waiter.open(fd)
        return 0

    cdef int find_listener(self, int ready, bint closed) except -1:
        """Follow the server's socket: exchanged, closed and made anew, `dup2()` over it.

        closed: by `server_close()`, so that nothing is opened if there is none.

        Returns: `ready`, without FSS_READY_LISTENER if that was said of another one.
        """
        cdef int fd
        self.must_look = False
        if self.fd >= 0 and self.file == file_behind(self.fd) and not self.socket_is_elsewhere():
            return ready
        try:
            fd = descriptor_of(self.server)
        except ValueError:
            fd = -1  # and waited for by looking each half second
        if fd < 0 and closed:
            self.fd = fd
        elif fd >= 0 or self.fd >= 0:
            self.watch_listener(fd)
        return ready & ~FSS_READY_LISTENER

    cdef bint socket_is_elsewhere(self) except -1:
        """Whether the server's socket has another number than is waited for.

        No number at all is that of a socket detached for a moment:
        `server.socket = wrap_socket(server.socket)`.
        """
        cdef int fd
        sock = getattr(self.server, "socket", None)
        if not isinstance(sock, SocketType):
            return False
        fd = sock.fileno()
        return fd >= 0 and fd != self.fd and fd == self.server.fileno()

    cdef bint socket_has_no_descriptor(self) except -1:
        sock = getattr(self.server, "socket", None)
        return isinstance(sock, SocketType) and sock.fileno() < 0

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

    cdef int watch_children(self, children) except -1:
        """Wake up for children that exit, where the platform can tell."""
        cdef int fd = -1 if children is None else children.fileno()
        self.watched_children = children
        self.watches_children = self.waiter.watch_children(fd) and fd >= 0
        return 0

    # -- hooks ---------------------------------------------------------------------------

    cdef bint hooks_changed(self) except -1:
        """Whether a hook may have been overridden since `consult_shortcuts()`.

        CPython gives a class another version tag, or 0, when it or a base is changed.
        """
        server = self.server
        handler = getattr(server, "RequestHandlerClass", None)
        return (tag_of(type(server)) != self.server_tag or self.server_tag == 0
                or type(server) is not self.server_type
                or hooks_on_instance(server) != self.instance_hooks
                or getattr(server, "socket", None) is not self.listener.sock
                or socket_names["socket"] is not self.socket_class
                or self.socket_tag != tag_of(self.socket_class) or self.socket_tag == 0
                or handler is not self.handler
                or self.handler_tag != tag_of(handler) or self.handler_tag == 0)

    cdef int consult_shortcuts(self) except -1:
        """Look at every hook once; what is overridden is called from now on."""
        server = self.server
        # First by what a change is told: a patch in the midst of the look is one, too.
        self.server_type = type(server)
        self.server_tag = tag_of(self.server_type)
        self.instance_hooks = hooks_on_instance(server)
        self.socket_class = socket_names["socket"]
        self.socket_tag = tag_of(self.socket_class)
        self.handler = getattr(server, "RequestHandlerClass", None)
        self.handler_tag = tag_of(self.handler)
        sock = getattr(server, "socket", None)
        if self.listener is None or sock is not self.listener.sock:
            if self.listener is not None:
                self.listener.release()
                self.must_look = True
            self.listener = Listener(sock)
            self.receiver = Receiver(sock)
        self.takes = shortcut_owner(server, "_handle_request_noblock") is not None
        taker = shortcut_owner(server, "get_request")
        self.source = FROM_METHOD
        if taker == "TCPServer" and self.listener.native:
            self.source = FROM_LISTENER
        elif taker == "UDPServer" and self.receiver.native:
            self.source = FROM_DATAGRAMS
        # Overrides find the listener as it was: they may want to wait in accept().
        self.guards_listener = taker == "TCPServer"
        if not self.guards_listener:
            self.listener.release()
        self.nodelay = self.listener.is_tcp and wants_nodelay(self.handler)
        self.holds = (self.source != FROM_METHOD
                      and shortcut_owner(server, "process_request") == "ThreadingMixIn")
        actor = shortcut_owner(server, "service_actions")
        self.reaps_children = actor == "ForkingMixIn"
        self.calls_service_actions = actor is None
        self.ticks = (self.calls_service_actions
                      or shortcut_owner(server, "_BaseServer__shutdown_request") is None)
        return 0

    # -- taking requests ------------------------------------------------------------

    cdef object leftovers(self):
        """The queue of datagrams already taken from the kernel; None when it is empty."""
        state = self.state
        queue = state.pending
        if not queue:
            return None
        # Saves a system call for each datagram; not forked since this loop took them.
        return queue if self.forks_seen == fss_fork_count() else state.own_pending()

    cdef int serve_batch(self) except -1:
        """Serve what is ready, at most `BATCH` requests."""
        cdef int served
        cdef Took took
        server = self.server
        self.begin_batch()
        for served in range(BATCH):
            if served == 1 and not self.unsettled:
                self.begin_batch()  # the first request of a server has made its pool
            if served:
                # Where hooks change, the next request may be taken by a call that waits for
                # it: only after the poller has seen it.
                if server._BaseServer__shutdown_request or self.hooks_changed():
                    break
                if self.source == FROM_LISTENER and not self.listener.pending():
                    break
            if self.is_full() if served else self.holds_back():
                break
            took = self.take()
            if took != MORE:
                self.must_look |= took == NOTHING and served == 0
                break
        return 0

    cdef int begin_batch(self) except -1:
        """Have the pool hold back what is submitted until `settle()`."""
        pool = self.state.pool
        if self.holds and pool is not None:
            self.unsettled = True
            pool.hold()
        return 0

    cdef int settle(self) except -1:
        """Have workers started for the requests of a batch."""
        pool = self.state.pool
        if pool is None:  # the server was closed, which starts all
            self.unsettled = False
            return 0
        # Left by an exception, it is to be called again.
        self.unsettled, failed = pool.settle(self.overdue)
        report_unstarted(self.server, failed)
        return 0

    cdef int settle_for_good(self) except -1:
        """Leave nothing behind that waits for this loop."""
        pool = self.state.pool
        if pool is not None:
            report_unstarted(self.server, pool.start_all())
        return 0

    cdef Took take(self) except *:
        """Take one request by the shortcut or the hook, and dispatch it."""
        cdef bint native = False
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
                native = self.source != FROM_METHOD
                pair = self.take_leftover(queue)
                if pair is None:
                    return NOTHING
            elif self.source == FROM_LISTENER:
                native = True
                pair = self.listener.accept(self.nodelay)
            elif self.source == FROM_DATAGRAMS:
                size = server.max_packet_size
                native = self.receiver.takes(size)
                pair = self.receive(size) if native else server.get_request()
            elif self.guards_listener:
                self.listener.keep_nonblocking()
                pair = accept_connection(server)
            else:
                pair = server.get_request()
            if pair is None and native:
                return NOTHING
            request, client_address = pair
        except OSError as error:
            return self.after_error(error, native)
        self.back_off_ms = 0
        dispatch(server, request, client_address)
        return MORE if native else LAST

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
        if len(queue) == waiting:
            pair = first_of(queue)
            if pair is not None:
                dispatch(server, *pair)
        return 0

    cdef object take_leftover(self, queue):
        """A datagram taken before; an override has it from the stock method, if it asks.
        None: another thread was quicker."""
        server = self.server
        if self.source != FROM_METHOD:
            return first_of(queue)
        fd = server.socket.fileno()
        blocking = os.get_blocking(fd)
        os.set_blocking(fd, False)  # an override that reads the socket finds nothing there
        try:
            return server.get_request()
        except BlockingIOError:
            return first_of(queue)
        finally:
            os.set_blocking(fd, blocking)

    cdef object receive(self, int max_packet_size):
        """Refill the queue; its first request, None when nothing is there."""
        if self.state.pending is None:
            self.state.pending = deque()
        self.state.pending_pid = os.getpid()
        self.forks_seen = fss_fork_count()
        queue = self.state.pending
        self.receiver.receive(max_packet_size, queue, self.receive_limit)
        if self.receiver.truncated:
            self.state.truncated += self.receiver.truncated
            self.receiver.truncated = 0
        return first_of(queue)

    cdef Took after_error(self, error, bint native) except *:
        """What an OSError out of accept, or out of get_request(), means for the loop.

        A method may wait for the next request, so that the poller is asked before it is called
        again.
        """
        outcome = outcome_of(error)
        if self.socket_has_no_descriptor():
            self.must_look = True
            self.retry_ns = fss_clock_now_ns() + FIRST_BACK_OFF_MS * NS_PER_MS
            return NOTHING
        if outcome is Outcome.EXHAUSTED or (
                outcome is Outcome.NOT_LISTENING and self.stays_ready_for_nothing()):
            self.must_look = True
            self.back_off(error)
            return NOTHING
        return MORE if native else NOTHING

    cdef bint stays_ready_for_nothing(self) except -1:
        """Whether the poller will say "ready" for ever; otherwise the error is about one peer,
        as an override may raise it for a datagram, or for a connection to no socket of ours."""
        if stock_owner(self.server, "get_request") == "TCPServer":
            return not self.listener.is_listening()
        return self.listener.is_dead() or file_behind(self.fd) is None

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

        Leaves the flags of the listener alone, and so waits in accept(2) if somebody else
        was quicker: callers may share it with other processes, and have loops of their own.

        Args:
            timeout: seconds; None waits for ever.
        Returns:
            what `_handle_request_noblock()` or `handle_timeout()` returned, or None.
        Source: `socketserver.BaseServer.handle_request`.
        """
        cdef int64_t deadline_ns = NEVER_NS
        server = self.server
        if timeout is not None:
            wait_ms_of(timeout)  # refuses what the standard module refuses
            deadline_ns = fss_clock_now_ns() + <int64_t>(max(timeout, 0) * 1e9)
        self.fd = descriptor_of(server)
        self.consult_shortcuts()
        if self.source == FROM_LISTENER:
            self.source = FROM_METHOD
        self.guards_listener = False
        # Callers wait for the next one with a select() of their own.
        self.receive_limit = 1
        while True:
            if self.leftovers() is not None or self.waiter.wait_once(self.fd, deadline_ns):
                if not self.takes and self.leftovers() is None:
                    return server._handle_request_noblock()
                took = self.take()
                if self.retry_ns:
                    self.waiter.wait_once(-1, self.retry_ns)
                if took != NOTHING or self.retry_ns or self.source == FROM_METHOD:
                    return None
            if deadline_ns < fss_clock_now_ns():
                return server.handle_timeout()
