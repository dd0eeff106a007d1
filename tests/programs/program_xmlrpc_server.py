"""`xmlrpc.server`: XML-RPC, one by one, with threads and with processes, on HTTP/1.1.

`SimpleXMLRPCServer` takes `bind_and_activate`; `_send_traceback_header` and `logRequests` are
set on the class or instance; its handler sets `wbufsize` and `disable_nagle_algorithm`, and
reads large bodies in pieces.
"""

import os
import socketserver
import sys
import xmlrpc.client

from _scenario import HOST, HTTP_HALF, Program, run


def load():
    from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

    class Handler(SimpleXMLRPCRequestHandler):
        protocol_version = "HTTP/1.1"

    class OneByOne(Program):
        concurrent = False
        half = HTTP_HALF
        server_class = SimpleXMLRPCServer
        # On HTTP/1.1 a kept connection would occupy a server without threads.
        handler = SimpleXMLRPCRequestHandler

        def start(self):
            self.server = self.server_class((HOST, 0), self.handler, logRequests=False)
            self.address = self.server.server_address
            self.server.register_introspection_functions()
            self.server.register_multicall_functions()
            self.server.register_function(pow)
            self.server.register_function(len)
            self.in_thread(self.server.serve_forever)

        def converse(self, number):
            with xmlrpc.client.ServerProxy(f"http://{HOST}:{self.address[1]}") as proxy:
                methods = proxy.system.listMethods()
                power = proxy.pow(number, 2)
                length = proxy.len("x" * 300_000)
                calls = xmlrpc.client.MultiCall(proxy)
                calls.pow(2, 3)
                calls.len("four")
                many = list(calls())
                try:
                    proxy.pow(0, -1)
                except xmlrpc.client.Fault as fault:
                    failed = fault.faultString
            assert power == number**2
            assert length == 300_000
            return methods, power, many, failed

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

    class Threads(OneByOne):
        concurrent = True
        handler = Handler
        server_class = type(
            "ThreadingServer", (socketserver.ThreadingMixIn, SimpleXMLRPCServer), {}
        )

    servers = [OneByOne, Threads]
    if hasattr(os, "fork"):

        class Processes(Threads):
            clients_apart = True
            server_class = type(
                "ForkingServer", (socketserver.ForkingMixIn, SimpleXMLRPCServer), {}
            )

        servers.append(Processes)
    return servers


if __name__ == "__main__":
    sys.exit(run(load))
