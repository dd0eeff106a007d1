"""The table of shortcuts, and what answers "is this hook of the contract overridden?".

A shortcut is native code (or a sleep) that the loop may take instead of calling a hook,
as long as the hook is the stock one. An override always wins: in a subclass, in a mix-in, on
the instance, or patched on any class, before we are imported or while serving. The loop asks
before each request.
"""

from collections import namedtuple

from cpython.dict cimport PyDict_Contains

from fastsocketserver._standard import is_standard_function


class Shortcut(namedtuple("Shortcut", "hook owner author needs instead benchmark")):
    """One row: what the loop does `instead` when `hook` is the method of class `owner`, and
    the case (benchmarks/run.py --list) that justifies it.

    `author` says whose that method is: "ours", or the "standard" one that ours inherits.
    `needs` are other attributes that have to be stock for that, `(name, owners)` each.
    """

    __slots__ = ()


LOOP_TAKES = (("_handle_request_noblock", ("BaseServer",)),)
LOOP_ACCEPTS = (*LOOP_TAKES, ("get_request", ("TCPServer", "UDPServer")))

TABLE = (
    Shortcut("get_request", "TCPServer", "ours", LOOP_TAKES,
             "accept4(2) on a plain listening socket, in batches", "crc_inline_16"),
    Shortcut("get_request", "UDPServer", "ours", LOOP_TAKES,
             "recvmmsg(2) on a plain datagram socket, in batches", "udp_32"),
    Shortcut("_handle_request_noblock", "BaseServer", "standard", (),
             "the loop takes and dispatches requests itself, in batches", "crc_inline_16"),
    # No hook of a subclass may wait on the serving thread for a request held back.
    Shortcut("verify_request", "BaseServer", "standard",
             (*LOOP_ACCEPTS, ("process_request", ("ThreadingMixIn",))),
             "called, and known not to wait for requests of the same batch",
             "crc_threaded_16"),
    Shortcut("process_request", "ThreadingMixIn", "ours",
             (*LOOP_ACCEPTS, ("verify_request", ("BaseServer",))),
             "called, and the requests of a batch get their workers at its end",
             "crc_threaded_16"),
    Shortcut("service_actions", "BaseServer", "standard", (),
             "not called, and the loop sleeps without a tick", "robustness"),
    Shortcut("service_actions", "ForkingMixIn", "standard",
             (("collect_children", ("ForkingMixIn",)),),
             "called after wake-ups only: an exited child is one", "robustness"),
    Shortcut("collect_children", "ForkingMixIn", "ours",
             (("service_actions", ("ForkingMixIn",)),),
             "waits for exited children only, see service_actions", "robustness"),
    # What is stored past the property tells nobody.
    Shortcut("_BaseServer__shutdown_request", "BaseServer", "ours",
             (("__setattr__", ("object",)),),
             "setting it wakes the loop, which needs no tick to see it", "robustness"),
)

cdef dict needs_of = {(row.hook, row.owner): row.needs for row in TABLE}
# hook -> [(stock attribute, owner)], filled by add_stock() when the classes exist: ours.
cdef dict stock = {row.hook: [] for row in TABLE}
stock["__setattr__"] = [(object.__setattr__, "object")]
# hook -> [owner]: the standard module's.
cdef dict standard_owners = {name: [] for name in stock}
for row in TABLE:
    if row.author == "standard":
        (<list>standard_owners[row.hook]).append(row.owner)
cdef object plain_getattribute = object.__getattribute__


def add_stock(str hook, str owner, attribute):
    """Declare `attribute` to be the stock hook of our class `owner`."""
    if not any(row[:3] == (hook, owner, "ours") for row in TABLE):
        raise ValueError(f"the table of shortcuts has no row for our {owner}.{hook}")
    (<list>stock[hook]).append((attribute, owner))


def stock_owner(server, str hook):
    """The owner of the stock hook that `server.<hook>` is, or None for an override.

    Returns: a class name of the table (str), or None.
    """
    kind = type(server)
    if kind.__getattribute__ is not plain_getattribute:
        return None
    found = getattr(kind, hook, None)
    # As Python looks it up: a subclass of dict is not asked.
    if PyDict_Contains(server.__dict__, hook) and not hasattr(type(found), "__set__"):
        return None
    for attribute, owner in <list>stock[hook]:
        if found is attribute:
            return owner
    for owner in <list>standard_owners[hook]:
        if is_standard_function(found, owner, hook):
            return owner
    return None


def shortcut_owner(server, str hook):
    """The owner of the row for `hook` whose shortcut may be taken; None: call the hook."""
    owner = stock_owner(server, hook)
    if owner is None:
        return None
    for needed, owners in needs_of[hook, owner]:
        if stock_owner(server, needed) not in owners:
            return None
    return owner
