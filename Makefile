# Everything that is done to this project, by name. `make` alone lists it.

PYTHON ?= python3
VENV ?= .venv
CARGO ?= cargo
BIN := $(VENV)/bin
DEMO ?= .demo

# Rust tests are optimised: property tests are many times faster so. Clippy shares what the build scripts made.
CARGO_TEST ?= --profile=tested

# Cargo's own commands see the same settings as maturin, so that nothing is compiled twice.
export PYO3_PYTHON := $(abspath $(BIN)/python)

# A directory stands for the files that were taken out of it.
SOURCES := $(shell find rust python -not -name '__pycache__' -not -name '*.pyc' -not -name '*.so' -not -path '*/fuzz/*')
SOURCES += Cargo.toml Cargo.lock pyproject.toml

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv build demo bench-shuffle test test-frameworks test-long test-asan fuzz test-rust test-python lint lint-rust lint-python format bench clean clean-all

help: ## this list
	@echo "usage: make [target]        (PYTHON=$(PYTHON), VENV=$(VENV))"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# --- the virtual environment, each part made once ---------------------------------------------------------------

$(BIN)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON): install Python 3.11 or later, or say make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

# The dependencies of the package and of its extras, as pyproject.toml lists them.
extras = $(BIN)/python -c 'import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	print(*p["build-system"]["requires"], *p["project"]["dependencies"], \
	*(d for e in sys.argv[1:] for d in p["project"]["optional-dependencies"][e]), sep="\n")'

$(BIN)/.deps: pyproject.toml | $(BIN)/.made
	$(extras) cli plot demo test lint > $@.txt
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --requirement $@.txt
	@touch $@

$(BIN)/.deps-bench: benches/requirements.txt | $(BIN)/.deps
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --requirement $<
	@touch $@

$(BIN)/.deps-frameworks: pyproject.toml | $(BIN)/.deps
	$(extras) lightning accelerate transformers ray > $@.txt
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --requirement $@.txt
	@touch $@

$(BIN)/.installed: $(SOURCES) | $(BIN)/.deps
	@command -v $(CARGO) >/dev/null || { echo "no $(CARGO): install Rust (its rustup, or a package of rustc and cargo)" >&2; exit 1; }
	rm -f dist/shardline-*.whl
	$(BIN)/maturin build --release --locked --interpreter $(BIN)/python --out dist
	$(BIN)/python -m pip install --disable-pip-version-check --force-reinstall --no-deps dist/shardline-*.whl
	@touch $@

venv: $(BIN)/.deps ## make the virtual environment, with all dependencies

build: $(BIN)/.installed ## build the release wheel into dist/ and install it; nothing if no source changed

# --- what it does -----------------------------------------------------------------------------------------------

demo: $(BIN)/.installed ## train on real flights, kill the run, resume it, and prove that nothing changed
	$(BIN)/python examples/demo.py --dir $(DEMO)

bench: $(BIN)/.installed $(BIN)/.deps-bench ## measure on this machine, beside other ways to do the same
	$(BIN)/python benches/run.py

bench-shuffle: $(BIN)/.installed $(BIN)/.deps-bench ## measure how fast and how well loaders shuffle sorted rows
	$(BIN)/python benches/shuffle.py

# --- tests ------------------------------------------------------------------------------------------------------

test: lint test-rust test-python ## everything that must pass: lints, Rust and Python tests, doctests, examples

test-rust: | $(BIN)/.made
	$(CARGO) test --workspace --locked $(CARGO_TEST)

# Two tests at a time: each process of pytest's has its own ports, folders, servers and processes.
PYTEST_PROCESSES ?= 2
PYTEST := $(BIN)/pytest --numprocesses $(PYTEST_PROCESSES) --dist worksteal

test-python: $(BIN)/.installed
	$(PYTEST) --doctest-modules --ignore-glob '*/shardline/integrations/*' --pyargs tests shardline

test-frameworks: $(BIN)/.installed $(BIN)/.deps-frameworks ## resumes by Lightning's, Accelerate's, Transformers' and Ray's own checkpoints
	$(BIN)/pytest tests/frameworks -m frameworks --timeout 1200

test-long: lint $(BIN)/.installed ## the same with many more generated cases, and the tests that take minutes
	PROPTEST_CASES=20000 $(CARGO) test --workspace --locked $(CARGO_TEST)
	PROPTEST_CASES=1000000 $(CARGO) test --package shardline-core --test laws --locked $(CARGO_TEST)
	HYPOTHESIS_PROFILE=long $(PYTEST) tests -m "not frameworks" --timeout 3600

HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_SECONDS ?= 600

test-asan: ## the dense decoder's tests under AddressSanitizer
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address $(CARGO) test --locked --release --package shardline-core --test dense \
		--target $(HOST) --target-dir target/asan

fuzz: ## any bytes as pages and as column chunks, under AddressSanitizer, FUZZ_SECONDS (600) each; needs cargo-fuzz
	cd rust/core && for pair in pages:seeds chunk:chunks; do target=$${pair%:*}; mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target fuzz/corpus/$$target tests/dense/$${pair#*:} -- \
		-max_len=2048 -max_total_time=$(FUZZ_SECONDS) || exit 1; done

lint: lint-python lint-rust ## formatting, clippy, ruff, workflows, the order of the packages, mypy, the stub against the extension

lint-rust: | $(BIN)/.made
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked $(CARGO_TEST) -- -D warnings

lint-python: $(BIN)/.installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/mypy examples/flights.py examples/demo.py examples/ddp.py examples/preemptible.py examples/stateful.py examples/predict.py examples/lineitem.py examples/raw_flights.py examples/delta.py examples/iceberg.py benches/workers.py benches/checkpoint.py
	$(BIN)/python -m mypy.stubtest shardline._core --mypy-config-file pyproject.toml

format: $(BIN)/.deps ## put Rust and Python into their form
	$(CARGO) fmt --all
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# --- leaving ----------------------------------------------------------------------------------------------------

clean: ## remove what was built; the virtual environment stays
	$(CARGO) clean
	rm -rf dist $(DEMO) .bench .hypothesis .pytest_cache .mypy_cache .ruff_cache $(BIN)/.installed

clean-all: clean ## remove the virtual environment too
	rm -rf $(VENV)
