"""`python -m fastsocketserver`: run a program on our servers without editing it."""

from __future__ import annotations

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
    Raises:
        BaseException: what leaves the program that was run.
    """
    option, *rest = args or [""]
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
    if option != "-" and option[:1] in ("", "-"):
        return _refuse(f"unknown option: {option}" if option else "no program")
    from fastsocketserver import _program

    install()
    _program.run_file(option, rest)
    return 0


def _run_option(option: str, rest: list[str]) -> int:
    if not rest:
        return _refuse(f"{option} needs an argument")
    from fastsocketserver import _program

    run = {"-m": _program.run_module, "-c": _program.run_command}[option]
    install()
    run(rest[0], rest[1:])
    return 0


def _check(targets: list[str]) -> int:
    if len(targets) > 1:
        return _refuse("--check takes one module or module:Class")
    from fastsocketserver import _check

    install()
    return _check.main(*targets)


def _refuse(reason: str) -> int:
    print(f"fastsocketserver: {reason}\n{USAGE}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
