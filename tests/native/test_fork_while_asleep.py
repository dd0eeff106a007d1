"""A process forked by a signal handler while its parent's loop sleeps."""

from __future__ import annotations

from native.processes import run_program


def test_child_forked_by_a_signal_handler_during_the_wait_goes_to_sleep_again():
    """On a poller of its own: with its parent's it would look at everything over and over."""
    assert run_program("""
        import os, signal, threading, time
        from types import SimpleNamespace

        import fastsocketserver
        from support.idle import wait_until_asleep

        server = fastsocketserver.TCPServer(("127.0.0.1", 0), lambda *_: None)
        children = []
        go_on, writer = os.pipe()


        def stop_when_asleep():
            try:
                wait_until_asleep(SimpleNamespace(native_id=os.getpid()))
            except BaseException:
                os._exit(1)
            if time.process_time() > 1:  # of this process alone
                os._exit(2)
            server.shutdown()


        def fork(number, frame):
            pid = os.fork()
            children.append(pid)
            if pid == 0:
                os.read(go_on, 1)  # the parent has taken what woke both
                threading.Thread(target=stop_when_asleep).start()


        signal.signal(signal.SIGUSR1, fork)


        def drive():
            wait_until_asleep(threading.main_thread())
            os.kill(os.getpid(), signal.SIGUSR1)
            while not children:
                time.sleep(0.001)
            wait_until_asleep(threading.main_thread())
            os.write(writer, b".")
            print("status", os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
            server.shutdown()


        driver = threading.Thread(target=drive)
        driver.start()
        server.serve_forever(3600)
        if children == [0]:
            os._exit(0)
        driver.join()
        server.server_close()
    """) == ["status 0"]
