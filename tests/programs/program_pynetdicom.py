"""pynetdicom: DICOM associations (C-ECHO), with threads, with TLS and one at a time.

`get_request` (accepts by itself, wraps in TLS), `process_request` (no `shutdown_request`
afterwards: the association keeps the socket beyond the handler), `process_request_thread`
(closes after an exception only), `server_bind` (a time-out on the listener),
`service_actions` (collects garbage each sixtieth time), `server_close` (without the base's),
`shutdown` (closes too). `socket`, `server_address` and `ssl_context` (a property) are set
before the base's `__init__`, `timeout` after it.
"""

import sys
import tempfile

from _scenario import HOST, PATIENCE_S, Certificates, Program, run


def load():
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import CTImageStorage, Verification
    from pynetdicom.transport import AssociationServer

    class Threads(Program):
        half = b"\x01\x00\x00\x00\x01\x00\x00\x01"
        tls = None

        def entity(self):
            entity = AE()
            entity.maximum_associations = 50
            entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE_S
            return entity

        def serve(self, **options):
            self.echoes = []
            self.scp = self.entity()
            # After so long half a request is given up, and its thread with it.
            self.scp.acse_timeout = 5
            self.scp.add_supported_context(Verification)
            handlers = [(evt.EVT_C_ECHO, self.handle_echo)]
            self.server = self.scp.start_server(
                (HOST, 0), block=False, evt_handlers=handlers, **options
            )
            self.address = self.server.server_address

        def start(self):
            self.serve()

        def handle_echo(self, event):
            self.echoes.append(event.message_id)
            return 0x0000

        def converse(self, number):
            entity = self.entity()
            entity.dimse_timeout = 3
            entity.add_requested_context(Verification)
            entity.add_requested_context(CTImageStorage)
            for _ in range(5):
                statuses, accepted, released = self.associate(entity, number)
                # The client's own reactor thread sometimes takes an answer for an unexpected
                # message and drops it; the caller then times out. Not the server's doing.
                if None not in statuses:
                    break
            assert statuses == [0, 0, 0]
            assert self.echoes.count(number + 1) >= 3
            return statuses, accepted, released

        def associate(self, entity, number):
            tls = self.tls and (self.tls.client_context, "localhost")
            association = entity.associate(*self.address, tls_args=tls)
            assert association.is_established
            accepted = [context.abstract_syntax for context in association.accepted_contexts]
            statuses = []
            while len(statuses) < 3 and None not in statuses:
                answer = association.send_c_echo(msg_id=number + 1)
                statuses.append(getattr(answer, "Status", None))
            association.release()
            return statuses, accepted, association.is_released

        def stop(self):
            self.server.shutdown()

    class Tls(Threads):
        # The handshake is part of get_request(): a silent client holds up the others.
        concurrent = False
        answers_garbage = False

        def start(self):
            self.directory = tempfile.TemporaryDirectory()
            self.tls = Certificates(self.directory.name)
            self.serve(ssl_context=self.tls.server_context)

        def cleanup(self):
            self.directory.cleanup()

    class InLoop(Threads):
        """The server class that `start_server(block=True)` runs: no threads of its own."""

        def start(self):
            self.echoes = []
            self.scp = self.entity()
            # After so long half a request is given up, and its thread with it.
            self.scp.acse_timeout = 5
            self.scp.add_supported_context(Verification)
            self.server = AssociationServer(
                self.scp,
                (HOST, 0),
                "SCENARIO",
                self.scp.supported_contexts,
                evt_handlers=[(evt.EVT_C_ECHO, self.handle_echo)],
            )
            self.scp._servers.append(self.server)
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        def stop(self):
            super().stop()
            self.join()

    return [Threads, Tls, InLoop]


if __name__ == "__main__":
    sys.exit(run(load))
