"""UDP servers: requests are `(bytes, socket)`, one datagram each, none lost."""

from __future__ import annotations

import select
import socket
import threading

import pytest

from support.clients import DEADLINE_S, ask, datagram_client
from support.serving import Background, Loop, serving, wait_for
from support.waiting import wait_until

UDP = ["UDPServer", "ThreadingUDPServer"]


def collect(log):
    """A handler that only notes what it was given."""

    def handler(request, client_address, server):
        log.append((request, client_address))

    return handler


@pytest.mark.parametrize("base", UDP)
def test_request_is_the_data_and_the_servers_socket(make_server, base):
    """`return (data, self.socket), client_addr`."""
    log = []
    server = make_server(base, handler=collect(log))
    with datagram_client(server) as client:
        client.send(b"data")
        server.handle_request()
        server.server_close()
        (((data, listener), address),) = log
        assert address == client.getsockname()
    assert type(data) is bytes
    assert data == b"data"
    assert listener is server.socket
    assert type(log[0][0]) is tuple


@pytest.mark.parametrize("base", UDP)
def test_requests_are_answered(make_server, base):
    """dnslib, python-osc: sendto on the socket of the request."""
    server = make_server(base)
    with serving(server), datagram_client(server) as client:
        assert [ask(client, b"%d" % n) for n in range(50)] == [b"re:%d" % n for n in range(50)]


def test_requests_waiting_together_are_served_in_order(make_server):
    """As the kernel queued them."""
    log = []
    server = make_server(handler=collect(log), base="UDPServer")
    with datagram_client(server) as client:
        for number in range(200):
            client.send(b"%d" % number)
        with serving(server):
            client.send(b"last")
            wait_until_served(log, 201)
        own = client.getsockname()
    assert [request[0] for request, _ in log] == [b"%d" % n for n in range(200)] + [b"last"]
    assert {address for _, address in log} == {own}


def wait_until_served(log, count):
    from support.waiting import wait_until

    wait_until(lambda: len(log) >= count)


def test_requests_of_different_clients_have_their_own_addresses(make_server):
    """Each with the sender's."""
    log = []
    server = make_server("UDPServer", handler=collect(log))
    with datagram_client(server) as one, datagram_client(server) as two:
        for _ in range(3):
            one.send(b"one")
            two.send(b"two")
        expected = [(b"one", one.getsockname()), (b"two", two.getsockname())] * 3
        with serving(server):
            wait_until_served(log, 6)
    assert [(request[0], address) for request, address in log] == expected


def test_request_of_no_bytes_is_a_request(make_server):
    """Empty datagrams are served like others."""
    server = make_server("UDPServer")
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"") == b"re:"
        assert ask(client, b"x") == b"re:x"


@pytest.mark.parametrize("where", ["class", "instance"])
def test_max_packet_size_truncates(make_server, where):
    """`self.socket.recvfrom(self.max_packet_size)`; the rest is lost."""
    server = make_server("UDPServer", **({"max_packet_size": 4} if where == "class" else {}))
    server.max_packet_size = 4
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"0123456789") == b"re:0123"
        assert ask(client, b"abcd") == b"re:abcd"


def test_max_packet_size_changed_while_serving_is_used(make_server):
    """Read at each request."""
    server = make_server("UDPServer")
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"0123456789") == b"re:0123456789"
        server.max_packet_size = 4
        assert ask(client, b"0123456789") == b"re:0123"
        server.max_packet_size = 8192
        assert ask(client, b"x" * 8192) == b"re:" + b"x" * 8192


def test_max_packet_size_default_is_8192(make_server):
    """UDPServer.max_packet_size."""
    server = make_server("UDPServer")
    assert server.max_packet_size == 8192
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"x" * 9000) == b"re:" + b"x" * 8192


def test_max_packet_size_of_zero_gives_empty_requests(make_server):
    """recvfrom(0)."""
    server = make_server("UDPServer", max_packet_size=0)
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"abc") == b"re:"


@pytest.mark.parametrize(
    ("size", "error"), [(-1, ValueError), ("x", TypeError), (None, TypeError)]
)
def test_max_packet_size_that_is_none_leaves_the_loop(make_server, enter_loop, size, error):
    """recvfrom: `negative buffersize in recvfrom`, or no integer."""
    server = make_server("UDPServer", max_packet_size=size)
    with datagram_client(server) as client:
        client.send(b"x")
        with pytest.raises(error):
            enter_loop(server)


def test_max_packet_size_that_knows_its_number_and_nothing_else_is_used(
    make_server, enter_loop
):
    """recvfrom takes whatever has `__index__`."""

    class Index:
        def __index__(self):
            return 3

    log = []

    def handler(request, client_address, server):
        log.append(request[0])
        server._BaseServer__shutdown_request = True

    server = make_server("UDPServer", handler=handler, max_packet_size=Index())
    with datagram_client(server) as client:
        client.send(b"cut off")
        enter_loop(server)
    assert log == [b"cut"]


def test_request_of_64_kilobytes_arrives_whole(make_server):
    """The largest datagram of IPv4."""
    log = []
    server = make_server("UDPServer", handler=collect(log), max_packet_size=70000)
    with datagram_client(server) as client:
        client.send(b"y" * 65507)
        server.handle_request()
    assert log[0][0][0] == b"y" * 65507


def test_verify_request_sees_the_pair(make_server):
    """python-osc: verify_request(request, ...) with request[0]."""
    seen = []

    def verify_request(self, request, client_address):
        seen.append(request)
        return request[0] != b"bad"

    log = []
    server = make_server("UDPServer", handler=collect(log), verify_request=verify_request)
    with serving(server), datagram_client(server) as client:
        for data in (b"bad", b"good"):
            client.send(data)
        wait_until_served(log, 1)
    assert seen == [(b"bad", server.socket), (b"good", server.socket)]
    assert [request[0] for request, _ in log] == [b"good"]


@pytest.mark.parametrize("base", UDP)
def test_shutdown_request_and_close_request_run_once(impl, make_server, base):
    """UDPServer.shutdown_request calls close_request, which does nothing."""
    log = []
    stock = impl.UDPServer.shutdown_request

    def shutdown_request(self, request):
        log.append("shutdown_request")
        stock(self, request)

    server = make_server(
        base,
        shutdown_request=shutdown_request,
        close_request=lambda self, request: log.append("close_request"),
    )
    with serving(server), datagram_client(server) as client:
        ask(client, b"x")
    server.server_close()
    assert log == ["shutdown_request", "close_request"]
    assert impl.UDPServer.close_request(server, None) is None


def test_get_request_super_gives_the_pair(impl, make_server):
    """An override on top of the stock one sees each datagram once."""
    count = []

    def get_request(self):
        pair = impl.UDPServer.get_request(self)
        count.append(pair[0][0])
        return pair

    server = make_server("UDPServer", get_request=get_request)
    with serving(server), datagram_client(server) as client:
        assert [ask(client, b"%d" % n) for n in range(5)] == [b"re:%d" % n for n in range(5)]
    assert count == [b"%d" % n for n in range(5)]


def test_get_request_patched_while_datagrams_wait_loses_none(impl, make_server):
    """What the loop may have taken ahead is still given out, in order."""
    log = []

    def handler(request, client_address, server):
        log.append(request[0])
        if len(log) == 1:
            type(server).get_request = counting

    def counting(self):
        pair = impl.UDPServer.get_request(self)
        counted.append(pair[0][0])
        return pair

    counted = []
    server = make_server("UDPServer", handler=handler)
    with datagram_client(server) as client:
        for number in range(30):
            client.send(b"%d" % number)
        with serving(server):
            wait_until_served(log, 30)
            client.send(b"last")
            wait_until_served(log, 31)
    assert log == [b"%d" % n for n in range(30)] + [b"last"]
    assert counted[-1] == b"last"


def test_get_request_called_by_hand_gives_one_datagram(make_server):
    """The rest stays where it is."""
    server = make_server("UDPServer")
    with datagram_client(server) as client:
        client.send(b"one")
        client.send(b"two")
        assert server.get_request() == ((b"one", server.socket), client.getsockname())
        assert server.socket.recvfrom(10) == (b"two", client.getsockname())


def test_handle_request_serves_exactly_one_datagram(make_server):
    """The rest is seen by select() and taken by the next call."""
    log = []
    server = make_server("UDPServer", handler=collect(log))
    with datagram_client(server) as client:
        for number in range(5):
            client.send(b"%d" % number)
        for served in range(1, 6):
            assert select.select([server], [], [], 10)[0]
            server.handle_request()
            assert len(log) == served
        assert not select.select([server], [], [], 0)[0]


def test_stop_flag_between_two_datagrams_loses_none(make_server):
    """Across a second serve_forever()."""
    log = []

    def handler(request, client_address, server):
        log.append(request[0])
        if len(log) in (1, 4):
            server._BaseServer__shutdown_request = True

    server = make_server("UDPServer", handler=handler)
    with datagram_client(server) as client:
        for number in range(10):
            client.send(b"%d" % number)
        server.serve_forever(0.01)
        assert log == [b"0"]
        server.serve_forever(0.01)
        assert len(log) == 4
        with serving(server):
            wait_until_served(log, 10)
    assert log == [b"%d" % n for n in range(10)]


def test_stop_flag_then_handle_request_loses_none(make_server):
    """What the loop left is there for handle_request()."""
    log = []

    def handler(request, client_address, server):
        log.append(request[0])
        server._BaseServer__shutdown_request = True

    server = make_server("UDPServer", handler=handler)
    server.timeout = 10
    with datagram_client(server) as client:
        for number in range(5):
            client.send(b"%d" % number)
        server.serve_forever(0.01)
        for _ in range(4):
            server.handle_request()
    assert log == [b"%d" % n for n in range(5)]


def test_handle_request_then_select_sees_what_waits(make_server):
    """Loops of one's own: one datagram is taken at a time."""
    log = []
    server = make_server("UDPServer", handler=lambda request, *_: log.append(request[0]))
    with datagram_client(server) as client:
        for number in range(5):
            client.send(b"%d" % number)
        while select.select([server], [], [], 0.05)[0]:
            server.handle_request()
    assert log == [b"%d" % n for n in range(5)]


def test_handler_reading_the_next_datagram_itself_waits_for_it(make_server):
    """TFTP-like: the conversation goes on over the listener, which must block."""

    def handler(request, client_address, server):
        data, listener = request
        listener.sendto(b"go on", client_address)
        more, address = listener.recvfrom(100)
        listener.sendto(data + b"+" + more, address)

    server = make_server("UDPServer", handler=handler)
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"first") == b"go on"
        assert ask(client, b"second") == b"first+second"


def test_handler_reading_a_waiting_datagram_itself_in_handle_request_gets_it(make_server):
    """It has not been taken already."""
    log = []

    def handler(request, client_address, server):
        log.append((request[0], request[1].recvfrom(100)[0]))

    server = make_server("UDPServer", handler=handler)
    server.socket.settimeout(10)
    with datagram_client(server) as client:
        client.send(b"first")
        client.send(b"second")
        server.handle_request()
    assert log == [(b"first", b"second")]


def test_exception_in_a_handler_serves_the_next(make_server):
    """handle_error, and on."""
    errors = []

    def handler(request, client_address, server):
        if request[0] == b"bad":
            raise ValueError
        request[1].sendto(b"ok", client_address)

    server = make_server(
        "UDPServer",
        handler=handler,
        handle_error=lambda self, request, address: errors.append(request[0]),
    )
    with serving(server), datagram_client(server) as client:
        client.send(b"bad")
        assert ask(client, b"good") == b"ok"
    assert errors == [b"bad"]


def test_exception_leaving_the_loop_loses_no_other_datagram(make_server):
    """The next loop serves what was behind the failing one."""
    log = []

    def handler(request, client_address, server):
        log.append(request[0])
        if request[0] == b"1":
            raise SystemExit

    server = make_server("UDPServer", handler=handler)
    with datagram_client(server) as client:
        for number in range(5):
            client.send(b"%d" % number)
        with pytest.raises(SystemExit):
            server.serve_forever(0.01)
        with serving(server):
            wait_until_served(log, 5)
    assert log == [b"%d" % n for n in range(5)]


def test_icmp_error_on_the_listener_is_swallowed(make_server):
    """A reply to a client that has gone: ECONNREFUSED is an OSError of recvfrom."""
    server = make_server("UDPServer", handle_error=lambda *_: None)
    with serving(server):
        for _ in range(5):
            with datagram_client(server) as client:
                client.send(b"x")
        with datagram_client(server) as client:
            assert ask(client, b"still here") == b"re:still here"


def test_threads_answer_beside_each_other(make_server):
    """One that blocks holds up nobody."""
    opened, entered = threading.Event(), threading.Event()

    def handler(request, client_address, server):
        if request[0] == b"block":
            entered.set()
            opened.wait(10)
        request[1].sendto(request[0], client_address)

    server = make_server("ThreadingUDPServer", handler=handler)
    with serving(server), datagram_client(server) as one, datagram_client(server) as two:
        one.send(b"block")
        wait_for(entered)
        assert ask(two, b"pass") == b"pass"
        opened.set()
        assert one.recv(10) == b"block"


def test_server_activate_does_not_listen(make_server):
    """`No need to call listen() for UDP.`"""
    server = make_server("UDPServer", bind_and_activate=False)
    server.server_bind()
    assert server.server_activate() is None


def test_shutdown_of_an_idle_server_ends_the_loop(make_server):
    """As for streams."""
    server = make_server("UDPServer")
    loop = Loop(server)
    with datagram_client(server) as client:
        ask(client, b"x")
    server.shutdown()
    loop.join()


def test_socket_of_the_request_is_the_replaced_one(make_server):
    """`self.socket` at each request."""
    log = []
    server = make_server("UDPServer", handler=collect(log))
    server.socket.close()
    server.socket = socket.socket(type=socket.SOCK_DGRAM)
    server.socket.bind(("127.0.0.1", 0))
    server.server_address = server.socket.getsockname()
    with datagram_client(server) as client:
        client.send(b"x")
        server.handle_request()
    assert log[0][0][1] is server.socket


def test_listener_subclass_has_its_recvfrom_called(make_server):
    """A datagram socket with a recvfrom() of its own."""

    class Listener(socket.socket):
        def recvfrom(self, *args):
            data, address = super().recvfrom(*args)
            return data.upper(), address

    server = make_server("UDPServer")
    server.socket = Listener(fileno=server.socket.detach())
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"abc") == b"re:ABC"


def test_listener_with_a_timeout_serves(make_server):
    """settimeout() on the listener."""
    server = make_server("UDPServer")
    server.socket.settimeout(5)
    with serving(server), datagram_client(server) as client:
        assert ask(client, b"x") == b"re:x"
    assert server.socket.gettimeout() == 5


def test_ipv6_client_address_has_four_parts(impl):
    """As recvfrom() gives it."""
    log = []
    six = type("Six", (impl.UDPServer,), {"address_family": socket.AF_INET6})
    try:
        server = six(("::1", 0), collect(log))
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    with server, datagram_client(server) as client, serving(server):
        client.send(b"x")
        wait_until_served(log, 1)
        assert log[0][1] == client.getsockname()


def test_stream_and_datagram_server_serve_in_one_process(make_server):
    """Both kinds in one process, at once."""
    from support.clients import exchange

    stream, datagram = make_server("TCPServer"), make_server("UDPServer")
    with serving(stream), serving(datagram), datagram_client(datagram) as client:
        assert exchange(stream) == b"ok"
        assert ask(client, b"x") == b"re:x"


@pytest.mark.parametrize("max_packet_size", [8192, 65536])
def test_error_of_the_network_is_followed_by_a_poll(make_server, max_packet_size):
    """ECONNREFUSED out of `recvfrom()`: no request, and no wait for the next one either."""
    server = make_server("UDPServer", max_packet_size=max_packet_size)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    server.socket.connect(address)
    server.socket.send(b"nobody is there")
    loop = Loop(server)
    wait_until(lambda: not select.select([server.socket], [], [], 0)[0])
    stop = Background(server.shutdown)
    stop.thread.join(DEADLINE_S / 2)
    waits = stop.thread.is_alive()
    if waits:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(address)
            again.sendto(b"wake up", server.server_address)
    stop.join()
    loop.join()
    assert not waits
