"""DatagramRequestHandler: a datagram in rfile, a reply from wfile."""

from __future__ import annotations

import io

import pytest

from support.clients import ask, datagram_client
from support.serving import serving


@pytest.mark.parametrize("base", ["UDPServer", "ThreadingUDPServer"])
def test_reply_is_what_was_written(impl, make_server, base):
    """finish: `self.socket.sendto(self.wfile.getvalue(), self.client_address)`."""

    class Handler(impl.DatagramRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.read())
            self.wfile.write(b"!")

    server = make_server(base, handler=Handler)
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"hello") == b"hello!"


def test_reply_of_nothing_is_sent_too(impl, make_server):
    """An empty datagram, also when nothing was written."""
    server = make_server("UDPServer", handler=impl.DatagramRequestHandler)
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"x") == b""


def test_reply_is_sent_when_handle_raises(impl, make_server):
    """finish runs in any case."""
    errors = []

    class Handler(impl.DatagramRequestHandler):
        def handle(self):
            self.wfile.write(b"partial")
            raise ValueError

    server = make_server(
        "UDPServer", handler=Handler, handle_error=lambda self, *args: errors.append(args[1])
    )
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"x") == b"partial"
        own = client.getsockname()
    assert errors == [own]


def test_setup_takes_the_request_apart(impl):
    """`self.packet, self.socket = self.request`; two BytesIO files."""
    sent = []

    class Fake:
        def sendto(self, data, address):
            sent.append((data, address))

    class Handler(impl.DatagramRequestHandler):
        def handle(self):
            seen.append((self.packet, self.socket, type(self.rfile), type(self.wfile)))
            self.wfile.write(self.rfile.read()[::-1])

    seen, fake = [], Fake()
    Handler((b"abc", fake), "address", None)
    assert seen == [(b"abc", fake, io.BytesIO, io.BytesIO)]
    assert sent == [(b"cba", "address")]


def test_setup_of_another_shape_raises(impl):
    """The unpacking's own error."""
    with pytest.raises(ValueError, match="unpack"):
        impl.DatagramRequestHandler((1, 2, 3), None, None)


def test_finish_overridden_sends_nothing(impl, make_server):
    """A handler that answers by itself."""

    class Handler(impl.DatagramRequestHandler):
        def handle(self):
            self.socket.sendto(b"own", self.client_address)

        def finish(self):
            pass

    server = make_server("UDPServer", handler=Handler)
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"x") == b"own"
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(10)


def test_reply_too_large_goes_to_handle_error(impl, make_server):
    """sendto: EMSGSIZE out of finish."""
    import sys

    errors = []

    class Handler(impl.DatagramRequestHandler):
        def handle(self):
            size = 100000 if self.packet == b"big" else 1
            self.wfile.write(b"x" * size)

    server = make_server(
        "UDPServer",
        handler=Handler,
        handle_error=lambda self, *args: errors.append(sys.exc_info()[0]),
    )
    with serving(server), datagram_client(server) as client:
        client.send(b"big")
        assert ask(client, b"small") == b"x"
    assert errors == [OSError]
