"""MkDocs: the live-reload server, with a site that is rebuilt while it is served.

`bind_and_activate=False` and `address_family` on the instance; `serve_forever` runs in a
thread made in the constructor, with its own poll interval, positionally; `shutdown` takes an
argument of its own, asks whether that thread lives, and closes the listener. Requests wait
for seconds on a condition (long polling) while others are served.
"""

import logging
import re
import sys
import tempfile
import threading
from pathlib import Path

from _scenario import HOST, HTTP_HALF, Program, http_get, run, wait_until


def load():
    from mkdocs.livereload import LiveReloadServer

    logging.getLogger("mkdocs").setLevel(logging.CRITICAL)

    class LiveReload(Program):
        half = HTTP_HALF

        def start(self):
            self.directory = tempfile.TemporaryDirectory()
            self.root = Path(self.directory.name)
            self.source = self.root / "source"
            self.source.mkdir()
            (self.root / "index.html").write_text("<body>first</body>")
            self.server = LiveReloadServer(
                self.build, HOST, 0, str(self.root), polling_interval=0.1
            )
            self.server.watch(str(self.source))
            self.in_thread(self.server.serve)
            wait_until(self.server.serve_thread.is_alive, "the server")
            self.address = self.server.server_address

        def build(self):
            (self.root / "index.html").write_text("<body>second</body>")

        def page(self):
            status, body = http_get(self.address, "/")
            assert status == 200
            epoch, request = re.search(rb"livereload\((\d+), (\d+)\);", body).groups()
            return body[: body.index(b"<script>")].decode(), int(epoch), int(request)

        def converse(self, number):
            text, epoch, request = self.page()
            # An epoch of the past is answered at once, the present one when it is over.
            status, body = http_get(self.address, f"/livereload/{epoch - 1}/{request}")
            assert (status, int(body)) == (200, epoch)
            return text, http_get(self.address, "/missing")[0]

        def misbehave(self):
            """Eight browsers wait for the next version, which comes."""
            _, epoch, request = self.page()
            answers = []

            def browse():
                _, body = http_get(self.address, f"/livereload/{epoch}/{request}")
                answers.append(int(body) > epoch)

            browsers = [threading.Thread(target=browse) for _ in range(8)]
            for browser in browsers:
                browser.start()
            (self.source / "new.md").write_text("news")
            for browser in browsers:
                self.join(browser)
            return answers, self.page()[0]

        def stop(self):
            self.server.shutdown(wait=True)
            self.join()

        def cleanup(self):
            self.directory.cleanup()

    return [LiveReload]


if __name__ == "__main__":
    sys.exit(run(load))
