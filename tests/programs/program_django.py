"""Django: the development server with threads, on HTTP/1.1 with kept connections.

`process_request_thread` and `close_request` set and clear thread-locals (database
connections) and must both run in the request's own thread; `handle_error` looks at
`sys.exc_info()`; `request_queue_size` is 10; `allow_reuse_address` and `address_family` are
set on the instance before the base's `__init__`; handlers ask
`isinstance(server, socketserver.ThreadingMixIn)`; `handle` shuts the connection down itself.
"""

import contextlib
import http.client
import logging
import sys
import threading

from _scenario import HOST, HTTP_HALF, PATIENCE_S, Program, run


def load():
    import django
    from django.conf import settings
    from django.core.servers.basehttp import (
        ThreadedWSGIServer,
        WSGIRequestHandler,
        WSGIServer,
    )
    from django.db import connection, connections
    from django.http import HttpResponse, JsonResponse
    from django.urls import path
    from django.views.decorators.csrf import csrf_exempt

    one_at_a_time = threading.Lock()  # for the threads that share a connection

    def query(request, number):
        with one_at_a_time, connection.cursor() as cursor:
            cursor.execute("SELECT %s + 1", [number])
            return JsonResponse({"value": cursor.fetchone()[0]})

    @csrf_exempt
    def upload(request):
        if request.method != "POST":
            raise RuntimeError("on purpose")
        return HttpResponse(str(len(request.body)))

    class Urls:
        urlpatterns = (path("query/<int:number>/", query), path("upload/", upload))

    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=Urls,
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        },
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        LOGGING_CONFIG=None,
    )
    django.setup()
    logging.getLogger("django").setLevel(logging.CRITICAL)
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()

    class Threaded(Program):
        half = HTTP_HALF
        server_class = ThreadedWSGIServer
        keeps = True

        def start(self):
            self.server = self.server_class((HOST, 0), WSGIRequestHandler)
            self.server.set_app(application)
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        def converse(self, number):
            client = http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)
            seen = []
            with contextlib.closing(client):
                for method, where, body in (
                    ("GET", f"/query/{number}/", None),
                    ("POST", "/upload/", b"x" * 200_000),
                    ("GET", "/upload/", None),
                    ("GET", "/missing/", None),
                ):
                    client.request(method, where, body)
                    answer = client.getresponse()
                    text = answer.read().decode()
                    text = text if answer.status == 200 else ""
                    seen.append((answer.status, text, answer.will_close))
            assert [status for status, _, _ in seen] == [200, 200, 500, 404], seen
            assert seen[0][1] == f'{{"value": {number + 1}}}'
            assert seen[0][2] is not self.keeps
            return seen

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

    class WithConnections(Threaded):
        """As live-server tests run it: the workers use the connection of another thread."""

        def start(self):
            self.shared = connections["default"]
            self.shared.inc_thread_sharing()
            self.shared.ensure_connection()
            self.used = set()
            self.server = self.server_class(
                (HOST, 0), WSGIRequestHandler, connections_override={"default": self.shared}
            )
            # As in Django's own tests: closing would lose the in-memory database.
            self.server._close_connections = self.note_thread
            self.server.set_app(application)
            self.address = self.server.server_address
            self.in_thread(self.server.serve_forever)

        def note_thread(self):
            self.used.add(threading.current_thread() is self.thread)

        def misbehave(self):
            """`close_request` ran, and never on the serving thread."""
            return sorted(self.used)

        def cleanup(self):
            self.shared.dec_thread_sharing()
            self.shared.connection.close()  # Django keeps an in-memory database open
            self.shared.connection = None

    class OneByOne(Threaded):
        concurrent = False
        keeps = False
        server_class = WSGIServer

    return [Threaded, WithConnections, OneByOne]


if __name__ == "__main__":
    sys.exit(run(load))
