"""Forked requests: only our own children are reaped, and nobody waits for a look in vain."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading

import pytest

from fastsocketserver._children import ChildWatcher, watcher_of
from fastsocketserver._state import state_of
from fastsocketserver._waiting import poller_name
from native.processes import ask_child, run_program
from support.clients import DEADLINE_S, connect, connected, exchange, nudge, read_to_end
from support.idle import wait_until_asleep
from support.leaks import living_children, open_descriptors
from support.serving import TICK_S, Background, Loop, serving, wait_for
from support.signals import handling
from support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

# For loops that no tick is to help; where poll(2) has to do, nothing but a tick tells of exits.
HOUR_S = 3600 if poller_name() == "epoll" else 0.01


@pytest.fixture(autouse=True)
def _no_child_is_left(server_of):
    """A test that failed leaves none: server_close() would wait for it."""
    yield
    for pid in living_children():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def reply_at_dot(request, client_address, server):
    """Answer when the client has sent a dot, or has gone."""
    while request.recv(1) not in (b".", b""):
        pass
    request.sendall(b"ok")


def reply_when_told(request, client_address, server):
    """Answer as soon as the client ends its side."""
    request.recv(1)
    request.sendall(b"ok")


@contextlib.contextmanager
def foreign_child():
    """A child that is none of the server's, and exits when the block begins."""
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    yield pid
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def has_bytes(self, request, client_address):
    """A connection that ends without any is no request: `nudge()`."""
    ready, _, _ = select.select([request], [], [], DEADLINE_S)
    return bool(ready and request.recv(1, socket.MSG_PEEK))


def watcher(server):
    """Who watches the server's children."""
    return state_of(server).children


def test_child_that_outlasts_the_requests_is_reaped_when_it_exits(server_of):
    """The loop woke up and nobody had forked: from then on no tick is needed."""
    server = server_of("ForkingTCPServer", reply_at_dot, verify_request=has_bytes)
    with serving(server, HOUR_S):
        for _ in range(3):
            with connect(server) as client:
                client.sendall(b"x")
                wait_until(lambda: server.active_children)
                wait_until(lambda: nudge(server) or not watcher(server).needs_tick())
                client.sendall(b".")
                assert read_to_end(client) == b"ok"
                wait_until(lambda: not server.active_children and not living_children())


def test_loop_needs_no_tick_once_all_children_are_reaped(server_of):
    """An idle server sleeps."""
    server = server_of("ForkingTCPServer")
    with serving(server):
        assert exchange(server) == b"ok"
        wait_until(lambda: not server.active_children)
        assert not watcher(server).needs_tick()


def test_children_of_others_are_left_alone(server_of):
    """While ours are reaped all around it."""
    server = server_of("ForkingTCPServer", max_children=2)
    with foreign_child(), serving(server):
        assert [exchange(server) for _ in range(10)] == [b"ok"] * 10
        wait_until(lambda: not server.active_children)


def test_children_reaped_by_sig_ign_are_forgotten(server_of):
    """SIGCHLD ignored: the kernel reaps them, waitpid() finds none."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        server = server_of("ForkingTCPServer", max_children=2)
        with serving(server):
            assert [exchange(server) for _ in range(10)] == [b"ok"] * 10
            wait_until(lambda: not server.active_children)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_children_reaped_by_the_program_are_forgotten(server_of):
    """Its own waitpid(-1), against ours."""
    server = server_of("ForkingTCPServer", max_children=2)
    over = threading.Event()

    def reap():
        while not over.is_set():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)

    with serving(server):
        reaping = Background(reap)
        try:
            assert [exchange(server) for _ in range(20)] == [b"ok"] * 20
            wait_until(lambda: not server.active_children)
        finally:
            over.set()
            reaping.join()


def test_pid_put_into_active_children_is_reaped(server_of):
    """A child that the program forked for the server."""
    server = server_of("ForkingTCPServer")
    with serving(server):
        exchange(server)
        wait_until(lambda: not server.active_children)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        server.active_children.add(pid)
        nudge(server)
        wait_until(lambda: not server.active_children and not living_children())


def test_pid_of_no_child_in_active_children_is_forgotten(server_of):
    """Process 1, say."""
    server = server_of("ForkingTCPServer")
    server.active_children = {1}
    with serving(server, HOUR_S):
        exchange(server)
        # Somebody else's process does not exit: the next collection finds out.
        server.collect_children(blocking=True)
        assert 1 not in server.active_children


def test_max_children_reached_does_not_delay_shutdown(server_of):
    """Children that do not end, and a client that waits."""
    server = server_of("ForkingTCPServer", reply_when_told, max_children=2)
    with connect(server) as one, connect(server) as two, connect(server) as three:
        loop = Loop(server, HOUR_S)
        wait_until(lambda: len(server.active_children or ()) == 2)
        loop.stop()
        assert len(server.active_children) == 2
        for client in (one, two):
            client.sendall(b".")
            assert read_to_end(client) == b"ok"
        with serving(server, HOUR_S):
            three.sendall(b".")
            assert read_to_end(three) == b"ok"


def test_max_children_reached_serves_the_next_as_soon_as_one_exits(server_of):
    """Without any tick."""
    server = server_of("ForkingTCPServer", reply_when_told, max_children=1)
    with serving(server, HOUR_S), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(5)]
        for client in clients:
            client.sendall(b".")
        assert [read_to_end(client) for client in clients] == [b"ok"] * 5


def test_server_close_in_a_child_does_not_wait_for_its_siblings(server_of):
    """As many siblings as max_children, made by handle_request(); none ends by itself."""
    reader, writer = os.pipe()

    def handler(request, client_address, server):
        server.server_close()
        os.write(writer, b".")
        request.recv(1)

    server = server_of("ForkingTCPServer", handler, max_children=1)
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(connect(server))
                server.handle_request()
                ready, _, _ = select.select([reader], [], [], 10)
                assert ready, "server_close() did not return in the child"
                os.read(reader, 1)
    finally:
        for pid in living_children():
            os.kill(pid, signal.SIGKILL)
        os.close(reader)
        os.close(writer)


def test_process_forked_while_children_run_leaves_them_to_the_parent(server_of):
    """It serves the same listener; a child of its parent exits, which it hears of first."""
    blocked, go_on = threading.Event(), threading.Event()

    def verify_request(self, request, client_address):
        if blocking:
            blocked.set()
            assert go_on.wait(20)
        return True

    blocking = []
    server = server_of("ForkingTCPServer", reply_when_told, verify_request=verify_request)
    with serving(server), connect(server) as slow:
        wait_until(lambda: server.active_children)
        (pid,) = server.active_children
        blocking.append(1)
        with connected(server) as held_up:
            assert blocked.wait(10)

            def serve_until_told():
                server.verify_request = lambda *_: True
                threading.Timer(0.5, server.shutdown).start()
                server.serve_forever(TICK_S)
                return sorted(server.active_children)

            def end_slow():
                slow.sendall(b".")

            threading.Timer(0.1, end_slow).start()
            ask_child(serve_until_told)
            blocking.clear()
            go_on.set()
            assert read_to_end(held_up) == b"ok"
        assert read_to_end(slow) == b"ok"
        wait_until(lambda: pid not in server.active_children)
        wait_until(lambda: not living_children())


def test_max_children_of_the_parent_are_none_of_a_forked_process(server_of):
    """Forked while as many run as may: it has no child at all, and serves."""
    server = server_of("ForkingTCPServer", reply_when_told, max_children=1)
    with connect(server) as slow:
        loop = Loop(server, HOUR_S)
        wait_until(lambda: server.active_children)
        loop.stop()

        def serve():
            with serving(server, HOUR_S):
                return exchange(server, b".").decode()

        assert ask_child(serve) == "ok"
        slow.sendall(b".")
        assert read_to_end(slow) == b"ok"


def test_child_that_serves_and_forks_reaps_its_own(server_of):
    """A forking server within a child of a forking server."""

    def handler(request, client_address, server):
        if server.depth:
            request.sendall(b"inner")
            return
        inner = type(server)(("127.0.0.1", 0), handler)
        inner.depth = 1
        with inner, serving(inner):
            assert exchange(inner) == b"inner"
            wait_until(lambda: not inner.active_children)
        request.sendall(b"outer")

    server = server_of("ForkingTCPServer", handler, depth=0)
    with serving(server):
        assert [exchange(server) for _ in range(3)] == [b"outer"] * 3


def test_server_close_racing_the_loop_raises_nothing_and_keeps_no_descriptor(server_of):
    """Both reap the same children; what one has just forgotten, the other may have seen."""

    def serve_and_close():
        server = server_of("ForkingTCPServer")
        loop = Loop(server, HOUR_S)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(server)) for _ in range(4)]
            for client in clients[:2]:
                client.recv(2)
            server.server_close()
        loop.join()
        while server.active_children:  # forked while server_close() was at it
            server.collect_children(blocking=True)
        server.server_close()

    serve_and_close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(150):
        serve_and_close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_collect_children_from_many_threads_takes_each_child_once(server_of):
    """While the loop goes on forking."""
    server = server_of("ForkingTCPServer")
    stopped = threading.Event()

    def collect():
        while not stopped.is_set():
            server.collect_children()

    with serving(server, HOUR_S):
        collectors = [Background(collect) for _ in range(3)]
        try:
            for _ in range(100):
                exchange(server)
        finally:
            stopped.set()
        for collector in collectors:
            collector.join()
        wait_until(lambda: not server.active_children)


def test_children_inherit_no_pidfd_of_their_siblings(server_of):
    """Neither while few run nor after as many ran as may, when the loop has some open."""

    def handler(request, client_address, server):
        links = [to for _, to in open_descriptors()]
        request.sendall(b"%d" % sum("pidfd" in link for link in links))
        request.recv(1)

    server = server_of("ForkingTCPServer", handler, max_children=4)
    with serving(server, HOUR_S), contextlib.ExitStack() as stack:
        clients = []
        for number in range(12):
            clients.append(stack.enter_context(connect(server)))
            if number >= 4:
                clients[number - 4].sendall(b".")
            assert clients[-1].recv(10) == b"0"
        for client in clients[-4:]:
            client.sendall(b".")


def test_children_far_beyond_the_descriptors_can_open_files(impl):
    """55 children that stay, at most 48 descriptors in each process."""
    program = """
    import os, resource, socket, sys, threading
    import {module} as socketserver

    def handler(request, client_address, server):
        try:
            os.close(os.open("/dev/null", os.O_RDONLY))
            request.sendall(b"y")
        except OSError:
            request.sendall(b"n")
        request.recv(1)

    socketserver.TCPServer.request_queue_size = socketserver.ForkingMixIn.max_children = 100
    server = socketserver.ForkingTCPServer(("127.0.0.1", 0), handler)
    client = os.fork()
    if client == 0:
        server.socket.close()
        clients = [socket.create_connection(server.server_address, 20) for _ in range(55)]
        replies = [each.recv(1) for each in clients]
        print(replies.count(b"y"), replies.count(b"n"), flush=True)
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
    for _ in range(55):
        server.handle_request()
    server.server_close()
    os.waitpid(client, 0)
    """
    assert run_program(program.format(module=impl.__name__)) == ["55 0"]


def test_server_is_freed_without_the_collector(impl):
    """Nothing refers back to it: the standard one goes with its last reference, too."""
    program = """
    import gc, socket, weakref
    import {module} as socketserver

    def handler(request, client_address, server):
        request.sendall(b"ok")

    gc.disable()
    server = socketserver.ForkingTCPServer(("127.0.0.1", 0), handler)
    with socket.create_connection(server.server_address, 20) as client:
        server.handle_request()
        client.recv(2)
    server.collect_children(blocking=True)
    server.socket.close()
    alive = weakref.ref(server)
    del server
    print(alive())
    """
    assert run_program(program.format(module=impl.__name__)) == ["None"]


def test_watcher_of_a_server_that_is_gone_knows_of_no_children(server_of):
    """A loop, or whoever else, may still have it."""
    server = server_of("ForkingTCPServer")
    assert watcher_of(server).fileno() >= 0
    orphan = ChildWatcher(SimpleServer())
    assert (orphan.full(), orphan.needs_tick(), orphan.fileno()) == (False, False, -1)
    orphan.reap()
    orphan.close()


class SimpleServer:
    """What a watcher looks at."""

    def __init__(self, children=None, max_children=40):
        self.active_children = children
        self.max_children = max_children


def sleeping_children(count):
    """Pids of children that end when they are killed."""
    pids = set()
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        pids.add(pid)
    return pids


def is_readable(fd):
    """Whether somebody who waits for `fd` wakes up."""
    return bool(select.select([fd], [], [], 0)[0])


@pytest.mark.parametrize("count", [1, 8, 9])
def test_full_house_is_watched_and_forgotten_before_the_next_fork(count):
    """With more than eight children there is one whose exit wakes nobody: a tick helps."""
    server = SimpleServer(sleeping_children(count), max_children=count)
    watching = ChildWatcher(server)
    before = open_descriptors()
    try:
        assert watching.full()
        fd = watching.fileno()
        assert fd == watching.fileno() >= 0
        watching.reap()
        assert watching.needs_tick() == (count > 8)
        assert len(open_descriptors() - before) == 1 + min(count, 8)
        assert not is_readable(fd)
        leaver = min(server.active_children)
        os.kill(leaver, signal.SIGKILL)
        assert select.select([fd], [], [], DEADLINE_S)[0]
        watching.reap()
        assert leaver not in server.active_children
        assert len(server.active_children) == count - 1
        assert not watching.full()
        # Few children and a quiet time: watched again, all that are left.
        watching.reap()
        assert not watching.needs_tick()
        assert len(open_descriptors() - before) == 1 + (count - 1)
    finally:
        for pid in server.active_children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        watching.reap()
        assert server.active_children == set()
        watching.close()
    assert open_descriptors() == before


def test_watcher_in_a_forked_process_is_the_parents(server_of):
    """It is neither asked nor closed there; the parent's goes on."""
    server = SimpleServer(sleeping_children(2), max_children=2)
    watching = ChildWatcher(server)
    fd = watching.fileno()
    watching.reap()

    def look():
        said = [watching.full(), watching.needs_tick(), watching.fileno()]
        watching.reap()
        watching.close()
        os.fstat(fd)  # still open
        return [*said, len(server.active_children)]

    try:
        assert ask_child(look) == [False, False, -1, 2]
        os.kill(max(server.active_children), signal.SIGKILL)
        assert select.select([fd], [], [], DEADLINE_S)[0]
    finally:
        for pid in server.active_children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        watching.close()


def test_watcher_that_is_dropped_closes_what_it_opened():
    """A server that nobody closed; but a forked process has its own files by that number."""
    server = SimpleServer(sleeping_children(1), max_children=1)
    before = open_descriptors()
    watching = [ChildWatcher(server)]
    fd = watching[0].fileno()
    watching[0].reap()

    def drop():
        os.dup2(2, fd)
        watching.clear()
        os.fstat(fd)
        return True

    try:
        assert ask_child(drop)
        watching.clear()
        assert open_descriptors() == before
    finally:
        for pid in server.active_children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_exit_that_was_noticed_is_not_told_again_while_others_have_copies():
    """A process that the program forked meanwhile inherits the pidfd."""
    server = SimpleServer(sleeping_children(1), max_children=1)
    watching = ChildWatcher(server)
    fd = watching.fileno()
    watching.reap()
    (pid,) = server.active_children
    bystanders = sleeping_children(1)
    try:
        os.kill(pid, signal.SIGKILL)
        assert select.select([fd], [], [], DEADLINE_S)[0]
        watching.reap()
        assert server.active_children == set()
        assert not is_readable(fd)
    finally:
        watching.close()
        for bystander in bystanders:
            os.kill(bystander, signal.SIGKILL)
            os.waitpid(bystander, 0)


@pytest.mark.skipif(poller_name() != "epoll", reason="poll(2) is not told of exits")
def test_exit_of_a_child_that_a_hook_does_not_collect_is_told_once(server_of):
    """It stays as it is until somebody takes its status; the loop does not spin meanwhile."""
    server = server_of("ForkingTCPServer", reply_at_dot, max_children=1)
    patched = threading.Event()
    with serving(server, HOUR_S) as loop, connect(server) as client:
        wait_until(lambda: server.active_children)
        wait_until(lambda: not state_of(server).children.needs_tick())
        server.service_actions = patched.set
        (running,) = state_of(server).loops
        running.wake()
        wait_for(patched)
        client.sendall(b".")
        assert read_to_end(client) == b"ok"
        (pid,) = server.active_children
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        wait_until_asleep(loop.thread)


@pytest.mark.skipif(poller_name() != "epoll", reason="poll(2) is not told of exits")
def test_listener_shut_down_while_no_child_may_be_added_lets_the_loop_sleep(server_of):
    """It is hung up from then on, of which epoll(7) always tells."""
    server = server_of("ForkingTCPServer", reply_at_dot, max_children=1)
    with serving(server, HOUR_S) as loop, connect(server) as client:
        wait_until(lambda: server.active_children)
        wait_until_asleep(loop.thread)
        server.socket.shutdown(socket.SHUT_RDWR)
        wait_until_asleep(loop.thread)
        server._BaseServer__shutdown_request = True
        client.sendall(b".")


def test_forked_process_that_serves_by_itself_has_no_children_at_first(server_of):
    """Those in `active_children` are its parent's; a number may be its own child's later."""
    server = server_of("ForkingTCPServer", reply_at_dot)

    def serve_one():
        with connect(server) as client:
            server.handle_request()
            own = list(server.active_children)
            client.sendall(b".")
        server.collect_children(blocking=True)
        return own

    with connect(server):
        server.handle_request()
        (of_parent,) = server.active_children
        own = ask_child(serve_one)
        assert len(own) == 1
        assert own != [of_parent]
        assert server.active_children == {of_parent}
        os.kill(of_parent, signal.SIGKILL)


@pytest.mark.parametrize("leaving", [min, max])
def test_collect_children_of_more_than_are_watched_waits_for_any(server_of, leaving):
    """Twelve of twelve: the first to go may be one of those that wake nobody."""
    server = server_of("ForkingTCPServer", max_children=12)
    server.active_children = sleeping_children(12)
    collecting = Background(server.collect_children)
    leaver = leaving(server.active_children)
    try:
        os.kill(leaver, signal.SIGKILL)
        collecting.join()
        assert leaver not in server.active_children
        assert len(server.active_children) == 11
    finally:
        for pid in set(server.active_children):
            os.kill(pid, signal.SIGKILL)
        server.collect_children(blocking=True)


def test_collect_children_at_the_maximum_is_left_by_a_signal_handler(server_of):
    """Ctrl-C while it waits: at once, and nothing is lost."""
    server = server_of("ForkingTCPServer", max_children=1)
    server.active_children = sleeping_children(1)
    before = open_descriptors()

    def interrupt(*_):
        raise KeyboardInterrupt

    with handling(signal.SIGALRM, interrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            server.collect_children()
    assert open_descriptors() == before
    assert len(server.active_children) == 1
    for pid in server.active_children:
        os.kill(pid, signal.SIGKILL)
    server.collect_children(blocking=True)
