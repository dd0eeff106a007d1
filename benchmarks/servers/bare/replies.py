"""A TCP server that sends back what it got: ``replies.py MODULE CLASS BACKLOG``.

BACKLOG 0 leaves the class's own. It does not serve before the runner says so:

- ``serve``: the main thread serves from now on;
- ``fill``: open files until there is no descriptor left;
- ``relieve``: close them;
- ``shutdown``: answers how long that took;
- ``modules``: answers what is imported by now.
"""

import os
import sys
import threading
import time

import wire

module = wire.server_module()

# Made beforehand: to list what one has opened takes memory, and the list's
# length is the answer.
hoard = []


class Reply(module.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.request.recv(4096))


def fill():
    try:
        while True:
            hoard.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return len(hoard)


def relieve():
    while hoard:
        os.close(hoard.pop())
    return 0


def shutdown():
    begin_s = time.monotonic()
    server.shutdown()
    return time.monotonic() - begin_s


COMMANDS = {
    "fill": fill,
    "relieve": relieve,
    "shutdown": shutdown,
    "modules": wire.own_modules,
}


def obey(lines):
    """Until ``serve``, or the end of the process."""
    for (command,) in lines:
        if command == "serve":
            wire.answer(value=True)
            return
        wire.answer(value=COMMANDS[command]())


def main():
    lines = wire.commands()
    wire.answer(port=server.server_address[1], modules=wire.own_modules())
    obey(lines)
    control = threading.Thread(target=obey, args=(lines,))
    control.start()
    server.serve_forever()
    control.join()


settings = {"daemon_threads": True}
if int(sys.argv[3]):
    settings["request_queue_size"] = int(sys.argv[3])
server_class = type("Server", (getattr(module, sys.argv[2]),), settings)
server = server_class(("127.0.0.1", 0), Reply)
main()
