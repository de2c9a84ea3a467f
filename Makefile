# make demo | test | check | setup | learn: each sets up what it needs, from a bare clone, and quickly a second time.

.DELETE_ON_ERROR:
.PHONY: help setup learn demo test test-all check format constraints clean

# The first Python from 3.11 to 3.13 on the path; another: make PYTHON=/usr/bin/python3.12 setup
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
    $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-compile
STAMPS := $(VENV)/stamps
# What pip is to install for torch: which build is right depends on the machine, so it is not in constraints.txt.
# Another: make TORCH="torch --index-url URL" test
TORCH ?= torch==2.13.0
DEFINITIONS := $(wildcard ros_ws/src/*_msgs/* ros_ws/src/*_msgs/*/*)
KERNELS := setup.py $(wildcard src/knuckle/nn/kernels/native/*)

ifneq ($(wildcard ../shared/data),)
export KNUCKLE_DATA ?= $(abspath ../shared/data)
endif

help:
	@sed -n '1s/^# //p' Makefile

setup: $(STAMPS)/setup $(STAMPS)/messages
	@echo "ready: $(BIN)/knuckle --help"

learn: $(STAMPS)/learn $(STAMPS)/messages
	@echo "ready to train: $(BIN)/knuckle --help"

demo: $(STAMPS)/demo $(STAMPS)/messages
	$(BIN)/knuckle demo $(ARGS)

test: $(STAMPS)/test $(STAMPS)/messages
	$(BIN)/python -m pytest -q -m "not slow" -n 2 --dist loadgroup $(ARGS)

test-all: $(STAMPS)/test $(STAMPS)/messages
	$(BIN)/python -m pytest -q $(ARGS)
	$(BIN)/python tools/safety_coverage.py

check: $(STAMPS)/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy -p knuckle -p knuckle_ros
	$(BIN)/mypy tools/*.py
	$(BIN)/python tools/house.py

format: $(STAMPS)/test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Resolve pyproject.toml again; UPGRADE=1 takes newer versions where there are any.
constraints: $(BIN)/python
	$(PYTHON) -m venv $(VENV)/uv
	$(VENV)/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/python tools/lock.py write $(VENV)/uv/bin/uv $(if $(UPGRADE),--upgrade)
	rm -rf $(VENV)/uv

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "knuckle: no Python from 3.11 to 3.13 on the path; make PYTHON=... names one"; exit 1; }
	@PYTHON=$(PYTHON) tools/system_packages.sh demo
	$(PYTHON) -m venv $(VENV)

# One section of constraints.txt after the other: what the demo needs, what `make setup` adds, what training adds (torch
# beside it), what the tests add.
$(STAMPS)/demo: constraints.txt pyproject.toml $(KERNELS) src/knuckle/__init__.py | $(BIN)/python
	@mkdir -p $(STAMPS)
	$(BIN)/python tools/lock.py print demo > $(VENV)/demo.txt
	$(PIP) --require-hashes --no-deps -r $(VENV)/demo.txt
	$(PIP) --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(STAMPS)/setup: $(STAMPS)/demo
	@tools/system_packages.sh setup
	$(BIN)/python tools/lock.py print setup > $(VENV)/setup.txt
	$(PIP) --require-hashes --no-deps -r $(VENV)/setup.txt
	@touch $@

$(STAMPS)/learn: $(STAMPS)/setup
	$(PIP) $(TORCH)
	$(BIN)/python tools/lock.py print learn > $(VENV)/learn.txt
	$(PIP) --require-hashes --no-deps -r $(VENV)/learn.txt
	@touch $@

$(STAMPS)/test: $(STAMPS)/learn
	@tools/system_packages.sh test
	$(BIN)/python tools/lock.py print test > $(VENV)/test.txt
	$(PIP) --require-hashes --no-deps -r $(VENV)/test.txt
	@touch $@

$(STAMPS)/messages: $(STAMPS)/demo $(DEFINITIONS)
	@command -v cmake >/dev/null 2>&1 || test -x $(BIN)/cmake || { \
	    $(BIN)/python tools/lock.py print rest | $(BIN)/python tools/lock.py pick cmake ninja > $(VENV)/build.txt && \
	    $(PIP) --require-hashes --no-deps -r $(VENV)/build.txt; }
	$(BIN)/knuckle setup
	@touch $@
