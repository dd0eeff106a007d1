"""jsonrpclib-pelix: JSON-RPC, one by one and on a pool of its own.

`process_request` hands `self.process_request_thread` to its own thread pool;
`server_close` calls `shutdown()` first, so that it is also the way to stop, and `shutdown()`
comes twice. `address_family` is set before the base's `__init__`; `fileno()` is called after
it (FD_CLOEXEC). The handler class is made in the constructor.
"""

import sys

from _scenario import HOST, HTTP_HALF, Program, run


def load():
    import jsonrpclib
    from jsonrpclib.SimpleJSONRPCServer import PooledJSONRPCServer, SimpleJSONRPCServer
    from jsonrpclib.threadpool import ThreadPool

    class Simple(Program):
        server_class = SimpleJSONRPCServer
        concurrent = False
        half = HTTP_HALF

        def start(self):
            self.server = self.server_class((HOST, 0), logRequests=False, **self.options())
            self.address = self.server.server_address
            self.server.register_function(pow)
            self.server.register_function(lambda text: text[::-1], "reverse")
            self.in_thread(self.server.serve_forever)

        def options(self):
            return {}

        def converse(self, number):
            host, port = self.address
            server = jsonrpclib.ServerProxy(f"http://{host}:{port}")
            try:
                power = server.pow(number, 2)
                text = server.reverse("z" * 50_000 + str(number))
                try:
                    server.missing()
                except jsonrpclib.ProtocolError as error:
                    missing = error.args[0][0]
            finally:
                server("close")()
            assert power == number**2
            assert text[::-1] == "z" * 50_000 + str(number)
            return power, missing

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

    class Pooled(Simple):
        server_class = PooledJSONRPCServer
        concurrent = True

        def options(self):
            # Enough threads from the start: its default pool sometimes fails to grow when
            # all of them are taken by stuck clients.
            pool = ThreadPool(30, 15)
            pool.start()
            return {"thread_pool": pool}

        def stop(self):
            self.server.server_close()
            self.join()

    return [Simple, Pooled]


if __name__ == "__main__":
    sys.exit(run(load))
