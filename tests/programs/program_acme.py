"""acme (certbot): the stand-alone challenge server, a pair of IPv6 and IPv4 servers.

`RequestHandlerClass` is a `functools.partial` with keyword arguments, and `timeout` of the
handler is a read-only property; `address_family` is set before the base's `__init__`; both
servers share one port number, and either `bind` may fail (the server object is then dropped
half made); each serves in a thread of its own.
"""

import logging
import sys

from _scenario import HOST, HTTP_HALF, Program, http_get, run


def load():
    import josepy
    from acme import challenges
    from acme.standalone import HTTP01DualNetworkedServers, HTTP01RequestHandler
    from cryptography.hazmat.primitives.asymmetric import rsa

    logging.getLogger("acme").setLevel(logging.CRITICAL)
    key = josepy.JWKRSA(key=rsa.generate_private_key(65537, 2048))

    class Challenge(Program):
        concurrent = False
        half = HTTP_HALF

        def start(self):
            self.challenge = challenges.HTTP01(token=b"x" * challenges.HTTP01.TOKEN_SIZE)
            response, validation = self.challenge.response_and_validation(key)
            self.response = response
            resource = HTTP01RequestHandler.HTTP01Resource(self.challenge, response, validation)
            self.servers = HTTP01DualNetworkedServers(("localhost", 0), {resource})
            self.address = (HOST, self.servers.getsocknames()[0][1])
            self.servers.serve_forever()

        def converse(self, number):
            verified = self.response.simple_verify(
                self.challenge, "localhost", key.public_key(), port=self.address[1]
            )
            assert verified
            status, text = http_get(self.address, "/")
            assert b"ACME" in text
            return verified, status, http_get(self.address, "/missing")[0]

        def stop(self):
            self.servers.shutdown_and_server_close()

    return [Challenge]


if __name__ == "__main__":
    sys.exit(run(load))
