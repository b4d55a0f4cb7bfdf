# Two commands on a machine with Python 3.11, git and make:  make demo  and  make test
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock

.PHONY: demo test fast lint docs browser clean

demo: .venv/installed ## fine-tune a small model on fictional rows, audit it, write demo/run/report.html
	rm -rf demo
	$(BIN)/remanence demo --out demo

test: lint docs browser ## all that CI runs
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"
	$(BIN)/python -m pytest -m slow

fast: .venv/installed-dev ## the fast tests alone
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

lint: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
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
