# Each target sets up its own environment: make demo and make test work in a fresh clone.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check bench clean
.DEFAULT_GOAL := test

demo: $(VENV)/.groundglass  ## the main job on phantoms, in minutes: needs no data, ends with the path of the page
	$(BIN)/groundglass demo --output demo

test: check  ## everything that has to hold

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

bench: $(VENV)/.bench  ## speed and memory, as ratios against a named peer in one run
	$(BIN)/python -m benchmarks

# torch first and pinned: an unpinned one, pulled in by another package, brings several GB of another build
$(VENV)/.groundglass: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.groundglass
	$(PIP) --editable ".[dev]"
	touch $@

$(VENV)/.bench: $(VENV)/.groundglass
	$(PIP) --editable ".[bench]"
	touch $@

clean:
	rm -rf $(VENV) build dist demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
