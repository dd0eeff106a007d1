"""hl7apy: hospital messages in MLLP frames.

`timeout` is set on the server before the base's `__init__` and is taken over by the handlers
in `setup`; the handler closes `request` itself, in every branch, and reads from both
`request` and `rfile`. Threads are not daemons: `server_close()` waits for them.
"""

import sys

from _scenario import HOST, PATIENCE_S, Program, run

MESSAGE = (
    "MSH|^~\\&|FROM|A|TO|B|20240101120000||{type}|{number}|P|2.5\r"
    "EVN||20240101120000\r"
    "PID|||{number}||DOE^JOHN\r"
)


def load():
    import hl7
    from hl7.client import MLLPClient
    from hl7apy.mllp import AbstractErrorHandler, AbstractHandler, MLLPServer

    class Admission(AbstractHandler):
        def reply(self):
            message = hl7.parse(self.incoming_message)
            return f"\x0bMSA|AA|{message.segment('PID')[3]}\r\x1c\r"

    class Refusal(AbstractErrorHandler):
        def reply(self):
            return f"\x0bMSA|AR|{type(self.exc).__name__}\r\x1c\r"

    class Mllp(Program):
        half = b"\x0bMSH|^~\\&|FROM"

        def start(self):
            handlers = {"ADT^A01": (Admission,), "ERR": (Refusal,)}
            self.server = MLLPServer(HOST, 0, handlers, timeout=PATIENCE_S)
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        def converse(self, number):
            seen = []
            for kind in ("ADT^A01", "ORU^R01"):
                with MLLPClient(*self.address) as client:
                    client.socket.settimeout(PATIENCE_S)
                    message = MESSAGE.format(type=kind, number=number)
                    seen.append(client.send_message(message).decode())
            assert seen[0] == f"\x0bMSA|AA|{number}\r\x1c\r"
            return seen

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

    return [Mllp]


if __name__ == "__main__":
    sys.exit(run(load))
