# Two commands on a machine with Python 3.11, git and make:  make demo  and  make test
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock

# Tests of one file share a process; files with slow tests begin first.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test fast nightly lint ruff docs browser clean

demo: .venv/installed ## fine-tune a small model on fictional rows, audit it, write demo/run/report.html
	rm -rf demo
	$(BIN)/remanence demo --out demo

test: ruff browser ## all that CI runs; pyright and the strict build of the manual are among the tests
	$(PYTEST) -m "not nightly"

fast: .venv/installed-dev ## the fast tests alone
	$(PYTEST) -m "not slow and not nightly"

nightly: lint docs browser ## everything at full size: all experiments trained anew, more examples of each property; hours
	$(BIN)/python tools/quick_runs.py --all
	HYPOTHESIS_PROFILE=nightly $(PYTEST) --timeout 3600

ruff: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

lint: ruff
	$(BIN)/pyright

docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

browser: ## Debian's Chromium, for the report's browser test; without it that test is skipped
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && { apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null 2>&1; } \
	  || echo "no Chromium here: the report's browser test is skipped"

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml requirements.lock
	@echo "installing remanence and its locked dependencies into .venv (torch is large: minutes)"
	$(PIP) torch
	$(PIP) --editable .
	@echo "compiling the detector, once (about a minute)"
	@$(BIN)/python -m remanence.measure.plagiarism.compile_kernels
	@touch $@

.venv/installed-dev: .venv/installed
	@echo "installing what tests and docs need"
	$(PIP) --editable .[dev]
	@touch $@

clean:
	rm -rf .venv demo site
