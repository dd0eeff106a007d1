"""install() and uninstall(): what a program can do to the graft, and it to a program.

Each test runs a program of its own, so that no class of this process is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import fastsocketserver
from native.processes import environment, run_program

PRELUDE = """
import functools, importlib, os, pickle, socket, socketserver, sys, threading, time, warnings
import http.server, xmlrpc.server
warnings.simplefilter("always")

STANDARD = [getattr(socketserver, name) for name in dir(socketserver)
            if isinstance(getattr(socketserver, name), type)
            and getattr(socketserver, name).__module__ == "socketserver"]
BEFORE = {cls: dict(vars(cls)) for cls in STANDARD}

def changed():
    return {(cls.__name__, name)
            for cls in STANDARD
            for name in {*vars(cls), *BEFORE[cls]}
            if vars(cls).get(name) is not BEFORE[cls].get(name)
            and name not in ("__static_attributes__",)}

def reply(request, address, server):
    request.sendall(b"ok")

def ask(server):
    with socket.create_connection(server.server_address, 20) as client:
        client.settimeout(20)
        return client.recv(10).decode()

def serve(server, poll_interval=0.05):
    loop = threading.Thread(target=server.serve_forever, args=(poll_interval,))
    loop.start()
    return loop

def ours(server):
    # Only our loop stops at once when the interval is an hour.
    loop = serve(server, 3600)
    ask(server)
    server.shutdown()
    loop.join(20)
    return not loop.is_alive()

from fastsocketserver import _graft, install, installed, uninstall

def state():
    # What the classes have, in one word; installed() has to agree.
    rows = {(cls, name) for cls, names in _graft.TABLE.items() for name in names}
    word = {frozenset(): "none", frozenset(rows): "all"}.get(frozenset(changed()), "half")
    return word if installed() == (word == "all") else f"{word}, installed() disagrees"

def at_bytecode(number, act):
    def trace(frame, event, arg):
        nonlocal number
        if frame.f_code.co_filename != _graft.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            number -= 1
            if number == 0:
                sys.settrace(None)
                act()
        return trace
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for one at settrace()
    sys.settrace(trace)

def at_each_bytecode(call, act, again):
    # call() again and again, with act() at another bytecode of the graft's module each
    # time, as a signal handler may run there; again() in between. Each ending once.
    beginnings, endings, number, acted = set(), set(), 0, [True]
    def recorded():
        acted.append(True)
        act()
    while acted:
        again()
        beginnings.add(state())
        acted.clear()
        number += 1
        at_bytecode(number, recorded)
        try:
            call()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        endings.add(state())
    assert number > 300, number  # it was there
    assert len(beginnings) == 1, beginnings  # again() can undo whatever it was
    return sorted(endings)

def interrupt():
    raise KeyboardInterrupt
"""


def run(program, **kwargs):
    """The lines that the program printed after the prelude."""
    return run_program(PRELUDE + textwrap.dedent(program), **kwargs)


def test_install_grafts_what_the_table_says_and_nothing_else():
    """The table is all that is grafted."""
    assert run("""
        from fastsocketserver._graft import TABLE
        install()
        missing = {(cls, name) for cls, names in TABLE.items() for name in names} ^ changed()
        print(sorted(missing))
        print({name for cls, names in TABLE.items() for name in names
               if vars(getattr(socketserver, cls))[name]
               is not vars(getattr(sys.modules["fastsocketserver"], cls))[name]})
    """) == ["[]", "{'server_close'}"]  # which goes on with super()


def test_uninstall_gives_back_every_attribute():
    """Identical objects under every name of every class, however often."""
    assert (
        run("""
        for _ in range(3):
            print(installed())
            install()
            install()
            print(installed(), bool(changed()))
            uninstall()
            print(installed(), sorted(changed()))
            uninstall()
            print(sorted(changed()))
    """)
        == ["False", "True True", "False []", "[]"] * 3
    )


def test_install_warns_of_nothing_when_nothing_was_replaced():
    """Twice, with warnings as errors."""
    assert run("""
        warnings.simplefilter("error")
        install(); install(); uninstall(); install()
        print(installed())
    """) == ["True"]


def test_existing_instances_and_subclasses_get_our_loop():
    """Made before install(), in whatever module."""
    assert (
        run("""
        class Sub(socketserver.ThreadingTCPServer):
            pass

        servers = [cls(("127.0.0.1", 0), reply) for cls in
                   (socketserver.TCPServer, socketserver.ThreadingTCPServer, Sub,
                    http.server.HTTPServer, http.server.ThreadingHTTPServer)]
        install()
        for server in servers:
            print(ours(server))
            server.server_close()
    """)
        == ["True"] * 5
    )


def test_methods_of_a_subclass_stay_in_front():
    """An override wins under the graft as well."""
    assert run("""
        calls = []

        class Sub(socketserver.TCPServer):
            def get_request(self):
                calls.append("get_request")
                return super().get_request()

            def verify_request(self, request, client_address):
                calls.append("verify_request")
                return super().verify_request(request, client_address)

        server = Sub(("127.0.0.1", 0), reply)
        install()
        print(ours(server), calls)
        server.server_close()
    """) == ["True ['get_request', 'verify_request']"]


def test_dir_shows_names_that_are_loaded_when_asked_for():
    """Those that the standard module does not have; looking loads nothing."""
    assert run_program("""
        import sys
        import fastsocketserver
        print({"Limits", "install", "installed", "uninstall"} <= set(dir(fastsocketserver)))
        print("fastsocketserver._graft" in sys.modules)
    """) == ["True", "False"]


@pytest.mark.parametrize(
    "first", ["import fastsocketserver", "import socketserver", "import http.server"]
)
def test_import_order_does_not_matter(first):
    """Whatever came first, programs that import later get our loop."""
    assert run_program(f"""
        {first}
        import fastsocketserver
        fastsocketserver.install()
        import http.server, socketserver
        print(http.server.HTTPServer.serve_forever is fastsocketserver.BaseServer.serve_forever)
    """) == ["True"]


def test_install_and_uninstall_by_many_threads_at_once():
    """In the end everything is on, or everything is off."""
    assert run("""
        sys.setswitchinterval(1e-5)

        def both():
            for _ in range(50):
                install(); uninstall()

        threads = [threading.Thread(target=both) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(installed(), sorted(changed()))
        install()
        print(installed())
    """) == ["False []", "True"]


def test_install_within_an_install_makes_each_method_once():
    """Two threads that get there at once, or a signal handler: else one of the two methods
    would be taken for somebody else's, and stay for good."""
    assert run("""
        from fastsocketserver import _closing

        make = _closing._MAKERS["TCPServer"]

        def interrupted(cls):
            _closing._MAKERS["TCPServer"] = make
            install()
            return make(cls)

        _closing._MAKERS["TCPServer"] = interrupted
        install()
        print(state())
        uninstall()
        print(state())
    """) == ["all", "none"]


def test_install_while_servers_run_loses_no_request():
    """Standard loops, ours, and both ways back, under load."""
    assert run("""
        servers = [cls(("127.0.0.1", 0), reply) for cls in
                   (socketserver.TCPServer, socketserver.ThreadingTCPServer)]
        loops = [serve(server, 0.02) for server in servers]
        over = threading.Event()

        def toggle():
            while not over.is_set():
                install(); time.sleep(0.002); uninstall(); time.sleep(0.002)

        toggling = threading.Thread(target=toggle)
        toggling.start()
        print({ask(server) for _ in range(200) for server in servers})
        over.set()
        toggling.join()
        for server, loop in zip(servers, loops):
            server.shutdown()
            loop.join(20)
            print(loop.is_alive())
            server.server_close()
    """) == ["{'ok'}", "False", "False"]


def test_install_while_a_standard_loop_runs_leaves_it_in_its_loop():
    """It serves on, and shutdown() ends it at its next poll."""
    assert run("""
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), reply)
        loop = serve(server)
        ask(server)
        install()
        print(ask(server), ask(server))
        server.shutdown()
        assert server._BaseServer__is_shut_down.is_set()  # it has waited
        loop.join(20)
        print(loop.is_alive())
        print(ours(server))
        server.server_close()
    """) == ["ok ok", "False", "True"]


def test_install_server_close_is_the_standard_one_and_our_part():
    """A class in between is called once; workers are joined, and end; the loop ends."""
    assert run("""
        class Between(socketserver.ThreadingTCPServer):
            def server_close(self):
                print("between")
                super().server_close()

        class Outer(socketserver.ThreadingMixIn, socketserver.TCPServer):
            pass

        install()
        for cls in (Between, Outer):
            server = cls(("127.0.0.1", 0), reply)
            loop = serve(server, 3600)
            ask(server)
            server.server_close()
            loop.join(20)
            print(loop.is_alive(), threading.active_count(), server.fileno())
    """) == ["between", "False 1 -1", "False 1 -1"]


def test_install_server_close_collects_the_children():
    """As the standard body does, whose place ours takes."""
    assert run(
        """
        install()
        server = socketserver.ForkingTCPServer(("127.0.0.1", 0), reply)
        loop = serve(server, 3600)
        ask(server)
        server.shutdown()
        loop.join(20)
        server.server_close()
        print(server.active_children, server.fileno())
    """,
        flags=("-W", "ignore"),
    ) == ["set() -1"]


def test_install_server_close_waits_for_no_child_without_block_on_close():
    """As the standard one does not."""
    assert run(
        """
        install()
        reader, writer = os.pipe()

        class Server(socketserver.ForkingTCPServer):
            block_on_close = False

        def wait_for_the_end(request, address, server):
            os.close(writer)
            os.read(reader, 1)

        server = Server(("127.0.0.1", 0), wait_for_the_end)
        with socket.create_connection(server.server_address):
            server.handle_request()
        server.server_close()
        print(len(server.active_children))
        os.close(writer)
        os.waitpid(*server.active_children, 0)
    """,
        flags=("-W", "ignore"),
    ) == ["1"]


def test_uninstall_wakes_every_loop():
    """It would look by itself, but not soon."""
    assert run("""
        from fastsocketserver._loop import running_loops

        class Running:
            def wake(self):
                print("woken")

        install()
        running_loops.add(Running())
        uninstall()
    """) == ["woken"]


def test_uninstall_while_servers_run_lets_them_stop_within_their_interval():
    """From then on the loop ticks, since nothing wakes it any more."""
    assert (
        run("""
        install()
        servers = [cls(("127.0.0.1", 0), reply) for cls in
                   (socketserver.TCPServer, socketserver.ThreadingTCPServer)]
        for server in servers:
            loop = serve(server, 0.05)
            ask(server)
            uninstall()
            print(ask(server))
            server.shutdown()
            loop.join(20)
            print(loop.is_alive())
            server.server_close()
            install()
    """)
        == ["ok", "False"] * 2
    )


def test_uninstall_while_datagrams_are_left_over_lets_the_loop_serve_them():
    """What was taken from the kernel is served."""
    assert run("""
        install()
        served = []

        def handler(request, address, server):
            if not served:
                uninstall()
            served.append(request[0])

        with socketserver.UDPServer(("127.0.0.1", 0), handler) as server:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                for number in range(10):
                    client.sendto(b"%d" % number, server.server_address)
            loop = serve(server)
            until = time.monotonic() + 20
            while len(served) < 10 and time.monotonic() < until:
                time.sleep(0.001)
            server.shutdown()
            loop.join(20)
            print(len(served), loop.is_alive())
    """) == ["10 False"]


@pytest.mark.parametrize("name", ["serve_forever", "shutdown", "handle_request"])
def test_install_leaves_a_replaced_method_alone_and_says_so(name):
    """The program's own, put on the standard class before."""
    assert run(f"""
        def own(self, *args):
            return "own"

        socketserver.BaseServer.{name} = own
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            install()
        print([(w.category.__name__, "BaseServer.{name}" in str(w.message)) for w in caught])
        print(socketserver.BaseServer.{name} is own)
        uninstall()
        print(socketserver.BaseServer.{name} is own, sorted(changed()))
    """) == ["[('RuntimeWarning', True)]", "True", f"True [('BaseServer', '{name}')]"]


def test_install_leaves_a_method_alone_that_is_wrapped_with_functools():
    """functools.wraps copies the names of the standard one: instrumentation does that."""
    assert run("""
        stock = socketserver.TCPServer.get_request

        @functools.wraps(stock)
        def own(self):
            return stock(self)

        socketserver.TCPServer.get_request = own
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            install()
        print([("TCPServer.get_request" in str(w.message)) for w in caught])
        print(socketserver.TCPServer.get_request is own)
    """) == ["[True]", "True"]


def test_uninstall_leaves_alone_what_was_replaced_after_install():
    """The program's own, put over ours."""
    assert run("""
        install()

        def own(self):
            pass

        socketserver.BaseServer.service_actions = own
        uninstall()
        print(socketserver.BaseServer.service_actions is own)
        print(sorted(changed()))
    """) == ["True", "[('BaseServer', 'service_actions')]"]


def test_method_replaced_after_install_is_called():
    """An override always wins, on the standard class too."""
    assert run("""
        install()
        calls = []
        stock = socketserver.TCPServer.get_request

        def own(self):
            calls.append(1)
            return stock(self)

        server = socketserver.TCPServer(("127.0.0.1", 0), reply)
        loop = serve(server)
        ask(server)
        socketserver.TCPServer.get_request = own
        ask(server)
        print(calls)
        server.shutdown()
        loop.join()
        server.server_close()
    """) == ["[1]"]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("socketserver.TCPServer.request_queue_size = 7", 7),
        ("http.server.HTTPServer.request_queue_size = 7", 7),
        ("pass", "socket.SOMAXCONN"),
    ],
)
def test_request_queue_size_of_the_program_is_kept(statement, expected):
    """On the standard class, or on a subclass."""
    assert run(f"""
        {statement}
        warnings.simplefilter("ignore")
        install()
        print(http.server.HTTPServer.request_queue_size == {expected})
    """) == ["True"]


def test_reload_of_socketserver_leaves_what_was_there_working():
    """New classes in the module; those of before, and ours, go on, and can be closed."""
    assert (
        run(
            """
        import fastsocketserver
        install()
        old = socketserver.ThreadingTCPServer(("127.0.0.1", 0), reply)
        mine = fastsocketserver.ThreadingTCPServer(("127.0.0.1", 0), reply)
        forking = fastsocketserver.ForkingTCPServer(("127.0.0.1", 0), reply)
        importlib.reload(socketserver)
        print(installed())
        for server in (old, mine, forking):
            print(ours(server))
            server.server_close()
    """,
            flags=("-W", "ignore"),
        )
        == ["False"] + ["True"] * 3
    )


def test_reload_of_socketserver_then_install_grafts_the_new_classes():
    """And uninstall() gives back both."""
    assert run("""
        install()
        importlib.reload(socketserver)
        new = dict(vars(socketserver.BaseServer))
        install()
        print(installed())
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), reply)
        print(ours(server))
        server.server_close()
        uninstall()
        print(installed(), sorted(changed()))
        print(all(vars(socketserver.BaseServer)[name] is new[name] for name in new))
    """) == ["True", "True", "False []", "True"]


def test_reload_of_socketserver_then_install_turns_nagle_off():
    """The new StreamRequestHandler's attribute is a default as well."""
    assert run("""
        importlib.reload(socketserver)
        install()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                option = self.request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                self.wfile.write(b"on" if option else b"off")

        server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        loop = serve(server)
        print(ask(server))
        server.shutdown()
        loop.join()
        server.server_close()
    """) == ["on"]


def test_identity_pickling_and_isinstance_are_unchanged():
    """The classes are the same objects."""
    assert (
        run("""
        before = pickle.dumps(socketserver.ThreadingTCPServer)
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), reply)
        mro = http.server.ThreadingHTTPServer.__mro__
        install()
        print(pickle.dumps(socketserver.ThreadingTCPServer) == before)
        print(pickle.loads(before) is type(server) is socketserver.ThreadingTCPServer)
        print(isinstance(server, socketserver.BaseServer))
        print(http.server.ThreadingHTTPServer.__mro__ == mro)
        server.server_close()
    """)
        == ["True"] * 4
    )


def test_server_closed_after_uninstall_keeps_no_thread_for_long():
    """Its idle workers are ours; the program ends at once all the same."""
    assert run("""
        install()
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), reply)
        loop = serve(server)
        ask(server)
        uninstall()
        server.shutdown()
        loop.join(20)
        server.server_close()
        print(loop.is_alive())
    """) == ["False"]


def test_import_in_a_subinterpreter_works_or_says_why_not():
    """An ImportError that names the package, never a crash."""
    lines = run_program("""
        import fastsocketserver
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        code = '''if True:
            try:
                import fastsocketserver
                fastsocketserver.TCPServer(("127.0.0.1", 0), None).server_close()
                print("works", flush=True)
            except ImportError as error:
                print(error, flush=True)
        '''
        number = interpreters.create()
        run = getattr(interpreters, "run_string", None) or interpreters.exec
        run(number, code)
        interpreters.destroy(number)
        print("main goes on")
    """)
    assert lines[-1] == "main goes on"
    assert lines[0] == "works" or "subinterpreter" in lines[0]


def test_missing_compiled_modules_are_named(tmp_path):
    """An interpreter that they were not built for."""
    package = Path(fastsocketserver.__file__).parent
    shutil.copytree(
        package,
        tmp_path / "fastsocketserver",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )
    paths = [path for path in sys.path if path and Path(path) != package.parent]
    done = subprocess.run(
        [sys.executable, "-c", "import fastsocketserver"],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
        env=environment() | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *paths])},
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: fastsocketserver's compiled modules cannot be loaded")


# -- all or nothing -------------------------------------------------------------------------


def test_install_with_warnings_as_errors_is_complete_when_it_raises():
    """The warning comes when all is done, and names everything that was left alone."""
    assert run("""
        def own(self):
            return "own"

        socketserver.BaseServer.shutdown = socketserver.TCPServer.get_request = own
        warnings.simplefilter("error")
        try:
            install()
        except RuntimeWarning as warning:
            print([name in str(warning) for name in ("shutdown", "TCPServer.get_request")])
        print(state())
        uninstall()
        print(installed(), sorted(changed()))
    """) == [
        "[True, True]",
        "all",
        "False [('BaseServer', 'shutdown'), ('TCPServer', 'get_request')]",
    ]


def test_server_closed_while_served_stops_after_install_has_raised():
    """Half of the methods would leave the loop asleep for ever."""
    assert run("""
        socketserver.BaseServer.handle_request = lambda self: None
        warnings.simplefilter("error")
        try:
            install()
        except RuntimeWarning:
            pass
        server = socketserver.TCPServer(("127.0.0.1", 0), reply)
        loop = serve(server, 3600)
        print(ask(server))
        server.server_close()
        loop.join(20)
        print(loop.is_alive())
    """) == ["ok", "False"]


@pytest.mark.parametrize("question", ["installed", "install", "uninstall"])
def test_warnings_hook_may_ask_and_act(question):
    """No lock is held when a hook of the program runs."""
    assert run(f"""
        socketserver.BaseServer.shutdown = lambda self: None
        calls = []

        def hook(*args):
            if not calls:
                calls.append(None)
                calls[0] = {question}()

        warnings.showwarning = hook
        install()
        print(calls, installed())
    """) == [
        {"installed": "[True] True", "install": "[None] True", "uninstall": "[None] False"}[
            question
        ]
    ]


@pytest.mark.parametrize(
    ("call", "act", "again", "endings"),
    [
        ("install", "interrupt", "uninstall", ["all", "none"]),
        ("uninstall", "interrupt", "install", ["all", "none"]),
        ("install", "uninstall", "uninstall", ["all", "none"]),
        ("uninstall", "install", "install", ["all", "none"]),
        ("install", "installed", "uninstall", ["all"]),
    ],
)
def test_signal_at_any_bytecode_leaves_all_or_nothing(call, act, again, endings):
    """A handler that raises, one that does the opposite, and one that asks."""
    assert run(f"print(at_each_bytecode({call}, {act}, {again}))") == [str(endings)]


def test_install_in_a_child_forked_during_one_works():
    """No lock that another thread held at the fork."""
    assert run("""
        pids = []

        def fork():
            pid = os.fork()
            if pid == 0:
                try:
                    install()
                    status = not installed()
                    uninstall()
                    os._exit(2 * status + bool(changed()))
                finally:
                    os._exit(9)
            pids.append(pid)

        at_bytecode(300, fork)
        install()
        sys.settrace(None)
        print(installed(), [os.waitpid(pid, 0)[1] for pid in pids])
    """) == ["True [0]"]


def test_installed_is_true_when_all_that_can_be_is_ours():
    """What the program has put there itself, before or after, is not ours to have."""
    assert run("""
        socketserver.BaseServer.serve_forever = lambda self: None
        warnings.simplefilter("ignore")
        install()
        print(installed())
        socketserver.BaseServer.shutdown = lambda self: None
        print(installed())
    """) == ["True", "True"]


def test_installed_is_false_when_a_method_is_the_standard_one():
    """Put back by the program; install() mends that."""
    assert run("""
        stock = socketserver.BaseServer.shutdown
        install()
        socketserver.BaseServer.shutdown = stock
        print(installed())
        install()
        print(installed())
        uninstall()
        print(installed(), sorted(changed()))
    """) == ["False", "True", "False []"]


@pytest.mark.parametrize("name", ["shutdown", "serve_forever", "_BaseServer__shutdown_request"])
def test_uninstall_in_a_mock_patch_ends_at_the_original(name):
    """The mock has taken our method, and puts something back at its end."""
    assert run(f"""
        from unittest import mock
        install()
        with mock.patch.object(socketserver.BaseServer, "{name}", 1):
            with mock.patch("socketserver.BaseServer.{name}") as inner:
                with mock.patch.object(socketserver.TCPServer, "get_request"):
                    uninstall()
                    print(socketserver.BaseServer.{name} is inner)
                print(socketserver.BaseServer.{name} is inner)
            print(socketserver.BaseServer.{name})
        print(installed(), sorted(changed()))
    """) == ["True", "True", "1", "False []"]


def test_uninstall_in_a_started_mock_patch_ends_at_the_original():
    """The same for start() and stop(), and when it is used once more after that."""
    assert run("""
        from unittest import mock
        install()
        patch = mock.patch.multiple(socketserver.BaseServer, shutdown=1, handle_request=2)
        patch.start()
        uninstall()
        patch.stop()
        print(installed(), sorted(changed()))
        install()
        patch.start()
        patch.stop()
        print(installed())
    """) == ["False []", "True"]


def test_uninstall_again_takes_away_what_somebody_put_back():
    """Who keeps our method and assigns it later is not known to uninstall()."""
    assert run("""
        install()
        kept, socketserver.BaseServer.shutdown = socketserver.BaseServer.shutdown, None
        uninstall()
        socketserver.BaseServer.shutdown = kept
        print(installed(), sorted(changed()))
        uninstall()
        print(sorted(changed()))
    """) == ["False [('BaseServer', 'shutdown')]", "[]"]


def test_install_when_a_class_was_replaced_in_the_module_grafts_the_standard_one():
    """What others have imported, or derived from, is the standard class."""
    assert run("""
        standard = socketserver.TCPServer

        class Own(standard):
            pass

        socketserver.TCPServer = Own
        socketserver.UDPServer = None
        warnings.simplefilter("error")
        install()
        print(installed(), vars(Own).keys() >= {"get_request"}, len(changed()) > 3)
        server = http.server.HTTPServer(("127.0.0.1", 0), reply)
        print(ours(server))
        server.server_close()
        uninstall()
        print(sorted(changed()))
    """) == ["True False True", "True", "[]"]
