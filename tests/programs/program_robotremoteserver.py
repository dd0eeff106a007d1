"""robotremoteserver: Robot Framework keywords over XML-RPC, stopped in each of its ways.

`SimpleXMLRPCServer` with `bind_and_activate=False`; `server_address` is read before binding;
in the main thread a signal handler, and otherwise a request that is being served, start a
thread which calls `shutdown()`; `serve_forever` must then return, and `server_close` follows.
"""

import os
import signal
import sys
import xmlrpc.client

from _scenario import HOST, HTTP_HALF, Program, run


def load():
    import robotremoteserver

    class Library:
        def join(self, *words):
            print("joining")
            return "-".join(words)

        def fail(self):
            raise AssertionError("on purpose")

    class BySignal(Program):
        concurrent = False
        half = HTTP_HALF

        def start(self):
            self.server = robotremoteserver.RobotRemoteServer(
                Library(), HOST, port=0, serve=False
            )
            self.address = (HOST, self.server.activate())
            self.url = f"http://{HOST}:{self.address[1]}"

        def main(self):
            self.server.serve(log=False)

        def converse(self, number):
            with xmlrpc.client.ServerProxy(self.url) as proxy:
                names = proxy.get_keyword_names()
                joined = proxy.run_keyword("join", ["a", str(number)])
                failed = proxy.run_keyword("fail", [])
            assert joined["return"] == f"a-{number}"
            assert failed["status"] == "FAIL"
            return names, joined, failed["error"]

        def stop(self):
            os.kill(os.getpid(), signal.SIGTERM)

    class ByRequest(BySignal):
        def stop(self):
            assert robotremoteserver.stop_remote_server(self.url, log=False)

    class FromThread(BySignal):
        main = None

        def start(self):
            super().start()
            self.in_thread(self.server.serve, False)

        def stop(self):
            self.server.stop()
            self.join()

    return [BySignal, ByRequest, FromThread]


if __name__ == "__main__":
    sys.exit(run(load))
