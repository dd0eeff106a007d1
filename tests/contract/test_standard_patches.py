"""What a program sets or replaces on the standard classes reaches the servers of both modules.

`socketserver.BaseServer.handle_error = quiet` and `socketserver.TCPServer.allow_reuse_address
= True` are everyday lines. Each test is a program of its own: it patches before the module
under test is imported, after that, or while a server runs.
"""

from __future__ import annotations

import textwrap

import pytest

from native.processes import run_program

PROGRAM = """
import socket, socketserver, sys, threading
when, module = sys.argv[1:]
calls = []

def patch():
{patch}

if when == "before":
    patch()
impl = __import__(module)
if when == "after":
    patch()

def handler(request, client_address, server):
    if hasattr(request, "sendall"):
        request.sendall(b"ok")
    else:
        request[1].sendto(b"ok", client_address)

def failing(*args):
    raise ValueError("out of the handler")

def talk(server):
    kind = server.socket_type
    with socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(20)
        client.connect(server.server_address)
        if kind == socket.SOCK_DGRAM:
            client.send(b"hello")
        return client.recv(10)

def serve(server):
    loop = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    loop.start()
    talk(server)
    if when == "serving":
        calls.clear()
        patch()
        talk(server)
    talk(server)
    server.shutdown()
    loop.join(20)
    server.server_close()

{use}
"""

MODULES = ["socketserver", "fastsocketserver"]
BEFORE_OR_AFTER = ["before", "after"]
ALWAYS = [*BEFORE_OR_AFTER, "serving"]


def run(when, module, patch, use):
    """The lines that the program printed."""
    program = PROGRAM.format(
        patch=textwrap.indent(textwrap.dedent(patch), "    "), use=textwrap.dedent(use)
    )
    return run_program(program, when, module)


# Which server calls the hook, and how it is called: owner -> (server class, hooks).
HOOKS = [
    ("BaseServer", "verify_request", "TCPServer"),
    ("BaseServer", "verify_request", "ThreadingUDPServer"),
    ("BaseServer", "process_request", "TCPServer"),
    ("BaseServer", "finish_request", "UDPServer"),
    ("BaseServer", "service_actions", "TCPServer"),
    ("BaseServer", "_handle_request_noblock", "TCPServer"),
    ("BaseServer", "_handle_request_noblock", "UDPServer"),
    ("TCPServer", "shutdown_request", "ThreadingTCPServer"),
    ("TCPServer", "close_request", "TCPServer"),
    ("UDPServer", "close_request", "UDPServer"),
    ("ThreadingMixIn", "process_request_thread", "ThreadingTCPServer"),
]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("when", ALWAYS)
@pytest.mark.parametrize(("owner", "hook", "base"), HOOKS)
def test_hook_replaced_on_the_standard_class_is_called(module, when, owner, hook, base):
    """Looked up on the class at each call; no shortcut stands in for it."""
    assert run(
        when,
        module,
        f"""
        stock = socketserver.{owner}.{hook}

        def own(self, *args):
            calls.append(1)
            return stock(self, *args)

        socketserver.{owner}.{hook} = own
        """,
        f"""
        serve(impl.{base}(("127.0.0.1", 0), handler))
        print(bool(calls))
        """,
    ) == ["True"]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("when", ALWAYS)
def test_hook_wrapped_with_functools_is_called(module, when):
    """A wrapper that has taken over name, module and qualified name."""
    assert run(
        when,
        module,
        """
        import functools
        stock = socketserver.BaseServer.verify_request

        @functools.wraps(stock)
        def own(self, *args):
            calls.append(1)
            return stock(self, *args)

        socketserver.BaseServer.verify_request = own
        """,
        """
        serve(impl.ThreadingTCPServer(("127.0.0.1", 0), handler))
        print(bool(calls))
        """,
    ) == ["True"]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("when", BEFORE_OR_AFTER)
def test_hook_with_other_code_is_called(module, when):
    """The same function object, with somebody else's `__code__`."""
    assert run(
        when,
        module,
        """
        socketserver.patched = calls
        def service_actions(self):
            patched.append(1)
        socketserver.BaseServer.service_actions.__code__ = service_actions.__code__
        """,
        """
        serve(impl.TCPServer(("127.0.0.1", 0), handler))
        print(bool(calls))
        """,
    ) == ["True"]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("when", BEFORE_OR_AFTER)
@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "UDPServer"])
def test_handle_error_replaced_on_the_standard_class_is_called(module, when, base):
    """`socketserver.BaseServer.handle_error = quiet`: nothing is printed."""
    assert run(
        when,
        module,
        """
        def quiet(self, request, client_address):
            calls.append(sys.exc_info()[0].__name__)
            handler(request, client_address, self)
        socketserver.BaseServer.handle_error = quiet
        """,
        f"""
        serve(impl.{base}(("127.0.0.1", 0), failing))
        print(calls)
        """,
    ) == ["['ValueError', 'ValueError']"]


SETTINGS = [
    ("BaseServer", "timeout", "3.5", "TCPServer"),
    ("TCPServer", "allow_reuse_address", "True", "ThreadingTCPServer"),
    ("TCPServer", "address_family", "socket.AF_INET6", "TCPServer"),
    ("UDPServer", "max_packet_size", "100", "ThreadingUDPServer"),
    ("UDPServer", "allow_reuse_address", "True", "UDPServer"),
    ("ThreadingMixIn", "daemon_threads", "True", "ThreadingTCPServer"),
    ("ThreadingMixIn", "block_on_close", "False", "ThreadingUDPServer"),
    ("ForkingMixIn", "max_children", "7", "ForkingTCPServer"),
    ("ForkingMixIn", "timeout", "8", "ForkingTCPServer"),
    ("StreamRequestHandler", "timeout", "9", "StreamRequestHandler"),
    ("StreamRequestHandler", "wbufsize", "-1", "StreamRequestHandler"),
]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("when", BEFORE_OR_AFTER)
@pytest.mark.parametrize(("owner", "name", "value", "base"), SETTINGS)
def test_setting_on_the_standard_class_is_that_of_its_subclasses(
    module, when, owner, name, value, base
):
    """Inherited, not copied."""
    assert run(
        when,
        module,
        f"socketserver.{owner}.{name} = {value}",
        f"print(impl.{base}.{name} == {value})",
    ) == ["True"]


@pytest.mark.parametrize("module", MODULES)
def test_backlog_chosen_on_the_standard_class_before_the_import_is_kept(module):
    """Whoever states one is asked; ours replaces nothing but the old 5."""
    assert run(
        "before",
        module,
        "socketserver.TCPServer.request_queue_size = 77",
        "print(impl.ThreadingTCPServer.request_queue_size)",
    ) == ["77"]


@pytest.mark.parametrize("module", MODULES)
def test_close_replaced_on_the_standard_class_is_called(module):
    """Ours goes on to it."""
    assert run(
        "after",
        module,
        """
        stock = socketserver.TCPServer.server_close

        def own(self):
            calls.append(1)
            stock(self)

        socketserver.TCPServer.server_close = own
        """,
        """
        for base in (impl.TCPServer, impl.ThreadingTCPServer, impl.UDPServer):
            serve(base(("127.0.0.1", 0), handler))
        print(len(calls))
        """,
    ) == ["3"]


def test_stock_hooks_of_the_standard_module_need_no_tick():
    """They are known for what they are, and the loop sleeps."""
    assert run(
        "after",
        "fastsocketserver",
        "pass",
        """
        from fastsocketserver._shortcuts import TABLE, shortcut_owner
        for base in (impl.ThreadingTCPServer, impl.ForkingTCPServer, impl.UDPServer):
            with base(("127.0.0.1", 0), handler) as server:
                names = {row.hook for row in TABLE if shortcut_owner(server, row.hook) is None}
                print(sorted(names))
        """,
    ) == [
        "['collect_children']",
        "['process_request', 'verify_request']",
        "['collect_children', 'process_request', 'verify_request']",
    ]


@pytest.mark.parametrize("hook", ["verify_request", "service_actions"])
def test_hook_patched_and_put_back_is_stock_again(hook):
    """As is that of a reloaded module."""
    assert run(
        "before",
        "fastsocketserver",
        f"""
        calls.append(socketserver.BaseServer.{hook})
        socketserver.BaseServer.{hook} = lambda *args: True
        """,
        f"""
        from fastsocketserver._shortcuts import stock_owner
        server = impl.ThreadingTCPServer(("127.0.0.1", 0), handler)
        print(stock_owner(server, "{hook}"))
        socketserver.BaseServer.{hook} = calls[0]
        print(stock_owner(server, "{hook}"))
        base = socketserver.BaseServer
        import importlib
        importlib.reload(socketserver)
        base.{hook} = socketserver.BaseServer.{hook}
        print(stock_owner(server, "{hook}"))
        base.{hook} = base.handle_timeout
        print(stock_owner(server, "{hook}"))
        server.server_close()
        """,
    ) == ["None", "BaseServer", "BaseServer", "None"]
