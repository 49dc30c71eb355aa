# Everything starts here; `make` alone lists the targets.
# Arguments pass through: make run ARGS="--rpc-port 9545", make test ARGS="-k ledger",
# make bench B=transfers, make PYTHON=python3.12 setup.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
B ?=
EXAMPLES ?= 2000
JOBS ?= 2
SEEDS ?= 0-3999
SECONDS ?= 60
SEED ?=
TIERS ?= native
SOURCES := chain contracts node wallet
RUNTIME := $(VENV)/.installed
TOOLS := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help run testnet setup check format test simulate conformance e2e compat fuzz fuzz-vm bombs bench clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 14

run: $(RUNTIME)  ## start a one-validator ledger with RPC on 127.0.0.1:8545 (ARGS=...)
	@$(BIN)/chain-node dev $(ARGS)

testnet: $(RUNTIME)  ## four validators in ./.testnet until Ctrl-C; the first one's RPC is on 8545 (ARGS=...)
	@test -f .testnet/testnet.json || $(BIN)/chain-node testnet --dir .testnet $(ARGS)
	@$(BIN)/chain-node up .testnet

setup: $(TOOLS)  ## make .venv with everything that development needs

check: $(TOOLS)  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(SOURCES)
	$(BIN)/lint-imports

format: $(TOOLS)  ## let ruff rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(TOOLS)  ## the whole test suite (ARGS="-k ...")
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

simulate: $(TOOLS)  ## thousands of seeds on virtual time, and every planted bug (SEEDS=0-3999)
	$(BIN)/python -m tests.simulation core --seeds $(SEEDS) --jobs $(JOBS)
	$(BIN)/python -m tests.simulation nodes --seeds $(SEEDS) --jobs $(JOBS)
	$(BIN)/python -m tests.simulation mutants --jobs $(JOBS)

conformance: $(TOOLS)  ## every official sample, not only the selection that `test` runs
	CHAIN_CONFORMANCE_ALL=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/conformance $(ARGS)

e2e: $(TOOLS)  ## real processes, real clients (ethers and solc come from npm)
	CHAIN_KILL_ROUNDS=30 CHAIN_NETWORK_LONG=1 $(BIN)/python -m pytest tests/end_to_end $(ARGS)

compat: $(TOOLS)  ## every client does all that it is for; writes the table of docs/compatibility.md
	rm -f .cache/compatibility.jsonl
	-CHAIN_NETWORK_LONG=1 CHAIN_COMPATIBILITY=.cache/compatibility.jsonl $(BIN)/python -m pytest tests/end_to_end/test_clients_dev.py tests/end_to_end/test_clients_network.py tests/end_to_end/test_clients_network_seconds.py $(ARGS)
	$(BIN)/python -m tests.support.compatibility .cache/compatibility.jsonl

fuzz: $(TOOLS)  ## our transition beside the executable specification (EXAMPLES=2000)
	CHAIN_FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n $(JOBS) tests/differential $(ARGS)

fuzz-vm: $(TOOLS)  ## random state tests and blocks on the VMs, side by side (SECONDS=60 SEED=... TIERS=native)
	$(BIN)/python -m tests.differential_vm --seconds $(SECONDS) --tiers $(TIERS) $(if $(SEED),--seed $(SEED)) $(ARGS)

bombs: $(TOOLS)  ## 24 KB of every opcode, compiled and run: times, and differences (ARGS="MUL SLOAD")
	$(BIN)/python -m tests.contracts.vm.native.jit.bombs $(ARGS)

bench: $(TOOLS)  ## measure, beside py-evm in the same run (B=transfers selects)
	$(BIN)/python -m tests.benchmarks $(B) $(ARGS)

bench-vm: $(TOOLS)  ## contracts beside revm: native interpreter, compiled code, cold starts (ARGS="--chart FILE")
	$(BIN)/python -m tests.benchmarks.bench_vm_native $(ARGS)

clean:  ## remove the environment and every cache
	rm -rf $(VENV) build dist *.egg-info .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11, 3.12 or 3.13 is needed (make PYTHON=python3.12), this is " + sys.version.split()[0] if not (3, 11) <= sys.version_info < (3, 14) else 0)'
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml | $(BIN)/python
	@echo "installing chain-node into $(VENV) (once)" >&2
	@$(PIP) install -e .
	@touch $@

$(TOOLS): pyproject.toml | $(BIN)/python
	@echo "installing chain-node with its development tools into $(VENV) (once)" >&2
	@$(PIP) install -e '.[dev]'
	@touch $@ $(RUNTIME)
