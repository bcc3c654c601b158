# make forecast | check | test | test-all | lint | clean; with another interpreter: make PYTHON=/path/to/python3.12 test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help install forecast check test test-all lint clean

help:
	@echo "make forecast   fit the model and write the run folder runs/forecast"
	@echo "make check      lint and the quick tests: under a minute"
	@echo "make test       the quick tests and those that fit a model"
	@echo "make test-all   the slow tests too"
	@echo "make lint       ruff and mypy"
	@echo "make figures-in-docs   renew the figures in README and docs from runs (some minutes); CHECK=--check compares"
	@echo "make clean      remove the environment and what tools left behind"
	@echo "Each sets up $(VENV) when it has to, with PYTHON=$(PYTHON)."

install: $(INSTALLED)

forecast: $(INSTALLED)
	$(BIN)/postcgrp forecast --out runs/forecast

# Two processes, each file in one of them: much of a test is Python or a compiler on one core, and a file shares its fits.
# In the order of their names: by default the files of few and long tests come last, and one process waits.
# Tests start dozens of processes: they keep bytecode even where PYTHONDONTWRITEBYTECODE is set.
TEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# Three programs that each run on one core or, the type checker, mostly on one: the quick tests beside it.
check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy & checked=$$!; $(TEST) -q -m "not fit and not slow"; tested=$$?; wait $$checked && exit $$tested

test: $(INSTALLED)
	$(TEST)

test-all: $(INSTALLED)
	$(TEST) -m ""

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The stamp goes first and comes last: without it (a first or an interrupted set-up) the environment starts afresh.
# A plain editable install sees new and changed files by itself; the type checker finds the package through the link.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 12) or sys.exit(1)' 2>/dev/null \
	  || { echo "postcgrp needs Python 3.12 or newer, and $(PYTHON) is not: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	@rm -f $@
	$(PIP) setuptools
	$(PIP) --no-build-isolation --editable '.[dev]'
	@mkdir -p $(VENV)/src && ln -sfn ../.. $(VENV)/src/postcgrp
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Every figure of README and docs that comes from a run; CHECK=--check only compares, and fails if one differs.
.PHONY: figures-in-docs
figures-in-docs: $(INSTALLED)
	$(BIN)/python -m postcgrp.benchmarks.figures_in_docs $(CHECK)
