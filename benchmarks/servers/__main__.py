"""Serve one work with one implementation: ``python -m servers --impl X --work Y``."""

from __future__ import annotations

import argparse
import asyncio
import importlib

from servers.control import announce, at_finish, obey_runner_in_background, wait_for_end


def serve_socketserver(module_name: str, work: str, size: int) -> None:
    from servers.socketserver_works import WORKS

    server = WORKS[work](importlib.import_module(module_name), size)
    announce(server.server_address[1])
    at_finish(server.shutdown)
    server.serve_forever()
    wait_for_end()


def serve_asyncio(impl: str, work: str, size: int) -> None:
    from servers import asyncio_works

    loop_factory = asyncio.new_event_loop
    if impl.startswith("uvloop"):
        loop_factory = importlib.import_module("uvloop").new_event_loop
    streams = impl.endswith("-streams")
    asyncio_works.serve(work, size, announce, streams=streams, loop_factory=loop_factory)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m servers", description=__doc__)
    parser.add_argument("--impl", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--size", type=int, default=32, help="bytes of a request")
    options = parser.parse_args()

    obey_runner_in_background()
    if options.impl == "gevent":
        from servers import gevent_works

        gevent_works.serve(options.work, options.size, announce)
    elif options.impl.startswith(("asyncio", "uvloop")):
        serve_asyncio(options.impl, options.work, options.size)
    else:
        module = "socketserver" if options.impl == "stdlib" else options.impl
        serve_socketserver(module, options.work, options.size)


if __name__ == "__main__":
    main()
