# Everything that developers and CI do. Each target works from nothing: it installs what it needs.

PYTHON ?= python3
# The index that holds torch's CPU build, for a pip that would otherwise take the CUDA build of
# several GB: make install TORCH_INDEX=URL
TORCH_INDEX ?=
# For example: make test PYTEST_ARGS='tests/corpus -x'
PYTEST_ARGS ?=
# Tests at a time
JOBS ?= 2
# For example: make bench BENCH=benchmarks/flat_search.py
BENCH ?= $(shell grep -l __main__ benchmarks/*.py)

SCREENSHOTS ?= runs/screenshots

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PEERS := .venv-peers
# A core each: threads of torch that share cores wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --ignore=tests/peers -n $(JOBS) --dist loadfile
BUILT_FROM := pyproject.toml constraints.txt hatch_build.py

# Two runs of pip in one environment would trip over each other.
.NOTPARALLEL:
.PHONY: help install demo test check peers bench fuzz screenshots reliability clean

help:
	@echo "make install   an editable install with everything for development, in $(VENV)"
	@echo "make demo      builds the demo's collection and asks it questions"
	@echo "make test      the tests"
	@echo "make check     format, lint, types, architecture, tests: what CI runs"
	@echo "make peers     answer measures against Pyserini's and Transformers', in $(PEERS)"
	@echo "make bench     the benchmarks, one after the other"
	@echo "make fuzz      500 requests made from OpenAPI to each operation of the server"
	@echo "make screenshots  the server's page at three widths, light and dark, in $(SCREENSHOTS)"
	@echo "make reliability  kills, power cuts, full disks, damage and readers at full size (an hour)"
	@echo "make clean     removes what the other targets made, $(VENV) included"

install: $(VENV)/.installed-dev

demo: $(VENV)/.installed
	$(BIN)/dpr demo

test: $(VENV)/.installed-dev
	$(PYTEST) $(PYTEST_ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py tests/test_public_names.py
	$(PYTEST) $(PYTEST_ARGS)

peers: $(VENV)/.installed-dev $(PEERS)/.installed
	$(BIN)/python -m pytest tests/peers

bench: $(VENV)/.installed-dev
	set -e; for script in $(BENCH); do echo "== $$script"; $(BIN)/python $$script; done

# The sizes of the figures in docs/reliability.md. RELIABILITY_SECONDS=60 shortens the last one.
reliability: $(VENV)/.installed-dev
	set -e; for suite in power_loss disk kill hostile repair corruption readers; do \
	  RELIABILITY=full OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s \
	    tests/collection/test_$$suite.py $(PYTEST_ARGS); done

# FUZZ_SEED=2 makes others.
fuzz: $(VENV)/.installed-dev
	FUZZ=500 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s tests/serve/test_openapi.py $(PYTEST_ARGS)

# Needs Chromium. For example: make screenshots SCREENSHOTS=/tmp/page
screenshots: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/serve/test_browser.py -k every_width \
	  --screenshots $(SCREENSHOTS) $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) $(PEERS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks recipes -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say that nothing which decides the installation changed since it was made. They lie
# in the environment, so that they go when it goes.
$(VENV)/.installed: $(BUILT_FROM)
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch)
	$(PIP) hatchling
	$(PIP) --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --no-build-isolation --editable '.[dev]'
	touch $@

# What is compared with has an environment of its own: its packages go with no others.
$(PEERS)/.installed: tests/peers/requirements.txt
	$(PYTHON) -m venv --clear $(PEERS)
	echo '*' > $(PEERS)/.gitignore
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@
