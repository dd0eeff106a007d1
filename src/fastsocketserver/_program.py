"""Running a program as `python` itself runs it, for `python -m fastsocketserver`.

The program becomes the real `__main__` module: pickles of its classes, `multiprocessing`
and reloaders look there. It runs below a few frames of ours and of `runpy`; the traceback
of an exception that leaves it starts at the program all the same. The exception then goes
on, and the interpreter does with it what it always does: exit status, death by SIGINT,
`sys.last_traceback`, threads, `atexit`.

Source: `pymain_run_python()` in CPython's Modules/main.c, `pyrun_simple_file()` in
Python/pythonrun.c.
"""

from __future__ import annotations

import builtins
import io
import os
import runpy
import sys
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from types import CodeType, ModuleType

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any, NoReturn


def run_module(name: str, args: list[str]) -> None:
    """Run a module or package as `python -m name` does.

    Args:
        name: dotted; `runpy` says on stderr when there is none, and exits with status 1.
        args: what follows it, for `sys.argv[1:]`.
    Raises:
        BaseException: what leaves the program, with a traceback that starts there.
    """
    sys.argv[:] = ["-m", *args]  # runpy puts the file's name in
    _replace_main()
    _guard(runpy._run_module_as_main, name)  # type: ignore[attr-defined]


def run_command(command: str, args: list[str]) -> None:
    """Run program text as `python -c command` does; otherwise as `run_module`."""
    sys.argv[:] = ["-c", *args]
    _replace_path0("")
    source = command + "\n"
    if sys.version_info >= (3, 13):
        _remember_lines("<string>", source)
    _run_code(_compile(source, "<string>"), _replace_main())


def run_file(path: str, args: list[str]) -> None:
    """Run a script, a compiled script, or a directory or zip file that has a `__main__`, as
    `python path` does; otherwise as `run_module`.

    Args:
        path: as typed; `-` is standard input.
    """
    sys.argv[:] = [path, *args]
    if path == "-":
        _run_stdin()
        return
    full_path = os.path.join(_working_directory(), path)
    if _has_importer(full_path):
        _remove_path0()
        sys.path.insert(0, full_path)
        _replace_main()
        _guard(runpy._run_module_as_main, "__main__", False)  # type: ignore[attr-defined]
    else:
        _replace_path0(os.path.dirname(os.path.realpath(path)))
        _run_script(full_path)


def _run_script(path: str) -> None:
    content = _read(path)
    main = _replace_main(__file__=path, __cached__=None)
    if path.endswith(".pyc") or content.startswith(MAGIC_NUMBER):
        compiled = SourcelessFileLoader("__main__", path)
        main.__loader__ = compiled
        code = compiled.get_code("__main__")
        assert code is not None  # only packages may have none
    else:
        main.__loader__ = SourceFileLoader("__main__", path)
        code = _compile(content, path)
    del content
    _run_code(code, main)


def _run_stdin() -> None:
    _replace_path0("")
    main = _replace_main(__file__="<stdin>", __cached__=None)
    _run_code(_compile(sys.stdin.buffer.read(), "<stdin>"), main)


def _has_importer(path: str) -> bool:
    """Whether modules can be imported from there: a directory, a zip file."""
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


def _read(path: str) -> bytes:
    try:
        with io.open_code(path) as file:
            return file.read()
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.executable}: can't open file {path!r}: {reason}", file=sys.stderr)
        sys.exit(2)


def _remember_lines(filename: str, source: str) -> None:
    """Let tracebacks quote the source, as Python 3.13 and newer do for `-c`."""
    import linecache

    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)


# -- sys.path and __main__ ----------------------------------------------------------------


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


def _replace_main(**names: Any) -> ModuleType:
    """A fresh `__main__`, with the names in it that the interpreter puts there."""
    main = ModuleType("__main__")
    main.__loader__ = BuiltinImporter
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    vars(main)["__builtins__"] = builtins
    vars(main).update(names)
    sys.modules["__main__"] = main
    return main


# -- exceptions that leave the program ------------------------------------------------------


def _compile(source: str | bytes, filename: str) -> CodeType:
    try:
        # Not with the __future__ of this module.
        return compile(source, filename, "exec", dont_inherit=True)
    except Exception as error:
        _raise_as_of(error, None)


def _run_code(code: CodeType, main: ModuleType) -> None:
    # Straight from the frame with the exec, so that nothing but the program is below it.
    _guard(exec, code, vars(main))


def _guard(run: Callable[..., object], *args: Any) -> None:
    """Call `run`; the traceback of what leaves it starts below this function."""
    try:
        run(*args)
    except SystemExit:
        raise  # never shown
    except BaseException as error:
        traceback = error.__traceback__
        _raise_as_of(error, traceback and traceback.tb_next)


def _raise_as_of(error: BaseException, traceback: Any) -> NoReturn:
    """Raise `error`; when the interpreter reports it, it shows `traceback`.

    The interpreter calls `sys.excepthook`, the program's own perhaps, as the last thing
    before it shuts down. Ours stands in for it then and gets our frames out of the way.
    """
    report: Any = getattr(sys, "excepthook", None)

    def report_program(kind: Any, value: Any, _: Any) -> None:
        sys.excepthook = report
        sys.last_traceback = traceback
        report(kind, value.with_traceback(traceback), traceback)

    if report is not None:
        sys.excepthook = report_program
    raise error
