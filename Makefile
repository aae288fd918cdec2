# Every target works from a bare clone: what it needs it installs, into .venv where it can.
# `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
# Several targets install into the same environment; CMake and CTest run their own jobs.
.NOTPARALLEL:

PYTHON ?= python3
JOBS ?= $(shell nproc)
VENV := .venv
# Further arguments for CMake's configuration.
CONFIGURE_FLAGS ?=

# CMake and Ninja come from the virtual environment: a distribution's are often too old.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)

package_sources := $(shell find cpp python cmake -type f -not -name '*.pyc')
package_sources += CMakeLists.txt pyproject.toml README.md LICENSE

# The tools are in .venv already, so a build reuses its object files from one run to the next.
pip_install_self = $(VENV)/bin/python -m pip install --quiet --no-build-isolation \
	--config-settings=build-dir=build/python

# $(call debian_package,test that it is there,packages,what happens without it)
define debian_package
	@if ! { $(1); } >/dev/null 2>&1; then \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        echo "Installing $(2)"; \
	        apt-get install -y -qq $(2) >/dev/null 2>&1 \
	            || { apt-get update -qq && apt-get install -y -qq $(2) >/dev/null; }; \
	    else \
	        echo "Not found: $(2). On Debian: sudo apt-get install $(2)"; \
	        $(3); \
	    fi; \
	fi
endef

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	$(call debian_package,$(PYTHON) -m ensurepip --version,python3-venv,exit 1)
	@echo "Creating $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip

$(VENV)/build-tools: pyproject.toml | $(VENV)/bin/python
	@echo "Installing the build tools into $(VENV)"
	$(VENV)/bin/python -m pip install --quiet "cmake>=3.26" ninja "scikit-build-core>=1.0" \
	    "pybind11>=3.0"
	@touch $@

$(VENV)/installed-%: $(VENV)/build-tools $(package_sources)
	@echo "Building and installing fastconv[$*] into $(VENV)"
	$(pip_install_self) ".[$*]"
	@touch $@

# Tools that only read the sources need no rebuild when those change.
$(VENV)/installed-dev: pyproject.toml | $(VENV)/build-tools
	@echo "Building and installing fastconv[dev] into $(VENV)"
	$(pip_install_self) ".[dev]"
	@touch $@

.PHONY: demo
demo: $(VENV)/installed-demo ## Run the demonstration on a real photograph
	$(VENV)/bin/python -m fastconv demo

.PHONY: test
test: test-cpp test-python ## Build everything and run the C++ and the Python tests

.PHONY: googletest
googletest:
	$(call debian_package,test -e /usr/include/gtest/gtest.h,libgtest-dev,\
	    echo "CMake fetches GoogleTest instead.")

.PHONY: test-cpp
test-cpp: $(VENV)/build-tools googletest ## Build and run the C++ tests
	cmake --preset dev $(CONFIGURE_FLAGS)
	cmake --build --preset dev
	ctest --preset dev --parallel $(JOBS)

# Threads that wait for their next work in a loop would take the cores from the other processes.
.PHONY: test-python
test-python: $(VENV)/installed-test ## Run the Python tests and the examples in the docstrings
	OMP_WAIT_POLICY=passive $(VENV)/bin/python -m pytest --numprocesses $(JOBS) \
	    --doctest-modules --pyargs fastconv tests/python

.PHONY: asan
asan: $(VENV)/build-tools googletest ## Run the C++ tests under AddressSanitizer and UBSan
	cmake --preset asan-ubsan $(CONFIGURE_FLAGS)
	cmake --build --preset asan-ubsan
	ctest --preset asan-ubsan --parallel $(JOBS)

.PHONY: neon
neon: $(VENV)/build-tools ## Cross-compile for 64-bit ARM and run the C++ tests in qemu-user
	$(call debian_package,command -v aarch64-linux-gnu-g++,g++-aarch64-linux-gnu,exit 1)
	$(call debian_package,command -v qemu-aarch64,qemu-user,exit 1)
	$(call debian_package,test -d /usr/src/googletest,googletest,\
	    echo "CMake fetches GoogleTest instead.")
	cmake --preset aarch64-linux $(CONFIGURE_FLAGS)
	cmake --build --preset aarch64-linux
	ctest --preset aarch64-linux --parallel $(JOBS)

.PHONY: google-benchmark
google-benchmark:
	$(call debian_package,test -e /usr/include/benchmark/benchmark.h,libbenchmark-dev,\
	    echo "CMake fetches Google Benchmark instead.")

.PHONY: build-bench
build-bench: $(VENV)/build-tools google-benchmark
	cmake --preset bench $(CONFIGURE_FLAGS)
	cmake --build --preset bench

.PHONY: bench
bench: build-bench $(VENV)/installed-bench ## Measure the kernels, then fastconv beside its peers
	build/bench/bench/bench_machine_limits
	build/bench/bench/bench_kernels
	build/bench/bench/bench_plans
	$(VENV)/bin/python bench/compare_peers.py --limits build/bench/bench/bench_machine_limits

.PHONY: bench-smoke
bench-smoke: build-bench $(VENV)/installed-test ## See that every benchmark runs, in seconds
	build/bench/bench/bench_machine_limits --benchmark_min_time=0.001
	build/bench/bench/bench_kernels --benchmark_min_time=0.001
	build/bench/bench/bench_plans --rows=smoke.txt --benchmark_min_time=0.001
	$(VENV)/bin/python bench/compare_peers.py --smoke
	$(VENV)/bin/python bench/check_selection.py --rows smoke.txt --seconds 0.01
	$(VENV)/bin/python bench/transform_grid.py --channels 2 --images 32 --kernels 3 9 --lengths \
	    --seconds 0.01
	$(VENV)/bin/python bench/compare_transforms.py --lines 64 --planes --seconds 0.01 \
	    --output build/transforms-smoke

cpp_files = $$(find cpp python/bindings tests/cpp bench -name '*.[chi]pp' -o -name '*.inl')

.PHONY: lint
lint: $(VENV)/installed-dev $(VENV)/installed-test ## Check style and types, change nothing
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/clang-format --dry-run -Werror $(cpp_files)

.PHONY: tidy
tidy: $(VENV)/installed-dev googletest ## Run clang-tidy over the library and the tests (slow)
	cmake --preset dev $(CONFIGURE_FLAGS)
	find cpp/src -name '*.cpp' -print0 | xargs -0 -n 1 -P $(JOBS) \
	    $(VENV)/bin/clang-tidy -p build/dev --quiet

.PHONY: format
format: $(VENV)/installed-dev ## Rewrite Python and C++ sources in the house style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/clang-format -i $(cpp_files)

.PHONY: docs
docs: $(VENV)/installed-docs ## Write the API reference from the docstrings to build/docs
	$(VENV)/bin/pdoc --docformat numpy --output-directory build/docs fastconv

.PHONY: clean
clean: ## Remove everything that these targets made
	rm -rf build $(VENV) demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
