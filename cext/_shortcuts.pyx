"""The table of shortcuts, and the only place that asks "is this hook overridden?".

A shortcut is native code (or a sleep) that the loop may take instead of calling a hook,
as long as the hook is one of ours. An override always wins: in a subclass, in a mix-in, on
the instance, or patched on the class while serving. The loop asks at each wake-up.
"""

from collections import namedtuple


class Shortcut(namedtuple("Shortcut", "hook owner instead benchmark")):
    """One row: what the loop does `instead` when `hook` is the method of our class `owner`,
    and the name of the benchmark that justifies it."""

    __slots__ = ()


TABLE = (
    Shortcut("get_request", "TCPServer",
             "accept4(2) on a plain listening socket, in batches", "crc-inline"),
    Shortcut("get_request", "UDPServer",
             "recvmmsg(2) on a plain datagram socket, in batches", "udp-inline"),
    Shortcut("_handle_request_noblock", "BaseServer",
             "the loop takes and dispatches requests itself, in batches", "crc-inline"),
    Shortcut("verify_request", "BaseServer",
             "called, and known not to wait for requests of the same batch", "crc-threaded"),
    Shortcut("process_request", "ThreadingMixIn",
             "called, and the requests of a batch get their workers at its end",
             "crc-threaded"),
    Shortcut("service_actions", "BaseServer",
             "not called, and the loop sleeps without a tick", "idle-wakeups"),
    Shortcut("service_actions", "ForkingMixIn",
             "called after wake-ups only: an exited child is one", "idle-wakeups"),
    Shortcut("collect_children", "ForkingMixIn",
             "waits for exited children only, see service_actions", "idle-wakeups"),
    Shortcut("_BaseServer__shutdown_request", "BaseServer",
             "setting it wakes the loop, which needs no tick to see it", "idle-wakeups"),
)

# hook -> [(stock attribute, owner)]; filled by add_stock() when the classes exist.
cdef dict stock = {row.hook: [] for row in TABLE}
cdef object plain_getattribute = object.__getattribute__


def add_stock(str hook, str owner, attribute):
    """Declare `attribute` to be the stock hook of the class that the table calls `owner`."""
    if not any(row.hook == hook and row.owner == owner for row in TABLE):
        raise ValueError(f"the table of shortcuts has no row for {owner}.{hook}")
    (<list>stock[hook]).append((attribute, owner))


def stock_owner(server, str hook):
    """The owner of the stock hook that `server.<hook>` is, or None for an override.

    Returns: a class name of the table (str), or None.
    """
    kind = type(server)
    if kind.__getattribute__ is not plain_getattribute:
        return None
    found = getattr(kind, hook, None)
    if hook in server.__dict__ and not hasattr(type(found), "__set__"):
        return None
    for attribute, owner in <list>stock[hook]:
        if found is attribute:
            return owner
    return None
