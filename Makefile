# `make` lists what it can do.  A bare machine needs Python >= 3.11 (with venv), make and git; the rest is set up here, once.

VENV   ?= .venv
READY  := $(VENV)/.ready
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# 3.11 is the version that is tested; a newer one is taken where it is absent.
PYTHON ?= $(shell for name in python3.11 python3 python3.12 python3.13 python; do \
	"$$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

export PYTHONNOUSERSITE = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1

.DEFAULT_GOAL := help
.PHONY: help demo demo-sites test test-lake check lint types contracts doctests tests docs soak bench gallery clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: $(READY) ## paint a picture, scan it, find its pigments: ends in ./lakecv-demo/report.html
	@$(BIN)/lakecv demo

demo-sites: $(READY) ## one job over two sites of a real Slurm with a slow link between them: near the data, unplaced, far; < 2 minutes
	@deploy/batch/install.sh
	@$(BIN)/python deploy/batch/demo_sites.py $(ARGS)

test: check ## the same as check

# Without xdist: each of its workers would start servers of its own.
test-lake: $(READY) ## the real servers (Rucio, Ceph, XRootD, WebDAV, Slurm): installs, starts, tests, stops
	@deploy/lake/install.sh
	@deploy/batch/install.sh
	@LAKECV_LAKE=1 $(PYTEST) tests/lake $(ARGS)

check: lint types contracts doctests tests ## everything that has to hold; under 10 minutes on 2 cores

lint: $(READY) ## ruff
	@$(BIN)/ruff check .

types: $(READY) ## mypy --strict
	@$(BIN)/mypy

contracts: $(READY) ## who may import whom
	@$(BIN)/lint-imports

doctests: $(READY) ## the examples in docstrings
	@$(PYTEST) -q --doctest-modules lakecv plugins catalog

# A file's tests stay in one process: they share servers and fixtures.
tests: $(READY) ## the tests alone; ARGS="-k name" chooses
	@$(PYTEST) -n auto --maxprocesses=4 --dist loadfile $(ARGS)

docs: $(READY) ## write the generated parts of docs/ again
	@$(BIN)/python docs/build.py

soak: $(READY) ## kills and random steps by the thousand, on folders, moto, Ceph and Rucio (hours); see docs/soak.md
	@$(BIN)/python tests/stories/soak.py

bench: $(READY) ## measure speed and memory; see docs/benchmarks.md
	@$(BIN)/python tests/bench/run.py

gallery: $(READY) ## run the real files of ../shared/data and take pictures of their reports
	@$(BIN)/python tests/bench/gallery.py

clean: ## remove the environment, caches and the demo
	rm -rf $(VENV) lakecv-demo build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -type d -prune -exec rm -rf {} +

# Set up once, and again when what is needed has changed.  A download that fails is tried three times.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: Python >= 3.11 with venv is needed; or say where: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@echo "setting up $(VENV) (once, a few minutes)"
	@for try in 1 2 3; do \
		$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[all,test]" && break; \
		test $$try -lt 3 || exit 1; \
		echo "trying again" >&2; sleep 5; \
	done
	@touch $@
