# make demo: set-up, the main job on embedded data, a table.   make test: set-up and the tests.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
BENCHMARKS = $(filter-out %/frame.py %/single_steps.py %/thousands.py, $(wildcard benchmarks/*.py))

.PHONY: help setup demo check test test-slurm lint docs results pictures bench clean
help:              ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'irm_sweeps needs Python 3.11 or newer, $(PYTHON) is older: make setup PYTHON=python3.12'; exit 1; }
	@echo 'Installing into .venv: once, minutes on a fast line (6.6 GB with the CUDA build of torch) ...'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/pip install --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

setup: $(READY)    ## create .venv and install (6.6 GB with torch's CUDA build)

demo: $(READY)     ## the main job on 5,000 embedded digits: 12 trainings, a table, a picture
	$(BIN)/python launch.py -m paper=demo
	$(BIN)/python analysis/figures.py --paper demo
	@command -v irm-sweeps > /dev/null || echo 'for the commands above, once in each terminal: . $(BIN)/activate'

check: $(READY)    ## lint, and the tests nearest to a change, about 2 minutes (BASE=COMMIT; by default origin/main)
	until=$$(($$(date +%s) + 110)) && $(MAKE) --no-print-directory lint && \
	  $(BIN)/python -m pytest @.ci/pytest.args -p touched --touched --until $$until $(if $(BASE),--base $(BASE))

test: $(READY)     ## all tests but those that need a SLURM cluster
	$(BIN)/python -m pytest @.ci/pytest.args

test-slurm: $(READY)  ## the tests that start a real SLURM cluster on this machine (Debian, root)
	$(BIN)/python -m pytest -m slurm -rs tests/slurm

lint: $(READY)     ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check . || { echo 'mend: $(BIN)/ruff format .'; exit 1; }
	$(BIN)/mypy

docs: $(READY)     ## the documentation as a web site in site/; read it: python -m http.server -d site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

results:           ## the tables, figures and coverage page of docs/results/, from the archives there (offline)
	@test -x $(BIN)/irm-sweeps || $(MAKE) setup
	$(BIN)/python docs/generate/results.py

pictures:          ## docs/figure3.png, side_information.png, and data_sets.png from the files in DATA (default: data)
	@test -x $(BIN)/irm-sweeps || $(MAKE) setup
	$(BIN)/python docs/generate/figure3.py
	$(BIN)/python docs/generate/side_picture.py
	$(BIN)/python docs/generate/data_strip.py --data-dir $(or $(DATA),data)

bench: $(READY)    ## every benchmark (on a quiet machine), ratios into benchmarks/history.csv
	for script in $(BENCHMARKS); do echo "== $$script"; BENCH_HISTORY=1 $(BIN)/python $$script || exit 1; done

clean:             ## remove what set-up made, and nothing you measured
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache .hypothesis
