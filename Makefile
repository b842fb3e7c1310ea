# Two commands: `make train` trains a first network, `make test` checks everything.
# Both make a virtual environment in .venv when it is missing, and install into it, once, the exact versions
# that constraints.txt has for this Python. For another Python: make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
# The second variable is for what packages are built with; pip before 25.3 takes the first for both.
PIP_INSTALL := $(if $(CONSTRAINTS),PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS)) \
	$(BIN)/python -m pip --disable-pip-version-check install
INSTALL ?= $(PIP_INSTALL)

ifneq ($(filter command environment,$(firstword $(origin PYTHON))),)
  VERSION := -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
  ASKED := $(shell "$(PYTHON)" $(VERSION))
  FOUND := $(shell $(BIN)/python $(VERSION))
  ifneq ($(and $(ASKED),$(FOUND)),)
    ifneq ($(ASKED),$(FOUND))
      $(error $(VENV) has Python $(FOUND), and $(PYTHON) is Python $(ASKED): add VENV=.venv-$(ASKED))
    endif
  endif
endif

.PHONY: train test pytest slow lint docs accelerators newest oldest lock clean
.PRECIOUS: %/bin/python %/bin/uv

train: $(VENV)/installed
	$(BIN)/python experiments/train.py

test: lint pytest

pytest: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto --durations=15

slow: $(VENV)/installed-test
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site in build/site, of the pages as they lie here, so that their links to scripts work in it, too.
docs: $(VENV)/installed-docs
	rm -rf build
	mkdir -p build/pages
	cp -R *.md LICENSE NOTICE docs experiments build/pages
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "Open build/site/index.html; its search needs python -m http.server --directory build/site."

# Every network's programs compiled for GPUs and TPUs that are not there: hours.
accelerators:
	$(MAKE) $(VENV)-accelerators/installed-compilers VENV=$(VENV)-accelerators
	$(VENV)-accelerators/bin/python -m pytest -m slow tests/accelerators

# The suite with the newest release of everything, and with the oldest that pyproject.toml allows.
newest:
	rm -f $(VENV)-newest/installed-test
	$(MAKE) pytest VENV=$(VENV)-newest CONSTRAINTS= \
		INSTALL='$(VENV)-newest/bin/python -m pip install --upgrade --upgrade-strategy eager'

oldest: $(VENV)-oldest/bin/uv
	$(MAKE) pytest VENV=$(VENV)-oldest CONSTRAINTS= \
		INSTALL='$(VENV)-oldest/bin/uv pip install --python $(VENV)-oldest --resolution lowest-direct'

# Exact versions for all Pythons and systems, as of today.
lock: $(BIN)/uv
	printf '%s\n' editables hatchling setuptools uv | $(BIN)/uv pip compile pyproject.toml - \
		--extra test --extra docs --universal --python-version 3.11 --upgrade \
		--no-annotate --custom-compile-command 'make lock' --quiet --output-file constraints.txt

%/bin/uv: | %/bin/python
	$*/bin/python -m pip --disable-pip-version-check install uv

# Stamps: newer than what they depend on once the installation has succeeded.
$(VENV)/installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "Installing jaxnets and what it needs into $(VENV): 1.4 GB, a minute or two."
	$(INSTALL) --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "Installing jaxnets, what it needs and what its tests need into $(VENV): 1.8 GB, some minutes."
	$(INSTALL) --editable ".[test]"
	@touch $@ $(VENV)/installed

$(VENV)/installed-docs: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "Installing jaxnets, what it needs and what its site is made with into $(VENV): 1.5 GB, a minute or two."
	$(INSTALL) --editable ".[docs]"
	@touch $@ $(VENV)/installed

$(VENV)/installed-compilers: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(INSTALL) --editable ".[test,plan-cuda,plan-tpu]"
	@touch $@

%/bin/python:
	@"$(PYTHON)" -c '' || { echo "$(PYTHON) is no Python that runs here: give one, 3.11 or newer, as in" \
		"make PYTHON=/usr/bin/python3.12"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "jaxnets needs Python 3.11" \
		"or newer, and $(PYTHON) is older: give another one, as in make PYTHON=/usr/bin/python3.12"; exit 1; }
	"$(PYTHON)" -m venv $* || { rm -rf $*; echo "there is no environment without Python's module venv" \
		"(on Debian and Ubuntu: apt install python3-venv)"; exit 1; }

clean:
	rm -rf .venv .venv-* build .mypy_cache .pytest_cache .ruff_cache .hypothesis
