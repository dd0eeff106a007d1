"""Names: what a program finds in our module is what it finds in the standard one."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import selectors
import socketserver
import sys
import threading
import time
import types

import pytest

# `__all__` of Python 3.13, the newest: what every Python gets from us.
NEWEST = {
    "BaseServer", "TCPServer", "UDPServer", "ThreadingUDPServer", "ThreadingTCPServer",
    "BaseRequestHandler", "StreamRequestHandler", "DatagramRequestHandler", "ThreadingMixIn",
    "ForkingUDPServer", "ForkingTCPServer", "ForkingMixIn",
    "UnixStreamServer", "UnixDatagramServer",
    "ThreadingUnixStreamServer", "ThreadingUnixDatagramServer",
    "ForkingUnixStreamServer", "ForkingUnixDatagramServer",
}  # fmt: skip
PRIVATE = {"_SocketWriter", "_ServerSelector", "_Threads", "_NoThreads"}
OWN_OF_EVERY_CLASS = {
    "__module__", "__doc__", "__dict__", "__weakref__", "__qualname__",
    "__firstlineno__", "__static_attributes__",
}  # fmt: skip
# What our classes define themselves, and what differs there from the standard class. All
# else is inherited, so that patches and settings on the standard classes, and what CPython
# mends, reach ours.
OWN = {
    "BaseServer": {
        "serve_forever": "the compiled loop",
        "handle_request": "the compiled loop",
        "shutdown": "wakes the loop, and waits only for a thread that serves",
        "_BaseServer__shutdown_request": "setting it wakes the loop",
    },
    "TCPServer": {
        "request_queue_size": "SOMAXCONN instead of 5",
        "get_request": "TCP_NODELAY",
        "server_close": "wakes the loop",
    },
    "UDPServer": {"get_request": "hands out what was taken in a batch"},
    "ThreadingMixIn": {
        "process_request": "to an idle worker",
        "server_close": "ends idle workers",
    },
    "ForkingMixIn": {
        "process_request": "watches the child",
        "collect_children": "of ours only, and without a look at each",
        "server_close": "gives up what watches the children",
    },
    "StreamRequestHandler": {"setup": "compiled rfile and wfile"},
}
if sys.version_info < (3, 11):
    OWN["TCPServer"] |= {
        "allow_reuse_port": "3.10 lacks it",
        "server_bind": "3.10 lacks SO_REUSEPORT",
    }
    OWN["UDPServer"] |= {"allow_reuse_port": "3.10 lacks it"}
# Values that differ on purpose; the deviations table says why.
DEVIATING_VALUES = {("TCPServer", "request_queue_size")}

TWINS = sorted(name for name in NEWEST if hasattr(socketserver, name))


def own_attributes(cls):
    """What the class itself defines, without what every class has."""
    return {name: value for name, value in vars(cls).items() if name not in OWN_OF_EVERY_CLASS}


def rows(condition):
    """(class name, attribute name) of everything a standard class defines itself."""
    return [
        (name, attribute)
        for name in TWINS
        for attribute, value in own_attributes(getattr(socketserver, name)).items()
        if condition(value)
    ]


METHODS = rows(lambda value: isinstance(value, types.FunctionType))
VALUES = rows(lambda value: not isinstance(value, types.FunctionType))


def test_the_newest_all_here_is_that_of_this_python_or_a_newer_one():
    """The literal above holds whatever this interpreter's module exports."""
    assert set(socketserver.__all__) <= NEWEST


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the literal is 3.13's")
def test_the_newest_all_here_is_that_of_python_313():
    """Neither more nor less."""
    assert set(socketserver.__all__) == NEWEST


def test_all_is_that_of_the_newest_python(fast):
    """On every Python."""
    assert set(fast.__all__) == NEWEST
    assert len(fast.__all__) == len(NEWEST)


def test_star_import_gives_what_the_standard_module_gives(fast):
    """`from socketserver import *`."""
    namespace = {}
    exec(f"from {fast.__name__} import *", namespace)
    assert set(namespace) - {"__builtins__"} == NEWEST


@pytest.mark.parametrize("name", sorted(NEWEST | PRIVATE))
def test_name_is_importable(fast, name):
    """Public and private ones that programs import."""
    assert inspect.isclass(getattr(fast, name))


@pytest.mark.parametrize("name", ["os", "selectors", "socket", "sys", "threading"])
def test_module_is_found_under_its_name(impl, name):
    """Public tests patch `socketserver.socket` and `.threading`."""
    assert getattr(impl, name) is sys.modules[name]


@pytest.mark.parametrize(
    ("name", "value"), [("time", time.monotonic), ("BufferedIOBase", io.BufferedIOBase)]
)
def test_function_is_found_under_its_name(impl, name, value):
    """The remaining names of the standard module."""
    assert getattr(impl, name) is value


def test_version_is_a_string(impl):
    """`__version__`."""
    assert isinstance(impl.__version__, str)


def test_server_selector_is_poll_where_there_is_one(impl):
    """`_ServerSelector = selectors.PollSelector`."""
    assert impl._ServerSelector is selectors.PollSelector


@pytest.mark.parametrize("name", sorted(NEWEST))
def test_class_defines_what_differs_and_nothing_else(fast, name):
    """Name by name."""
    assert set(own_attributes(getattr(fast, name))) == set(OWN.get(name, ()))


INHERITED = [(name, attribute) for name, attribute in rows(lambda value: True)
             if attribute not in OWN.get(name, ())]  # fmt: skip
OVERRIDDEN = [(name, attribute) for name, attribute in METHODS
              if attribute in OWN.get(name, ())]  # fmt: skip


@pytest.mark.parametrize(("name", "attribute"), INHERITED)
def test_attribute_that_is_not_ours_is_the_standard_object(fast, name, attribute):
    """Not a copy: the one that the standard class has now, whoever put it there."""
    standard = vars(getattr(socketserver, name))[attribute]
    assert inspect.getattr_static(getattr(fast, name), attribute) is standard


@pytest.mark.parametrize(("name", "attribute"), OVERRIDDEN)
def test_method_is_a_function_of_ours(fast, name, attribute):
    """A plain function, no builtin: programs subclass, wrap, patch and inspect it."""
    method = vars(getattr(fast, name))[attribute]
    assert isinstance(method, types.FunctionType)
    assert method is not vars(getattr(socketserver, name))[attribute]
    assert method.__name__ == attribute


@pytest.mark.parametrize(("name", "attribute"), OVERRIDDEN)
def test_method_has_the_standard_parameters(fast, name, attribute):
    """Names, order, kinds and defaults."""

    def shape(cls):
        parameters = inspect.signature(vars(cls)[attribute]).parameters.values()
        return [(one.name, one.kind, one.default) for one in parameters]

    assert shape(getattr(fast, name)) == shape(getattr(socketserver, name))


@pytest.mark.parametrize("name", TWINS)
def test_hooks_that_a_class_inherits_are_in_its_docstring_or_a_base_of_ours(fast, name):
    """What is inherited has no docstring of ours: the class describes it."""
    ours = [base for base in getattr(fast, name).__mro__ if base.__module__.startswith("fast")]
    described = "\n".join(base.__doc__ for base in ours)
    for _, attribute in filter(lambda row: row[0] == name, METHODS):
        if not attribute.startswith("__") and attribute not in OWN.get(name, ()):
            assert f"{attribute}(" in described, attribute


@pytest.mark.parametrize(("name", "attribute"), VALUES)
def test_value_is_the_standard_one(fast, name, attribute):
    """Class attributes: timeout, address_family, daemon_threads and so on."""
    ours = getattr(getattr(fast, name), attribute)
    standard = getattr(getattr(socketserver, name), attribute)
    if attribute == "_threads":
        assert type(ours).__name__ == type(standard).__name__
    elif (name, attribute) in DEVIATING_VALUES:
        assert type(ours) is type(standard)
    else:
        assert (ours, type(ours)) == (standard, type(standard))


@pytest.mark.parametrize("name", TWINS)
def test_class_adds_no_public_name(fast, name):
    """Subclasses own every other name."""
    cls = getattr(fast, name)
    allowed = set(dir(getattr(socketserver, name)))
    allowed |= {"allow_reuse_port"}  # Python 3.11 and newer
    added = {attribute for attribute in dir(cls) if not attribute.startswith("_")} - allowed
    assert not added


@pytest.mark.parametrize("name", sorted(NEWEST))
def test_class_adds_no_public_name_to_its_instances(fast, name):
    """Nor does a constructed server."""
    if "Server" not in name or name == "BaseServer":
        pytest.skip("no server that can be constructed")
    address = "unused" if "Unix" in name else ("127.0.0.1", 0)
    with getattr(fast, name)(address, None, bind_and_activate=False) as server:
        added = {name for name in vars(server) if not name.startswith("_")}
    assert added == {"server_address", "RequestHandlerClass", "socket"}


@pytest.mark.parametrize("name", TWINS)
def test_class_is_a_subclass_of_its_twin(fast, name):
    """`isinstance(server, socketserver.TCPServer)` holds for ours."""
    assert issubclass(getattr(fast, name), getattr(socketserver, name))


@pytest.mark.parametrize("kind", ["Stream", "Datagram"])
def test_forking_unix_class_is_made_of_both_twins(fast, kind):
    """Also on Python 3.10 and 3.11, which lack it."""
    cls = getattr(fast, f"ForkingUnix{kind}Server")
    for module in (socketserver, fast):
        assert issubclass(cls, module.ForkingMixIn)
        assert issubclass(cls, getattr(module, f"Unix{kind}Server"))


@pytest.mark.parametrize("name", TWINS)
def test_class_relations_are_the_standard_ones(fast, name):
    """issubclass among ours is as issubclass among the standard classes."""
    for other in TWINS:
        ours = issubclass(getattr(fast, name), getattr(fast, other))
        standard = issubclass(getattr(socketserver, name), getattr(socketserver, other))
        assert ours == standard, f"issubclass({name}, {other})"


@pytest.mark.parametrize("name", sorted(NEWEST))
def test_class_can_be_found_where_it_says_it_lives(fast, name):
    """Pickle and documentation tools go by __module__ and __qualname__."""
    cls = getattr(fast, name)
    assert cls.__module__.split(".")[0] == fast.__name__
    assert cls.__name__ == cls.__qualname__ == name
    assert pickle.loads(pickle.dumps(cls)) is cls
    assert copy.copy(cls) is cls


@pytest.mark.parametrize(
    "name", sorted(NEWEST - {"ForkingUnixStreamServer", "ForkingUnixDatagramServer"})
)
def test_class_may_be_given_new_attributes(impl, monkeypatch, name):
    """Programs assign to the SHARED classes: they must be mutable."""
    cls = getattr(impl, name)
    monkeypatch.setattr(cls, "set_by_the_program", 1, raising=False)
    assert cls.set_by_the_program == 1


@pytest.mark.parametrize("name", sorted(NEWEST))
def test_class_and_its_methods_are_documented(fast, name):
    """A docstring each."""
    cls = getattr(fast, name)
    assert cls.__doc__
    own = own_attributes(cls).items()
    undocumented = [
        attribute
        for attribute, value in own
        if isinstance(value, types.FunctionType)
        and not attribute.startswith("_")
        and not value.__doc__
    ]
    assert not undocumented


def test_instances_take_attributes_and_weak_references(make_server):
    """No slots."""
    import weakref

    server = make_server()
    server.anything = 1
    assert vars(server)["anything"] == 1
    assert weakref.ref(server)() is server


def test_instances_have_no_more_mangled_names_than_needed_at_construction(make_server):
    """The two that programs poke are there from the start."""
    server = make_server()
    assert hasattr(server, "_BaseServer__is_shut_down")
    assert hasattr(server, "_BaseServer__shutdown_request")
    assert "_BaseServer__is_shut_down" in vars(server)
    assert "_BaseServer__shutdown_request" in vars(server)


@pytest.mark.parametrize("name", ["_Threads", "_NoThreads"])
def test_private_thread_lists_are_those_of_the_standard_module_or_behave_so(impl, name):
    """Made without arguments; append() and join()."""
    threads = getattr(impl, name)()
    assert threads.append(threading.current_thread()) is None
    if name == "_Threads":
        threads.clear()
    assert threads.join() is None
