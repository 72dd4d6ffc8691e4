# Everything a stranger needs: `make run` for a first result, `make test` for every check, `make bench` for ratios.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test quick bench clean

run: $(READY)
	$(BIN)/simcore run configs/fork_bomb.yaml

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

quick: $(READY)
	$(BIN)/python -m pytest -m "not long" -x

bench: $(READY)
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only -p no:cacheprovider -q

clean:
	rm -rf $(VENV) runs build *.egg-info

# Installs once, and again when the dependencies change; compiles the model, so that the first run is a fast one.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[dev,cluster,sensitivity]'
	$(BIN)/python -m models.warm_up
	touch $@
