# `make help` lists the targets. Each sets up what it needs.
STACK ?= go
OPTIONS ?= default
PYTHON ?= python3
export PYTHON

run := .venv/bin
shell_files := tools/venv.sh .ci/run common/docker/bundle common/docker/verify
linters := ruff types scripts workflows prose copies
go := GOTOOLCHAIN=local GOFLAGS= $(run)/go

.DEFAULT_GOAL := help
.SILENT:
.PHONY: help setup demo test check quick lint ruff types scripts workflows prose copies fix sync docs report site wheel lock clean

help: ## list the targets
	sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

setup: ## make the virtual environment
	tools/venv.sh

demo: setup ## from cookiecutter to a checked image, with a report (STACK=go OPTIONS=default RESULTS=results.json)
	$(run)/python -m msb demo --stack $(STACK) --options $(OPTIONS) $(if $(RESULTS),--results $(RESULTS))

# Two workers, the slowest stacks first; each has one stack at a time (tests/conftest.py).
test: lint ## everything: lint, rendering, images, contract
	$(run)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder --durations 10

check: setup ## what is quick and needs no engine and no browser: lint, rendering, hooks
	$(MAKE) --no-print-directory --jobs 3 --output-sync=target quick $(linters)

quick: setup
	$(run)/python -m pytest -q -n 2 -m "not engine and not browser and not slow"

lint: setup
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target $(linters)

ruff: setup
	$(run)/ruff check --quiet .
	$(run)/ruff format --check --quiet .

types: setup
	$(run)/mypy --no-error-summary

scripts: setup
	$(run)/shellcheck $(shell_files)

workflows: setup
	$(run)/yamllint --strict .github
	$(run)/zizmor --quiet --offline .github
	$(go) -C tools tool actionlint $(CURDIR)/.github/workflows/*.yml

# A word of codespell may be a phrase when its pattern says so.
prose: setup
	phrases=$$(sed -n 's/^\(.* .*\)->.*/\1/p' tools/words.txt | paste -sd '|' -); \
	$(run)/python -m codespell_lib --dictionary - --dictionary tools/words.txt --regex "\b(?i:$$phrases)\b|[\w'’-]+" .

copies: setup
	$(MAKE) --no-print-directory sync docs report CHECK=1

fix: setup ## format, and fix what the linters can fix
	$(run)/ruff check --quiet --fix .
	$(run)/ruff format --quiet .
	$(MAKE) --no-print-directory sync docs report

sync: setup ## copy common/ and hooks/ into the templates (CHECK=1 only compares)
	$(run)/python -m msb sync $(if $(CHECK),--check)

docs: setup ## write docs/contract.md from the rules (CHECK=1 only compares)
	$(run)/python -m msb docs $(if $(CHECK),--check)

report: setup ## draw docs/results.json, and write its tables into the documents (CHECK=1 only compares)
	$(run)/python -m msb report $(if $(CHECK),--check)

site: setup ## build the documentation site into .out/site
	$(run)/python -m msb site
	$(run)/zensical build --strict --clean

wheel: setup ## build the tool that people install, into dist/
	$(run)/uv build --quiet --wheel

lock: setup ## write requirements.lock from pyproject.toml
	$(run)/uv pip compile --quiet --upgrade --group dev pyproject.toml --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url --output-file requirements.lock

clean: ## remove the virtual environment and what demo and tests wrote
	rm -rf .venv .demo .out .cache dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
