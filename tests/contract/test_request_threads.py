"""ThreadingMixIn: what `threading` says of the thread of a request; each has one of its own."""

from __future__ import annotations

import os
import re
import sys
import threading

import pytest

from support.clients import connect, exchange, read_to_end
from support.handlers import Gate
from support.serving import Background, serving, wait_for


def threads_of_requests(make_server, count, **namespace):
    """The `threading.Thread` of each of so many requests, one after the other."""
    threads = []
    server = make_server(
        "ThreadingTCPServer",
        handler=lambda *_: threads.append(threading.current_thread()),
        **namespace,
    )
    with serving(server):
        for _ in range(count):
            exchange(server)
    server.server_close()
    return threads


@pytest.mark.parametrize("daemon", [False, True])
def test_thread_of_each_request_is_another_object_with_another_name(make_server, daemon):
    """impacket logs by `current_thread().name`; dictionaries are keyed by thread."""
    threads = threads_of_requests(make_server, 5, daemon_threads=daemon)
    assert len(set(threads)) == len({thread.name for thread in threads}) == 5
    for thread in threads:
        assert re.fullmatch(r"Thread-\d+ \(process_request_thread\)", thread.name)
        assert thread.daemon is daemon
        assert isinstance(thread.ident, int)
        assert isinstance(thread.native_id, int)


def test_thread_name_and_attributes_are_not_those_of_the_last_request(make_server):
    """A new thread for each request has neither."""
    seen = []

    def handler(*_):
        thread = threading.current_thread()
        seen.append((thread.name, hasattr(thread, "mine")))
        thread.name, thread.mine = "renamed", 1
        assert threading.current_thread().name == "renamed"

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        for _ in range(5):
            exchange(server)
    assert "renamed" not in [name for name, _ in seen]
    assert not any(mine for _, mine in seen)


def test_thread_of_a_served_request_has_ended_while_the_next_one_runs(make_server):
    """is_alive() and join() are about the request whose thread it is."""
    gate = Gate()
    threads = []

    def handler(request, client_address, server):
        threads.append(threading.current_thread())
        if len(threads) > 1:
            gate(request, client_address, server)

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        exchange(server)
        Background(threads[0].join).join()
        with connect(server) as client:
            wait_for(gate.entered)
            first, second = threads
            Background(first.join).join()
            assert (first.is_alive(), second.is_alive()) == (False, True)
            second.join(0.01)
            assert second.is_alive()
            gate.opened.set()
            assert read_to_end(client) == b"inout"


def test_thread_joining_itself_and_starting_again_raise_runtimeerror(make_server):
    """As every thread does."""
    seen = []

    def handler(*_):
        thread = threading.current_thread()
        for method in (thread.join, thread.start):
            with pytest.raises(RuntimeError) as caught:
                method()
            seen.append(str(caught.value))

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        exchange(server)
    assert seen == ["cannot join current thread", "threads can only be started once"]


@pytest.mark.parametrize("kind", ["trace", "profile"])
def test_trace_function_set_while_serving_is_used_for_the_next_request(make_server, kind):
    """threading.settrace() and setprofile() are about threads that are to come."""
    setter, current = getattr(threading, f"set{kind}"), getattr(sys, f"get{kind}")
    calls, seen = [], []

    def function(frame, event, arg):
        calls.append(event)

    def handler(*_):
        seen.append(current())

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        exchange(server)
        setter(function)
        try:
            exchange(server)
        finally:
            setter(None)
        exchange(server)
    assert seen == [None, function, None]
    assert calls


@pytest.mark.parametrize("kind", ["trace", "profile"])
def test_trace_function_of_a_request_is_gone_in_the_next(make_server, kind):
    """sys.settrace() is about one thread, and that ends with the request."""
    setter, current = getattr(sys, f"set{kind}"), getattr(sys, f"get{kind}")
    seen = []

    def handler(*_):
        seen.append(current())
        setter(lambda *_: None)

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        for _ in range(3):
            exchange(server)
    assert seen == [None] * 3


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork_in_a_handler_makes_its_thread_the_main_thread_of_the_child(make_server):
    """What `threading` says there, of itself and of the others."""

    def handler(request, client_address, server):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                thread = threading.current_thread()
                right = (
                    threading.main_thread() is thread
                    and threading.enumerate() == [thread]
                    and thread.is_alive()
                    and thread.ident == threading.get_ident()
                )
                ran = []
                other = threading.Thread(target=ran.append, args=(1,))
                other.start()
                threading._shutdown()  # as the end of a multiprocessing child
                status = 7 if right and ran else 2
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        request.sendall(b"%d" % os.waitstatus_to_exitcode(status))

    server = make_server("ThreadingTCPServer", handler=handler)
    with serving(server):
        for _ in range(3):
            assert exchange(server) == b"7"
