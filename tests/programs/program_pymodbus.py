"""pymodbus 2: a Modbus server over streams and over datagrams.

`process_request` is overridden and calls `ThreadingTCPServer.process_request` by name;
`server_close` closes the socket without the base's; `shutdown` marks its handlers first; the
handlers enter themselves in `server.threads` in `setup` and leave in `finish`; the datagram
handler replaces `self.request`.
"""

import contextlib
import logging
import sys

from _scenario import HOST, PATIENCE_S, Program, run


def load():
    from pymodbus.client.sync import ModbusTcpClient, ModbusUdpClient
    from pymodbus.datastore import (
        ModbusSequentialDataBlock,
        ModbusServerContext,
        ModbusSlaveContext,
    )
    from pymodbus.server.sync import ModbusTcpServer, ModbusUdpServer

    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

    class Streams(Program):
        server_class = ModbusTcpServer
        client_class = ModbusTcpClient
        half = b"\x00\x01\x00\x00\x00\x06\x01"

        def start(self):
            block = ModbusSequentialDataBlock(0, [17] * 400)
            context = ModbusServerContext(slaves=ModbusSlaveContext(hr=block), single=True)
            self.server = self.server_class(context, address=(HOST, 0))
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        def converse(self, number):
            client = self.client_class(*self.address, timeout=PATIENCE_S)
            with contextlib.closing(client):
                assert client.connect()
                before = client.read_holding_registers(300, 2).registers
                client.write_register(number, number + 1000)
                after = client.read_holding_registers(number, 1).registers
                unknown = client.read_holding_registers(60_000, 1)
            assert after == [number + 1000]
            return before, after, unknown.exception_code

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

    class Datagrams(Streams):
        datagrams = True
        server_class = ModbusUdpServer
        client_class = ModbusUdpClient

    return [Streams, Datagrams]


if __name__ == "__main__":
    sys.exit(run(load))
