"""The works for the standard module and everything with the same classes.

A work is a function of that module (`socketserver`, `fastsocketserver`) and
the size of a request; it returns a server, bound to a free port. The code of
both implementations is thus the same line for line, except `mixed`.
"""

from __future__ import annotations

import socketserver
import time
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

ADDRESS = ("127.0.0.1", 0)
# The same for all, so that a short backlog (5 in the standard module) does not
# decide a comparison of loops. The "burst" measurement keeps the defaults.
BACKLOG = 1024
BODY = b"x" * 1024


def served(server_class, handler, **attributes):
    """A server of a subclass made here, with daemon threads and our backlog."""
    settings = {"daemon_threads": True, "request_queue_size": BACKLOG, **attributes}
    return type("Server", (server_class,), settings)(ADDRESS, handler)


def mixed(module, server_class):
    """`server_class` of the standard library, threaded by `module`."""
    if module is socketserver and server_class is HTTPServer:
        return ThreadingHTTPServer  # the standard library's own mixture
    if module is socketserver:
        return type("Mixed", (module.ThreadingMixIn, server_class), {})
    return type("Mixed", (server_class, module.ThreadingTCPServer), {})


def recv_send_handler(module):
    class RecvSend(module.BaseRequestHandler):
        def handle(self):
            self.request.sendall(self.request.recv(4096))

    return RecvSend


def crc_inline(module, size):
    return served(module.TCPServer, recv_send_handler(module))


def crc_threaded(module, size):
    return served(module.ThreadingTCPServer, recv_send_handler(module))


def crc_forking(module, size):
    return served(module.ForkingTCPServer, recv_send_handler(module))


def crc_compute(module, size):
    """Each request computes for a millisecond of CPU time, GIL held."""

    class Compute(module.BaseRequestHandler):
        def handle(self):
            data = self.request.recv(4096)
            end_s = time.thread_time() + 0.001
            while time.thread_time() < end_s:
                pass
            self.request.sendall(data)

    return served(module.ThreadingTCPServer, Compute)


def crc_streams(module, size):
    class ReadlineWrite(module.StreamRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.readline())

    return served(module.ThreadingTCPServer, ReadlineWrite)


def line_echo(module, size):
    class LineEcho(module.StreamRequestHandler):
        def handle(self):
            while line := self.rfile.readline():
                self.wfile.write(line)

    return served(module.ThreadingTCPServer, LineEcho)


def payload_echo(module, size):
    class PayloadEcho(module.StreamRequestHandler):
        def handle(self):
            while data := self.rfile.read(size):
                self.wfile.write(data)

    return served(module.ThreadingTCPServer, PayloadEcho)


def datagram_echo_handler(module):
    class DatagramEcho(module.BaseRequestHandler):
        def handle(self):
            data, sock = self.request
            sock.sendto(data, self.client_address)

    return DatagramEcho


def udp_inline(module, size):
    return served(module.UDPServer, datagram_echo_handler(module))


def udp_threaded(module, size):
    return served(module.ThreadingUDPServer, datagram_echo_handler(module))


def udp_streams(module, size):
    class DatagramStreams(module.DatagramRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.read())

    return served(module.UDPServer, DatagramStreams)


class Pages(BaseHTTPRequestHandler):
    """A page of 1 KiB; log lines would measure the terminal."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *args):
        pass


class ClosingPages(Pages):
    protocol_version = "HTTP/1.0"


class PagesWithoutNagle(Pages):
    disable_nagle_algorithm = True


def http_keep(module, size):
    return served(mixed(module, HTTPServer), Pages)


def http_keep_nodelay(module, size):
    return served(mixed(module, HTTPServer), PagesWithoutNagle)


def http_close(module, size):
    return served(mixed(module, HTTPServer), ClosingPages)


def wsgi(module, size):
    class Quiet(WSGIRequestHandler):
        def log_message(self, *args):
            pass

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [BODY]

    server = served(mixed(module, WSGIServer), Quiet)
    server.set_app(application)
    return server


def xmlrpc(module, size):
    settings = {"daemon_threads": True, "request_queue_size": BACKLOG}
    server_class = type("Server", (mixed(module, SimpleXMLRPCServer),), settings)
    server = server_class(ADDRESS, SimpleXMLRPCRequestHandler, logRequests=False)
    server.register_function(lambda a, b: a + b, "add")
    return server


WORKS = {
    work.__name__: work
    for work in (
        crc_inline,
        crc_threaded,
        crc_forking,
        crc_compute,
        crc_streams,
        line_echo,
        payload_echo,
        udp_inline,
        udp_threaded,
        udp_streams,
        http_keep,
        http_keep_nodelay,
        http_close,
        wsgi,
        xmlrpc,
    )
}
