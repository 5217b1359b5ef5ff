# `make run` and `make test` do everything from a fresh clone with only Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Nothing here needs the Hugging Face Hub; without this, libraries query it and wait.
export HF_HUB_OFFLINE ?= 1

# A file's tests stay on one worker, so what they share is trained once; tests/conftest.py puts the
# longest files first.
PARALLEL ?= --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help install run test fast lint types benchmarks gpu package clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

install: $(READY) ## create the environment .venv from the pinned versions

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	# torch first and exactly pinned: a range would install gigabytes of CUDA packages.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

run: $(READY) ## train the embedded default with all three loops and compare them
	$(BIN)/python -m harness run

test: $(READY) ## run all tests, on up to four cores
	$(BIN)/python -m pytest $(PARALLEL)

fast: $(READY) ## run the tests that start no training process
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

lint: $(READY) ## check style, format, imports, and the workflow files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci docs/gitlab-ci.yml
	$(BIN)/zizmor --offline --persona=pedantic .github

types: $(READY) ## check the types
	$(BIN)/mypy

benchmarks: $(READY) ## determinism, equivalence and speed of the built-in cases
	$(BIN)/python -m pytest benchmarks

gpu: $(READY) ## run the proof on one GPU, at most 8 minutes; result in reports/gpu
	$(BIN)/python -m studies.gpu --out reports/gpu

package: $(READY) ## build the wheel in dist/
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build

clean: ## remove the environment, caches and builds
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
