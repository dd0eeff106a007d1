"""Flask: `app.run()` in the main thread, stopped by the interrupt key.

What `flask run` does: werkzeug's threaded server, whose `serve_forever` swallows the
`KeyboardInterrupt` that must come out of the loop in the main thread, then `server_close()`.
"""

import logging
import signal
import sys

from _scenario import (
    HOST,
    HTTP_HALF,
    Program,
    free_port,
    http_request,
    listening,
    run,
    wait_until,
)


def load():
    import flask
    import flask.cli

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    flask.cli.show_server_banner = lambda *args: None

    class Flask(Program):
        half = HTTP_HALF

        def start(self):
            self.application = flask.Flask("scenario")
            self.application.add_url_rule(
                "/sum", view_func=self.sum, methods=["POST"], endpoint="sum"
            )
            self.address = (HOST, free_port())

        def sum(self):
            return flask.jsonify(sum=sum(flask.request.get_json()))

        def main(self):
            self.application.run(*self.address)

        def converse(self, number):
            wait_until(lambda: listening(self.address), "the server")
            status, body = http_request(
                self.address,
                "POST",
                "/sum",
                f"[{number}, 2, 3]".encode(),
                **{"Content-Type": "application/json"},
            )
            assert status == 200
            assert flask.json.loads(body) == {"sum": number + 5}
            refused, _ = http_request(
                self.address, "POST", "/sum", b"{", **{"Content-Type": "application/json"}
            )
            return flask.json.loads(body), refused

        def stop(self):
            signal.raise_signal(signal.SIGINT)

    return [Flask]


if __name__ == "__main__":
    sys.exit(run(load))
