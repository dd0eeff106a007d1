"""pyModbusTCP: a Modbus server.

It assigns `address_family` and `daemon_threads` on the standard `ThreadingTCPServer` itself,
builds that class with `bind_and_activate=False`, sets options on `server.socket` before
`server_bind()` and `server_activate()`, hangs its own attributes on the server for the
handlers to read, and gives accepted sockets a time-out in `setup`.
"""

import contextlib
import sys

from _scenario import HOST, PATIENCE_S, Program, run, wait_until


def load():
    from pyModbusTCP.client import ModbusClient
    from pyModbusTCP.server import ModbusServer

    class Modbus(Program):
        half = b"\x00\x01\x00\x00\x00\x06\x01"

        def start(self):
            self.server = ModbusServer(HOST, 0, no_block=True)
            self.server.start()
            self.address = self.server._service.server_address
            wait_until(lambda: self.server.is_run, "the server")

        def converse(self, number):
            client = ModbusClient(*self.address, timeout=PATIENCE_S)
            with contextlib.closing(client):
                assert client.write_multiple_registers(number * 10, [number, 7])
                assert client.write_single_coil(number, True)
                registers = client.read_holding_registers(number * 10, 2)
                coils = client.read_coils(number, 1)
                client.custom_request(b"\x63")
                unknown = client.last_except
            assert registers == [number, 7]
            return registers, coils, unknown

        def stop(self):
            self.server.stop()
            self.join(self.server._serve_th)

    return [Modbus]


if __name__ == "__main__":
    sys.exit(run(load))
