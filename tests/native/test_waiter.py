"""The waiter of a loop by itself."""

from __future__ import annotations

import os
import socket
import time

import pytest

from fastsocketserver._waiting import Waiter
from native.processes import ask_child
from support import leaks

NS_PER_S = 1_000_000_000


@pytest.fixture
def waiter():
    """A waiter on a listener that nobody connects to."""
    waiter = Waiter()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        waiter.open(listener.fileno())
        yield waiter
        waiter.close()


def in_s(seconds):
    return time.monotonic_ns() + int(seconds * NS_PER_S)


def test_wake_before_the_wait_ends_it(waiter):
    waiter.wake()
    assert waiter.wait(True, in_s(10), -1) != 0
    assert waiter.wait(True, in_s(0.01), -1) == 0


def test_wake_in_a_forked_child_does_not_wake_the_parent(waiter):
    """The child has a copy of the pipe."""
    assert ask_child(waiter.wake) is None
    assert waiter.wait(True, in_s(0.05), -1) == 0


def test_forked_child_cannot_be_woken_until_it_opens_its_own(waiter):
    assert waiter.can_be_woken

    def child():
        before = waiter.can_be_woken
        with socket.create_server(("127.0.0.1", 0)) as listener:
            waiter.open(listener.fileno())
            waiter.wake()
            return [before, waiter.can_be_woken, waiter.wait(True, in_s(10), -1) != 0]

    assert ask_child(child) == [False, True, True]
    assert waiter.wait(True, in_s(0.05), -1) == 0  # what the child wrote went to its own


def open_pipes():
    """The pipes that this process has."""
    return {file for _, file in leaks.open_descriptors() if file.startswith("pipe:")}


def test_forked_child_that_waits_once_more_has_a_pipe_of_its_own(waiter):
    """Its parent would take the bytes with which signals wake it."""
    assert not waiter.wait_once(-1, in_s(0.01))
    before = open_pipes()

    def child():
        inherited = open_pipes()
        return [waiter.wait_once(-1, in_s(0.01)), inherited <= open_pipes()]

    assert ask_child(child) == [False, False]
    assert open_pipes() == before


def test_wait_never_ends_before_its_deadline(waiter):
    for milliseconds in (0.1, 1.2, 3.7):
        deadline_ns = in_s(milliseconds / 1000)
        assert waiter.wait(True, deadline_ns, -1) == 0
        assert time.monotonic_ns() >= deadline_ns


def test_waiter_closed_leaves_no_descriptor(waiter):
    before = set(os.listdir("/proc/self/fd"))
    other = Waiter()
    other.open(0)
    other.close()
    other.close()
    assert not other.can_be_woken
    assert set(os.listdir("/proc/self/fd")) == before
