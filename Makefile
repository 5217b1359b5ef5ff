# `make run` and `make test` do everything from a fresh clone with only Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Nothing here needs the hub; without this, libraries ask it and wait.
export HF_HUB_OFFLINE ?= 1

.PHONY: help install run test fast lint types benchmarks clean

help: ## what can be asked for
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

install: $(READY) ## make the environment from the pinned constraints

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	# torch by itself and exactly pinned: a range would bring gigabytes of CUDA packages along.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

run: $(READY) ## train the embedded default by all three loops and compare them
	$(BIN)/python -m harness run

test: $(READY) ## the tests
	$(BIN)/python -m pytest

fast: $(READY) ## the tests that start no worker
	$(BIN)/python -m pytest -m "not slow"

lint: $(READY) ## style and format, and the files of builds against their schemas and an audit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci docs/gitlab-ci.yml
	$(BIN)/zizmor --offline --persona=pedantic .github

types: $(READY) ## strict types
	$(BIN)/mypy

benchmarks: $(READY) ## determinism, equivalence and speed of the built-in cases
	$(BIN)/python -m pytest benchmarks

clean: ## take the environment away again
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
