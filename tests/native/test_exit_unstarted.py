"""The end of the interpreter just after a worker was started, before its thread has run."""

from __future__ import annotations

from native.processes import run_program


def test_exit_waits_for_a_worker_that_has_not_begun():
    """`Worker.start()` does not wait for the thread; until 3.12 the interpreter joins threads
    that have begun, only.
    """
    program = """
    import os, socket, threading, time
    import fastsocketserver
    from fastsocketserver._workers import Worker

    exiting = threading.Event()
    threading._register_atexit(exiting.set)
    stock_bootstrap = Worker._bootstrap_inner

    def begin_late(self):
        exiting.wait()
        time.sleep(0.3)  # the interpreter's time to go wrong; nothing else depends on it
        stock_bootstrap(self)

    Worker._bootstrap_inner = begin_late

    def handler(request, address, server):
        os.write(1, b"finished\\n")

    server = fastsocketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    client = socket.create_connection(server.server_address, 20)
    server.handle_request()
    print("main ends", flush=True)
    """
    assert run_program(program) == ["main ends", "finished"]
