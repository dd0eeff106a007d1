"""dnslib: a name server over datagrams and over streams.

`ThreadingMixIn` over `UDPServer` and `TCPServer`; `daemon_threads` and `allow_reuse_address`
are set on the instance before the base's `__init__`; the handler asks `server.socket_type`
and answers on the socket that comes with a datagram. `stop()` is `shutdown()` alone.
"""

import sys

from _scenario import HOST, Program, run


def load():
    from dnslib import QTYPE, RR, DNSRecord
    from dnslib.server import DNSLogger, DNSServer

    class Resolver:
        def resolve(self, request, handler):
            reply = request.reply()
            name = str(request.q.qname)
            reply.add_answer(*RR.fromZone(f"{name} 60 {QTYPE[request.q.qtype]} 192.0.2.1"))
            return reply

    class Datagrams(Program):
        datagrams = True
        tcp = False
        half = b"\x12\x34\x01\x00\x00\x01"

        def start(self):
            self.program = DNSServer(
                Resolver(), HOST, 0, tcp=self.tcp, logger=DNSLogger(logf=lambda line: None)
            )
            self.address = self.program.server.server_address
            self.program.start_thread()

        def converse(self, number):
            question = DNSRecord.question(f"host{number}.example.")
            reply = DNSRecord.parse(question.send(*self.address, tcp=self.tcp, timeout=10))
            assert reply.header.id == question.header.id
            assert str(reply.a.rdata) == "192.0.2.1"
            return str(reply.a.rname), str(reply.a.rdata)

        def stop(self):
            self.program.stop()
            self.program.server.server_close()
            self.join(self.program.thread)

    class Streams(Datagrams):
        datagrams = False
        tcp = True
        half = b"\x00\x20\x12\x34\x01\x00\x00\x01"

    return [Datagrams, Streams]


if __name__ == "__main__":
    sys.exit(run(load))
