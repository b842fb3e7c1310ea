# Two commands: `make train` trains a first network, `make test` checks everything.
# Both make a virtual environment in .venv when it is missing and install into it once.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test slow lint clean

train: .venv/installed
	$(BIN)/python experiments/train.py

test: .venv/installed-test lint
	$(BIN)/python -m pytest -n auto --durations=15

slow: .venv/installed-test
	$(BIN)/python -m pytest -m slow

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "jaxnets needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=/path/to/python3.11" % v[:2])'
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }  # half of one would pass for one the next time

# The stamps are newer than pyproject.toml once their installation has succeeded.
.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/installed-test: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	@touch $@ .venv/installed

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
