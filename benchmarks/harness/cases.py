"""What is measured: every case with its work, its load and its competitors."""

from __future__ import annotations

import xmlrpc.client
from dataclasses import dataclass, replace

from harness.implementations import OURS, STANDARD
from harness.load_process import Load
from harness.native import BUILD

BOTH = (STANDARD, OURS)
PROTOCOLS = ("asyncio", "uvloop")
STREAMS = ("asyncio-streams", "uvloop-streams")
WITH_PROTOCOLS = (*BOTH, *PROTOCOLS, "gevent", "c")
WITH_STREAMS = (*BOTH, *STREAMS, "gevent", "c")
ALL = (*BOTH, *PROTOCOLS, *STREAMS, "gevent", "c")

SWEEP_CLIENTS = (1, 4, 16, 64, 200)
SWEEP_PREFIX = "crc_threaded_"
PAGE_BYTES = 1024  # servers.socketserver_works.BODY


@dataclass(frozen=True)
class Case:
    """One row group of the results."""

    name: str
    title: str
    work: str
    load: Load
    impls: tuple[str, ...] = BOTH
    quick: bool = False
    settle_s: float = 0.0  # time until all children are reaped, so their CPU counts
    client: str = "load"  # or "wrk"


def as_file(name: str, content: bytes) -> str:
    """The path of a file with these bytes, for the C program to read."""
    BUILD.mkdir(exist_ok=True)
    path = BUILD / name
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)
    return str(path)


def _http_load(mode: str, name: str, request: bytes, body_length: int) -> Load:
    path = as_file(f"request-{name}", request)
    return Load(mode, 16, request_path=path, body_length=body_length)


def get_request(connection: str, path: str = "/") -> bytes:
    """A raw GET; `connection` is keep-alive or close."""
    lines = (f"GET {path} HTTP/1.1", "Host: 127.0.0.1", f"Connection: {connection}", "", "")
    return "\r\n".join(lines).encode()


def xmlrpc_call() -> bytes:
    """The raw call of add(2, 3)."""
    body = xmlrpc.client.dumps((2, 3), "add").encode()
    lines = ("POST /RPC2 HTTP/1.1", "Host: 127.0.0.1", "Connection: close")
    lines += ("Content-Type: text/xml", f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body


def _xmlrpc_answer_length() -> int:
    return len(xmlrpc.client.dumps((5,), methodresponse=True).encode())


def _connect_reply_close() -> list[Case]:
    inline = [
        Case(
            f"crc_inline_{clients}",
            f"TCP connect-reply-close, inline, clients: {clients}",
            "crc_inline",
            Load("crc", clients),
            WITH_PROTOCOLS,
            quick=clients == 16,
        )
        for clients in (1, 16, 200)
    ]
    threaded = [
        Case(
            f"{SWEEP_PREFIX}{clients}",
            f"TCP connect-reply-close, threaded, clients: {clients}",
            "crc_threaded",
            Load("crc", clients),
            WITH_PROTOCOLS,
            quick=clients == 16,
        )
        for clients in SWEEP_CLIENTS
    ]
    return [
        *inline,
        *threaded,
        Case(
            "crc_streams_16",
            "TCP connect-reply-close, threaded, readline and write, 16 clients",
            "crc_streams",
            Load("crc", 16),
            WITH_STREAMS,
        ),
        Case(
            "crc_compute_16",
            "TCP connect-reply-close, threaded, each computes 1 ms, 16 clients",
            "crc_compute",
            Load("crc", 16),
        ),
        Case(
            "crc_forking_16",
            "TCP connect-reply-close, a process per request, 16 clients",
            "crc_forking",
            Load("crc", 16),
            quick=True,
            settle_s=0.6,  # the standard module reaps each 0.5 s
        ),
    ]


def _echo() -> list[Case]:
    lines = [
        Case(
            f"line_echo_{clients}",
            f"Line echo, threads, persistent connections: {clients}",
            "line_echo",
            Load("persist", clients),
            ALL,
        )
        for clients in (1, 50, 1000)
    ]
    payloads = [
        Case(
            f"payload_echo_{kib}k",
            f"{kib} KiB echo, threads, 16 persistent connections",
            "payload_echo",
            Load("persist", 16, size=kib * 1024),
            ALL,
        )
        for kib in (1, 10, 100)
    ]
    return [*lines, *payloads]


def _datagrams() -> list[Case]:
    inline = Case(
        "udp_32",
        "UDP echo, 32 in flight",
        "udp_inline",
        Load("udp", 32, size=64),
        WITH_PROTOCOLS,
        quick=True,
    )
    return [
        inline,
        replace(
            inline,
            name="udp_streams_32",
            title="UDP echo, DatagramRequestHandler, 32 in flight",
            work="udp_streams",
            impls=BOTH,
            quick=False,
        ),
        replace(
            inline,
            name="udp_threaded_32",
            title="UDP echo, a thread each, 32 in flight",
            work="udp_threaded",
            impls=BOTH,
            quick=False,
        ),
    ]


def _programs() -> list[Case]:
    keep = _http_load("http-keep", "keep", get_request("keep-alive"), PAGE_BYTES)
    close = _http_load("http-close", "close", get_request("close"), PAGE_BYTES)
    call = _http_load("http-close", "xmlrpc", xmlrpc_call(), _xmlrpc_answer_length())
    http = "http.server, threaded, 1 KiB page, 16 clients"
    native = [
        Case("http_keep_16", f"{http}, keep-alive", "http_keep", keep, quick=True),
        Case(
            "http_keep_nodelay_16",
            f"{http}, keep-alive, TCP_NODELAY on both",
            "http_keep_nodelay",
            keep,
        ),
        Case("http_close_16", f"{http}, Connection: close", "http_close", close, quick=True),
        Case("wsgi_16", "wsgiref, threaded, 16 clients", "wsgi", close),
        Case("xmlrpc_16", "xmlrpc.server, threaded, 16 clients", "xmlrpc", call),
    ]
    return [*native, *(_with_wrk(case) for case in native if case.quick)]


def _with_wrk(case: Case) -> Case:
    name, title = f"{case.name}_wrk", f"{case.title} (wrk)"
    return replace(case, name=name, title=title, client="wrk", quick=False)


def all_cases() -> list[Case]:
    """Every case, in the order of the report."""
    return [*_connect_reply_close(), *_echo(), *_datagrams(), *_programs()]
