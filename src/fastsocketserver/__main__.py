"""`python -m fastsocketserver`: run a program on our servers without editing it."""

from __future__ import annotations

import os
import sys

import fastsocketserver
from fastsocketserver._graft import install

USAGE = "usage: python -m fastsocketserver [-m module | -c command | script | -] [args ...]"

HELP = f"""{USAGE}
       python -m fastsocketserver --check [module[:Class]]

Runs a Python program, as `python` itself would, with the classes of the standard library's
socketserver on the compiled loop of fastsocketserver.

  -m module     run a module or package
  -c command    run program text
  script        run a file, or a directory or zip file that has a __main__; - is stdin
  --check       say whether the compiled modules are in use, and what they wait with;
                for a module or class, which of its methods take native shortcuts, and why
  --version     print the version
  -h, --help    print this

Options come before the program; what follows it is the program's own."""


def main(args: list[str]) -> int:
    """Do what the command line says.

    Args:
        args: without the program's name.
    Returns:
        the exit status; 2 for a wrong command line.
    """
    if not args:
        return _refuse("no program")
    option, *rest = args
    if option in ("-h", "--help"):
        print(HELP)
        return 0
    if option == "--version":
        print(f"fastsocketserver {fastsocketserver.__version__}")
        return 0
    if option == "--check":
        return _check(rest)
    if option[:2] in ("-m", "-c"):
        return _run_option(option[:2], [option[2:], *rest] if option[2:] else rest)
    if option[:1] == "-" and option != "-":
        return _refuse(f"unknown option: {option}")
    from fastsocketserver import _program

    install()
    return _program.run_file(option, rest)


def _run_option(option: str, rest: list[str]) -> int:
    if not rest:
        return _refuse(f"{option} needs an argument")
    from fastsocketserver import _program

    run = {"-m": _program.run_module, "-c": _program.run_command}[option]
    install()
    return run(rest[0], rest[1:])


def _check(targets: list[str]) -> int:
    if len(targets) > 1:
        return _refuse("--check takes one module or module:Class")
    from fastsocketserver import _check

    install()
    return _check.main(*targets)


def _refuse(reason: str) -> int:
    print(f"fastsocketserver: {reason}\n{USAGE}", file=sys.stderr)
    return 2


def _is_prompt_next() -> bool:
    """Whether the interpreter (`-i`, PYTHONINSPECT) goes on when the program has ended."""
    return bool(sys.flags.inspect and (sys.flags.interactive or os.isatty(0)))


if __name__ == "__main__":
    _status = main(sys.argv[1:])
    if _status and not _is_prompt_next():  # there, SystemExit is an exception like others
        sys.exit(_status)
