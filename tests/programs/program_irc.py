"""irc: a chat server.

The handler sets its attributes before the base's `__init__`, waits with `select()` on
`request`, closes it itself and leaves through a `BaseException` of its own; other clients'
threads put messages into its queue; `finish` is overridden. `daemon_threads` is a class
attribute, and the stop leaves a client connected.
"""

import contextlib
import logging
import sys
import time

from _scenario import HOST, PATIENCE_S, Program, run


def load():
    import irc.client
    from irc import server

    logging.getLogger("irc").setLevel(logging.CRITICAL)

    class Chat(Program):
        clients = 8  # each connected one keeps a thread of the server spinning
        garbage = b"\x00\x80 garbage\r\n"
        answers_garbage = False
        half = b"NICK half"

        def start(self):
            self.server = server.IRCServer((HOST, 0), server.IRCClient)
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        @contextlib.contextmanager
        def user(self, nick, seen):
            """A connected client, and a function that pumps it until an event arrived."""
            reactor = irc.client.Reactor()
            connection = reactor.server()

            def pump_until(kind):
                deadline = time.monotonic() + PATIENCE_S
                while not any(event.type == kind for event in seen):
                    assert time.monotonic() < deadline, f"no {kind} in {seen}"
                    reactor.process_once(0.05)

            reactor.add_global_handler("all_events", lambda _, event: seen.append(event))
            connection.connect(*self.address, nick)
            try:
                yield connection, pump_until
            finally:
                connection.disconnect()

        def converse(self, number):
            events = []
            with self.user(f"alice{number}", events) as (connection, until):
                until("welcome")
                connection.join(f"#room{number}")
                until("endofnames")
                connection.send_raw("NONSENSE")
                until("unknowncommand")
                connection.ping("there")
                until("pong")
            seen = [event.type for event in events if event.type != "all_raw_messages"]
            assert seen.count("join") == 1
            return sorted(set(seen))

        def misbehave(self):
            """A message goes to another client, through that one's thread."""
            alice, bob = [], []
            with (
                self.user("alice", alice) as (speaker, until_alice),
                self.user("bob", bob) as (listener, until_bob),
            ):
                for connection, until in ((speaker, until_alice), (listener, until_bob)):
                    until("welcome")
                    connection.join("#room")
                    until("endofnames")
                speaker.privmsg("#room", "hello")
                until_bob("pubmsg")
            return [event.arguments for event in bob if event.type == "pubmsg"]

        def stop(self):
            with self.user("late", []) as (_, until):
                until("welcome")
                self.server.shutdown()
                self.server.server_close()
                self.join()

    return [Chat]


if __name__ == "__main__":
    sys.exit(run(load))
