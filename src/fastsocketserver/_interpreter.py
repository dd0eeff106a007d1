"""Whether this is the interpreter that compiled modules can be loaded into.

Fact: a module that Cython compiles belongs to the first interpreter of the process that loads
it, and refuses all others. Loaded by a subinterpreter, it would be lost for the main one.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread


def is_main_interpreter() -> bool:
    """Whether this is the process's main interpreter. Asked before anything is loaded.

    Without a way to tell (only Python 3.10 and 3.11, where the module of subinterpreters is
    missing), a thread other than the main one is taken to belong to it.
    """
    asked = getattr(_thread, "_is_main_interpreter", None)  # since Python 3.12
    if asked is not None:
        return bool(asked())
    try:
        # Refused for one reason or for the other, and without effect.
        _signal.signal(0, _signal.SIG_DFL)
    except ValueError as error:
        if "main interpreter" not in str(error):
            return True  # and the main thread: the number is what it does not like
    try:
        # It takes 0.3 ms to import.
        import _xxsubinterpreters as subinterpreters  # type: ignore[import-not-found]
    except ImportError:
        return True
    return bool(subinterpreters.get_current() == subinterpreters.get_main())
