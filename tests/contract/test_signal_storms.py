"""Thousands of signals while the main thread serves: none is lost, and no request."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from support.clients import connect, exchange, read_exactly, read_to_end
from support.serving import Background, serving
from support.signals import handling
from support.waiting import wait_until

# Sends a signal over and over until it is told to stop, or so many times.
SENDER = """
import os, sys, time
pid, number, count = map(int, sys.argv[1:])
sys.stdout.write("ready"); sys.stdout.flush()
sys.stdin.read(1)
sent = 0
while sent < count and os.getppid() == pid:
    try:
        os.kill(pid, number)
        sent += 1
    except BlockingIOError:  # its queue is full
        time.sleep(0.001)
    if sent % 16 == 0:
        time.sleep(0.0002)
"""


@contextlib.contextmanager
def storm(number, count=1_000_000):
    """Another process sends that signal here; give a function that says whether it is done."""
    sender = subprocess.Popen(
        [sys.executable, "-c", SENDER, str(os.getpid()), str(int(number)), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert sender.stdout.read(5) == b"ready"
        sender.stdin.write(b".")
        sender.stdin.flush()
        yield lambda: sender.poll() is not None
    finally:
        sender.kill()
        sender.wait()
        sender.stdin.close()
        sender.stdout.close()


def echo_ten(request, client_address, server):
    """Ten exchanges on one connection."""
    for _ in range(10):
        request.sendall(read_exactly(request, 1000))


def talk(server, rounds):
    """In a client's thread; whether every reply was right."""
    payloads = [bytes([65 + n]) * 1000 for n in range(10)]
    good = True
    for _ in range(rounds):
        with connect(server) as client:
            for payload in payloads:
                client.sendall(payload)
                good = read_exactly(client, 1000) == payload and good
            good = read_to_end(client) == b"" and good
    return good


def talk_then_stop(server, count, rounds, enough):
    """So many clients at once; shutdown() when they are done and `enough()` holds."""
    try:
        clients = [Background(talk, server, rounds) for _ in range(count)]
        results = [client.join() for client in clients]
        wait_until(enough)
        return results
    finally:
        server.shutdown()


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer"])
def test_storm_while_serving_in_the_main_thread_spoils_no_reply(make_server, base):
    """Each signal has a Python handler; the stop that comes in the midst is not lost."""
    handled = []
    server = make_server(base, handler=echo_ten)
    with handling(signal.SIGUSR1, lambda *_: handled.append(1)), storm(signal.SIGUSR1):
        # However few come while the clients talk: a busy machine serves them faster than it
        # lets the other process send.
        clients = Background(talk_then_stop, server, 4, 25, lambda: len(handled) > 100)
        server.serve_forever(0.01)
        assert clients.join() == [True] * 4


def test_storm_while_serving_forever_loses_no_stop(make_server):
    """shutdown() of another thread, and the flag set by the handler, a hundred times."""
    server = make_server()
    stops = []

    def stop_by_handler(*_):
        if stops and stops[-1] == "handler":
            server._BaseServer__shutdown_request = True

    with handling(signal.SIGUSR1, stop_by_handler), storm(signal.SIGUSR1):
        for number in range(100):
            stops.append("handler" if number % 2 else "thread")
            stopping = Background(server.shutdown) if number % 2 == 0 else None
            server.serve_forever(0.01)
            if stopping is not None:
                stopping.join()
            server._BaseServer__shutdown_request = False


def test_storm_while_handling_single_requests_spoils_none(make_server):
    """handle_request() in the main thread keeps waiting for its request."""
    server = make_server(timeout=None, handle_timeout=lambda self: pytest.fail("timed out"))
    with handling(signal.SIGUSR1, lambda *_: None), storm(signal.SIGUSR1):
        clients = Background(lambda: [exchange(server) for _ in range(200)])
        for _ in range(200):
            server.handle_request()
        assert clients.join() == [b"ok"] * 200


def test_storm_on_a_loop_in_another_thread_runs_handlers_in_the_main_one(make_server):
    """The main thread does something else meanwhile."""
    threads = set()
    server = make_server("ThreadingTCPServer", handler=echo_ten)
    with (
        handling(signal.SIGUSR1, lambda *_: threads.add(threading.current_thread())),
        storm(signal.SIGUSR1),
        serving(server),
    ):
        assert talk(server, 25)
    assert threads == {threading.main_thread()}


def test_storm_on_the_serving_thread_alone_runs_handlers_in_the_main_one(make_server):
    """The main thread has the signal blocked: the kernel gives it to the others."""
    threads = set()
    server = make_server("ThreadingTCPServer", handler=echo_ten)
    with (
        handling(signal.SIGUSR1, lambda *_: threads.add(threading.current_thread())),
        serving(server),
    ):
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        try:
            with storm(signal.SIGUSR1):
                assert talk(server, 25)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert threads == {threading.main_thread()}


def test_signal_on_another_thread_stops_the_loop_of_the_main_one(make_server):
    """Blocked in the main thread for good: its handler runs there all the same."""
    server = make_server()

    def stop(*_):
        server._BaseServer__shutdown_request = True

    def send_here():
        # Only this thread can take it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    with handling(signal.SIGUSR1, stop):
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        try:
            sending = Background(send_here)
            server.serve_forever(0.05)
            sending.join()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# -- the program's own wake-up descriptor ---------------------------------------------

# Real-time signals queue up: each is delivered, and each delivery writes a byte.
REAL_TIME = signal.SIGRTMIN + 1
SIGNALS = 4000


class WakeupDescriptor:
    """A program that waits for signals by `signal.set_wakeup_fd()`, and counts them."""

    def __enter__(self):
        # A pipe: it holds 64 KiB, where a socket is full of some 300 single bytes.
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK)
        self.received = bytearray()
        self.before = signal.set_wakeup_fd(self.writer)
        return self

    def __exit__(self, *_):
        assert signal.set_wakeup_fd(self.before) == self.writer
        os.close(self.reader)
        os.close(self.writer)

    def drain(self):
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.reader, 65536):
                self.received += data


def one_turn(server):
    """serve_forever(), stopped by its first service_actions()."""
    server.serve_forever(0.001)


def one_request(server):
    """handle_request(), without a request."""
    server.handle_request()


@pytest.mark.parametrize("turn", [one_turn, one_request])
def test_wakeup_descriptor_of_the_program_gets_every_signal(make_server, turn):
    """asyncio has one, for its signal handlers: none of its bytes may go elsewhere."""

    def service_actions(self):
        self._BaseServer__shutdown_request = True

    server = make_server(timeout=0.001, service_actions=service_actions)
    with (
        handling(REAL_TIME, lambda *_: None),
        WakeupDescriptor() as wakeup,
        storm(REAL_TIME, SIGNALS) as is_done,
    ):
        while not is_done():
            turn(server)
            wakeup.drain()
        wait_until(lambda: wakeup.drain() or len(wakeup.received) >= SIGNALS)
    assert wakeup.received == bytes([REAL_TIME]) * SIGNALS


@pytest.mark.parametrize("how", ["handle_request", "_handle_request_noblock"])
def test_asyncio_reader_calling_the_server_keeps_its_signal_handlers(make_server, how):
    """`loop.add_reader(server.fileno(), server.handle_request)`, and add_signal_handler()."""
    import asyncio

    handled = []
    server = make_server()

    async def main():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, handled.append, 1)
        loop.add_reader(server.fileno(), getattr(server, how))
        try:
            for number in range(50):
                reply = loop.run_in_executor(None, exchange, server)
                os.kill(os.getpid(), signal.SIGUSR1)
                assert await asyncio.wait_for(reply, 10) == b"ok"
                while len(handled) <= number:
                    await asyncio.wait_for(asyncio.sleep(0.001), 10)
        finally:
            loop.remove_reader(server.fileno())
            loop.remove_signal_handler(signal.SIGUSR1)
            await loop.shutdown_default_executor()

    asyncio.run(main())
    assert len(handled) == 50


def test_asyncio_in_the_main_thread_handles_signals_while_another_serves(make_server):
    """A server's thread and asyncio's own wake-up descriptor do not meet."""
    import asyncio

    handled = []
    count = 200  # what asyncio's socket pair holds
    server = make_server("ThreadingTCPServer", handler=echo_ten)

    async def main():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(REAL_TIME, handled.append, 1)
        with storm(REAL_TIME, count):
            assert await asyncio.wait_for(loop.run_in_executor(None, talk, server, 25), 20)
            while len(handled) < count:
                await asyncio.sleep(0.001)
        loop.remove_signal_handler(REAL_TIME)
        await loop.shutdown_default_executor()

    with serving(server):
        asyncio.run(asyncio.wait_for(main(), 40))
    assert len(handled) == count
