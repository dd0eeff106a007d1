"""The record about exhaustion: where it reaches nobody, that is no error."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import sys
from types import SimpleNamespace

import pytest

from fastsocketserver._accept_errors import report_exhaustion

SERVER = SimpleNamespace(server_address=("host", 80))
ERROR = OSError(errno.EMFILE, "none left")
MESSAGE = "cannot accept on ('host', 80): [Errno 24] none left; next try in 5 ms"


class Full(io.StringIO):
    """On a disk that has no space left."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")


def closed():
    """What a print to raises ValueError."""
    stream = io.StringIO()
    stream.close()
    return stream


def report(stream):
    """Report once, with `stream` for standard error; what it got."""
    with contextlib.redirect_stderr(stream):
        report_exhaustion(SERVER, ERROR, 5)
    return stream and not stream.closed and stream.getvalue()


@pytest.fixture
def _no_logging(monkeypatch):
    """As in a program that has not imported it."""
    monkeypatch.delitem(sys.modules, "logging")


@pytest.mark.usefixtures("_no_logging")
def test_report_without_logging_goes_to_stderr():
    assert report(io.StringIO()) == MESSAGE + "\n"


@pytest.mark.usefixtures("_no_logging")
@pytest.mark.parametrize("make", [closed, Full, lambda: None], ids=["closed", "full", "none"])
def test_report_that_stderr_does_not_take_is_left_out(capsys, make):
    """The loop goes on; and what there is none for does not go to standard output."""
    assert not report(make())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("failure", [OSError("no file"), RuntimeError("odd"), KeyError("%s")])
def test_report_that_logging_fails_at_goes_to_stderr(monkeypatch, failure):
    """Whatever a handler or a filter of the program raises."""

    def fail(*args):
        raise failure

    monkeypatch.setattr(logging.getLogger("fastsocketserver"), "warning", fail)
    assert report(io.StringIO()) == f"{MESSAGE} (logging failed: {failure!r})\n"
