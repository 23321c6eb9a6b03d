# Fleetcast: every target sets up what it needs (tools/setup: apt, then .venv). `make help` lists them.
SHELL := /bin/sh
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
# Fast: no root, no network, no external program. The others are real: disks and networks, which mostly wait, so
# that three processes share two cores (each test file in one of them); virtual PCs, which keep both busy.
FAST := tests/unit tests/property tests/golden tests/lint
WAITING := tests/block tests/net tests/browser
BUSY := tests/vm
TOGETHER := -n 3 --dist loadfile --durations=30
ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-postgres test-full soak bench bench-cast bench-image bench-boot lint format clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install OS packages and the Python environment (.venv)
	@./tools/setup

demo: setup ## cast a real system to PXE-booted virtual PCs and boot it (root or sudo)
	$(ROOT) tools/rooted $(PY) -m tests.vm.demo

lint: setup ## formatting, lint and types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

test-fast: ## no root, no network, under a minute
	@[ -x $(PY) ] || { echo "run 'make setup' first"; exit 2; }
	$(PYTEST) -q -n 2 -m "not full" $(FAST)

test: setup lint ## everything that fits in 40 minutes on 2 cores (.ci/run calls it)
	$(MAKE) test-fast
	failed=0; \
	$(ROOT) tools/rooted $(PYTEST) -m "not full" $(TOGETHER) $(WAITING) || failed=1; \
	$(ROOT) tools/rooted $(PYTEST) -m "not full" --durations=30 $(BUSY) || failed=1; \
	exit $$failed

test-postgres: ## the server's fast tests over, each with a database of a PostgreSQL server of their own
	FLEETCAST_TEST_DATABASE=postgresql $(PYTEST) -q -n 2 tests/unit/test_server_*.py

test-full: setup lint ## every test, every VM cell
	$(MAKE) test-postgres
	$(ROOT) tools/rooted $(PYTEST) $(FAST) $(WAITING) $(BUSY)

soak: setup ## casts to thousands of receivers in virtual time, two million hostile packets (20 minutes; root or sudo)
	$(PYTEST) -m soak $(FAST)
	$(ROOT) tools/rooted $(PYTEST) -s -m soak tests/net

bench: bench-cast bench-image bench-boot ## every benchmark there is (root or sudo)

bench-cast: setup ## casts beside udpcast and uftp on this machine (25 minutes; root or sudo)
	@dpkg -s udpcast uftp >/dev/null 2>&1 || $(ROOT) apt-get install -q -y --no-install-recommends udpcast uftp
	$(ROOT) tools/rooted $(PY) -m tests.bench.cast $(BENCH)

bench-image: setup ## capture and restore beside partclone, dd and qemu-img (15 minutes; root or sudo)
	$(ROOT) tools/rooted $(PY) -m tests.bench.image $(BENCH)

bench-boot: setup ## what a machine loads, how soon its client is ready; two hundred PXE machines at once (8 minutes; root or sudo)
	$(ROOT) tools/rooted $(PY) -m tests.bench.boot $(BENCH)

screenshots: setup ## pictures of the console for the docs, of a real cast to eight clients (4 minutes; root or sudo)
	@dpkg -s pngquant >/dev/null 2>&1 || $(ROOT) apt-get install -q -y --no-install-recommends pngquant
	$(ROOT) tools/rooted $(PY) -m tests.browser.screenshots

format: setup ## format the code
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

clean: ## remove build results and caches (not .venv)
	$(ROOT) rm -rf build .mypy_cache .pytest_cache .ruff_cache
