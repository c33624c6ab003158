# pathway-billing: the targets a person needs. `make` alone lists them.

PYTHON ?= $(shell sh deploy/choose-python)
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install trained demo test test-fast test-compiled lint types imports prove mutants bench bench-guard asyncapi monitoring lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(VENV)/installed $(VENV)/compiled  ## the virtual environment with everything in it, versions locked; the rules compiled

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "$(PYTHON) -m venv $(VENV)"
	@# Debian's Python has no pip of its own without the package python3-venv; another Python's does as well
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	|| { $(PYTHON) -m venv --without-pip $(VENV) && python3 -m pip --python $(BIN)/python install --quiet --disable-pip-version-check pip; } \
	|| { echo "error: no virtual environment with pip could be made (Debian: install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/compiled: $(VENV)/installed $(wildcard streams/adjudication/*.py streams/agents/*.py schemas/*.avsc) streams/runtime/inbox.py streams/partitioner.py schemas/codec.py schemas/wire.py streams/events.py streams/compiling.py streams/training.py
	@$(BIN)/python -m streams.compiling || echo "not compiled (a C compiler is needed): the rules and the codec run interpreted, at less than half the speed"
	@touch $@

trained: $(VENV)/installed  ## the same compiled for speed by what gcc sees a run of it do, as in the container image: a tenth faster (five minutes)
	@$(BIN)/python -m streams.compiling --trained

demo: install  ## a year of 200 patients through a real Kafka, decided live, then checked (ARGS="--keep" leaves it running)
	@$(BIN)/pathway-billing demo $(ARGS)

test: install lint types imports  ## everything: lint, types, import rule, unit, property, acceptance and broker tests
	$(BIN)/python -m pytest $(ARGS)

test-fast: install lint types imports  ## the same without what needs a broker
	$(BIN)/python -m pytest -m "not broker" $(ARGS)

test-compiled: install  ## the tests of the rules, the state and the codec against the compiled build
	# test_next_billable pickles a record to try things on a copy; a compiled class cannot be pickled, and nothing else does it
	PATHWAY_BILLING_COMPILED=1 $(BIN)/python -m pytest tests/acceptance tests/properties tests/unit/adjudication tests/unit/agents tests/unit/schemas tests/unit/test_events.py tests/unit/runtime/test_inbox.py --ignore tests/properties/test_next_billable.py $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

prove: install  ## every fault at its full dose, at most an hour: a million events, a hundred kills (docs/reliability.md)
	$(BIN)/python -m tests.faults $(ARGS)

mutants: install  ## break the rules on purpose, one place at a time, and see that a test fails (long; docs/mutation.md)
	$(BIN)/python -m tests.mutation $(ARGS)

bench: trained  ## our worker beside its peers, at most 40 minutes (ARGS="--short": five); benchmarks/README.md
	$(BIN)/python -m benchmarks $(ARGS)

bench-guard: install  ## work per fact against the recorded figures: no clock, the same on every machine
	@PATHWAY_BILLING_COMPILED=0 $(BIN)/python -m benchmarks.guard $(ARGS)

asyncapi: install  ## write docs/asyncapi.json and docs/asyncapi.md anew, after a change of a topic or a schema
	$(BIN)/pathway-billing asyncapi > docs/asyncapi.json
	$(BIN)/pathway-billing asyncapi --page > docs/asyncapi.md

monitoring: install  ## write the dashboards and the tables of docs/metrics.md anew from what the code declares
	$(BIN)/python -m deploy.grafana.dashboards
	$(BIN)/python -m deploy.metrics_page

lock: install  ## resolve requirements.lock anew from pyproject.toml, and the part of it that a container needs
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --group dev pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --constraints requirements.lock pyproject.toml --output-file requirements-run.lock

clean:  ## remove what make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache mutants build streams/__compiled__ *.egg-info
