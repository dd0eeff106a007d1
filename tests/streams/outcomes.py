"""What a call did, in a form that can be compared between two implementations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def outcome(function: Callable[..., Any], *args: Any) -> Any:
    """The result, or the exception's type and text."""
    try:
        result = function(*args)
    except Exception as error:
        return type(error), str(error), getattr(error, "characters_written", None)
    return bytes(result) if isinstance(result, memoryview) else result
