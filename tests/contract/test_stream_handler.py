"""StreamRequestHandler: rfile, wfile, and the attributes that shape them."""

from __future__ import annotations

import array
import io
import os
import socket
import threading

import pytest

from support.clients import connect, connected, exchange, read_exactly, read_to_end
from support.serving import Background, serving


class FakeSocket:
    """What made-by-hand handlers are given in test suites."""

    def __init__(self, data=b""):
        self.data = data
        self.sent = b""
        self.calls = []

    def makefile(self, mode="r", buffering=-1):
        self.calls.append(("makefile", mode, buffering))
        return io.BytesIO(self.data) if "r" in mode else Unclosed(self)

    def sendall(self, data):
        self.sent += bytes(data)

    def settimeout(self, timeout):
        self.calls.append(("settimeout", timeout))

    def setsockopt(self, *args):
        self.calls.append(("setsockopt", *args))


class Unclosed(io.BytesIO):
    """A write file whose bytes reach its socket when it is flushed."""

    def __init__(self, owner):
        super().__init__()
        self._owner = owner

    def flush(self):
        if not self.closed:
            self._owner.sent = self.getvalue()


@pytest.fixture
def inside(impl, make_server):
    """Run a function in `handle` of a StreamRequestHandler; its result and the reply."""

    def run(function, payload=b"", base="TCPServer", **attributes):
        results = []

        def handle(self):
            results.append(function(self))

        handler = type(
            "Handler", (impl.StreamRequestHandler,), {"handle": handle, **attributes}
        )
        server = make_server(base, handler=handler)
        with serving(server):
            reply = exchange(server, payload)
        server.server_close()
        return results[0], reply

    return run


@pytest.mark.parametrize("base", ["TCPServer", "ThreadingTCPServer", "UnixStreamServer"])
def test_lines_are_read_and_written(inside, base):
    """rfile.readline(), wfile.write()."""
    line, reply = inside(
        lambda self: self.wfile.write(self.rfile.readline().upper()), b"line\nrest", base
    )
    assert (line, reply) == (5, b"LINE\n")


def test_setup_defaults(impl):
    """rbufsize -1, wbufsize 0, timeout None, disable_nagle_algorithm False."""
    handler = impl.StreamRequestHandler
    assert (handler.rbufsize, handler.wbufsize, handler.timeout) == (-1, 0, None)
    assert handler.disable_nagle_algorithm is False


def test_setup_connection_is_the_request(inside):
    """`self.connection = self.request`."""
    assert inside(lambda self: self.connection is self.request)[0]


def test_rfile_reads_to_the_end(inside):
    """read() until the client's EOF."""
    assert inside(lambda self: self.rfile.read(), b"all of it")[0] == b"all of it"


def test_rfile_offers_what_a_buffered_reader_does(inside):
    """readline with a limit, peek, read1, readinto, iteration, closed, readable."""

    def use(self):
        first = self.rfile.readline(3)
        peeked = self.rfile.peek(1)[:1]
        second = self.rfile.readline()
        buffer = bytearray(2)
        count = self.rfile.readinto(buffer)
        some = self.rfile.read1(1)
        flags = (self.rfile.readable(), self.rfile.writable(), self.rfile.closed)
        return first, peeked, second, count, bytes(buffer), some, list(self.rfile), flags

    assert inside(use, b"abcd\nefgh\ni\nj")[0] == (
        b"abc",
        b"d",
        b"d\n",
        2,
        b"ef",
        b"g",
        [b"h\n", b"i\n", b"j"],
        (True, False, False),
    )


def test_rfile_default_is_buffered(inside):
    """`makefile('rb', -1)`: a BufferedReader."""
    assert inside(lambda self: isinstance(self.rfile, io.BufferedReader))[0]


def test_rbufsize_zero_gives_a_raw_file(inside):
    """`makefile('rb', 0)`: reads no byte more than asked for."""

    def use(self):
        return (
            isinstance(self.rfile, socket.SocketIO),
            self.rfile.read(2),
            self.request.recv(10),
        )

    assert inside(use, b"abcdef", rbufsize=0)[0] == (True, b"ab", b"cdef")


@pytest.mark.parametrize("size", [1, 2, 65536])
def test_rbufsize_of_any_size_reads_all(inside, size):
    """The size is the buffer's, not a limit."""
    assert (
        inside(lambda self: self.rfile.read(), b"x" * 10000, rbufsize=size)[0] == b"x" * 10000
    )


def test_files_have_the_requests_descriptor(inside):
    """CGIHTTPRequestHandler: rfile.fileno(), wfile.fileno()."""
    same, _ = inside(
        lambda self: self.rfile.fileno() == self.wfile.fileno() == self.request.fileno()
    )
    assert same


def test_wfile_default_is_an_unbuffered_writer(impl, inside):
    """test_socketserver: an io.BufferedIOBase, and the private _SocketWriter."""

    def use(self):
        return (
            isinstance(self.wfile, io.BufferedIOBase),
            isinstance(self.wfile, impl._SocketWriter),
            self.wfile.writable(),
            self.wfile.readable(),
            self.wfile.seekable(),
            self.wfile.closed,
        )

    assert inside(use)[0] == (True, True, True, False, False, False)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"", 0),
        (b"bytes", 5),
        (bytearray(b"array"), 5),
        (memoryview(b"view"), 4),
        (array.array("I", [1, 2, 3]), 12),
        (memoryview(b"abcdefgh").cast("I"), 8),
    ],
    ids=["empty", "bytes", "bytearray", "memoryview", "array", "cast"],
)
def test_wfile_write_returns_the_number_of_bytes(inside, data, size):
    """`with memoryview(b) as view: return view.nbytes`."""
    count, reply = inside(lambda self: self.wfile.write(data))
    assert count == size
    assert reply == bytes(memoryview(data).cast("B"))


@pytest.mark.parametrize("wrong", ["text", None, 5])
def test_wfile_write_of_no_bytes_raises_typeerror(inside, wrong):
    """As sendall() does; nothing is sent."""

    def use(self):
        with pytest.raises(TypeError):
            self.wfile.write(wrong)

    assert inside(use) == (None, b"")


def test_wfile_writelines_sends_each(inside):
    """IOBase.writelines goes through write()."""
    assert inside(lambda self: self.wfile.writelines([b"a", b"b"]))[1] == b"ab"


def test_wfile_write_reaches_the_client_at_once(impl, make_server):
    """Unbuffered: the client has it before the handler goes on."""
    go_on = threading.Event()

    class Handler(impl.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"first")
            assert go_on.wait(10)

    server = make_server(handler=Handler)
    with serving(server), connect(server) as client:
        assert read_exactly(client, 5) == b"first"
        go_on.set()


@pytest.mark.parametrize("wbufsize", [0, -1, 1 << 16])
def test_wfile_write_of_much_sends_everything(inside, wbufsize):
    """Far more than any socket buffer, to a client that reads."""
    data = os.urandom(1 << 16) * 128
    count, reply = inside(lambda self: self.wfile.write(data), wbufsize=wbufsize)
    assert count == len(data)
    assert reply == data


def test_wfile_write_survives_signals(impl, make_server):
    """test_socketserver: SIGUSR1 during a big write must not cut it."""
    import signal

    size = 4 * 1024 * 1024
    stop = threading.Event()

    class Handler(impl.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"x" * size)

    def read_and_interrupt(client):
        main = threading.main_thread().ident
        received = 0
        while not stop.is_set() and received < size:
            signal.pthread_kill(main, signal.SIGUSR1)
            received += len(client.recv(65536))
        return received

    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        server = make_server(handler=Handler)
        with connect(server) as client:
            reading = Background(read_and_interrupt, client)
            try:
                server.handle_request()
            except BaseException:
                stop.set()
                raise
            assert reading.join() == size
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("wbufsize", [-1, 1, 4096])
def test_wbufsize_other_than_zero_is_buffered_until_finish(inside, wbufsize):
    """`makefile('wb', wbufsize)`, flushed by finish()."""

    def use(self):
        self.wfile.write(b"buffered")
        return isinstance(self.wfile, io.BufferedWriter)

    assert inside(use, wbufsize=wbufsize) == (True, b"buffered")


def test_wbufsize_data_waits_for_the_flush(impl, make_server):
    """The client has nothing before flush()."""
    steps = [threading.Event(), threading.Event()]

    class Handler(impl.StreamRequestHandler):
        wbufsize = -1

        def handle(self):
            self.wfile.write(b"data")
            assert steps[0].wait(10)
            self.wfile.flush()
            assert steps[1].wait(10)

    server = make_server(handler=Handler)
    with serving(server), connect(server) as client:
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(10)
        steps[0].set()
        assert read_exactly(client, 4) == b"data"
        steps[1].set()


def test_timeout_is_set_on_the_connection(inside):
    """`self.connection.settimeout(self.timeout)`."""
    assert inside(lambda self: self.request.gettimeout(), timeout=7)[0] == 7


def test_timeout_of_none_leaves_the_connection_blocking(inside):
    """The default."""
    assert inside(lambda self: self.request.gettimeout())[0] is None


def test_timeout_as_a_property_is_used(inside):
    """Observed as a property, as an instance and as a class attribute."""
    timeout, _ = inside(
        lambda self: self.request.gettimeout(), timeout=property(lambda self: 3.5)
    )
    assert timeout == 3.5


def test_timeout_set_on_the_instance_before_setup_is_used(impl, make_server):
    """`self.timeout = ...; super().setup()`."""
    seen = []

    class Handler(impl.StreamRequestHandler):
        def setup(self):
            self.timeout = 4
            super().setup()
            seen.append(self.request.gettimeout())

    server = make_server(handler=Handler)
    with serving(server):
        exchange(server)
    assert seen == [4]


@pytest.mark.parametrize("rbufsize", [-1, 0])
def test_timeout_expires_in_rfile(impl, make_server, rbufsize):
    """TimeoutError out of readline() or read()."""
    seen = []

    class Handler(impl.StreamRequestHandler):
        timeout = 0.02

        def handle(self):
            try:
                self.rfile.read(1)
            except TimeoutError:
                seen.append("timed out")
                self.wfile.write(b"too slow")

    Handler.rbufsize = rbufsize
    server = make_server(handler=Handler)
    with serving(server), connect(server) as client:
        assert read_to_end(client) == b"too slow"
    assert seen == ["timed out"]


def test_timeout_expires_in_wfile(impl, make_server):
    """A client that does not read: TimeoutError out of write()."""
    seen = []

    class Handler(impl.StreamRequestHandler):
        timeout = 0.05

        def handle(self):
            try:
                while True:
                    self.wfile.write(b"x" * (1 << 20))
            except TimeoutError:
                seen.append("timed out")

    server = make_server(handler=Handler)
    with serving(server), connect(server) as client:
        from support.waiting import wait_until

        wait_until(lambda: seen)
        while client.recv(1 << 20):
            pass


def test_disable_nagle_algorithm_sets_the_option(inside):
    """TCP_NODELAY on the connection."""
    option, _ = inside(
        lambda self: self.request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
        disable_nagle_algorithm=True,
    )
    assert option != 0


def test_finish_flushes_then_closes_both_files(inside):
    """`self.wfile.flush()`, then close() both; the request itself stays open."""
    files = []

    def use(self):
        files.extend((self.rfile, self.wfile))

    inside(use)
    assert [file.closed for file in files] == [True, True]


def test_finish_leaves_the_request_open(impl, make_server):
    """It is shutdown_request that closes it."""
    seen = []

    class Handler(impl.StreamRequestHandler):
        def finish(self):
            super().finish()
            seen.append(self.request.fileno() != -1)
            self.request.sendall(b"after finish")

    server = make_server(handler=Handler)
    with serving(server):
        assert exchange(server) == b"after finish"
    assert seen == [True]


def test_finish_twice_is_harmless(impl, make_server):
    """websocket-server: from another thread, too."""

    class Handler(impl.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"ok")
            Background(self.finish).join()

    server = make_server(handler=Handler, handle_error=lambda *_: pytest.fail("handled"))
    with serving(server):
        assert exchange(server) == b"ok"


@pytest.mark.parametrize("name", ["rfile", "wfile", "request"])
@pytest.mark.parametrize("wbufsize", [0, -1])
def test_finish_after_something_was_closed_is_harmless(impl, make_server, name, wbufsize):
    """fakeredis closes rfile and wfile before super().finish(); irc the request."""
    errors = []

    class Handler(impl.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"ok")
            self.wfile.flush()
            getattr(self, name).close()

    Handler.wbufsize = wbufsize
    server = make_server(handler=Handler, handle_error=lambda *args: errors.append(args))
    with serving(server):
        assert exchange(server) == b"ok"
    assert not errors


def test_finish_swallows_a_socket_error_of_flush(impl):
    """`except socket.error: pass`: the peer has gone."""

    class Failing:
        closed = False

        def flush(self):
            raise ConnectionAbortedError

        def close(self):
            log.append("close")

    log = []

    class Handler(impl.StreamRequestHandler):
        wbufsize = -1

        def handle(self):
            self.wfile = Failing()

    Handler(FakeSocket(), None, None)
    assert log == ["close"]


def test_finish_lets_other_errors_of_flush_through(impl):
    """Only socket.error is caught."""

    class Failing:
        closed = False

        def flush(self):
            raise KeyError("flush")

    class Handler(impl.StreamRequestHandler):
        def handle(self):
            self.wfile = Failing()

    with pytest.raises(KeyError, match="flush"):
        Handler(FakeSocket(), None, None)


def test_setup_again_in_mid_connection_makes_new_files(impl, make_server):
    """wptserve's CONNECT: the request wrapped anew, then setup() once more."""

    class Handler(impl.StreamRequestHandler):
        rbufsize = 0

        def handle(self):
            first = self.rfile.readline()
            self.request = self.request.dup()
            self.setup()
            self.wfile.write(first + self.rfile.readline())

        def finish(self):
            super().finish()
            self.request.close()

    server = make_server(handler=Handler)
    with serving(server):
        assert exchange(server, b"one\ntwo\n") == b"one\ntwo\n"


def test_files_replaced_by_the_handler_are_the_ones_finished(impl, make_server):
    """Three observed projects put their own rfile or wfile in."""
    flushed = []

    class Own(io.BytesIO):
        def flush(self):
            if not self.closed:
                flushed.append(self.getvalue())

    class Handler(impl.StreamRequestHandler):
        def handle(self):
            self.wfile = Own()
            self.wfile.write(b"own")

    server = make_server(handler=Handler)
    with serving(server):
        assert exchange(server) == b""
    assert flushed[0] == b"own"


def test_setup_and_finish_overridden_without_the_base_serve(impl, make_server):
    """Adapters: no rfile, no wfile at all."""

    class Handler(impl.StreamRequestHandler):
        def setup(self):
            self.channel = self.request

        def handle(self):
            self.channel.sendall(b"bare")

        def finish(self):
            assert not hasattr(self, "wfile")

    server = make_server(handler=Handler, handle_error=lambda *_: pytest.fail("handled"))
    with serving(server):
        assert exchange(server) == b"bare"


def test_made_by_hand_with_a_fake_request_and_no_server(impl):
    """test_httpservers and public suites: makefile() and sendall() are all it needs."""

    class Handler(impl.StreamRequestHandler):
        def handle(self):
            self.wfile.write(self.rfile.readline())

    fake = FakeSocket(b"line\nrest")
    Handler(fake, ("127.0.0.1", 1), None)
    assert fake.sent == b"line\n"
    assert fake.calls == [("makefile", "rb", -1)]


def test_made_by_hand_asks_the_fake_for_what_the_attributes_say(impl):
    """settimeout, TCP_NODELAY, makefile with both sizes; in this order."""

    class Handler(impl.StreamRequestHandler):
        timeout = 5
        disable_nagle_algorithm = True
        rbufsize = 10
        wbufsize = 20

        def handle(self):
            self.wfile.write(b"data")

    fake = FakeSocket()
    Handler(fake, None, None)
    assert fake.calls == [
        ("settimeout", 5),
        ("setsockopt", socket.IPPROTO_TCP, socket.TCP_NODELAY, True),
        ("makefile", "rb", 10),
        ("makefile", "wb", 20),
    ]
    assert fake.sent == b"data"


def test_made_by_hand_over_a_socketpair_converses(impl):
    """No server at all."""

    class Handler(impl.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                self.wfile.write(line.upper())

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"a\nb\n")
        theirs.shutdown(socket.SHUT_WR)
        Handler(ours, None, None)
        ours.shutdown(socket.SHUT_WR)
        assert read_to_end(theirs) == b"A\nB\n"


def test_made_without_init_can_be_used_in_parts(impl):
    """`Handler.__new__` plus attributes by hand: mocks of half a handler."""
    handler = impl.StreamRequestHandler.__new__(impl.StreamRequestHandler)
    handler.request = FakeSocket(b"line\n")
    handler.setup()
    assert handler.rfile.readline() == b"line\n"
    handler.wfile.write(b"out")
    handler.finish()
    assert handler.request.sent == b"out"


def test_socket_writer_on_its_own_writes_to_its_socket(impl):
    """`socketserver._SocketWriter(conn)` is constructed by public code."""
    fake = FakeSocket()
    fake.fileno = lambda: 99
    writer = impl._SocketWriter(fake)
    assert isinstance(writer, io.BufferedIOBase)
    assert writer.writable() is True
    assert writer.write(b"abc") == 3
    assert writer.fileno() == 99
    assert writer.flush() is None
    assert fake.sent == b"abc"
    writer.close()
    assert writer.closed


def test_socket_writer_may_be_wrapped_in_text(impl):
    """io.TextIOWrapper over wfile, as loggers and telnet servers do."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with io.TextIOWrapper(impl._SocketWriter(ours), encoding="utf-8") as text:
            text.write("häj")
        ours.close()
        assert read_to_end(theirs) == "häj".encode()


def test_rfile_after_partial_client_data_and_reset_raises(impl, make_server):
    """ConnectionResetError reaches handle_error; the loop goes on."""
    import struct
    import sys

    errors = []

    class Handler(impl.StreamRequestHandler):
        def handle(self):
            entered.set()
            self.wfile.write(self.rfile.read(5))

    entered = threading.Event()
    server = make_server(
        handler=Handler, handle_error=lambda self, *args: errors.append(sys.exc_info()[0])
    )
    with serving(server):
        with connect(server) as client:
            client.sendall(b"ab")
            assert entered.wait(10)
            linger = struct.pack("ii", 1, 0)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        with connected(server, b"12345") as client:
            assert read_to_end(client) == b"12345"
    assert errors == [ConnectionResetError]
