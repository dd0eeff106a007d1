"""msal: the web server of one request that waits for a browser to bring a sign-in code.

No `serve_forever()`: a thread calls `handle_request()` until an answer came. `timeout` is set
on the instance, late; `handle_timeout` raises, and the exception must come out of
`handle_request()`. `allow_reuse_address` may be set on the instance first.
"""

import sys
import threading
from urllib.parse import urlencode

from _scenario import HTTP_HALF, Program, http_get, http_request, run

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def load():
    from msal.oauth2cli.authcode import AuthCodeReceiver

    class SignIn(Program):
        concurrent = False
        half = HTTP_HALF

        def start(self):
            self.receiver = AuthCodeReceiver(port=0)
            self.address = self.receiver._server.server_address
            self.response = None
            self.in_thread(self.receive)

        def receive(self):
            self.response = self.receiver.get_auth_response(timeout=40, state="right")

        def converse(self, number):
            body = urlencode({"code": "stolen", "state": f"wrong{number}"}).encode()
            mismatch, text = http_request(self.address, "POST", "/", body, **FORM)
            assert b"State mismatch" in text
            invalid, _ = http_request(self.address, "POST", "/", b"nothing", **FORM)
            page, _ = http_get(self.address, "/?welcome=true")
            return mismatch, invalid, page

        def misbehave(self):
            """Nobody comes: `handle_timeout` raises RuntimeError through `handle_request`."""
            errors = []

            def wait():
                try:
                    receiver._get_auth_response({}, timeout=0.2)
                except RuntimeError as error:
                    errors.append(str(error))

            with AuthCodeReceiver(port=0) as receiver:
                thread = threading.Thread(target=wait)
                thread.start()
                self.join(thread)
            return errors

        def stop(self):
            body = urlencode({"code": "secret", "state": "right"}).encode()
            status, _ = http_request(self.address, "POST", "/", body, **FORM)
            assert status == 200
            self.join()
            assert self.response["code"] == "secret"
            self.receiver.close()

    return [SignIn]


if __name__ == "__main__":
    sys.exit(run(load))
