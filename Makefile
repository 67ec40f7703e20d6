# Everything runs in .venv, which is made from requirements/dev.txt.

PYTHON ?= python3.11
TOOL := .venv/bin/python -m
LOCK := .venv/bin/uv pip compile pyproject.toml --quiet --universal --fork-strategy fewest --generate-hashes --no-annotate --no-header
BAKED := build/demo/diabetes-regression

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast prove lint bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

setup: .venv/ready ## make .venv and install what requirements/dev.txt pins

.venv/ready: requirements/dev.txt requirements/uv.txt
	$(PYTHON) -m venv .venv
	$(TOOL) pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	.venv/bin/uv pip sync --quiet --python .venv --require-hashes --compile-bytecode requirements/dev.txt requirements/uv.txt
	@touch $@

demo: setup ## bake the defaults into build/, then train, register, serve and score there
	rm -rf build/demo
	$(TOOL) cookiecutter . --no-input --output-dir build/demo
	$(MAKE) --no-print-directory -C $(BAKED) run
	$(MAKE) --no-print-directory -C $(BAKED) smoke
	@echo "The project is in $(BAKED); \`make help\` there lists what it can do."

test: setup ## run all tests, a file at a time on each core
	$(TOOL) pytest -m "not prove" --numprocesses auto --dist loadfile --no-loadscope-reorder

test-fast: setup ## run the tests that need no environment of their own
	$(TOOL) pytest -m "not slow and not prove" --numprocesses auto

prove: setup ## run what takes longer: images built and used, scanners, projects' own tests, the guide followed
	$(TOOL) pytest -m prove --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: setup ## check the style of hooks and tests
	$(TOOL) ruff check .
	$(TOOL) ruff format --check .

bench: setup ## measure what README.md states
	$(TOOL) benchmarks

lock: setup ## resolve all dependencies anew (UPGRADE=--upgrade: to newer versions)
	$(LOCK) --group dev -o requirements/dev.txt $(UPGRADE)
	$(LOCK) --group prove -o requirements/prove.txt $(UPGRADE)
	$(LOCK) --group terraform -o requirements/terraform.txt $(UPGRADE)
	$(LOCK) --group uv -o requirements/uv.txt $(UPGRADE)
	$(LOCK) --group inference -o benchmarks/inference.txt $(UPGRADE)
	.venv/bin/python requirements/lock_project.py $(UPGRADE)

clean: ## remove what these commands make, but .venv
	rm -rf build .pytest_cache .mypy_cache .ruff_cache
