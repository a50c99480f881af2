# Everything a fresh machine needs is python3 (3.11 or newer), pip and make.
# Stamps inside .venv make a repeated verb start at once; `make clean` forgets everything.

PYTHON ?= python3
BIN := .venv/bin
CORE := .venv/.stamp-core
DEV := .venv/.stamp-dev
export PYTHON

# The tests start some two hundred processes, and each would compile all that it imports where an
# image forbids bytecode beside the source: it lies in .venv.
PYTEST := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/.venv/bytecode \
	$(BIN)/python -m pytest -q

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint lint-types lint-rules format bench bench-peers trace \
	sim sim-long reliability mutants soak docs lock clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(CORE)  ## install, run the built-in demo, write demo/report.html
	@$(BIN)/cerberus demo

test: $(DEV)  ## run the quick suite
	@$(PYTEST) -n 3 --dist worksteal -m "not slow" --cov --cov-report=

test-all: $(DEV)  ## run every test, the slow ones too
	@$(PYTEST) -n 2

lint: lint-types lint-rules  ## style, types, import walls, the tidy rules

lint-types: $(DEV)
	@$(BIN)/mypy

lint-rules: $(DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(PYTEST) -p no:cacheprovider tests/tidy

format: $(DEV)  ## let ruff write what it can
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format .

bench: $(CORE)  ## print the figures of docs/benchmarks.md
	@$(BIN)/python -m scripts.bench

bench-peers: $(CORE)  ## compare with other engines, in a virtual environment of their own
	@$(BIN)/python -m scripts.bench_peers

trace: $(DEV)  ## print requirement -> tests, and what is missing
	@$(BIN)/python scripts/trace.py

sim: $(CORE)  ## crash and mislead the engine in virtual time: 500 runs, some 2,600 crashes
	@$(BIN)/cerberus sim --runs 500 --jobs 2

sim-long: $(CORE)  ## the same at length: 19,500 runs, some 100,000 crashes (half an hour)
	@$(BIN)/cerberus sim --runs 19500 --jobs 2 --seed 1000000

reliability: $(CORE)  ## measure the reliability goals in about three minutes, one table
	@$(BIN)/python -m scripts.reliability

mutants: $(CORE)  ## break the engine on purpose, and see that the simulation notices
	@$(BIN)/python -m scripts.mutants

soak: $(CORE)  ## half an hour of the real process under 1,000 signals a second
	@$(BIN)/python -m scripts.soak

docs: $(DEV)  ## write the generated pages
	@$(BIN)/python scripts/config_docs.py

lock: $(DEV)  ## resolve again and export both hashed locks
	@scripts/lock.sh

clean:  ## forget the environment, the tools, the caches and the demo
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@rm -rf build dist htmlcov .coverage demo .peers
	@find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(CORE): requirements.lock pyproject.toml scripts/install.sh
	@scripts/install.sh requirements.lock
	@touch $@

$(DEV): requirements-dev.lock pyproject.toml scripts/install.sh
	@scripts/install.sh requirements-dev.lock
	@touch $@ $(CORE)
