# Everything one does with Tailrace. What is made lies in build/ and .venv, nowhere else.

PYTHON ?= python3
VENV ?= .venv
INTERPRETER ?= /var/lang/bin/python3
PYTEST_ARGS ?=
FAULTS ?=
MINUTES ?= 3
ENVIRONMENTS ?= 10000
GAP ?= 30
SEED ?=

# Another layer, unpacked, that the bench holds this one against.
AGAINST ?=

# What the layer is built for. Empty: every Python and both architectures that Lambda has.
PYTHONS ?=
ARCHS ?=
STRICT ?=

# The standalone layer: the interpreter it carries, as a tree or an archive; empty: fetched.
PYTHON_DIST ?=

# A release: its tag, and the interpreters that its standalone layers carry; empty: fetched.
TAG ?=
PYTHON_DIST_X86_64 ?=
PYTHON_DIST_ARM64 ?=

# How long each target is fuzzed, which, and from which seed; empty: a new one, which is printed.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= http tcp telemetry environ platform event answer spool record
FUZZ_SEED ?=
ATHERIS := build/fuzz/site

# Where layer versions are published.
REGIONS ?=
PROFILE ?=
LAYER_NAME ?= tailrace
PUBLIC ?=
FORCE ?=

ifeq ($(wildcard layer.mk),)
$(error Run make where layer.mk lies: make -C DIRECTORY TARGET)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --quiet
INSTALLED := $(VENV)/installed.stamp
ZIP := build/tailrace-layer.zip
UNPACKED := build/layer/extensions/tailrace
STANDALONE := build/tailrace-standalone.zip
RELEASE := build/release
SOURCES := $(sort $(shell find lifecycle collector shipper tools -name '*.py')) tools/wrap LICENSE requirements-layer.txt
BUILD := $(RUN) -m tools.build_layer --pythons '$(PYTHONS)' --archs '$(ARCHS)' $(if $(filter-out 0,$(STRICT)),--strict)

PUBLISH := $(RUN) -m tools.publish --regions '$(REGIONS)' --profile '$(PROFILE)' $(if $(filter-out 0,$(PUBLIC)),--public)

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' layer.mk | while IFS="$$(printf '\t')" read -r name about; do \
		printf '%-17s %s\n' "$$name" "$$about"; done

.PHONY: venv
venv: $(INSTALLED) ## Make the virtual environment (PYTHON=python3, VENV=.venv)

.PHONY: layer
layer: $(ZIP) $(UNPACKED) ## Build build/tailrace-layer.zip (PYTHONS=3.13, ARCHS=x86_64, STRICT=1), unpacked in build/layer
	@$(RUN) -m tools.build_layer --output $(ZIP) --describe

.PHONY: layer-standalone
layer-standalone: $(INSTALLED) ## Build build/tailrace-standalone.zip, which brings its own Python (ARCHS=aarch64, PYTHON_DIST=tree or archive)
	@$(RUN) -m tools.build_standalone --output $(STANDALONE) --archs '$(ARCHS)' --python-dist '$(PYTHON_DIST)'

.PHONY: publish
publish: $(INSTALLED) ## Publish a zip (REGIONS=eu-central-1,us-east-1 or all, ZIP=…, LAYER_NAME=tailrace, PROFILE=…, PUBLIC=1, FORCE=1)
	@test -e $(ZIP) || { echo 'There is no $(ZIP). First: make layer' >&2; exit 1; }
	@$(PUBLISH) --zip $(ZIP) --name '$(LAYER_NAME)' $(if $(filter-out 0,$(FORCE)),--force)

# The directory is made anew: what an earlier release left would be published with this one.
.PHONY: release
release: $(INSTALLED) ## Build all that a release has into build/release, with checksums (TAG=v1.2.3, PYTHON_DIST_X86_64=…, PYTHON_DIST_ARM64=…)
	@rm -rf $(RELEASE) && mkdir -p $(RELEASE)
	@$(RUN) -m tools.build_layer --strict --output $(RELEASE)/tailrace-layer.zip
	@$(RUN) -m tools.build_standalone --archs x86_64 --python-dist '$(PYTHON_DIST_X86_64)' \
		--output $(RELEASE)/tailrace-standalone-x86_64.zip
	@$(RUN) -m tools.build_standalone --archs arm64 --python-dist '$(PYTHON_DIST_ARM64)' \
		--output $(RELEASE)/tailrace-standalone-arm64.zip
	@$(RUN) -m tools.release check $(RELEASE) --tag '$(TAG)'

.PHONY: publish-release
publish-release: $(INSTALLED) ## Publish the three zips of build/release, and the table of ARNs (REGIONS=all, PROFILE=…, PUBLIC=1)
	@rm -f $(RELEASE)/LAYERS.md
	@failed=0; for suffix in '' -standalone-x86_64 -standalone-arm64; do \
		$(PUBLISH) --zip $(RELEASE)/tailrace$${suffix:--layer}.zip --name '$(LAYER_NAME)'$$suffix \
			--table $(RELEASE)/LAYERS.md || failed=1; done; exit $$failed

.PHONY: github-release
github-release: $(INSTALLED) ## Put build/release on GitHub, by its command line (TAG=v1.2.3)
	@$(RUN) -m tools.release publish $(RELEASE) --tag '$(TAG)'

.PHONY: pythons
pythons: $(INSTALLED) ## On Debian, fetch the Pythons it lacks (3.14, and aarch64 with an emulator) into build/pythons
	@$(RUN) -m tools.debian || echo 'The layer is built and tested with the Pythons at hand.' >&2

.PHONY: demo
demo: layer ## Watch a function's telemetry arrive, on a Lambda-like sandbox
	@$(RUN) -m tests.demo

.PHONY: preview
preview: layer ## See what will arrive of a function of yours (HANDLER=src/app.handler, EVENT=event.json, ARGS=…)
	@$(RUN) -m tests.preview '$(HANDLER)' $(if $(EVENT),--event '$(EVENT)') $(ARGS)

.PHONY: test
test: lint layer real ## Lint, check types and run all tests (PYTEST_ARGS=…)
	@echo 'Running the tests …'
	@$(RUN) -m tests $(PYTEST_ARGS)

.PHONY: stock
stock: $(INSTALLED) ## Both of README's commands on a fresh Debian 12, as an ordinary user (root and debootstrap needed)
	@$(RUN) -m tools.stock

.PHONY: examples
examples: $(INSTALLED) layer ## Check examples/ and the SDK for Node.js with what npm and pip fetch into build/examples
	@$(RUN) -m pytest -m synth tests/examples tests/e2e

.PHONY: lint
lint: $(INSTALLED) ## Lint and check types
	@echo 'Linting …'
	@$(RUN) -m ruff check --quiet
	@$(RUN) -m ruff format --check --quiet || { echo 'Some files are not formatted; run: $(RUN) -m ruff format' >&2; exit 1; }
	@echo 'Checking types …'
	@$(RUN) -m mypy --cache-dir build/mypy --no-error-summary

.PHONY: faults
faults: layer ## Play every fault of the matrix against the layer, hold it to its promises (FAULTS=part of a cell's name)
	@$(RUN) -m tests.faults $(if $(FAULTS),'$(FAULTS)')

.PHONY: soak
soak: layer ## Thousands of invocations with random faults and kills (MINUTES=3, SEED=number)
	@$(RUN) -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

.PHONY: fleet
fleet: $(INSTALLED) ## Simulate an hour of 10,000 environments against one backend (ENVIRONMENTS=10000, GAP=30, TRAFFIC=regular, SEED=1)
	@$(RUN) -m tests.fleet --environments $(ENVIRONMENTS) --gap $(GAP) --traffic $(or $(TRAFFIC),poisson) --seed $(or $(SEED),1)

.PHONY: bench
bench: layer ## Measure start, memory, CPU and what the function is charged (AGAINST=another layer's extensions/: both, in turn)
	@$(RUN) -m tests.bench$(if $(AGAINST),.compare '$(AGAINST)')

# atheris is no tool of the project: it is fetched for this target alone, and lies apart.
.PHONY: fuzz
fuzz: $(INSTALLED) ## Fuzz what takes input, with atheris (FUZZ_SECONDS=60 a target, FUZZ_TARGETS=http, FUZZ_SEED=1)
	@test -d $(ATHERIS)/atheris || $(PIP) install --no-deps --target $(ATHERIS) atheris==3.0.0 || { \
		echo 'atheris could not be installed; PyPI has it as a wheel for some Pythons only (3.11 on x86_64 is one).' >&2; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
		$(RUN) -m tests.fuzz $$target --seconds $(FUZZ_SECONDS) $(if $(FUZZ_SEED),--seed $(FUZZ_SEED)) || exit 1; done

.PHONY: docs
docs: $(INSTALLED) ## Write what docs/ prints of the source: settings, events, lines, exceptions
	@$(RUN) -m tools.settings_page
	@$(RUN) -m tools.events_page
	@$(RUN) -m tests.shipper.parse.line_tables
	@$(RUN) -m tests.shipper.parse.exception_tables

.PHONY: clean
clean: ## Remove everything that was made
	@rm -rf build $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment of another Python than the one asked for would silently be the wrong one.
ifneq ($(filter command line environment,$(origin PYTHON)),)
ifneq ($(wildcard $(RUN)),)
SAME := import sys; print(sys.version_info[:2])
ifneq ($(shell $(PYTHON) -c '$(SAME)'),$(shell $(RUN) -c '$(SAME)'))
ifeq ($(filter clean help,$(MAKECMDGOALS)),)
$(error $(VENV) is of another Python than $(PYTHON). Remove it with "make clean", or name another: VENV=build/venv)
endif
endif
endif
endif

# ensurepip is what Debian and Ubuntu leave out. pip would compile on one processor, and as pip does, what is of no use as
# Python (templates, say) is passed over.
$(INSTALLED): pyproject.toml requirements-layer.txt
	@command -v $(PYTHON) >/dev/null || { \
		echo 'There is no $(PYTHON). Tailrace needs Python 3.10 or later; name one with PYTHON=/path/to/python3.' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); Tailrace needs 3.10 or later. Name one with PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@test -x $(RUN) || { echo 'Making $(VENV) …'; $(PYTHON) -m venv $(VENV); }
	@echo 'Installing into $(VENV) …'
	@$(PIP) install --no-deps --require-hashes -r requirements-layer.txt
	@$(RUN) -m tools.requirements >$(VENV)/requirements-dev.txt
	@$(PIP) install --no-compile -r $(VENV)/requirements-dev.txt
	@$(RUN) -m compileall -qq --workers 0 $(VENV)/lib || true
	@touch $@

# Changes only when a source comes or goes, or what was asked for does, or a Python was fetched: what times alone do
# not tell.
build/layer-inputs.txt: FORCE
	@mkdir -p build
	@printf '%s\n' '$(INTERPRETER)' '$(VENV)' '$(PYTHONS)' '$(ARCHS)' '$(STRICT)' \
		$(SOURCES) $(wildcard build/pythons/*/bin) >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(ZIP): $(INSTALLED) build/layer-inputs.txt $(SOURCES)
	@$(BUILD) --output $@ --interpreter '$(INTERPRETER)'

$(UNPACKED): $(ZIP)
	@$(RUN) -m tools.build_layer --output $(ZIP) --unpack build/layer

# AWS's emulator and an OTLP agent. Without them the tests that need them are skipped, which CI does not accept.
.PHONY: real
real: $(INSTALLED)
	@$(RUN) -m tests.sandbox.realparts

.PHONY: FORCE
FORCE:
