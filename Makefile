# Everything a developer runs. The virtual environment in .venv is made by the first target that
# needs it, and made anew only when pyproject.toml has changed: later runs need no network.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/pyproject.toml
PIP := --quiet --disable-pip-version-check --no-input --root-user-action=ignore

# The first interpreter that is new enough; `make PYTHON=/path/to/python3.13 ...` chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; \
	done)

# Windows where there is a screen to show them on, pictures only where there is none.
SCREEN := $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname -s))
HEADLESS := $(if $(SCREEN),,--headless)

SEED ?=
SEEDS ?= 20
TICKS ?= 2000
N ?= 100000
DOCUMENTS ?= 100000
OUTAGES ?= 20
VISITS ?= 5000
KICKS ?= 3000
ARGS ?=
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help environment demo test lint types coverage soak kicks outages fuzz mutants visits perf clean

help:
	@echo 'make demo                          two players in one game of Pong; picture in demo.png'
	@echo 'make test [ARGS=tests/unit JOBS=2] all tests, in JOBS processes; or some, in one'
	@echo 'make lint | types                  ruff | mypy --strict and pyright'
	@echo 'make coverage                      branch coverage of the core, at least 95 %'
	@echo 'make soak [SEED= SEEDS= TICKS=]    simulated worlds under faults; SEED= runs one again'
	@echo 'make kicks [KICKS=]                players thrown out over a bad network: do they read why?'
	@echo 'make outages [DOCUMENTS= OUTAGES=] a journal shipped to a database that goes away'
	@echo 'make fuzz [N=]                     N bad datagrams, bad servers, damaged journals'
	@echo 'make mutants [N= SEED=]            N faults put into the core: do the tests notice?'
	@echo 'make visits [VISITS=]              a public server: one greedy address, many visits'
	@echo 'make perf                          performance beside a floor, as ratios'
	@echo 'make clean                         remove .venv, caches and build results'

# What .venv was made from is kept in it: a checkout that only gives pyproject.toml a new date needs
# no network. A stale environment is rebuilt, not patched: what was asked for once must go too.
$(READY): pyproject.toml
	@cmp -s pyproject.toml $@ && touch $@ || $(MAKE) --no-print-directory environment

environment:
	@test -n "$(PYTHON)" || { echo 'ecsnet needs Python 3.11 or newer: make PYTHON=...' >&2; exit 2; }
	@echo "making $(VENV) with $(PYTHON) (once; needs the network) ..."
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install $(PIP) --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install $(PIP) --group dev --editable '.[pygame,analytics]'
	@cp pyproject.toml $(READY)

demo: $(READY)
	$(BIN)/ecsnet demo pong $(HEADLESS) --seconds 10 --clients 2 --screenshot demo.png

# Files are handed out in the order that tests/conftest.py gives them. Where ARGS say something, one
# process does it, so that -x, -s and --pdb are what they are elsewhere.
test: $(READY)
	$(BIN)/python -m pytest $(or $(ARGS),-n $(JOBS) --dist loadfile --no-loadscope-reorder)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

coverage: $(READY)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q tests/unit tests/simulation $(ARGS)
	$(BIN)/coverage report
	@echo '--- the core:'
	$(BIN)/coverage report --fail-under=95 \
		--include='ecsnet/schema/*,ecsnet/session/*,ecsnet/replication/*,ecsnet/world.py'

soak: $(READY)
	$(BIN)/python tests/simulation/soak.py --seeds $(SEEDS) --ticks $(TICKS) $(if $(SEED),--seed $(SEED))

kicks: $(READY)
	$(BIN)/python tests/simulation/kicks.py --kicks $(KICKS) $(if $(SEED),--seed $(SEED))

outages: $(READY)
	$(BIN)/python tests/analytics/outages.py --documents $(DOCUMENTS) --outages $(OUTAGES)

fuzz: $(READY)
	$(BIN)/python tests/fuzz/run.py --count $(N) $(if $(SEED),--seed $(SEED))
	$(BIN)/python tests/fuzz/bad_server.py --count $(shell expr $(N) / 500) $(if $(SEED),--seed $(SEED))
	$(BIN)/python tests/fuzz/journal.py --count $(shell expr $(N) / 100) $(if $(SEED),--seed $(SEED))

mutants: $(READY)
	$(BIN)/python tests/mutants/run.py --count $(if $(filter file,$(origin N)),200,$(N)) \
		$(if $(SEED),--seed $(SEED)) $(ARGS)

visits: $(READY)
	$(BIN)/python tests/socket/visits.py --visits $(VISITS)

perf: $(READY)
	$(BIN)/python -m perf tick --rows plain loss own shared everybody
	$(BIN)/python -m perf replicate
	$(BIN)/python -m perf apply
	$(BIN)/python -m perf predict
	$(BIN)/python -m perf response
	$(BIN)/python -m perf size
	$(BIN)/python -m perf feel
	$(BIN)/python -m perf analytics
	$(BIN)/python -m perf world

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache demo*.png demo*.log
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
