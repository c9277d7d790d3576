# serve, test, fuzz, lint, bench. Everything is installed into .venv once, and again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
VENV ?= .venv
ACCELERATOR ?= $(shell if [ -e /proc/driver/nvidia ] || command -v nvidia-smi >/dev/null 2>&1; then echo gpu; else echo cpu; fi)

BIN := $(VENV)/bin
OLDEST := $(VENV)-oldest
SERVE := $(VENV)/.serve-$(ACCELERATOR)
DEV := $(VENV)/.dev-$(ACCELERATOR)

# Test runs and benchmarks report to nobody.
export ORT_DISABLE_TELEMETRY := 1
# Saves pyright the look for a newer version of itself.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: serve test test-oldest fuzz lint lint-ruff lint-format lint-mypy lint-pyright bench clean

serve: $(SERVE)
	$(BIN)/despina serve --model-repository=model_repository

test: $(DEV)
	$(BIN)/python -m pytest

# With the oldest releases that pyproject.toml allows, in an environment of their own.
test-oldest:
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/pip install --quiet uv
	$(OLDEST)/bin/uv pip compile --quiet --resolution lowest-direct --extra cpu --extra otel --extra score \
		--python $(OLDEST)/bin/python --output-file $(OLDEST)/oldest.txt pyproject.toml
	$(OLDEST)/bin/pip install --quiet -c $(OLDEST)/oldest.txt -e '.[cpu,dev]'
	$(OLDEST)/bin/python -m pytest

# A hundred thousand bad inputs; takes minutes.
fuzz: $(DEV)
	$(BIN)/python -m tests.fuzz

lint: lint-ruff lint-format lint-mypy lint-pyright

lint-ruff: $(DEV)
	$(BIN)/ruff check .

lint-format: $(DEV)
	$(BIN)/ruff format --check .

lint-mypy: $(DEV)
	$(BIN)/mypy --strict

lint-pyright: $(DEV)
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(DEV)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(OLDEST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(SERVE): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(ACCELERATOR)]'
	touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(ACCELERATOR),dev]'
	touch $@ $(SERVE)
