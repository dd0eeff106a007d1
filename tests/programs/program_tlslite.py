"""tlslite-ng: TLS in pure Python in front of XML-RPC.

`finish_request` does the handshake and gives `RequestHandlerClass` a `TLSConnection` instead
of the socket: no `socket.socket`, with a `makefile` of its own. The handler's `setup` does not
call the base's and makes both files itself; `do_POST` shuts the connection down.
"""

import socketserver
import sys
import tempfile
from pathlib import Path

from _scenario import HOST, Certificates, Program, run


def load():
    import xmlrpc.client

    from tlslite.api import (
        TLSError,
        TLSXMLRPCServer,
        X509CertChain,
        XMLRPCTransport,
        parsePEMKey,
    )

    class Server(socketserver.ThreadingMixIn, TLSXMLRPCServer):
        daemon_threads = True

        def handshake(self, connection):
            try:
                connection.handshakeServer(certChain=self.chain, privateKey=self.key)
            except (TLSError, OSError):
                return False
            connection.ignoreAbruptClose = True
            return True

        def handle_error(self, request, client_address):
            pass

    class XmlRpc(Program):
        clients = 8
        answers_garbage = False
        half = b"\x16\x03\x01\x02\x00\x01\x00"

        def start(self):
            with tempfile.TemporaryDirectory() as directory:
                certificates = Certificates(directory)
                chain = X509CertChain()
                chain.parsePemList(Path(certificates.certificate).read_text())
                key = parsePEMKey(Path(certificates.key).read_text(), private=True)
            self.server = Server((HOST, 0), logRequests=False)
            self.server.chain, self.server.key = chain, key
            self.address = self.server.server_address
            self.server.register_function(pow)
            self.in_thread(self.server.serve_forever)

        def converse(self, number):
            transport = XMLRPCTransport(ignoreAbruptClose=True)
            url = f"https://localhost:{self.address[1]}"
            with xmlrpc.client.ServerProxy(url, transport) as proxy:
                power = proxy.pow(number, 2)
            assert power == number**2
            return power

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

    return [XmlRpc]


if __name__ == "__main__":
    sys.exit(run(load))
