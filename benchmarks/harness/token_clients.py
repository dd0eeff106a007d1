"""Clients that each send a token of their own and must get exactly that back.

For what the load generator does not tell: whose answer it was, how many were
closed without one, and which never ended at all.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.errors import MeasurementError

TOKEN_SIZE = 16
SELECT_S = 0.05


@dataclass
class Tally:
    """How the exchanges ended."""

    answered: int = 0
    unanswered: int = 0  # closed or reset without an answer
    wrong: int = 0  # anything but its own token
    hung: int = 0  # neither answered nor closed: it ran out of patience
    latencies_s: list[float] = field(default_factory=list)  # of those answered

    @property
    def ended(self) -> int:
        return self.answered + self.unanswered + self.wrong + self.hung

    def __iadd__(self, other: Tally) -> Tally:
        self.answered += other.answered
        self.unanswered += other.unanswered
        self.wrong += other.wrong
        self.hung += other.hung
        self.latencies_s += other.latencies_s
        return self

    def latency_ms(self, fraction: float) -> float:
        """A percentile of those answered."""
        ordered = sorted(self.latencies_s)
        return ordered[min(int(len(ordered) * fraction), len(ordered) - 1)] * 1e3


class _Client:
    """One connection: sends its token, reads until the server closes."""

    def __init__(self, port: int, number: int) -> None:
        self.token = f"{number:0{TOKEN_SIZE - 1}}\n".encode()
        self.received = b""
        self.begin_s = time.monotonic()
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.sock.sendall(self.token)

    def read(self) -> bool:
        """Whether the exchange has ended."""
        try:
            chunk = self.sock.recv(4 * TOKEN_SIZE)
        except ConnectionResetError:
            return True
        self.received += chunk
        return not chunk or not self.token.startswith(self.received)


def run_clients(
    port: int, clients: int, patience_s: float, goes_on: Callable[[Tally], bool]
) -> Tally:
    """So many at a time, a new one for each that ends, while `goes_on`.

    Returns when the last has ended or lost patience.

    Raises: MeasurementError if one cannot connect.
    """
    tally = Tally()
    started = 0
    with selectors.DefaultSelector() as selector:

        def start_missing() -> None:
            nonlocal started
            while len(selector.get_map()) < clients and goes_on(tally):
                try:
                    client = _Client(port, started)
                except (ConnectionResetError, BrokenPipeError):
                    tally.unanswered += 1  # taken and dropped before its token was sent
                except (ConnectionRefusedError, TimeoutError) as error:
                    raise MeasurementError(f"the server has gone: {error}") from error
                else:
                    selector.register(client.sock, selectors.EVENT_READ, client)
                started += 1

        def end(client: _Client, hung: bool) -> None:
            selector.unregister(client.sock)
            client.sock.close()
            if hung:
                tally.hung += 1
            elif client.received == client.token:
                tally.answered += 1
                tally.latencies_s.append(time.monotonic() - client.begin_s)
            elif client.received:
                tally.wrong += 1
            else:
                tally.unanswered += 1

        start_missing()
        while selector.get_map():
            for key, _ in selector.select(SELECT_S):
                if key.data.read():
                    end(key.data, hung=False)
            impatient_s = time.monotonic() - patience_s
            for key in list(selector.get_map().values()):
                if key.data.begin_s < impatient_s:
                    end(key.data, hung=True)
            start_missing()
    return tally
