# make demo: the whole story on a simulated platform.  make test: the tests.  make check: all that a change must pass.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

T ?= 60

.PHONY: help demo test check lint types imports format crash bench fuzz clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

$(BIN)/scone: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	@touch $@

$(VENV)/dev-installed: pyproject.toml $(BIN)/scone
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo,dev]'
	@touch $@

.PHONY: system-packages
system-packages:
	@command -v openssl >/dev/null || { apt-get update -qq && apt-get install -y -qq openssl; }

demo: $(BIN)/scone system-packages ## from an empty machine to an attested secret, every command printed
	@$(BIN)/python demo/demo.py

test: $(VENV)/dev-installed system-packages ## the tests
	@$(BIN)/python -m pytest -q -n 2

lint: $(VENV)/dev-installed ## ruff: format and rules
	@$(BIN)/ruff format --check src tests benchmarks demo docs fuzz
	@$(BIN)/ruff check src tests benchmarks demo docs fuzz

types: $(VENV)/dev-installed ## mypy --strict
	@$(BIN)/mypy

imports: $(VENV)/dev-installed ## the import rules of docs/architecture.md
	@$(BIN)/lint-imports

check: lint types imports test ## what a change must pass

format: $(VENV)/dev-installed ## let ruff format
	@$(BIN)/ruff format src tests benchmarks demo docs fuzz
	@$(BIN)/ruff check --fix src tests benchmarks demo docs fuzz

reference: $(VENV)/dev-installed ## make docs/reference and the JSON Schema of sessions again
	@$(BIN)/scone session schema > src/scone/session/editing/session.schema.json
	@$(BIN)/scone help-markdown > docs/reference/cli.md
	@$(BIN)/python docs/make_rest_reference.py > docs/reference/rest.md

crash: $(VENV)/dev-installed ## kill -9 in a loop of 200
	@$(BIN)/python tests/integration/store/crash.py --kills 200
	@$(BIN)/python tests/e2e/cas_crash.py --kills 200

.PHONY: bench-packages
bench-packages:
	@command -v nginx >/dev/null && command -v gcc >/dev/null && test -e /usr/include/openssl/ssl.h || { apt-get update -qq && \
	  apt-get install -y -qq nginx-light gcc libssl-dev android-libboringssl-dev; }

bench: $(VENV)/dev-installed bench-packages ## all benchmark rows beside their peers
	@for row in mutual_tls provisioning store start_up session; do $(BIN)/python benchmarks/$$row.py || exit 1; done

fuzz: $(VENV)/dev-installed ## T seconds of Atheris on the session reader, from the vectors
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@corpus=$$(mktemp -d) && trap 'rm -rf $$corpus' EXIT && \
	  for file in tests/vectors/session/*/input.yml; do { printf A; cat $$file; } > $$corpus/$$(basename $$(dirname $$file)); done && \
	  $(BIN)/python fuzz/session_reader.py -max_total_time=$(T) -max_len=4096 -print_final_stats=1 $$corpus

clean: ## remove what the targets made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis src/*.egg-info
