"""python-osc: Open Sound Control, blocking, with threads and with processes.

Over datagrams `verify_request` is overridden and looks into the `(data, socket)` pair (noise
is dropped there); the handler keeps `request[1]` before the base's `__init__`; `timeout` is
set on the instance. Over streams `request_queue_size` is set on the instance, before the
base's `__init__`.
"""

import os
import sys

from _scenario import HOST, PATIENCE_S, Program, run


def load():
    from pythonosc import osc_server, osc_tcp_server, tcp_client, udp_client
    from pythonosc.dispatcher import Dispatcher

    def double(address, number):
        return "/doubled", number * 2

    dispatcher = Dispatcher()
    dispatcher.map("/double", double)

    class BlockingUdp(Program):
        datagrams = True
        server_class = osc_server.BlockingOSCUDPServer
        half = b"/double\x00,i\x00"

        def start(self):
            self.server = self.server_class((HOST, 0), dispatcher)
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        def converse(self, number):
            client = udp_client.DispatchClient(*self.address)
            with client._sock:
                client.send_message("/unknown", [])
                client.send_message("/double", number)
                message = next(client.get_messages(timeout=int(PATIENCE_S)))
            assert message.params == [number * 2]
            return message.address, message.params

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

    class ThreadingUdp(BlockingUdp):
        server_class = osc_server.ThreadingOSCUDPServer

    class BlockingTcp(BlockingUdp):
        datagrams = False
        concurrent = False
        server_class = osc_tcp_server.BlockingOSCTCPServer
        half = b"\xc0/double\x00,i\x00"

        def converse(self, number):
            client = tcp_client.SimpleTCPClient(*self.address, mode="1.1")
            with client.socket:
                client.socket.settimeout(PATIENCE_S)
                seen = []
                for turn in range(3):
                    client.send_message("/double", number + turn)
                    packets = client.receive(timeout=int(PATIENCE_S))
                    seen += [tcp_client.OscMessage(packet).params for packet in packets]
            assert seen == [[(number + turn) * 2] for turn in range(3)]
            return seen

    class ThreadingTcp(BlockingTcp):
        concurrent = True
        server_class = osc_tcp_server.ThreadingOSCTCPServer

    servers = [BlockingUdp, ThreadingUdp, BlockingTcp, ThreadingTcp]
    if hasattr(os, "fork"):

        class ForkingUdp(BlockingUdp):
            clients_apart = True
            server_class = osc_server.ForkingOSCUDPServer

        class ForkingTcp(ThreadingTcp):
            clients_apart = True
            server_class = osc_tcp_server.ForkingOSCTCPServer

        servers += [ForkingUdp, ForkingTcp]
    return servers


if __name__ == "__main__":
    sys.exit(run(load))
