# make demo: set-up, the main job on embedded data, a table.   make test: set-up and the tests.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo test test-slurm lint docs bench clean
help:              ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

setup: $(READY)    ## create .venv and install (about 5 GB with torch's CUDA build)

demo: $(READY)     ## the main job on 5,000 embedded digits: 12 trainings, a table, a picture
	$(BIN)/python launch.py -m paper=demo
	$(BIN)/python analysis/tables.py --paper demo
	$(BIN)/python analysis/figures.py --paper demo

test: $(READY)     ## all tests but those that need a SLURM cluster
	$(BIN)/python -m pytest -m 'not slurm'

test-slurm: $(READY)  ## the tests that start a real SLURM cluster on this machine (Debian, root)
	$(BIN)/python -m pytest -m slurm -rs tests/slurm

lint: $(READY)     ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)     ## the documentation as a web site in site/; read it: python -m http.server -d site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench: $(READY)    ## every benchmark: ratios against named rivals, measured side by side
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean:             ## remove what set-up made, and nothing you measured
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache .hypothesis
