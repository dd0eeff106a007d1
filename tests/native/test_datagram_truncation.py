"""Datagrams longer than `max_packet_size`: cut as by recvfrom, and counted."""

from __future__ import annotations

import pytest

from support.clients import datagram_client
from support.serving import serving
from support.waiting import wait_until


@pytest.fixture
def lengths_of(server_of):
    """A server that notes how long each datagram is that it gets."""

    def make(base="UDPServer", **namespace):
        lengths = []
        server = server_of(
            base, handler=lambda data, *_: lengths.append(len(data[0])), **namespace
        )
        return server, lengths

    return make


def send_all(server, sizes):
    with datagram_client(server) as client:
        for size in sizes:
            client.send(bytes(size))


@pytest.mark.parametrize("base", ["UDPServer", "ThreadingUDPServer", "UnixDatagramServer"])
def test_truncated_datagrams_beyond_max_packet_size_are_counted(lengths_of, fast, base):
    """Those of just the size are whole."""
    server, lengths = lengths_of(base, max_packet_size=100)
    assert fast.truncated_datagrams(server) == 0
    with serving(server):
        for _ in range(2):
            send_all(server, [0, 99, 100, 101, 5000])
        wait_until(lambda: len(lengths) == 10)
    assert sorted(lengths) == sorted([0, 99, 100, 100, 100] * 2)
    assert fast.truncated_datagrams(server) == 4


def test_truncated_datagrams_of_handle_request_are_counted(lengths_of, fast):
    """One per call."""
    server, lengths = lengths_of(max_packet_size=10)
    send_all(server, [20, 5, 30])
    for count in (1, 1, 2):
        server.handle_request()
        assert fast.truncated_datagrams(server) == count
    assert lengths == [10, 5, 10]


@pytest.mark.parametrize("max_packet_size", [65507, 65535])
def test_largest_datagram_is_whole_and_not_counted(lengths_of, fast, max_packet_size):
    """65,507 bytes are all that fits an IPv4 packet."""
    server, lengths = lengths_of(max_packet_size=max_packet_size)
    with serving(server):
        for number in range(1, 6):
            send_all(server, [65507])
            wait_until(lambda number=number: len(lengths) == number)
    assert lengths == [65507] * 5
    assert fast.truncated_datagrams(server) == 0
