# `make demo` and `make test` need Python >= 3.11 with its headers, g++ and make. Everything else lands in .venv.
#
#   PYTHON=...     the interpreter to use; by default the first of PYTHONS that is new enough
#   PIP_ARGS=...   passed to every pip install, for instance an index of CPU-only torch wheels
#   ARGS=...       passed to pytest (make test), divfast (make demo) or bench/run.py (make bench)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON   ?=
PYTHONS  := python3 python3.13 python3.12 python3.11 python
PIP_ARGS ?=
ARGS     ?=

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)

# vLLM asks for other versions of torch's companions and of transformers, so it has an environment of its own.
VLLM     := .venv-vllm
VLLM_PIP := $(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)

DEMO := examples/demo/base.jsonl examples/demo/sft.jsonl examples/demo/dpo.jsonl
# `make fuzz`: which targets (tests/fuzz/fuzz_NAME.cpp), and for how many seconds each.
TARGET   ?= $(patsubst tests/fuzz/fuzz_%.cpp,%,$(wildcard tests/fuzz/fuzz_*.cpp))
SECONDS  ?= 60
FUZZER   := clang++ -std=c++17 -O1 -g -Icsrc -Itests/fuzz -fno-omit-frame-pointer -fno-sanitize-recover=all -pthread
FUZZED   := $(patsubst csrc/%.cpp,build/fuzz/%.o,$(filter-out csrc/module.cpp csrc/bind_%.cpp,$(wildcard csrc/*.cpp)))

CORE := $(wildcard csrc/*.cpp csrc/*.hpp)
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Werror

.PHONY: help venv build demo test test-vllm lint types bench fuzz readme clean

help:
	@echo 'make demo     score the example lineage with the packaged encoder'
	@echo 'make test     every test that needs no GPU'
	@echo 'make test-vllm  those that run a real vLLM, on the CPU, in .venv-vllm (2.6 GB)'
	@echo 'make lint     ruff, and the C++ without a warning'
	@echo 'make types    mypy --strict on the package as it is installed'
	@echo 'make bench    throughput, with the peers beside it'
	@echo 'make fuzz     hostile bytes for the compiled core, under sanitizers (needs clang++)'
	@echo 'make readme   copy the outputs that the README shows into it'
	@echo 'make build    compile the core again where its sources changed'
	@echo 'make venv     only set up .venv'
	@echo 'make clean    remove what was built; .venv and .venv-vllm stay'

venv: $(VENV)/.installed

$(VENV)/.made:
	@.ci/venv $(VENV) $(or $(PYTHON),$(PYTHONS))
	@touch $@

# torch comes first and alone: left to the resolver, an unpinned one may bring several GB of CUDA libraries.
$(VENV)/.installed: $(VENV)/.made constraints.txt pyproject.toml setup.py
	@echo 'make: installing into $(VENV) (once; several minutes on a cold cache)'
	$(PIP) $$(grep '^torch==' constraints.txt)
	$(PIP) -c constraints.txt 'setuptools>=77' 'pybind11>=2.12' ruff mypy
	$(PIP) -c constraints.txt --no-build-isolation -e '.[minilm,test]'
	@touch $@ $(VENV)/.built

build: $(VENV)/.built

# The install has compiled the core already; make cannot know that it has touched this file as well.
$(VENV)/.built: $(CORE) $(VENV)/.installed
	@if [ ! -e $@ ] || [ -n "$$(find csrc -type f -newer $@)" ]; then \
	  echo 'make: compiling the core'; $(BIN)/python setup.py -q build_ext --inplace; \
	fi
	@touch $@

demo: $(VENV)/.built
	$(BIN)/divfast score $(DEMO) --encoder minilm $(ARGS)

# Nothing may put this folder on sys.path: its `kernels` would shadow an installed package of that name.
test: $(VENV)/.built
	PYTHONSAFEPATH=1 $(BIN)/pytest $(ARGS)

# The package is the one of .venv, compiled core included: both environments are made with the same Python.
$(VLLM)/.installed: $(VENV)/.installed constraints-vllm.txt
	@.ci/venv $(VLLM) $(VENV)/bin/python
	@echo 'make: installing into $(VLLM) (once; a minute or several)'
	$(VLLM_PIP) $$(grep '^torch==' constraints-vllm.txt)
	$(VLLM_PIP) --no-deps -r constraints-vllm.txt
	cp -r $(VENV)/lib/python3*/site-packages/*divfast* $(VLLM)/lib/python3*/site-packages/
	@touch $@

test-vllm: $(VLLM)/.installed $(VENV)/.built
	PYTHONSAFEPATH=1 $(VLLM)/bin/pytest -m vllm tests/test_vllm*.py $(ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	includes=$$($(BIN)/python -m pybind11 --includes); \
	for file in csrc/*.cpp tests/fuzz/*.cpp; do \
	  $${CXX:-g++} -std=c++17 -fsyntax-only $(WARNINGS) -Icsrc $${includes//-I/-isystem } $$file; \
	done

# Type checkers do not follow editable installs, so a view is built as a wheel would lay it out.
types: $(VENV)/.installed
	rm -rf build/view
	$(BIN)/python setup.py -q build_py --build-lib build/view
	$(BIN)/mypy build/view/divfast

bench: $(VENV)/.built
	$(BIN)/python bench/run.py --json bench/results/cpu.json $(ARGS)

# Kept, though make knows of them only in passing.
.SECONDARY: $(FUZZED)

build/fuzz/%.o: csrc/%.cpp $(CORE)
	@mkdir -p build/fuzz
	$(FUZZER) -fsanitize=fuzzer-no-link,address,undefined -c $< -o $@

build/fuzz/fuzz_%: tests/fuzz/fuzz_%.cpp tests/fuzz/fuzz.hpp $(FUZZED)
	$(FUZZER) -fsanitize=fuzzer,address,undefined $< $(FUZZED) -o $@

# What is found lies in build/fuzz as NAME-crash-...; what was learnt stays in build/fuzz/corpus for the next time.
fuzz: $(patsubst %,build/fuzz/fuzz_%,$(TARGET))
	for name in $(TARGET); do \
	  mkdir -p build/fuzz/corpus/$$name; \
	  build/fuzz/fuzz_$$name -max_total_time=$(SECONDS) -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
	    -dict=tests/fuzz/words.dict -artifact_prefix=build/fuzz/$$name- build/fuzz/corpus/$$name; \
	done

readme: $(VENV)/.built
	$(BIN)/python .ci/readme

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f divfast/_core*.so
	find . \( -path ./$(VENV) -o -path ./$(VLLM) \) -prune -o -name __pycache__ -type d -print0 | xargs -0 -r rm -rf
	rm -f $(VENV)/.built
