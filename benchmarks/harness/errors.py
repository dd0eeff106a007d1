"""Why a measurement yields no figure."""

from __future__ import annotations


class MeasurementError(Exception):
    """A server or the load failed; the text says how, for the table."""
