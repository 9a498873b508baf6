# make run [IMAGE=own.tif | DEMO=harbour] [PORT=8000] [HOST=127.0.0.1]     make test     make lint     make clean
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --no-input
PYTEST := $(RUN) -m pytest
TEST_PROCESSES ?= 2

.PHONY: help run test test-fast test-servers test-browser lint format clean chromium servers

help:
	@echo "make run     start ClusterNet and print a link (IMAGE=own.tif or DEMO=harbour, PORT=8000, HOST=127.0.0.1)"
	@echo "make test    run every test (test-fast: on SQLite, without a browser;"
	@echo "               test-servers: again on PostgreSQL and Redis; test-browser: in Chromium)"
	@echo "make lint    ruff, ruff format --check, mypy"
	@echo "make clean   remove the virtual environment and caches; the data folder stays"

run: $(VENV)/.installed
	@$(RUN) manage.py run $(if $(IMAGE),--image "$(IMAGE)") $(if $(DEMO),--demo "$(DEMO)")

test: test-fast test-servers test-browser

test-fast: $(VENV)/.installed-dev servers
	@OMP_NUM_THREADS=1 $(PYTEST) -m "not browser" -n $(TEST_PROCESSES) --dist loadfile

test-servers: $(VENV)/.installed-dev servers
	@$(RUN) -m tests.servers

test-browser: $(VENV)/.installed-dev chromium
	@$(PYTEST) -m browser

lint: $(VENV)/.installed-dev
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

format: $(VENV)/.installed-dev
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

clean:
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis test-results staticfiles
	@find . -path ./data -prune -o -name __pycache__ -type d -exec rm -rf {} +
	@echo "Removed the virtual environment and caches; delete the data folder by hand if you mean to."

$(VENV)/bin/python:
	@command -v $(PYTHON) > /dev/null || { \
	  echo "ClusterNet needs Python 3.11 or newer, and there is no $(PYTHON); install it, or name one: make run PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "ClusterNet needs Python 3.11 or newer, and this is $$($(PYTHON) --version 2>&1); name a newer one: make run PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	  echo "Python cannot make virtual environments here; install them first: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "The virtual environment $(VENV) could not be made; is the disk full, or the folder read-only?" >&2; exit 1; }

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@echo "Installing what ClusterNet needs into $(VENV): a few minutes and some gigabytes, only this once."
	@$(PIP) install --progress-bar off -r requirements.txt 2>&1 \
	  | { grep --line-buffered -E '^(Downloading|  *Downloading|Installing|Building|ERROR|error)' || true; } || { \
	  echo "The packages could not be installed; check the network and the disk space, then run make again." >&2; exit 1; }
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements.txt | $(VENV)/bin/python
	@echo "Installing what the tests need into $(VENV)."
	@$(PIP) install --progress-bar off -r requirements-dev.txt 2>&1 \
	  | { grep --line-buffered -E '^(Downloading|  *Downloading|Installing|Building|ERROR|error)' || true; } || { \
	  echo "The packages could not be installed; check the network and the disk space, then run make again." >&2; exit 1; }
	@touch $@ $(VENV)/.installed

chromium:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
	  if command -v "$$name" > /dev/null; then exit 0; fi; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  echo "Installing Chromium for the browser tests."; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } > /dev/null && exit 0; \
	fi; \
	echo "The browser tests need Chromium; install it (Debian: sudo apt install --no-install-recommends chromium), or run make test-fast." >&2; exit 1

# Real ones for the tests, which start their own; nothing of this machine's is used. Without them those tests are skipped,
# but with CI=true they fail.
servers:
	@if { ls /usr/lib/postgresql/*/bin/postgres || command -v postgres; } > /dev/null 2>&1 \
	  && command -v redis-server > /dev/null && command -v nginx > /dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  echo "Installing PostgreSQL, Redis and nginx for the tests."; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    postgresql redis-server nginx-light; } > /dev/null && exit 0; \
	fi; \
	echo "PostgreSQL, Redis or nginx is missing, so their tests are skipped (Debian: sudo apt install postgresql redis-server nginx-light)." >&2
