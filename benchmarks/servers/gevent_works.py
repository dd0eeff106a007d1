"""The same works on gevent: a greenlet per connection, handlers as for threads."""

from __future__ import annotations

from gevent.server import DatagramServer, StreamServer

ADDRESS = ("127.0.0.1", 0)
BACKLOG = 1024


class DatagramEcho(DatagramServer):
    def handle(self, data, address):
        self.socket.sendto(data, address)


def reply_recv_send(sock, address):
    sock.sendall(sock.recv(4096))


def reply_readline(sock, address):
    with sock.makefile("rb") as lines:
        sock.sendall(lines.readline())


def echo_lines(sock, address):
    with sock.makefile("rb") as lines:
        while line := lines.readline():
            sock.sendall(line)


def echo_payload(size):
    def echo(sock, address):
        with sock.makefile("rb") as stream:
            while data := stream.read(size):
                sock.sendall(data)

    return echo


def serve(work, size, announce):
    """Serve `work` for ever."""
    if work.startswith("udp"):
        server = DatagramEcho("127.0.0.1:0")
    else:
        handlers = {
            "crc_streams": reply_readline,
            "line_echo": echo_lines,
            "payload_echo": echo_payload(size),
        }
        handler = handlers.get(work, reply_recv_send)
        server = StreamServer(ADDRESS, handler, backlog=BACKLOG)
    server.start()
    announce(server.address[1] if work.startswith("udp") else server.server_port)
    server.serve_forever()
