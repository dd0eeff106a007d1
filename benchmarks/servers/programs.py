"""Programs on `socketserver` as their users write them; none knows of fastsocketserver.

``python servers/programs.py NAME PORT`` serves until it is stopped. With
``--stops N`` it starts and stops an idle server N times instead and prints how
long its own way of stopping took, in seconds, as a JSON list.

Each function takes a port and returns what serves (it blocks) and what stops
it from another thread, or None where only the interrupt key does. Log lines are
left on where the program writes them by default.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

HOST = "127.0.0.1"
PAGE = b"x" * 1024
FILES = Path(__file__).resolve().parent.parent / "build" / "files"
REST_S = (0.05, 0.55)  # idle for more than one poll_interval of 0.5 s, at any phase of it
START_LIMIT_S = 15

Parts = tuple[Callable[[], object], Callable[[], object] | None]


def echo(port: int) -> Parts:
    """The echo of the socketserver documentation, a thread each."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(self.request.recv(1024))

    server = socketserver.ThreadingTCPServer((HOST, port), Handler)
    return server.serve_forever, server.shutdown


def http_files(port: int) -> Parts:
    """Files by HTTP/1.1, a thread for each connection."""
    import functools
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

    handler = functools.partial(Handler, directory=FILES)
    server = ThreadingHTTPServer((HOST, port), handler)
    return server.serve_forever, server.shutdown


def wsgiref(port: int) -> Parts:
    from wsgiref.simple_server import make_server

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [PAGE]

    server = make_server(HOST, port, application)
    return server.serve_forever, server.shutdown


def xmlrpc(port: int) -> Parts:
    from xmlrpc.server import SimpleXMLRPCServer

    server = SimpleXMLRPCServer((HOST, port))
    server.register_function(lambda a, b: a + b, "add")
    return server.serve_forever, server.shutdown


def flask(port: int) -> Parts:
    import flask

    application = flask.Flask("benchmark")
    application.add_url_rule("/", view_func=lambda: PAGE)
    return lambda: application.run(HOST, port), None


def bottle(port: int) -> Parts:
    import bottle

    application = bottle.Bottle()
    application.route("/", callback=lambda: PAGE)
    return lambda: bottle.run(application, host=HOST, port=port), None


def prometheus(port: int) -> Parts:
    import prometheus_client

    registry = prometheus_client.CollectorRegistry()
    gauge = prometheus_client.Gauge("load", "Load", ["host"], registry=registry)
    for number in range(20):
        gauge.labels(f"host{number}").set(number)
    server, thread = prometheus_client.start_http_server(port, HOST, registry)
    return thread.join, server.shutdown


def dnslib(port: int) -> Parts:
    from dnslib import RR
    from dnslib.server import DNSServer

    class Resolver:
        def resolve(self, request, handler):
            reply = request.reply()
            reply.add_answer(*RR.fromZone(f"{request.q.qname} 60 A 192.0.2.1"))
            return reply

    server = DNSServer(Resolver(), HOST, port)
    return server.start, server.stop


def python_osc(port: int) -> Parts:
    from pythonosc.dispatcher import Dispatcher
    from pythonosc.osc_server import ThreadingOSCUDPServer

    dispatcher = Dispatcher()
    dispatcher.map("/echo", lambda address, number: (address, number))
    server = ThreadingOSCUDPServer((HOST, port), dispatcher)
    return server.serve_forever, server.shutdown


def pymodbus(port: int) -> Parts:
    from pymodbus.datastore import (
        ModbusSequentialDataBlock,
        ModbusServerContext,
        ModbusSlaveContext,
    )
    from pymodbus.server.sync import ModbusTcpServer

    block = ModbusSequentialDataBlock(0, [0] * 100)
    context = ModbusServerContext(slaves=ModbusSlaveContext(hr=block), single=True)
    server = ModbusTcpServer(context, address=(HOST, port), allow_reuse_address=True)
    return server.serve_forever, server.shutdown


def pymodbustcp(port: int) -> Parts:
    from pyModbusTCP.server import ModbusServer

    server = ModbusServer(HOST, port)
    return server.start, server.stop


PROGRAMS = {
    program.__name__: program
    for program in (
        echo,
        http_files,
        wsgiref,
        xmlrpc,
        flask,
        bottle,
        prometheus,
        dnslib,
        python_osc,
        pymodbus,
        pymodbustcp,
    )
}


def wait_until_serving() -> None:
    """Return once some thread is in `serve_forever`."""
    deadline_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline_s:
        for frame in sys._current_frames().values():
            while frame:
                if frame.f_code.co_name == "serve_forever":
                    return
                frame = frame.f_back
        time.sleep(0.005)
    raise SystemExit("the server did not start")


def timed_stop_s(name: str) -> float:
    """Start the program on a free port, leave it idle, stop it."""
    serve, stop = PROGRAMS[name](0)
    thread = threading.Thread(target=serve)
    thread.start()
    wait_until_serving()
    time.sleep(random.uniform(*REST_S))
    begin_s = time.perf_counter()
    stop()
    latency_s = time.perf_counter() - begin_s
    thread.join()
    return latency_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=PROGRAMS)
    parser.add_argument("port", type=int)
    parser.add_argument("--stops", type=int, metavar="N")
    options = parser.parse_args()
    if not options.stops:
        PROGRAMS[options.name](options.port)[0]()
        return
    timed_stop_s(options.name)  # the first one imports what stopping needs
    print(json.dumps([timed_stop_s(options.name) for _ in range(options.stops)]), flush=True)
    os._exit(0)  # idle workers of servers that were not closed are no part of this


if __name__ == "__main__":
    main()
