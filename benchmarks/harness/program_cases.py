"""The unmodified programs that are measured, and what is said to them."""

from __future__ import annotations

from dataclasses import dataclass

from harness.cases import as_file, get_request, xmlrpc_call
from harness.load_process import Load
from harness.native import BENCHMARKS, BUILD

# In the order of the columns: what `python` is given before the program.
PLAIN = "plain"
GRAFTED = "grafted"
PREFIXES = {PLAIN: (), GRAFTED: ("-m", "fastsocketserver")}

PROGRAMS = str(BENCHMARKS / "servers" / "programs.py")
FILES = BUILD / "files"
PAGE = b"x" * 1024  # servers.programs.PAGE


@dataclass(frozen=True)
class ProgramCase:
    """One row of the tables."""

    name: str
    title: str
    mode: str  # of native/load.c
    request: bytes
    answer_has: bytes  # somewhere in every right answer
    arguments: tuple[str, ...]  # of `python`, with {port}
    distribution: str = ""  # from PyPI; "" for the standard library
    module: str = ""  # what must be importable
    stops: bool = True  # `--stops` knows a way; otherwise SIGINT
    shares_stop: bool = False  # another row has measured how it stops
    id_offset: int = -1

    @property
    def is_http(self) -> bool:
        return self.mode.startswith("http")

    def command(self, python: str, impl: str, port: int, *more: str) -> list[str]:
        """The command line of the program, plain or grafted."""
        arguments = [argument.format(port=port) for argument in self.arguments]
        return [python, *PREFIXES[impl], *arguments, *more]


def _ours(name: str) -> tuple[str, ...]:
    return (PROGRAMS, name, "{port}")


# A question for the address of host.example (RFC 1035, 4.1); the number comes first.
_DNS = bytes.fromhex("0000 0100 0001 0000 0000 0000") + b"\4host\7example\0\0\1\0\1"
# /echo with one integer, the number in its lower half (Open Sound Control 1.0).
_OSC = b"/echo\0\0\0,i\0\0\0\0\0\0"
# Read ten holding registers (Modbus TCP: number, protocol, length, unit, function, ...).
_MODBUS = bytes.fromhex("0001 0000 0006 01 03 0000 000a")


def make_files() -> None:
    """The directory that the file servers serve."""
    FILES.mkdir(parents=True, exist_ok=True)
    (FILES / "page.txt").write_bytes(PAGE)


def program_cases() -> list[ProgramCase]:
    """Every program, in the order of the report."""
    page = "/page.txt"
    command_line = ("-m", "http.server", "{port}", "--bind", "127.0.0.1")
    command_line += ("--directory", str(FILES))
    return [
        ProgramCase("http_server", "`python -m http.server`, close", "http-close",
                    get_request("close", page), PAGE, command_line, stops=False),
        ProgramCase("http_files_keep", "`ThreadingHTTPServer`, HTTP/1.1 files, keep-alive",
                    "http-keep", get_request("keep-alive", page), PAGE, _ours("http_files")),
        ProgramCase("http_files_close", "the same, close", "http-close",
                    get_request("close", page), PAGE, _ours("http_files"), shares_stop=True),
        ProgramCase("wsgiref", "`wsgiref.simple_server`", "http-close",
                    get_request("close"), PAGE, _ours("wsgiref")),
        ProgramCase("xmlrpc", "`SimpleXMLRPCServer`", "http-close",
                    xmlrpc_call(), b"<int>5</int>", _ours("xmlrpc")),
        ProgramCase("echo", "`ThreadingTCPServer`, an echo per connection", "crc",
                    b"hello, world\n", b"hello", _ours("echo")),
        ProgramCase("flask", "Flask, `app.run()`", "http-close",
                    get_request("close"), PAGE, _ours("flask"), "Flask", "flask", stops=False),
        ProgramCase("bottle", "bottle, `run()`", "http-close",
                    get_request("close"), PAGE, _ours("bottle"), "bottle", "bottle",
                    stops=False),
        ProgramCase("prometheus", "prometheus_client, metrics", "http-close",
                    get_request("close", "/metrics"), b"host19", _ours("prometheus"),
                    "prometheus_client", "prometheus_client"),
        ProgramCase("dnslib", "dnslib, UDP", "udp", _DNS, bytes((192, 0, 2, 1)),
                    _ours("dnslib"), "dnslib", "dnslib", id_offset=0),
        ProgramCase("python_osc", "python-osc, threads, UDP", "udp", _OSC, b"/echo",
                    _ours("python_osc"), "python-osc", "pythonosc", id_offset=14),
        ProgramCase("pymodbus", "pymodbus 2, persistent connections", "persist",
                    _MODBUS, b"\x03\x14", _ours("pymodbus"), "pymodbus",
                    "pymodbus.server.sync"),
        ProgramCase("pymodbustcp", "pyModbusTCP, persistent connections", "persist",
                    _MODBUS, b"\x03\x14", _ours("pymodbustcp"), "pyModbusTCP", "pyModbusTCP"),
    ]  # fmt: skip


def load_of(case: ProgramCase, answer: bytes, clients: int) -> Load:
    """The load of so many clients in which every answer must be like the first one."""
    request_path = as_file(f"request-{case.name}", case.request)
    if case.is_http:
        length = len(answer.partition(b"\r\n\r\n")[2])
        return Load(case.mode, clients, request_path=request_path, body_length=length)
    return Load(
        case.mode,
        clients,
        request_path=request_path,
        reply_path=as_file(f"reply-{case.name}", answer),
        id_offset=case.id_offset,
    )


# What starting costs: the arguments of `python`.
START_UPS = {
    "`-c pass`": ("-c", "pass"),
    '`-c "import socketserver"`': ("-c", "import socketserver"),
    '`-c "import fastsocketserver; fastsocketserver.install()"`': (
        "-c",
        "import fastsocketserver; fastsocketserver.install()",
    ),
    "`-m fastsocketserver -c pass`": ("-m", "fastsocketserver", "-c", "pass"),
}
