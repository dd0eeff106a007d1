"""fakeredis: a Redis server.

`setup` makes the accepted socket non-blocking through `rfile.fileno()`, and `handle` reads
from `rfile` and `select()`s on `connection` all the same; `finish` closes `rfile` and `wfile`
before the base's. `shutdown` sets an event for the handlers first. `daemon_threads` is False:
`server_close()` waits for every connection. Clients are kept by `client_address`.
"""

import sys

from _scenario import HOST, PATIENCE_S, Program, run


def load():
    import fakeredis
    import redis

    class Redis(Program):
        garbage = b"\x00\xff\xfe garbage \x80\r\n"
        answers_garbage = False
        half = b"*2\r\n$3\r\nGET\r\n$5\r\nab"

        def start(self):
            self.server = fakeredis.TcpFakeServer((HOST, 0))
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        def client(self):
            return redis.Redis(*self.address, socket_timeout=PATIENCE_S)

        def converse(self, number):
            with self.client() as client:
                client.set(f"key{number}", "v" * 5000)
                length = client.strlen(f"key{number}")
                counted = [client.incr(f"counter{number}") for _ in range(5)]
                with client.pipeline() as pipeline:
                    for item in range(20):
                        pipeline.rpush(f"list{number}", item)
                    pushed = pipeline.execute()
                try:
                    client.lpush(f"key{number}", 1)
                except redis.ResponseError as error:
                    refused = str(error)
            assert counted == [1, 2, 3, 4, 5]
            return length, counted, pushed, refused

        def misbehave(self):
            """A message reaches a subscriber from another connection's thread."""
            with self.client() as publisher, self.client() as listener:
                subscription = listener.pubsub()
                subscription.subscribe("news")
                first = subscription.get_message(timeout=PATIENCE_S)["type"]
                receivers = publisher.publish("news", "hello")
                message = subscription.get_message(timeout=PATIENCE_S)["data"].decode()
                subscription.close()
            return first, receivers, message

        def stop(self):
            with self.client() as idle:  # it does not hang up by itself
                assert idle.ping()
                self.server.shutdown()
                self.server.server_close()
            self.join()

    return [Redis]


if __name__ == "__main__":
    sys.exit(run(load))
