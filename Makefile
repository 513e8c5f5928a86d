# Each target sets up what it needs.

PYTHON ?= python3
BIN := .venv/bin
PIP = $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on
# Every file of sql/ can be run again: CREATE OR REPLACE, and IF NOT EXISTS.
RERUNNABLE := $(addprefix --ignore ,PS002 PS010 PS012 PS014 PS015)
# These commit, which a procedure that sets its search_path may not; they qualify whatever they use.
COMMITS := --proc-without-search-path 'ml.prune(older_than interval)' \
	--proc-without-search-path 'ml.wait()' \
	--proc-without-search-path 'ml.wait(job_id bigint,timeout interval)' \
	--proc-without-search-path 'ml.wait(job_id bigint,seconds double precision)' \
	--proc-without-search-path 'ml.wait(job_id bigint,timeout text)' \
	--proc-without-search-path 'ml.wait(job_ids bigint[],timeout interval)' \
	--proc-without-search-path 'ml_internal.require_autocommit(p_routine text)'

# pgspot cannot read a body that is parsed with its function, and therefore depends on no search_path.
PARSED := sql/11_labels.sql sql/64_arithmetic.sql

.PHONY: setup setup-tests demo test lint bench reference clean

# The program alone; the tools of the tests come with the tests.
setup: .venv/ready

setup-tests: .venv/ready-for-tests

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ml-worker needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable .
	@touch $@

.venv/ready-for-tests: .venv/ready
	$(PIP) --editable '.[dev]'
	@touch $@

.venv/ready-for-benchmarks: .venv/ready-for-tests
	$(PIP) --editable '.[dev,bench]'
	@touch $@

demo: setup
	@$(BIN)/ml-worker demo

# Most fault tests wait more than they compute: more processes than cores.
test: setup-tests
	$(BIN)/pytest --numprocesses 4 --dist loadscope --no-loadscope-reorder

lint: setup-tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pgspot $(RERUNNABLE) $(COMMITS) $(filter-out $(PARSED),$(wildcard sql/*.sql sql/upgrades/*.sql))
	$(BIN)/pytest --quiet tests/test_comments.py

bench: .venv/ready-for-benchmarks
	$(BIN)/python -m tests.benchmarks --json bench.json

reference: setup-tests
	$(BIN)/python -m tests.readme

clean:
	rm -rf .venv
