"""`python -m fastsocketserver program` against `python program`: no difference to be seen."""

from __future__ import annotations

import importlib.util
import marshal
import py_compile
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from unmodified.processes import (
    DEADLINE_S,
    PACKAGE,
    environment,
    observed,
    run_python,
    run_with_us,
)

# What a program can find out about how it was started.
FACTS = """\
import json, os, pickle, sys, threading

class Point:
    x: "int" = 1

def annotated(a: 1 + 1): pass

main = sys.modules["__main__"]
print(json.dumps([
    __name__, __doc__, __package__, type(__builtins__).__name__,
    __spec__ and (__spec__.name, __spec__.origin), globals().get("__file__"),
    getattr(__loader__, "__name__", type(__loader__).__name__), list(globals()),
    sys.argv, sys.path, vars(main) is globals(), annotated.__annotations__,
    type(pickle.loads(pickle.dumps(Point()))) is main.Point,
    threading.current_thread() is threading.main_thread(), sys.excepthook is sys.__excepthook__,
    sorted(name for name in sys.modules if name.split(".")[0] in ("facts", "package")),
]))
"""

# How programs end. Each is a script.
ENDINGS = {
    "falls off": "print('done')",
    "exit 3": "import sys; print('out'); sys.exit(3)",
    "exit None": "raise SystemExit",
    "exit 300": "raise SystemExit(300)",
    "exit text": "import sys; sys.exit('a message')",
    "exit object": "raise SystemExit(('a', 1))",
    "os._exit": "import os; os._exit(7)",
    "exception": """
        def outer():
            inner()
        def inner():
            return {}['missing']
        outer()
        """,
    "chained exception": """
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise RuntimeError('while dividing') from error
        """,
    "exception of the import system": "import no_such_module",
    "syntax error": "x = = 1",
    "syntax error at run time": "exec('x = = 1')",
    "own excepthook": """
        import sys, traceback
        def report(kind, value, tb):
            print(kind.__name__, value, [f.name for f in traceback.extract_tb(tb)])
            print(value.__traceback__ is tb, sys.last_traceback is tb, sys.last_value is value)
        sys.excepthook = report
        def fail(): raise KeyError(1)
        fail()
        """,
    "excepthook that exits": """
        import sys
        sys.excepthook = lambda *args: sys.exit(9)
        1 / 0
        """,
    "no excepthook": "import sys; del sys.excepthook; sys.exit(4)",
    "no excepthook, exception": "import sys; del sys.excepthook; 1 / 0",
    "excepthook None": "import sys; sys.excepthook = None; 1 / 0",
    "excepthook that raises": """
        import sys
        def report(kind, value, tb):
            raise KeyError('hook')
        sys.excepthook = report
        1 / 0
        """,
    "excepthook without arguments": "import sys; sys.excepthook = lambda: 0; 1 / 0",
    "excepthook that is interrupted": """
        import sys
        def report(kind, value, tb):
            raise KeyboardInterrupt
        sys.excepthook = report
        1 / 0
        """,
    "exception without a traceback": """
        class Error(Exception):
            __traceback__ = property()
        raise Error
        """,
    "what is left at exit": """
        import atexit, sys
        def look():
            print(sys.last_traceback.tb_next, sys.excepthook is sys.__excepthook__)
        atexit.register(look)
        1 / 0
        """,
    "SIGINT": """
        import os, signal, time
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(20)
        """,
    "SIGTERM": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "threads and atexit": """
        import atexit, threading, time
        atexit.register(print, 'atexit')
        def work():
            while threading.main_thread().is_alive():
                time.sleep(0.001)
            print('thread', __name__)
        threading.Thread(target=work).start()
        raise ValueError('main thread has ended')
        """,
    "error in a thread": """
        import threading
        thread = threading.Thread(target=lambda: 1 / 0, name='T')
        thread.start()
        thread.join()
        """,
    "globals at the end": """
        class Last:
            def __del__(self):
                print('finalised', __name__)
        last = Last()
        """,
    "warning": "import warnings; warnings.warn('old', DeprecationWarning)",
    "main guard": "print(__name__ == '__main__', 'annotations' in globals())",
    "latin-1": b"# coding: latin-1\nprint(ascii('\xe9'))\n",
    "empty": "",
    "not UTF-8": b"print(1)  # \xe9\n",
    "UTF-16": "print(1)".encode("utf-16"),
    "null byte": b"print(1)\0\n",
    "unknown coding": b"# coding: no-such-coding\n",
    "byte order mark and another coding": b"\xef\xbb\xbf# coding: latin-1\n",
    "form feed and carriage return": b"\x0cprint(1)\rprint(2)\r\nprint('''a\r\nb''')\r\n",
    "no line feed at the end": b"if 1:\n    print(1)",
    "indented": b"if True:\n\tprint(1)\n        print(2)\n",
}

# Compiled files that are none, or of another Python, or cut off, or hold something else.
HEADER = importlib.util.MAGIC_NUMBER + bytes(12)
COMPILED = {
    "empty": b"",
    "source": b"print(1)\n",
    "another Python's": b"\x33\x0d\x0d\x0a" + bytes(12),
    "nothing but magic": HEADER[:4],
    "cut in its header": HEADER[:9],
    "cut after its header": HEADER,
    "cut in its code": HEADER + b"\xe3",
    "no code": HEADER + marshal.dumps(5),
    "unknown flags": HEADER[:4] + b"\xff" * 12 + marshal.dumps(compile("1 / 0", "x", "exec")),
}

SPAWNING = """\
import multiprocessing

class Task:
    def __init__(self, n):
        self.n = n

def double(task, results):
    results.put(Task(2 * task.n))

print("main is", __name__, flush=True)
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    child = context.Process(target=double, args=(Task(2), results))
    child.start()
    print(results.get().n)
    child.join()
"""

WHERE_SERVED = "import socketserver; print(socketserver.BaseServer.serve_forever.__module__)"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with the facts as script, module, package, zip file and others."""
    here = tmp_path / "here"
    (here / "package").mkdir(parents=True)
    for name in ("facts.py", "package/__main__.py", "package/module.py"):
        (here / name).write_text(FACTS)
    (here / "package/__init__.py").touch()
    (here / "no_main").mkdir()
    (here / "link.py").symlink_to("package/module.py")
    with zipfile.ZipFile(here / "facts.zip", "w") as archive:
        archive.writestr("__main__.py", FACTS)
    py_compile.compile(str(here / "facts.py"), str(here / "compiled.pyc"))
    py_compile.compile(str(here / "facts.py"), str(here / "compiled.dat"))
    return here


def assert_same(*args: str, flags: tuple[str, ...] = (), **options: object) -> tuple:
    """Run both ways; what was observed, if it was the same."""
    plain = observed(run_python(*flags, *args, **options))
    assert observed(run_with_us(*args, flags=flags, **options)) == plain
    return plain


def write_program(path: Path, ending: str) -> None:
    """A program that ends so."""
    source = ENDINGS[ending]
    if isinstance(source, str):
        source = textwrap.dedent(source).lstrip("\n").encode()
    path.write_bytes(source)


# -- how it is started ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ["facts.py", "a", "--help"],
        ["./facts.py", "-m", "b"],
        ["../here/package/module.py"],
        ["link.py"],
        ["compiled.pyc"],
        ["compiled.dat"],
        ["-m", "facts", "-c"],
        ["-mpackage"],
        ["-m", "package.module", "--version"],
        ["package"],
        ["../here/facts.zip", "a"],
        ["-c", FACTS, "-m", "x"],
        ["-", "a"],
    ],
    ids=lambda args: " ".join(args[:2]).partition("\n")[0],
)
def test_started_program_finds_the_same_facts(place: Path, args: list[str]) -> None:
    """`sys.argv`, `sys.path`, `__main__` and what is in it, pickling, loaded modules."""
    status, facts, errors = assert_same(*args, cwd=place, input=FACTS)
    assert (status, errors) == (0, "")
    assert '"__main__"' in facts


def test_started_by_absolute_path_finds_the_same_facts(place: Path) -> None:
    """The usual way of service managers."""
    assert_same(str(place / "facts.py"), cwd="/")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="-P is new in Python 3.11")
@pytest.mark.parametrize(
    "args",
    [["facts.py"], ["package"], ["-c", FACTS], ["-m", "facts"]],
    ids=["script", "directory", "-c", "-m"],
)
def test_safe_path_is_honoured(place: Path, args: list[str]) -> None:
    """`-P` keeps the script's directory and the working directory out of sys.path."""
    status, facts, _ = assert_same(*args, flags=("-P",), cwd=place)
    assert (status == 0) == (args[0] != "-m")  # not found in the working directory
    assert args[0] in ("-m", "package") or f'["{PACKAGE.parent}"' in facts


def test_isolated_mode_is_honoured(place: Path, tmp_path: Path) -> None:
    """`-I` with the package installed: neither PYTHONPATH nor the directories."""
    python = str(make_environment(tmp_path / "env", str(PACKAGE.parent)))
    status, facts, _ = assert_same("facts.py", flags=("-I",), cwd=place, python=python)
    assert status == 0
    assert str(place) not in facts.replace(f"{place}/facts.py", "")


def test_interpreter_flags_reach_the_program(place: Path) -> None:
    """They stand before `-m fastsocketserver`."""
    (place / "flags.py").write_text("import sys; print(sys.flags, sys.warnoptions, __debug__)")
    assert_same("flags.py", flags=("-O", "-B", "-W", "error", "-u"), cwd=place)


def test_module_of_the_working_directory_is_not_found_by_a_script_elsewhere(
    place: Path,
) -> None:
    """`sys.path[0]` is the script's directory, no more the working directory."""
    (place / "package" / "script.py").write_text("import facts")
    status, _, errors = assert_same("package/script.py", cwd=place)
    assert status == 1
    assert "No module named 'facts'" in errors


@pytest.mark.parametrize(
    "args",
    [
        ["missing.py"],
        ["./no_main/missing.py"],
        ["no_main"],
        ["-m", "missing"],
        ["-m", "no_main"],
        ["-m", "package.missing"],
        ["-m", "missing.py"],
    ],
    ids=" ".join,
)
def test_missing_program_is_reported_the_same(place: Path, args: list[str]) -> None:
    """With the words and the exit status of Python."""
    status, _, errors = assert_same(*args, cwd=place)
    assert status in (1, 2)
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("flag", [[], ["-m"], ["-c"]], ids=["script", "-m", "-c"])
def test_program_runs_with_the_graft_in_place(tmp_path: Path, flag: list[str]) -> None:
    """However it is started, the standard classes have our methods."""
    (tmp_path / "where.py").write_text(WHERE_SERVED)
    program = {"": "where.py", "-m": "where", "-c": WHERE_SERVED}["".join(flag)]
    assert run_python(*flag, program, cwd=tmp_path).stdout == "socketserver\n"
    assert run_with_us(*flag, program, cwd=tmp_path).stdout == "fastsocketserver._base\n"


# -- how it ends ------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
def test_program_ends_the_same(tmp_path: Path, ending: str) -> None:
    """Exit status or signal, output and order of output, traceback to the letter."""
    write_program(tmp_path / "program.py", ending)
    _, _, errors = assert_same("program.py", cwd=tmp_path)
    assert "fastsocketserver" not in errors
    assert "runpy" not in errors


@pytest.mark.parametrize("ending", ["exception", "SIGINT", "syntax error", "exit text"])
def test_module_and_command_end_the_same(tmp_path: Path, ending: str) -> None:
    """`-m` shows the frames of runpy in Python too, so only ours are left out."""
    source = textwrap.dedent(ENDINGS[ending])
    (tmp_path / "program.py").write_text(source)
    _, _, errors = assert_same("-m", "program", cwd=tmp_path)
    assert "fastsocketserver" not in errors
    assert_same("-c", source, cwd=tmp_path)
    assert_same("-", input=source, cwd=tmp_path)


@pytest.mark.parametrize("suffix", [".pyc", ".dat"])
@pytest.mark.parametrize("content", COMPILED)
def test_broken_compiled_file_ends_the_same(tmp_path: Path, content: str, suffix: str) -> None:
    """Known by its name, or by its first two bytes."""
    (tmp_path / f"program{suffix}").write_bytes(COMPILED[content])
    _, _, errors = assert_same(f"program{suffix}", cwd=tmp_path)
    assert "fastsocketserver" not in errors


@pytest.mark.parametrize(
    "ending",
    ["falls off", "exit 3", "exit text", "exception", "syntax error", "not UTF-8",
     "excepthook None", "excepthook that exits", "excepthook that raises"],
)  # fmt: skip
def test_interactive_prompt_follows_the_same(tmp_path: Path, ending: str) -> None:
    """`-i` shows a SystemExit, and goes on in the program's `__main__`."""
    write_program(tmp_path / "program.py", ending)
    (tmp_path / "package").mkdir()
    write_program(tmp_path / "package" / "__main__.py", ending)
    asked = "import sys; print(__name__, getattr(sys, 'last_value', None))\nsys.exit(5)\n"
    for args in (["program.py"], ["-m", "program"], ["package"], ["missing.py"]):
        _, output, errors = assert_same(*args, flags=("-i",), input=asked, cwd=tmp_path)
        assert "__main__" in output
        assert "fastsocketserver" not in errors


@pytest.mark.parametrize("flags", [(), ("-i",)], ids=["", "-i"])
@pytest.mark.parametrize(
    "args",
    [["missing.py"], ["./missing.py"], ["{here}/missing.py"], ["{here}/facts.py"], ["{here}"],
     [""], ["."], [".."], ["-c", "import sys; print(sys.path)"], ["-m", "missing"]],
    ids=" ".join,
)  # fmt: skip
def test_program_in_a_removed_directory_is_run_the_same(
    place: Path, tmp_path: Path, args: list[str], flags: tuple[str, ...]
) -> None:
    """Where there is no working directory any more."""

    def observe(*prefix: str) -> tuple[int, str, str]:
        removed = tmp_path / "removed"
        removed.mkdir()
        command = ["sh", "-c", 'rmdir ../removed && exec "$@"', "sh", sys.executable]
        named = [arg.format(here=place) for arg in args]
        process = subprocess.run(
            [*command, *flags, *prefix, *named],
            cwd=removed,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            # From 3.13 on the prompt imports modules before it reads, and fails if it has to.
            input="" if "-i" in flags else "print(1)\n",
            check=False,
        )
        assert not removed.exists()
        return observed(process)

    assert observe("-m", "fastsocketserver") == observe()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_program_with_closed_streams_ends_the_same(place: Path, closed: str) -> None:
    """Services may be started without; what is said goes nowhere else then."""
    (place / "exception.py").write_text("print(1)\n1 / 0\n")
    for program in ("missing.py", "exception.py", "-"):
        command = [f'exec "$@" {closed}', "sh", sys.executable]
        plain, ours = (
            subprocess.run(
                ["sh", "-c", *command, *prefix, program],
                cwd=place,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            for prefix in ([], ["-m", "fastsocketserver"])
        )
        assert observed(ours) == observed(plain)


@pytest.mark.parametrize(
    "args",
    [[""], ["", "a"], ["."], ["./"], ["-c", ""], ["-c", " "], ["-m", ""], ["-m", "."],
     ["-m", ".a"], ["-m", "sys"], ["facts.py/"], ["facts.py/x"], ["/dev/null"], ["a\nb"],
     ["\udcff.py"], ["-c", "print('\udcff')"], ["a" * 300], ["-", ""], ["-c", "0", "", "-x"]],
    ids=ascii,
)  # fmt: skip
def test_odd_argument_is_taken_the_same(place: Path, args: list[str]) -> None:
    """Empty ones, directories, files that are none."""
    assert_same(*args, cwd=place, input="")


@pytest.mark.parametrize(
    "command",
    ["  print(1)\n  print(2)", "\n\tif 1:\n\t  print('''\n\t\t\n \n\tx''')\n", " 1\n\t2",
     "x\n y"],
    ids=ascii,
)  # fmt: skip
def test_indented_command_is_taken_the_same(command: str) -> None:
    """Python 3.14 and newer take the margin away; older ones refuse it."""
    assert_same("-c", command)


@pytest.mark.parametrize(
    ("source", "dedented"),
    [
        ("\n", "\n"),
        ("  a\n  b\n", "a\nb\n"),
        ("  a\n    b\n\n   \n", "a\n  b\n\n\n"),
        ("    a\n  b\n", "  a\nb\n"),
        ("\t a\n\tb\n", " a\nb\n"),
        ("\ta\n b\n", "\ta\n b\n"),
        ("a\n  \n  b\n", "a\n  \n  b\n"),
        ("  \x0ca\n  b\n", "\x0ca\nb\n"),
    ],
)
def test_dedent_takes_away_what_all_lines_begin_with(source: str, dedented: str) -> None:
    """As `_PyUnicode_Dedent()`: blanks and tabs; lines of nothing else do not count."""
    from fastsocketserver._program import dedent

    assert dedent(source) == dedented


def test_interrupted_program_dies_of_sigint(tmp_path: Path) -> None:
    """Shells stop their loops by that."""
    source = textwrap.dedent(ENDINGS["SIGINT"])
    assert run_with_us("-c", source).returncode == -signal.SIGINT


@pytest.mark.parametrize("args", [["spawning.py"], ["-m", "spawning"]], ids=["script", "-m"])
def test_spawned_child_imports_the_program(tmp_path: Path, args: list[str]) -> None:
    """multiprocessing finds the program's file, and its classes, in the child."""
    (tmp_path / "spawning.py").write_text(SPAWNING)
    status, output, errors = assert_same(*args, cwd=tmp_path)
    assert (status, errors) == (0, "")
    assert output.splitlines() == ["main is __main__", "main is __mp_main__", "4"]


@pytest.mark.parametrize("prefix", [[], ["-m", "fastsocketserver"]], ids=["plain", "ours"])
def test_http_server_serves_until_interrupted(tmp_path: Path, prefix: list[str]) -> None:
    """`-m http.server`: the page, the log, and a polite end on Ctrl-C."""
    (tmp_path / "page.txt").write_text("hello")
    command = [*prefix, "-m", "http.server", "--bind", "127.0.0.1", "0"]
    server = subprocess.Popen(
        [sys.executable, "-u", *command],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with server:
        try:
            announced = server.stdout.readline()
            port = re.search(r"port (\d+)", announced).group(1)
            url = f"http://127.0.0.1:{port}/page.txt"
            with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
                assert answer.read() == b"hello"
            server.send_signal(signal.SIGINT)
            output, errors = server.communicate(timeout=DEADLINE_S)
        finally:
            server.kill()
    assert server.returncode == 0
    assert output == "\nKeyboard interrupt received, exiting.\n"
    assert re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET /page.txt HTTP/1.1" 200 -\n', errors)


# -- our own command line ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["--version"], 0, r"fastsocketserver \d+\.\d+\.\d+\n"),
        (["--help"], 0, r"usage: python -m fastsocketserver (.|\n)*--check(.|\n)*"),
        ([], 2, r"fastsocketserver: no program\nusage: .*\n"),
        (["-m"], 2, r"fastsocketserver: -m needs an argument\nusage: .*\n"),
        (["--wrong", "x.py"], 2, r"fastsocketserver: unknown option: --wrong\nusage: .*\n"),
        (["--check", "a", "b"], 2, r"fastsocketserver: --check takes one .*\nusage: .*\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_own_option_answers(args: list[str], status: int, said: str) -> None:
    """On stdout what was asked for, on stderr what was wrong."""
    process = run_with_us(*args)
    answer, silent = process.stdout, process.stderr
    if status:
        answer, silent = silent, answer
    assert (process.returncode, silent) == (status, "")
    assert re.fullmatch(said, answer)


def test_missing_compiled_modules_are_named(tmp_path: Path) -> None:
    """A copy of the package without them: the reason in the last line, exit status 1."""
    copy = tmp_path / "fastsocketserver"
    shutil.copytree(
        PACKAGE, copy, ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    )
    env = {**environment(), "PYTHONPATH": str(tmp_path)}
    process = run_with_us("-c", "print('never')", env=env, cwd=tmp_path)
    assert (process.returncode, process.stdout) == (1, "")
    last_line = process.stderr.splitlines()[-1]
    assert "fastsocketserver's compiled modules cannot be loaded" in last_line


# -- child processes and modules, as docs/unmodified-programs.md has them -------------------

STARTED_AGAIN = """\
import os, socketserver, subprocess, sys

print(socketserver.BaseServer.serve_forever.__module__, flush=True)
if "AGAIN" not in os.environ:
    subprocess.run([sys.executable, *{arguments}], env={{**os.environ, "AGAIN": "1"}})
"""


@pytest.mark.parametrize(
    ("arguments", "child"),
    [("sys.orig_argv[1:]", "fastsocketserver._base"), ("sys.argv", "socketserver")],
)
def test_reloader_starts_a_child_with_what_it_was_started_with(
    tmp_path: Path, arguments: str, child: str
) -> None:
    """Werkzeug does the first, Django and bottle the second."""
    (tmp_path / "program.py").write_text(STARTED_AGAIN.format(arguments=arguments))
    process = run_with_us("program.py", "argument", cwd=tmp_path)
    assert observed(process) == (0, f"fastsocketserver._base\n{child}\n", "")


SHADOWING = """\
import sys

for name in sorted(sys.stdlib_module_names):
    try:
        module = __import__(name)
    except ImportError:
        continue  # a standard one that misses others, whose names are taken here
    if hasattr(module, "SHADOW"):
        print(name)
"""


def shadowed(python: str, place: Path, *prefix: str) -> set[str]:
    """The modules next to a script that it can import in place of standard ones."""
    process = run_python(*prefix, str(place / "script.py"), python=python, cwd="/")
    assert process.returncode == 0, process.stderr
    return set(process.stdout.split())


def test_document_lists_the_modules_that_are_imported_first(tmp_path: Path) -> None:
    """A bare interpreter, with all that a program could shadow next to its script."""
    python = str(make_environment(tmp_path / "env", str(PACKAGE.parent)))
    place = tmp_path / "place"
    place.mkdir()
    (place / "script.py").write_text(SHADOWING)
    for name in sys.stdlib_module_names:
        (place / f"{name}.py").write_text("SHADOW = True\n")
    lost = shadowed(python, place) - shadowed(python, place, "-m", "fastsocketserver")

    text = DOCUMENT.read_text()
    listed = text.partition("imported first: begin -->")[2].partition("<!--")[0]
    names = {
        name
        for name, minor in re.findall(r"`(\w+)`(?: \(before 3\.(\d+)\))?", listed)
        if not minor or sys.version_info < (3, int(minor))
    }
    assert {name for name in lost if not name.startswith("_")} == {
        name for name in names if name not in sys.builtin_module_names
    }


# -- the environment switch of docs/unmodified-programs.md ----------------------------------

DOCUMENT = Path(__file__).parents[2] / "docs" / "unmodified-programs.md"


def recipe(name: str) -> str:
    """The code block of the document that starts with a comment or line naming the file."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {name}")]
    return block


def make_environment(directory: Path, pth_text: str, name: str = "test.pth") -> Path:
    """A virtual environment with one .pth file; its interpreter."""
    venv.create(directory, symlinks=True)
    (site_packages,) = directory.glob("lib/python*/site-packages")
    (site_packages / name).write_text(pth_text)
    return directory / "bin" / "python"


@pytest.mark.parametrize("value", ["1", None], ids=["switched on", "switched off"])
def test_sitecustomize_recipe_installs_when_asked_to(tmp_path: Path, value: str | None) -> None:
    """A `sitecustomize.py` on PYTHONPATH, and one variable."""
    (tmp_path / "sitecustomize.py").write_text(recipe("sitecustomize.py"))
    variables = {"PYTHONPATH": str(tmp_path), **({"FASTSOCKETSERVER": value} if value else {})}
    process = run_python("-c", WHERE_SERVED, env=environment(**variables))
    assert process.stdout == ("fastsocketserver._base\n" if value else "socketserver\n")
    assert process.stderr == ""


def test_pth_recipe_installs_when_asked_to(tmp_path: Path) -> None:
    """A `.pth` file of the user's own, in a virtual environment."""
    line = recipe("fastsocketserver-switch.pth").splitlines()[1]
    text = f"{PACKAGE.parent}\n{line}\n"
    python = str(make_environment(tmp_path / "env", text, "fastsocketserver-switch.pth"))
    outcomes = [
        observed(run_python("-c", WHERE_SERVED, python=python, env=environment(**variables)))
        for variables in ({}, {"FASTSOCKETSERVER": "1"})
    ]
    assert outcomes == [(0, "socketserver\n", ""), (0, "fastsocketserver._base\n", "")]


def test_pythonstartup_does_not_reach_programs(tmp_path: Path) -> None:
    """Why the document does not name it: only an interactive Python reads it."""
    startup = tmp_path / "startup.py"
    startup.write_text("import fastsocketserver; fastsocketserver.install()")
    process = run_python("-c", WHERE_SERVED, env=environment(PYTHONSTARTUP=str(startup)))
    assert process.stdout == "socketserver\n"


def test_installed_package_brings_no_pth_file() -> None:
    """The switch is the user's."""
    assert not list(PACKAGE.glob("**/*.pth"))
