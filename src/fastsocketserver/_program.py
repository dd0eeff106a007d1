"""Running a program as `python` itself runs it, for `python -m fastsocketserver`.

The program becomes the real `__main__` module: pickles of its classes, `multiprocessing`
and reloaders look there. What `python` does before it runs a program is done here; the
running, and the reporting of how it ends, is the interpreter's own (see `_running.pyx`).

Source: `pymain_run_python()` in CPython's Modules/main.c.
"""

from __future__ import annotations

import builtins
import os
import runpy
import stat
import sys
from importlib.machinery import BuiltinImporter
from types import ModuleType

from fastsocketserver import _running

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

_run_main: Any = runpy._run_module_as_main  # type: ignore[attr-defined]


def run_module(name: str, args: list[str]) -> int:
    """Run a module or package as `python -m name` does.

    Args:
        name: dotted; `runpy` says on stderr when there is none, and exits with status 1.
        args: what follows it, for `sys.argv[1:]`.
    Returns:
        the exit status: 1 after an exception, which has been reported. SystemExit ends the
        process, unless an interactive prompt follows.
    """
    sys.argv[:] = ["-m", *args]  # runpy puts the file's name in
    _replace_main()
    return _running.run_function(_run_main, name)


def run_command(command: str, args: list[str]) -> int:
    """Run program text as `python -c command` does; otherwise as `run_module`."""
    sys.argv[:] = ["-c", *args]
    _replace_path0("")
    _replace_main()
    source = command + "\n"
    if sys.version_info >= (3, 14):
        source = dedent(source)
    if sys.version_info >= (3, 13):
        _remember_lines("<string>", source)
    return _running.run_command(source)


def run_file(path: str, args: list[str]) -> int:
    """Run a script, a compiled script, or a directory or zip file that has a `__main__`, as
    `python path` does; otherwise as `run_module`.

    Args:
        path: as typed; `-` is standard input. Status 2 if it cannot be opened.
    """
    sys.argv[:] = [path, *args]
    if path == "-":
        _replace_path0("")
        _replace_main()
        return _running.run_stdin()
    full_path = _full_path(path)
    if _running.has_importer(full_path):
        _remove_path0()
        sys.path.insert(0, full_path)
        _replace_main()
        return _running.run_function(_run_main, "__main__", False)
    _replace_path0(os.path.dirname(_real_path(path)))
    _replace_main()
    return _run_script(full_path)


def _run_script(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        reason = f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        return _refuse(reason, 2)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        return _refuse(f"{path!r} is a directory, cannot continue", 1)
    return _running.run_file(fd, os.fsencode(path))


def _refuse(reason: str, status: int) -> int:
    if sys.stderr is not None:  # closed by who started us; print() would take stdout
        print(f"{sys.executable}: {reason}", file=sys.stderr)
    return status


def dedent(source: str) -> str:
    """Take away what all lines but blank ones begin with, as Python 3.14 and newer do for
    `-c`.

    Args:
        source: ends in a line feed.

    Source: `_PyUnicode_Dedent()` in Objects/unicodeobject.c.
    """
    lines = [line if line.strip(" \t") else "" for line in source.split("\n")]
    margins = [line[: len(line) - len(line.lstrip(" \t"))] for line in lines if line]
    margin = os.path.commonprefix(margins)  # noqa: RUF071  (characters are meant)
    if not margin:
        return source  # blank lines stay as they are, too
    return "\n".join(line.removeprefix(margin) for line in lines)


def _remember_lines(filename: str, source: str) -> None:
    """Let tracebacks quote the source, as Python 3.13 and newer do for `-c`."""
    import linecache

    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)


# -- sys.path and __main__ ----------------------------------------------------------------


def _full_path(path: str) -> str:
    """The path from the root; as typed where the working directory has been removed."""
    directory = _working_directory()
    if path in ("", ".") and directory and sys.version_info >= (3, 11):
        return directory
    return os.path.join(directory, path)


def _real_path(path: str) -> str:
    """The path without symbolic links; as typed if there is no such file."""
    try:
        return os.path.realpath(path, strict=True)
    except OSError:
        return path


def _replace_path0(entry: str) -> None:
    """Put the program's directory where `python -m` has put the working directory."""
    if not _is_path_safe():
        _remove_path0()
        sys.path.insert(0, entry)


def _remove_path0() -> None:
    if not _is_path_safe() and sys.path[:1] == [_working_directory()]:
        del sys.path[0]


def _working_directory() -> str:
    """The working directory; "" where it has been removed, and Python adds no entry."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _is_path_safe() -> bool:
    """Whether Python was told (`-I`, `-P`) to add no such entry."""
    return bool(sys.flags.isolated or getattr(sys.flags, "safe_path", False))


def _replace_main() -> None:
    """A fresh `__main__`, with the names in it that the interpreter puts there."""
    main = ModuleType("__main__")
    main.__loader__ = BuiltinImporter
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    vars(main)["__builtins__"] = builtins
    sys.modules["__main__"] = main
