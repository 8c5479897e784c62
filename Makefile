# `make` lists the targets. Each target installs what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.installed-tools
MUTATION := $(VENV)/.installed-mutation

.DEFAULT_GOAL := help
.PHONY: help port up test test-all mutants bench docs release check format-check format lint types imports constraints clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: port $(STAMP) ## Start everything on this machine; Ctrl-C stops everything
	@exec $(BIN)/underpaint up

# Before minutes of installing. Later `up` says it by itself, and knows which port is its own.
port:
	@test -e $(STAMP) || $(PYTHON) -c 'import os, socket; \
	    at = (os.environ.get("UNDERPAINT_HOST") or "127.0.0.1", int(os.environ.get("UNDERPAINT_PORT") or 8000)); \
	    socket.create_server(at).close()' 2>/dev/null \
	    || { echo "Port $${UNDERPAINT_PORT:-8000} is in use: name another one in UNDERPAINT_PORT"; exit 1; }

# One process more than cores, because tests often wait for other processes. Each has its own PostgreSQL and Valkey, so more
# than four would mostly start servers.
PROCESSES = $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count() + 1, 4))')

test: check ## Run every check, and every test but the slow ones
	$(BIN)/pytest --numprocesses $(PROCESSES) --dist worksteal -m 'not slow'

test-all: check ## Run every check and every test (twice as long)
	$(BIN)/pytest --numprocesses $(PROCESSES) --dist worksteal

mutants: $(MUTATION) ## Change the code at random and see whether a test fails (hours; `make mutants PACKAGES='api store'`)
	$(BIN)/python -m tests.mutation $(PACKAGES)

bench: $(TOOLS) ## Measure everything, beside other programs, and write build/benchmarks (some minutes each)
	$(BIN)/python -m benchmarks build/benchmarks

docs: $(TOOLS) ## Build the documentation as a site in build/site; a broken link is an error
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir docs . build/site
	@echo "file://$(CURDIR)/build/site/index.html"

release: $(TOOLS) ## Make a release: make release VERSION=0.2.0
	@test -n "$(VERSION)" || { echo "Name the version: make release VERSION=0.2.0"; exit 1; }
	$(BIN)/python deploy/release.py $(VERSION)

check: format-check lint types imports ## Run every check, without the tests

format-check: $(TOOLS)
	$(BIN)/ruff format --check .

format: $(TOOLS) ## Format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(TOOLS) ## Check for likely mistakes (ruff)
	$(BIN)/ruff check .

types: $(TOOLS) ## Check the types (pyright)
	$(BIN)/pyright --warnings

imports: $(TOOLS) ## Check the imports between packages (import-linter)
	$(BIN)/lint-imports

# Needed only by other Python versions than the one that writes the file.
ELSEWHERE := async-timeout==5.0.1 ; python_full_version < "3.11.3"

constraints: $(MUTATION) ## Write constraints.txt from what is installed in .venv
	@{ echo '# Every dependency, pinned. Written by `make constraints` from the environment that the tests passed in.'; \
	$(BIN)/pip freeze --all --exclude-editable --exclude pip --exclude underpaint \
	| grep -v -i '^nvidia' | sed 's/+[a-z0-9]*$$//'; echo '$(ELSEWHERE)'; } > constraints.new
	mv constraints.new constraints.txt

clean: ## Remove the environment and all caches, but not the data in .underpaint
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip runs only if one of these files has changed, so that a second `make up` is quick. An interrupted installation has no
# stamp and is completed. The tools for tests, checks, benchmarks and documentation are installed by the first target that
# needs them.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Underpaint needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version 2>&1`."; \
		echo "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
		echo "No virtual environment could be made. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV), which takes some minutes the first time, and only then"
	@$(INSTALL) .
	@touch $(STAMP)

$(TOOLS): $(STAMP)
	@echo "Installing tools for tests, checks and documentation into $(VENV), the first time only"
	@$(INSTALL) '.[dev]'
	@touch $(TOOLS)

$(MUTATION): $(TOOLS)
	@$(INSTALL) '.[dev,mutation]'
	@touch $(MUTATION)
