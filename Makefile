# serve, test, fuzz, lint, bench. Everything is installed into .venv once, and again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
VENV ?= .venv
ACCELERATOR ?= $(shell if [ -e /proc/driver/nvidia ] || command -v nvidia-smi >/dev/null 2>&1; then echo gpu; else echo cpu; fi)

BIN := $(VENV)/bin
SERVE := $(VENV)/.serve-$(ACCELERATOR)
DEV := $(VENV)/.dev-$(ACCELERATOR)

# Test runs and benchmarks report to nobody.
export ORT_DISABLE_TELEMETRY := 1
# Saves pyright the look for a newer version of itself.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: serve test fuzz lint lint-ruff lint-format lint-mypy lint-pyright bench clean

serve: $(SERVE)
	$(BIN)/despina serve --model-repository=model_repository

test: $(DEV)
	$(BIN)/python -m pytest

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
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(SERVE): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(ACCELERATOR)]'
	touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(ACCELERATOR),dev]'
	touch $@ $(SERVE)
