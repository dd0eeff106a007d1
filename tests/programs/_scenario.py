"""One conversation with a public program, told the same way for every program.

A file ``program_<name>.py`` beside this one describes a program: how it is started, what
one client says to it, what it must survive and how it is stopped. ``run()`` plays that:

    1. one client, then many at once (all are let go by one barrier);
    2. clients that misbehave: noise, silence, half a request, a reset in the middle of a
       request, a reset before it is accepted; and, for a program that serves its clients
       side by side, a client that stops in mid-request while another one is served;
    3. one good client again;
    4. the program's own way of stopping. Nothing may remain: no thread, no descriptor, no
       child, no listener.

Every scenario runs in a process of its own, so nothing leaks from one to the next:

    python program_<name>.py                 the standard classes
    python program_<name>.py --graft         fastsocketserver.install() before all imports
    python program_<name>.py --graft-late    the same, after the program was imported

The last line on standard output is a JSON report. ``results`` must not depend on the graft;
``information`` (durations, which differ from run to run) is for the reader. What the program
itself prints goes to standard error. The exit status is 0 when every step held, 77 when the
program is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import json
import multiprocessing
import os
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"

# Longest wait for a reply, a thread's end or a free port. Only a broken run waits this long.
PATIENCE_S = 15.0

# The whole scenario: after this every thread's stack is printed and the process exits.
WATCHDOG_S = 100.0

# Exit status when the program is not installed (as automake's tests: "skipped").
NOT_INSTALLED = 77

# Three of each kind: enough to meet a server that survives the first one by luck.
REPEATS = 3


class Program:
    """One server of one program. Subclasses fill in the parts that differ.

    ``start`` sets ``address`` and returns once clients may connect. A program that must own
    the main thread (signals, ``KeyboardInterrupt``) does its blocking part in ``main``
    instead; the conversation then runs on a thread beside it.
    """

    clients = 10
    datagrams = False
    # False: requests are served one after another, so a stuck client may hold up the others.
    concurrent = True
    # True: the clients get a process of their own. A server that forks would otherwise give
    # copies of their sockets to its children, and a close would no longer be one.
    clients_apart = False
    # False: the listener outlives the program's own stop (it only leaves its loop).
    closes_listener = True
    # False: whether an answer to noise arrives before the reset is a matter of luck.
    answers_garbage = True
    garbage = b"\x00\xff\xfe garbage \x80\r\n\r\n"
    half = b""
    address: Any = None

    def start(self) -> None:
        raise NotImplementedError

    def converse(self, number: int) -> Any:
        """One client's whole conversation: check it, return what was seen (for JSON)."""
        raise NotImplementedError

    def misbehave(self) -> Any:
        """More bad input, special to this program; what was seen goes into the report."""
        return None

    def stop(self) -> None:
        raise NotImplementedError

    main: Callable[[], None] | None = None
    main_returned: threading.Event
    apart: _ClientsApart | None = None

    def cleanup(self) -> None:
        """Put away what belongs to the scenario rather than to the program (files, peers)."""

    def in_thread(self, target: Callable[..., Any], *args: Any) -> threading.Thread:
        self.thread = threading.Thread(target=target, args=args, name="scenario-server")
        self.thread.daemon = True
        self.thread.start()
        return self.thread

    def join(self, thread: threading.Thread | None = None) -> None:
        thread = thread or self.thread
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), f"{thread.name} still runs"


# Sockets


@contextlib.contextmanager
def connection(address: Any) -> Iterator[socket.socket]:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect(address)
        yield sock


def reset_on_close(sock: socket.socket) -> None:
    """Make ``close()`` send RST rather than FIN (socket(7): SO_LINGER with zero seconds)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def answer_to(address: Any, data: bytes) -> str:
    """The first line of the answer to ``data``, or "" for none (closed or reset)."""
    received = b""
    with connection(address) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while chunk := sock.recv(65536):
                received += chunk
        except TimeoutError:
            raise
        except OSError:  # reset, or (in shutdown) no longer connected
            pass
    return received.split(b"\n", 1)[0].decode("latin-1").strip()


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port that was free a moment ago, for programs that do not tell theirs for port 0."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((HOST, 0))
        return sock.getsockname()[1]


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)


def wait_until_main_thread_waits() -> None:
    """Return once the main thread handles no request.

    A client has its answer before the handler has returned, and `wsgiref` swallows a
    `KeyboardInterrupt` that arrives in between (the bare `except` of `BaseHandler.run`).
    """

    def handling() -> bool:
        frame = sys._current_frames()[threading.main_thread().ident or 0]
        while frame:
            if frame.f_code.co_name == "handle":
                return True
            frame = frame.f_back  # type: ignore[assignment]
        return False

    wait_until(lambda: not handling(), "the main thread to be idle")


def listening(address: Any) -> bool:
    try:
        with connection(address):
            return True
    except OSError:
        return False


# HTTP, the language that half of the programs speak

HTTP_HALF = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly a part"


def http_get(
    address: Any, path: str, *, context: Any = None, **headers: str
) -> tuple[int, bytes]:
    """One request on a connection of its own: (status, body)."""
    return http_request(address, "GET", path, context=context, **headers)


def http_request(
    address: Any,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    context: Any = None,
    **headers: str,
) -> tuple[int, bytes]:
    import http.client

    host, port = address[:2]
    client: http.client.HTTPConnection
    if context is None:
        client = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    else:
        client = http.client.HTTPSConnection(
            "localhost", port, timeout=PATIENCE_S, context=context
        )
    with contextlib.closing(client):
        client.request(method, path, body, headers)
        response = client.getresponse()
        return response.status, response.read()


class Certificates:
    """A throw-away authority: a server's certificate on disk and a client's context."""

    def __init__(self, directory: str) -> None:
        import ssl

        import trustme

        authority = trustme.CA()
        issued = authority.issue_cert("localhost", HOST)
        self.certificate = os.path.join(directory, "certificate.pem")
        self.key = os.path.join(directory, "key.pem")
        self.pem = os.path.join(directory, "both.pem")
        self.authority = os.path.join(directory, "authority.pem")
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        issued.private_key_pem.write_to_path(self.key)
        issued.private_key_and_cert_chain_pem.write_to_path(self.pem)
        authority.cert_pem.write_to_path(self.authority)
        self.client_context = ssl.create_default_context(cafile=self.authority)
        self.server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server_context.load_cert_chain(self.certificate, self.key)


# What a process owns


def _threads() -> set[threading.Thread]:
    # Dummies stand for foreign threads; they are never removed before Python 3.13.
    return {t for t in threading.enumerate() if not isinstance(t, threading._DummyThread)}


def _descriptors() -> dict[int, str]:
    directory = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    found = {}
    for name in os.listdir(directory):
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            found[int(name)] = os.readlink(f"{directory}/{name}")
    return found


def _tasks() -> int:
    """Threads as the kernel counts them: native ones are not in ``threading``."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 0


def _children() -> list[int]:
    """Children, living or not yet reaped. Nothing is reaped here: they are not ours."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return []
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listing.read_text().split()] if listing.exists() else [-1]


class Belongings:
    """What the process held before the program started, to compare with afterwards."""

    def __init__(self) -> None:
        gc.collect()
        self.threads = _threads()
        self.descriptors = _descriptors()
        self.tasks = _tasks()

    def _surplus(self) -> dict[str, Any]:
        gc.collect()
        return {
            "threads": sorted(t.name for t in _threads() - self.threads),
            "tasks": max(0, _tasks() - self.tasks),
            "descriptors": sorted(
                what for fd, what in _descriptors().items() if self.descriptors.get(fd) != what
            ),
            "children": _children(),
        }

    def left(self) -> dict[str, Any]:
        """What is there now and was not before, once it has had time to go away."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            surplus = self._surplus()
            if not any(surplus.values()) or time.monotonic() > deadline:
                return surplus
            time.sleep(0.02)


# The steps


def _first(program: Program) -> Any:
    return program.converse(0)


def _many(program: Program) -> list[Any]:
    barrier = threading.Barrier(program.clients)

    def client(number: int) -> Any:
        barrier.wait(PATIENCE_S)
        return program.converse(number)

    with ThreadPoolExecutor(program.clients, thread_name_prefix="scenario-client") as pool:
        return list(pool.map(client, range(1, program.clients + 1)))


def _bad_streams(program: Program) -> dict[str, Any]:
    address = program.address
    answers = {answer_to(address, program.garbage) for _ in range(REPEATS)}
    for _ in range(REPEATS):
        with connection(address):
            pass
        with connection(address) as sock:
            reset_on_close(sock)
        with connection(address) as sock:
            sock.sendall(program.half)
        with connection(address) as sock:
            sock.sendall(program.half)
            reset_on_close(sock)
    seen: dict[str, Any] = {}
    if program.answers_garbage:
        seen["garbage"] = sorted(answers)
    if program.concurrent:
        with contextlib.ExitStack() as stack:
            for _ in range(REPEATS):
                sock = stack.enter_context(connection(address))
                sock.sendall(program.half)
            seen["beside stuck clients"] = program.converse(100)
    return seen


def _bad_datagrams(program: Program) -> dict[str, Any]:
    seen = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for turn in range(REPEATS):
            for data in (program.garbage, b"", program.half, b"\xff" * 20_000):
                sock.sendto(data, program.address)
            # A good one behind the bad: it also tells that the queue is empty again.
            seen.append(program.converse(100 + turn))
    return {"behind noise": seen}


class _ClientsApart:
    """A process, forked before the server starts, in which the clients run."""

    def __init__(self, program: Program) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, far_end = context.Pipe()
        self._process = context.Process(target=self._run, args=(program, far_end))
        self._process.start()
        far_end.close()

    @staticmethod
    def _run(program: Program, pipe: Any) -> None:
        while call := pipe.recv():
            step, program.address = call
            try:
                pipe.send((None, step(program)))
            except Exception:
                pipe.send((traceback.format_exc(), None))

    def call(self, step: Callable[[Program], Any], program: Program) -> Any:
        self._pipe.send((step, program.address))
        assert self._pipe.poll(WATCHDOG_S), "no answer from the clients' process"
        error, result = self._pipe.recv()
        assert error is None, error
        return result

    def end(self) -> None:
        self._pipe.send(None)
        self._process.join(PATIENCE_S)
        self._process.close()
        self._pipe.close()


def _last(program: Program) -> Any:
    return program.converse(200)


def _play(program: Program, results: dict[str, Any], information: dict[str, Any]) -> None:
    def perform(step: Callable[[Program], Any]) -> Any:
        return program.apart.call(step, program) if program.apart else step(program)

    results["conversation"] = perform(_first)
    address = program.address
    results["concurrent"] = perform(_many)
    results["bad"] = perform(_bad_datagrams if program.datagrams else _bad_streams)
    results["special"] = program.misbehave()
    results["afterwards"] = perform(_last)
    if program.apart:
        program.apart.end()
    begin = time.monotonic()
    program.stop()
    if program.main is not None:
        assert program.main_returned.wait(PATIENCE_S), "the program did not stop"
    information["stop_ms"] = round((time.monotonic() - begin) * 1000, 1)
    if program.closes_listener and not program.datagrams:
        wait_until(lambda: not listening(address), "the listener to be gone")


def _perform(program: Program, results: dict[str, Any], information: dict[str, Any]) -> None:
    """Start, play, stop; with ``main`` on this thread and the play beside it, if it has one."""
    program.apart = _ClientsApart(program) if program.clients_apart else None
    belongings = Belongings()
    begin = time.monotonic()
    try:
        program.start()
        if program.main is None:
            _play(program, results, information)
        else:
            failures: list[BaseException] = []
            program.main_returned = threading.Event()

            def play() -> None:
                try:
                    _play(program, results, information)
                except BaseException as error:
                    failures.append(error)
                    if not program.main_returned.is_set():
                        signal.raise_signal(signal.SIGINT)

            player = threading.Thread(target=play, name="scenario-player")
            try:
                player.start()
                program.main()
            except KeyboardInterrupt:
                if not failures:
                    raise
            finally:
                program.main_returned.set()
            player.join(PATIENCE_S)
            assert not player.is_alive(), "the program ended before its conversation did"
            if failures:
                raise failures[0]
    finally:
        program.cleanup()
    # What a program keeps in reference cycles is not a leak; what hangs on `program` is ours.
    for name in list(vars(program)):
        delattr(program, name)
    results["left"] = belongings.left()
    information["total_ms"] = round((time.monotonic() - begin) * 1000)
    assert not any(results["left"].values()), f"left behind: {results['left']}"


def run(load: Callable[[], list[type[Program]]]) -> int:
    """Play every server that ``load()`` returns; ``load`` does the program's imports."""
    parser = argparse.ArgumentParser(description="Converse with a public program.")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--graft", action="store_true", help="install() before all imports")
    modes.add_argument("--graft-late", action="store_true", help="install() after the imports")
    arguments = parser.parse_args()
    faulthandler.dump_traceback_later(WATCHDOG_S, exit=True)
    warnings.simplefilter("ignore")
    # A shell may have started us with the interrupt key ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    standard_output, sys.stdout = sys.stdout, sys.stderr

    report: dict[str, Any] = {"results": {}, "information": {"grafted": False}}
    status = 0

    def graft() -> None:
        import fastsocketserver

        fastsocketserver.install()
        report["information"]["grafted"] = True

    try:
        if arguments.graft:
            graft()
        import socketserver

        # As many programs do. With the standard backlog of 5 the clients of one burst wait
        # for TCP's retransmissions (1, 3, 7, ... s): a matter of speed, not of behaviour.
        socketserver.TCPServer.request_queue_size = 64
        try:
            programs = load()
        except ModuleNotFoundError as error:
            report["missing"] = str(error)
            standard_output.write(json.dumps(report) + "\n")
            return NOT_INSTALLED
        if arguments.graft_late:
            graft()
        for program in programs:
            results = report["results"].setdefault(program.__name__, {})
            information = report["information"].setdefault(program.__name__, {})
            _perform(program(), results, information)
    except Exception:
        report["error"] = traceback.format_exc()
        traceback.print_exc()
        status = 1
    standard_output.write(json.dumps(report) + "\n")
    standard_output.flush()
    if status:
        sys.stderr.flush()
        os._exit(status)  # threads that a failure left behind would hold up the exit
    return status  # the exit itself is still under the watchdog
