# The ways into lazarr. `make help` lists them; each target can be run by itself.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

VENV := .venv
# Absolute, so that cargo (pyo3) and a changed directory find it too.
PY := $(CURDIR)/$(VENV)/bin/python
export PYO3_PYTHON := $(PY)
export PYTHONDONTWRITEBYTECODE := 1

DEMO ?= demo.zarr
PYTEST_ARGS ?= -n 2
BENCH_ARGS ?=
CAMPAIGN ?=
MUTANTS ?=

## help: this list
.PHONY: help
help:
	@echo "lazarr: lazy, bounded, explained reading of AnnData in Zarr"
	@sed -n 's/^## \([a-z-]*\): \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

## demo: build the optimised package, make a store, show what each line reads
.PHONY: demo
demo: $(DEMO)
	@tools/build_ext.sh
	@$(PY) tools/demo.py $(DEMO)

$(DEMO): | venv-demo
	@echo "demo: making $(DEMO) (50,000 cells x 20,000 genes)"
	@$(PY) tools/make_store.py --out $(DEMO)

## test: the gate: format, lints, Rust tests, docs, types, Python tests
.PHONY: test
test: servers check-fmt check-unsafe check-clippy check-rust check-doc check-deny check-python check-types check-pytest check-docs

## docs: the site, with its notebooks executed, in docs/_build/html; warnings are errors
.PHONY: docs
docs: venv-docs extension
	@cargo doc --quiet --no-deps
	@LAZARR_DOCS_RUST=1 tools/docs.sh

## bench: lazarr beside the floor and its peers; BENCH_ARGS="--full", or "--engines lazarr,floor --workloads random"
.PHONY: bench
bench: venv-bench
	@tools/build_ext.sh || echo "bench: no extension module, lazarr is left out"
	@$(PY) bench/run.py $(BENCH_ARGS)

## bench-instructions: count the instructions of the inner loops under valgrind; BENCH_ARGS=--write records them
.PHONY: bench-instructions
bench-instructions: venv-demo
	@$(PY) tools/instructions.py $(BENCH_ARGS)

## campaign: the long runs, recorded in bench/RESULTS.md; CAMPAIGN="name ..." picks, CAMPAIGN=list names them
.PHONY: campaign
campaign: venv-bench extension
	@$(PY) bench/campaign.py $(CAMPAIGN)

## mutants: break named things one at a time; each must fail a test; MUTANTS="name ..." picks
.PHONY: mutants
mutants: venv-test
	@$(PY) tools/mutants.py $(MUTANTS)

## damage-table: what damaged stores do to anndata and to lazarr, written into README.md and docs/damage.md
.PHONY: damage-table
damage-table: venv-test extension
	@$(PY) tools/damage_table.py

## fmt: format Rust and Python in place
.PHONY: fmt
fmt: venv-test
	@cargo fmt --all
	@$(PY) -m ruff check --select I --fix --quiet python tools bench docs/*.py
	@$(PY) -m ruff format --quiet python tools bench docs/*.py

## lint: the lints of the gate alone
.PHONY: lint
lint: check-fmt check-unsafe check-clippy check-doc check-deny check-python

## clean: remove builds, the venv and generated stores
.PHONY: clean
clean:
	@cargo clean --quiet
	@rm -rf $(VENV) .venv-anndata-* demo.zarr demo.zarr.partial bench/data docs/_build dist python/dist
	@find python tools bench \( -name '*.so' -o -name '*.pyc' \) -type f -delete
	@find . -path ./target -prune -o -type d \( -name __pycache__ -o -name .pytest_cache -o -name .ruff_cache \
	  -o -name .mypy_cache -o -name .hypothesis \) -prune -exec rm -rf {} +

# ── what the targets stand on ──────────────────────────────────────────────────────────────────────

.PHONY: tools venv-demo venv-test venv-bench venv-docs extension
tools:
	@tools/check_tools.sh

venv-demo venv-test venv-bench venv-docs: venv-%: tools
	@tools/venv.sh $*

extension: venv-test
	@tools/build_ext.sh

# The servers of Python's tests come beside what is built before these.
.PHONY: servers
servers: venv-test
	@tools/servers.sh begin

# ── the steps of the gate ──────────────────────────────────────────────────────────────────────────

.PHONY: check-fmt check-unsafe check-clippy check-rust check-doc check-deny check-python check-types check-pytest check-docs

check-fmt: tools
	@echo "── rustfmt"
	@cargo fmt --all --check

check-unsafe: venv-test
	@echo "── unsafe modules"
	@$(PY) tools/check_unsafe.py

# The Python crate is linted with the rest, but never linked by cargo: its tests are Python's.
check-clippy: venv-test
	@echo "── clippy"
	@cargo clippy --quiet --workspace --all-targets -- -D warnings
	@tools/python_crate.sh || cargo clippy --quiet --manifest-path python/Cargo.toml --all-targets -- -D warnings

check-rust: tools
	@echo "── Rust tests"
	@if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --no-tests=pass --no-fail-fast; \
	else \
	  echo "(cargo-nextest is not installed: cargo test instead)"; \
	  cargo test --no-fail-fast --lib --bins --tests --examples; \
	fi

check-doc: tools
	@echo "── Rust docs and their examples"
	@cargo test --quiet --doc
	@RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --document-private-items

# Advisories change by the day and need the network: `cargo deny check advisories` is for a person, not for the gate.
check-deny: tools
	@echo "── cargo-deny"
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --log-level error check licenses bans sources; \
	else echo "SKIPPED: cargo-deny is not installed ('cargo install --locked cargo-deny')"; fi

check-python: venv-test
	@echo "── ruff"
	@$(PY) -m ruff check --quiet python tools bench docs/*.py
	@$(PY) -m ruff format --check --quiet python tools bench docs/*.py || \
	  { echo "error: Python files are not formatted: make fmt" >&2; exit 1; }

check-types: extension
	@echo "── mypy and stubtest"
	@cd python && $(PY) -m mypy
	@cd python && $(PY) -m mypy.stubtest lazarr --mypy-config-file pyproject.toml --concise \
	  --allowlist stubtest-allow.txt --ignore-unused-allowlist

# Where older releases of anndata cannot be had (no wheels for a new Python), their tests say so and are skipped.
check-pytest: extension
	@echo "── pytest"
	@for release in anndata-0.11 anndata-0.12; do tools/venv.sh $$release || rm -rf .venv-$$release; done
	@tools/servers.sh
	@cd python && $(PY) -m pytest $(PYTEST_ARGS)

# The site with its notebooks executed: what they call must work.
check-docs: venv-docs extension
	@echo "── docs"
	@tools/docs.sh
