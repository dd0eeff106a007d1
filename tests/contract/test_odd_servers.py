"""Servers whose attributes are not kept as usual."""

from __future__ import annotations

import collections

import pytest

from support.clients import ask, datagram_client, exchange
from support.serving import serving


class Attributes(dict):
    """As programs have it to reach attributes in another way, or to note their use."""

    def __getitem__(self, key):
        raise RuntimeError(f"asked for {key}")

    def __setitem__(self, key, value):
        raise RuntimeError(f"told {key}")

    def __contains__(self, key):
        return True

    def get(self, key, default=None):
        return "something else"

    def setdefault(self, key, default=None):
        return "something else"

    def __missing__(self, key):
        return "something else"


KINDS = {
    "subclass of dict": Attributes,
    "defaultdict": lambda: collections.defaultdict(list),
    "OrderedDict": collections.OrderedDict,
}
BASES = ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer", "UDPServer"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_server_with_a_dictionary_of_its_own_kind_serves_and_stops(
    impl, make_server, base, kind
):
    """Python looks attributes up in it as in any dict, without its methods."""
    if base == "ThreadingTCPServer" and kind is Attributes:
        pytest.skip("ThreadingMixIn.process_request itself calls vars(self).setdefault()")

    def __init__(self, *args):
        attributes = kind()
        dict.update(attributes, self.__dict__)
        self.__dict__ = attributes
        getattr(impl, base).__init__(self, *args)

    server = make_server(base, __init__=__init__)
    for _ in range(2):
        with serving(server):
            if base == "UDPServer":
                with datagram_client(server) as client:
                    assert ask(client, b"hello") == b"re:hello"
            else:
                assert [exchange(server) for _ in range(3)] == [b"ok"] * 3


def test_server_whose_class_has_our_names(impl):
    """A class may be called BaseServer, too, and mangles its private names alike."""

    class BaseServer(impl.TCPServer):
        def __init__(self, *args):
            super().__init__(*args)
            self.__state = "mine"
            self.__loops = self.__pool = self.__children = "mine"

        def finish_request(self, request, client_address):
            request.sendall(self.__state.encode())

    with BaseServer(("127.0.0.1", 0), None) as server, serving(server):
        assert exchange(server) == b"mine"
