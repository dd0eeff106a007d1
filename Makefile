# Everything here makes its own environment; nothing needs to be installed beforehand but
# Python (3.10 or newer, with its headers) and a C compiler.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
SOURCES := pyproject.toml setup.py $(wildcard src/fastsocketserver/*.py* cext/*)

.DEFAULT_GOAL := help
.PHONY: help demo test programs lint types bench bench-quick bench-programs guard wheel clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON): set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# One stamp per set of extra packages; the package itself is built again when it changed.
$(STAMPS)/%: $(BIN)/python $(SOURCES)
	@mkdir -p $(STAMPS)
	@echo "building and installing with the packages for: $*"
	$(BIN)/python -m pip install --quiet ".[$*]"
	@touch $@

$(STAMPS)/programs-packages: tests/programs/requirements.txt $(STAMPS)/test
	$(BIN)/python -m pip install --quiet --only-binary :all: -r $<
	@touch $@

demo: $(STAMPS)/demo  ## serve http.server with and without us, side by side (< 2 minutes)
	$(BIN)/python benchmarks/demo.py

test: $(STAMPS)/test  ## run the whole test suite
	$(BIN)/python -m pytest $(TESTS)

programs: $(STAMPS)/programs-packages  ## run the tests on programs from PyPI, installing them first
	PROGRAMS_REQUIRED=1 $(BIN)/python -m pytest tests/programs

lint: $(STAMPS)/lint  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMPS)/lint  ## mypy on the Python part
	$(BIN)/mypy

bench: $(STAMPS)/bench  ## all benchmarks (< 15 minutes)
	$(BIN)/python benchmarks/run.py

bench-quick: $(STAMPS)/bench  ## the figures against the standard module (< 2 minutes)
	$(BIN)/python benchmarks/run.py --quick

bench-programs: $(STAMPS)/bench $(STAMPS)/programs-packages  ## real programs with and without us (< 8 minutes)
	$(BIN)/python benchmarks/programs.py

guard: $(STAMPS)/bench  ## compare with the stored ratios, before a release
	$(BIN)/python benchmarks/guard.py

wheel: $(BIN)/python  ## build a wheel that needs no compiler, into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist

clean:  ## remove what was built
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info
	rm -f src/fastsocketserver/*.so
