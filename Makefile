# Wardwright: everything a newcomer or a build machine does, one target each.
# Needs Python >= 3.11, git and make. The virtual environment in .venv is built from requirements.lock, by hash.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FUZZ_SECONDS ?= 60
CHAOS_KILLS ?= 500

.DEFAULT_GOAL := help
.PHONY: help install run test check fmt lint types imports contracts bench chaos fuzz lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## build the virtual environment

run: $(READY) ## start the daemon, with a small real language model behind `coding-balanced`
	@$(BIN)/wardwright models pull || true
	@exec $(BIN)/wardwright serve

test: $(READY) ## run every test, on as many cores as there are, up to four
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: $(READY) fmt lint types imports ## format, lint, types and layers, all without changing a file

fmt: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

contracts: $(READY) ## write the generated files in contracts/ and docs/ anew
	$(BIN)/python -m wardwright.config.schema contracts/config.schema.json
	$(BIN)/python -m tests.wardwright.receipts.test_json_schema
	$(BIN)/python -m tests.wardwright.runtime.test_visible_schema
	$(BIN)/python -m tests.docs.configuration_tables

bench: $(READY) ## measure the daemon beside a floor taken in the same run
	$(BIN)/python -m tests.benchmarks

chaos: $(READY) ## break the disk and kill the daemon, CHAOS_KILLS times, and see that every promise holds
	$(BIN)/python -m tests.chaos --kills $(CHAOS_KILLS)

fuzz: $(READY) ## look for bytes that break the stream decoders, for FUZZ_SECONDS
	@test -d $(VENV)/fuzz || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(VENV)/fuzz \
	  "$$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["fuzz"])')"
	@PYTHONPATH=$(VENV)/fuzz $(BIN)/python -m tests.fuzz $(FUZZ_SECONDS)

lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra local --extra kafka --extra nats --extra parquet --extra postgres --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements.lock

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Wardwright needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	@echo "building the virtual environment in $(VENV), once"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)
