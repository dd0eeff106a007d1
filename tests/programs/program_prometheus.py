"""prometheus_client: its metrics endpoint, plain and over TLS.

`ThreadingMixIn` over `wsgiref.simple_server.WSGIServer` with `daemon_threads`; the class is
made anew for each server and gets `address_family` as a class attribute; with a certificate,
`server.socket` is replaced by an `SSLSocket` after `listen()`, so the handshake happens
inside `accept()`, on the serving thread.
"""

import sys
import tempfile
from typing import ClassVar

from _scenario import HOST, Certificates, Program, http_get, run


def load():
    import prometheus_client
    from prometheus_client.parser import text_string_to_metric_families

    class Plain(Program):
        half = b"GET /metrics HTTP/1.1\r\nHost: loc"
        context = None
        extra: ClassVar = {}

        def start(self):
            registry = prometheus_client.CollectorRegistry()
            counter = prometheus_client.Counter("visits", "Visits", ["who"], registry=registry)
            counter.labels("scenario").inc(42)
            self.server, self.thread = prometheus_client.start_http_server(
                0, HOST, registry, **self.extra
            )
            self.address = self.server.server_address

        def converse(self, number):
            status, body = http_get(self.address, "/metrics", context=self.context)
            assert status == 200
            families = list(text_string_to_metric_families(body.decode()))
            value = families[0].samples[0].value
            assert value == 42
            missing, _ = http_get(self.address, "/favicon.ico", context=self.context)
            return [f.name for f in families], value, missing

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

    class Tls(Plain):
        # A client that connects and says nothing stalls the handshake, and with it accept().
        concurrent = False
        answers_garbage = False
        half = b"\x16\x03\x01\x02\x00\x01\x00"

        def start(self):
            self.directory = tempfile.TemporaryDirectory()
            certificates = Certificates(self.directory.name)
            self.context = certificates.client_context
            self.extra = {"certfile": certificates.certificate, "keyfile": certificates.key}
            super().start()

        def cleanup(self):
            self.directory.cleanup()

    return [Plain, Tls]


if __name__ == "__main__":
    sys.exit(run(load))
