# Everything a stranger needs: `make run` for a first result, `make test` for every check, `make live` for the kernel of
# this machine, `make long` for the slow ones, `make bench` for ratios.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TWO_AT_A_TIME := -n 2 --dist loadfile
LIVE_TESTS := tests/models/host/test_live.py tests/models/host/kernel_memory

.PHONY: run test live long bench clean

run: $(READY)
	$(BIN)/simcore run configs/fork_bomb.yaml

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not long" $(TWO_AT_A_TIME)

# The kernel of this machine beside the model; splits a few entries of its direct map, and skips what it cannot do.
live: $(READY)
	$(BIN)/python -m pytest -m "long or not long" -rs $(LIVE_TESTS)

# What takes more than a minute each: whole sweeps, notebooks, every recording; not what `make live` runs.
long: $(READY)
	$(BIN)/python -m pytest -m long $(TWO_AT_A_TIME) $(LIVE_TESTS:%=--ignore=%)

# The engines that the table compares with are kept out of the environment: one of them ships a package named `tests`.
bench: $(READY)
	$(BIN)/pip install --quiet --no-deps --target build/engines salabim ciw dssim networkx tqdm greenlet
	rm -rf build/engines/tests
	$(BIN)/python tests/benchmarks/bench_speed.py --write docs/performance.md
	$(BIN)/python tests/benchmarks/bench_tlb.py
	$(BIN)/python -m pytest tests/benchmarks/test_speed.py --benchmark-enable -p no:cacheprovider -q --override-ini addopts=

clean:
	rm -rf $(VENV) runs build *.egg-info

# Installs once, and again when the dependencies change; compiles the model, so that the first run is a fast one.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[dev,cluster,sensitivity]'
	$(BIN)/python -m models.warm_up
	touch $@
