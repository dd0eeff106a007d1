"""`python -m fastsocketserver --check`, and the mixing of classes that the document lists."""

from __future__ import annotations

import importlib.machinery
import re
import socketserver
import sys
from http.server import HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest

import fastsocketserver
from support.clients import exchange
from support.handlers import reply_ok
from support.serving import serving
from unmodified.processes import PACKAGE, run_with_us

# Line numbers matter: they are what the check reports.
SERVERS = """\
import abc, functools, http.server, socketserver, fastsocketserver

class Mixed(http.server.HTTPServer, fastsocketserver.ThreadingTCPServer):
    def get_request(self):
        return super().get_request()

class Standard(socketserver.ThreadingTCPServer):
    @functools.wraps(socketserver.BaseServer.verify_request)
    def verify_request(self, request, client_address):
        return True

class Own(fastsocketserver.ThreadingTCPServer):
    pass

class NoThreads(socketserver.TCPServer, socketserver.ThreadingMixIn):
    handle_timeout = functools.partial(print, "late")
    process_request = socketserver.BaseServer.process_request

class Forking(fastsocketserver.ForkingTCPServer):
    def service_actions(self):
        pass

class Asking(fastsocketserver.UDPServer):
    def __getattribute__(self, name):
        return super().__getattribute__(name)

class Copied(fastsocketserver.TCPServer):
    serve_forever = vars(socketserver)["BaseServer"].__dict__["serve_forever"]
    def _handle_request_noblock(self):
        pass

class Abstract(abc.ABC, fastsocketserver.TCPServer):
    @abc.abstractmethod
    def finish_request(self, request, client_address): ...

class Nagle(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = False
    def handle(self):
        pass

class Outer:
    class Inner(fastsocketserver.UDPServer):
        pass

def serve(): pass

class Storing(fastsocketserver.TCPServer):
    def __setattr__(self, name, value):
        self.__dict__[name] = value
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Run the check in a directory with `servers.py`; the same question is asked once."""
    directory = tmp_path_factory.mktemp("check")
    (directory / "servers.py").write_text(SERVERS)
    (directory / "broken.py").write_text("raise RuntimeError('at import')")
    (directory / "exits.py").write_text("raise SystemExit(0)")
    (directory / "replaced.py").write_text(REPLACED)
    answers = {}

    def check(*target):
        if target not in answers:
            answers[target] = run_with_us("--check", *target, cwd=directory)
        return answers[target]

    return check


REPLACED = """\
import socketserver
def accept(self): return self.socket.accept()
socketserver.TCPServer.get_request = accept
class Server(socketserver.TCPServer): pass
"""


def verdicts(checked, target):
    """hook -> the rest of its line."""
    process = checked(target)
    assert (process.returncode, process.stderr) == (0, "")
    lines = [line for line in process.stdout.splitlines() if line.startswith("  ")]
    pairs = [line.split(maxsplit=1) for line in lines if not line.startswith("    ")]
    return {hook: re.sub(r"\s+", " ", rest) for hook, rest in pairs}


def test_check_names_the_build(checked):
    """Version, Python, each compiled module's file, poller, system calls."""
    process = checked()
    assert (process.returncode, process.stderr) == (0, "")
    version = ".".join(map(str, sys.version_info[:3]))
    assert (
        f"fastsocketserver {fastsocketserver.__version__}, CPython {version}" in process.stdout
    )
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    compiled = [path.name for path in PACKAGE.iterdir() if path.name.endswith(suffix)]
    assert [name for name in compiled if name not in process.stdout] == []
    assert re.search(r"^poller +(epoll|poll)$", process.stdout, re.MULTILINE)
    assert re.search(r"^kernel +accept.*(pidfd)", process.stdout, re.MULTILINE)
    assert len(process.stdout.splitlines()) <= 24


def test_check_of_grafted_class_finds_native_shortcuts(checked):
    """http.server's own class, which knows nothing of us."""
    found = verdicts(checked, "http.server:ThreadingHTTPServer")
    native = [hook for hook, text in found.items() if text.startswith("native ")]
    assert native == [
        "_handle_request_noblock",
        "get_request",
        "verify_request",
        "process_request",
        "service_actions",
        "_BaseServer__shutdown_request",
    ]
    assert found["serve_forever"] == "ours socketserver.BaseServer"
    assert found["fileno"] == "standard socketserver.TCPServer"
    assert re.match(r"override http\.server\.HTTPServer, /.*:\d+$", found["server_bind"])


def test_check_of_own_class_names_ours(checked):
    """The public name of the class, not the private module."""
    found = verdicts(checked, "servers:Own")
    assert found["get_request"].startswith("native accept4(2)")
    assert found["server_close"] == "ours fastsocketserver.ThreadingMixIn"
    assert found["shutdown"] == "ours fastsocketserver.BaseServer"
    assert found["fileno"] == "standard socketserver.TCPServer"
    assert found["process_request_thread"] == "standard socketserver.ThreadingMixIn"
    assert found["verify_request"].startswith("native called, and known not to wait")


def test_check_of_override_says_where_and_what_it_costs_others(checked):
    """The shortcuts for requests of a batch need the native accept."""
    found = verdicts(checked, "servers:Mixed")
    where = re.fullmatch(
        r"override servers\.Mixed, (.*):4; no shortcut: overridden", found["get_request"]
    )
    assert Path(where.group(1)).name == "servers.py"
    for hook in ("verify_request", "process_request"):
        assert found[hook].endswith("no shortcut: it needs the stock get_request of "
                                    "TCPServer or UDPServer")  # fmt: skip


def test_check_of_setattr_names_what_it_costs(checked):
    """What is stored past the property wakes nobody."""
    found = verdicts(checked, "servers:Storing")
    assert found["_BaseServer__shutdown_request"] == (
        "ours fastsocketserver.BaseServer; "
        "no shortcut: it needs the stock __setattr__ of object"
    )
    assert found["get_request"].startswith("native accept4(2)")


def test_check_is_not_misled_by_wrapped_functions(checked):
    """functools.wraps copies `__module__`, and `__wrapped__` leads elsewhere."""
    found = verdicts(checked, "servers:Standard")
    assert re.search(r"^override servers\.Standard, .*:8; ", found["verify_request"])


def test_check_of_threading_after_the_server_finds_no_threads(checked):
    """As in the standard module; and objects that are no functions have no line."""
    found = verdicts(checked, "servers:NoThreads")
    assert found["process_request"].endswith("only for that of ThreadingMixIn")
    assert found["verify_request"].endswith(
        "it needs the stock process_request of ThreadingMixIn"
    )
    assert found["handle_timeout"] == "override servers.NoThreads"


def test_check_of_forking_class_knows_what_reaping_needs(checked):
    """service_actions and collect_children go together."""
    found = verdicts(checked, "servers:Forking")
    assert found["service_actions"].startswith("override servers.Forking")
    assert found["collect_children"].endswith(
        "it needs the stock service_actions of ForkingMixIn"
    )


def test_check_of_class_with_getattribute_finds_no_shortcuts(checked):
    """It may answer anything."""
    found = verdicts(checked, "servers:Asking")
    assert not [text for text in found.values() if text.startswith("native ")]
    assert found["get_request"].endswith("no shortcut: servers.Asking has a __getattribute__")


def test_check_of_overridden_noblock_finds_no_native_accept(checked):
    """The loop calls it, and so does not accept itself."""
    found = verdicts(checked, "servers:Copied")
    assert found["get_request"].endswith(
        "it needs the stock _handle_request_noblock of BaseServer"
    )


def test_check_of_abstract_class_answers(checked):
    """Nothing is instantiated for real."""
    found = verdicts(checked, "servers:Abstract")
    assert found["get_request"].startswith("native ")
    assert found["finish_request"].startswith("override servers.Abstract")


def test_check_of_nested_class_answers(checked):
    """`module:Outer.Inner`; a datagram server has the datagram shortcut."""
    assert verdicts(checked, "servers:Outer.Inner")["get_request"].startswith(
        "native recvmmsg(2)"
    )


def test_check_of_handler_tells_about_nodelay(checked):
    """The one thing that the server asks a handler class."""
    found = verdicts(checked, "servers:Nagle")
    assert list(found) == ["__init__", "setup", "handle", "finish"]
    assert "nodelay   off: servers.Nagle says" in checked("servers:Nagle").stdout
    assert "nodelay   on" in checked("http.server:SimpleHTTPRequestHandler").stdout


def test_check_of_method_replaced_on_a_standard_class_is_an_override(checked):
    """Found in socketserver.TCPServer, but not written there."""
    text = verdicts(checked, "replaced:Server")["get_request"]
    assert re.fullmatch(
        r"override socketserver\.TCPServer, .*replaced\.py:2; no shortcut: overridden", text
    )


def test_check_of_module_lists_its_classes(checked):
    """One short entry each, and how to ask for more."""
    output = checked("http.server").stdout
    assert "http.server:ThreadingHTTPServer, a server\n  native    _handle_request" in output
    assert "http.server:BaseHTTPRequestHandler, a handler\n  override  handle\n" in output
    assert "--check http.server:HTTPServer)" in output


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_module:X", "cannot import 'no_such_module': ModuleNotFoundError: .*"),
        ("servers:Missing", "no 'Missing' in module 'servers'"),
        ("servers:Outer.Missing", "no 'Outer.Missing' in module 'servers'"),
        ("servers:serve", "servers:serve is no class built on socketserver"),
        ("servers:Outer", "servers:Outer is no class built on socketserver"),
        ("json", "module 'json' has no class built on socketserver"),
        ("broken:X", "cannot import 'broken': RuntimeError: at import"),
        ("exits", "cannot import 'exits': SystemExit: 0"),
        (":X", "cannot import '': ValueError: .*"),
    ],
)
def test_check_of_what_is_not_there_fails_in_one_line(checked, target, said):
    """Exit status 2, and nothing else printed."""
    process = checked(target)
    assert (process.returncode, process.stdout) == (2, "")
    assert re.fullmatch(f"fastsocketserver: {said}\n", process.stderr)


def test_check_covers_every_documented_hook():
    """Each public method of the standard classes has its line."""
    from fastsocketserver import _check

    public = {
        name
        for cls in (socketserver.BaseServer, socketserver.TCPServer, socketserver.UDPServer,
                    socketserver.ThreadingMixIn, socketserver.ForkingMixIn)
        for name, value in vars(cls).items()
        if callable(value) and not name.startswith("_")
    }  # fmt: skip
    assert public <= set(_check.SERVER_HOOKS)
    assert {row.hook for row in fastsocketserver._shortcuts.TABLE} <= set(_check.SERVER_HOOKS)
    handler = {name for name in vars(socketserver.BaseRequestHandler) if name[0] != "_"}
    assert handler <= set(_check.HANDLER_HOOKS)


# -- the document's table of mixed classes -------------------------------------------------

DOCUMENT = Path(__file__).parents[2] / "docs" / "unmodified-programs.md"
SECTION = DOCUMENT.read_text().partition("\n## Mixing classes\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| `(.+)` \| (.+) \| (.+) \|$", SECTION, re.MULTILINE)


def mixed_class(bases):
    """`class Mixed(bases)`, evaluated as a program would."""
    namespace = {**globals()}
    exec(f"class Mixed({bases}): pass", namespace)
    return namespace["Mixed"]


def author(method):
    """ "ours" or "standard"."""
    ours = method.__globals__["__name__"].startswith("fastsocketserver")
    return "ours" if ours else "standard"


@pytest.mark.parametrize(("bases", "loop", "requests"), ROWS, ids=[row[0] for row in ROWS])
def test_mixed_class_is_what_the_document_says(bases, loop, requests):
    """Whose loop, whose threads; it serves, or is refused by Python."""
    if loop == "TypeError":
        with pytest.raises(TypeError, match="method resolution"):
            mixed_class(bases)
        return
    mixed = mixed_class(bases)
    assert author(mixed.serve_forever) == author(mixed.get_request) == loop
    process_request = mixed.process_request
    if requests == "one by one":
        assert process_request.__qualname__ == "BaseServer.process_request"
    else:
        assert process_request.__qualname__ == "ThreadingMixIn.process_request"
        author_of_threads = "ours" if requests.startswith("our ") else "standard"
        assert author(process_request) == author_of_threads
    with mixed(("127.0.0.1", 0), reply_ok) as server, serving(server):
        assert [exchange(server) for _ in range(3)] == [b"ok"] * 3


def test_http_server_after_ours_keeps_its_server_bind():
    """What our classes do not define themselves hides nothing."""
    with mixed_class("fastsocketserver.ThreadingTCPServer, HTTPServer")(
        ("127.0.0.1", 0), reply_ok
    ) as server:
        assert server.server_port == server.server_address[1]
        assert server.allow_reuse_address == HTTPServer.allow_reuse_address
    assert len(ROWS) > 10
    assert issubclass(ThreadingHTTPServer, HTTPServer)


def test_benchmark_of_each_shortcut_is_one_that_can_be_run(monkeypatch):
    """`benchmarks/run.py --cases` knows the name."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    cases = importlib.import_module("harness.cases")
    known = {case.name for case in cases.all_cases()} | {"robustness"}
    assert {row.benchmark for row in fastsocketserver._shortcuts.TABLE} <= known
