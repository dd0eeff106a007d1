"""The same works on asyncio, on its own loop or uvloop's.

"protocol" is the callback interface, "streams" the reader and writer: what a
`StreamRequestHandler` is most like.
"""

from __future__ import annotations

import asyncio

HOST = "127.0.0.1"
BACKLOG = 1024


class ReplyAndClose(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)
        self.transport.close()


class Echo(ReplyAndClose):
    def data_received(self, data):
        self.transport.write(data)


class DatagramEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


async def reply_and_close(reader, writer):
    writer.write(await reader.readline())
    writer.close()


async def echo_lines(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


def echo_payload(size):
    async def echo(reader, writer):
        try:
            while True:
                writer.write(await reader.readexactly(size))
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    return echo


async def start_protocol(work, size):
    """Start serving and return the port."""
    loop = asyncio.get_running_loop()
    if work.startswith("udp"):
        transport, _ = await loop.create_datagram_endpoint(DatagramEcho, local_addr=(HOST, 0))
        return transport.get_extra_info("sockname")[1]
    protocol = ReplyAndClose if work.startswith("crc") else Echo
    server = await loop.create_server(protocol, HOST, 0, backlog=BACKLOG)
    return server.sockets[0].getsockname()[1]


async def start_streams(work, size):
    """Start serving and return the port."""
    if work.startswith("crc"):
        handler = reply_and_close
    else:
        handler = echo_lines if work == "line_echo" else echo_payload(size)
    limit = max(2**16, 2 * size)
    server = await asyncio.start_server(handler, HOST, 0, backlog=BACKLOG, limit=limit)
    return server.sockets[0].getsockname()[1]


def serve(work, size, announce, *, streams, loop_factory):
    """Serve `work` for ever on a loop made by `loop_factory`."""
    loop = loop_factory()
    asyncio.set_event_loop(loop)
    start = start_streams if streams else start_protocol
    announce(loop.run_until_complete(start(work, size)))
    loop.run_forever()
