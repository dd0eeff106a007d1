"""bottle: `run()` on `wsgiref` in the main thread, ended by `shutdown()` from another one.

Its adapter makes a server class with `address_family` in the class body when the host is an
IPv6 address, overrides `address_string` and `log_request` of the handler, and reads
`server_port` before it serves; `serve_forever()` ends in `server_close()` on interrupt.
"""

import json
import os
import signal
import sys

from _scenario import (
    HOST,
    HTTP_HALF,
    Program,
    http_request,
    run,
    wait_until,
    wait_until_main_thread_waits,
)


def load():
    import bottle

    class Bottle(Program):
        concurrent = False
        half = HTTP_HALF
        host = HOST

        def start(self):
            self.application = bottle.Bottle()
            self.application.route("/double", "POST", self.double)
            self.adapter = bottle.WSGIRefServer(host=self.host, port=0, quiet=True)

        def double(self):
            return {"value": bottle.request.json["value"] * 2}

        def main(self):
            bottle.run(self.application, server=self.adapter, quiet=True)

        def prepare(self):
            if self.address is None:
                wait_until(lambda: self.adapter.port, "the server")
                self.address = (HOST, self.adapter.port)

        def converse(self, number):
            self.prepare()
            status, body = http_request(
                self.address,
                "POST",
                "/double",
                json.dumps({"value": number}).encode(),
                **{"Content-Type": "application/json"},
            )
            assert status == 200
            assert json.loads(body) == {"value": number * 2}
            missing, _ = http_request(self.address, "POST", "/missing", b"x" * 50_000)
            return json.loads(body), missing

        def stop(self):
            wait_until_main_thread_waits()
            os.kill(os.getpid(), signal.SIGINT)

    class ByShutdown(Bottle):
        def stop(self):
            self.adapter.srv.shutdown()
            self.main_returned.wait()
            self.adapter.srv.server_close()

    return [Bottle, ByShutdown]


if __name__ == "__main__":
    sys.exit(run(load))
