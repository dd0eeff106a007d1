"""`pydoc -b`: documentation in a browser.

`server_activate` is overridden and calls back from inside the constructor, through
`self.base`; the loop is its own: `select()` on `self.socket.fileno()` and `handle_request()`
until a flag is set, then `server_close()`.
"""

import sys

from _scenario import HOST, HTTP_HALF, Program, http_get, run


def load():
    import pydoc

    class Browser(Program):
        concurrent = False
        half = HTTP_HALF

        def start(self):
            self.server = pydoc._start_server(pydoc._url_handler, HOST, 0)
            assert self.server.serving
            self.address = (HOST, self.server.port)

        def converse(self, number):
            status, page = http_get(self.address, "/json.html")
            assert b"dumps" in page
            style, _ = http_get(self.address, "/pydoc_data.css")
            missing, _ = http_get(self.address, "/no_such_module.html")
            return status, style, missing

        def misbehave(self):
            status, found = http_get(self.address, "/get?key=socketserver")
            return status, b"BaseServer" in found

        def stop(self):
            self.server.stop()

    return [Browser]


if __name__ == "__main__":
    sys.exit(run(load))
