# PerfLens. `make help` lists the targets.

PYTHON ?= /usr/bin/python3
VENV   := .venv
BIN    := $(VENV)/bin
CLANG  ?= clang
STRIP  ?= llvm-strip
ARCHES ?= x86_64 aarch64

BPF_SOURCES  := $(wildcard bpf/*.bpf.c)
BPF_HEADERS  := $(wildcard bpf/include/*.h)
OBJECT_ROOT  := exporter/perflens/objects
OBJECTS      := $(foreach arch,$(ARCHES),$(patsubst bpf/%.bpf.c,$(OBJECT_ROOT)/$(arch)/%.bpf.o,$(BPF_SOURCES)))
NATIVE       := exporter/perflens/kernel/_native.abi3.so
TARGET_x86_64  := x86
TARGET_aarch64 := arm64
# Expanded when a recipe runs: on a bare machine there is no cc yet when this file is read.
BPF_FLAGS     = -g -O2 -Wall -Werror -target bpf -mcpu=v3 -I/usr/include/$(shell cc -print-multiarch)
# What is to be installed before anything is compiled; a build that must not install packages passes PACKAGES= (setup.py).
PACKAGES     ?= $(VENV)/packages

.DELETE_ON_ERROR:
.PHONY: help run setup test lint objects wheel bench ci clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

run: setup ## Set up this machine and run the agent on :9435 (ARGS="--threshold=1ms")
	@deploy/elevate $(BIN)/perflens run $(ARGS)

setup: $(OBJECTS) $(NATIVE) ## Install what is missing and make .venv with the perflens command

test: setup ## Run every test; those that cannot run here are skipped by name with the reason
	@deploy/elevate $(BIN)/python -m pytest $(ARGS)

lint: setup ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

objects: $(OBJECTS) ## Compile the BPF objects

define object_rule
$(OBJECT_ROOT)/$(1)/%.bpf.o: bpf/%.bpf.c $(BPF_HEADERS) Makefile | $(PACKAGES)
	@mkdir -p $$(@D)
	$(CLANG) $$(BPF_FLAGS) -D__TARGET_ARCH_$(TARGET_$(1)) -c $$< -o $$@
	$(STRIP) -g $$@
endef
$(foreach arch,$(ARCHES),$(eval $(call object_rule,$(arch))))

# A stamp, so that a machine that has everything is not asked again.
$(VENV)/packages: deploy/install-packages
	@deploy/install-packages
	@mkdir -p $(VENV) && touch $@

$(VENV)/installed: pyproject.toml | $(VENV)/packages $(OBJECTS)
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --system-site-packages $(VENV)
	@echo 'installing Python packages into $(VENV)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[dev,otlp]'
	@touch $@

$(NATIVE): exporter/perflens/kernel/_native.c setup.py $(VENV)/installed
	@$(BIN)/python setup.py --quiet build_ext --inplace --force
	@touch $@

wheel: setup ## Build dist/*.whl for this architecture, with libbpf inside, from dist/*.tar.gz
	@rm -rf dist
	PERFLENS_STATIC=1 $(BIN)/python -m build --quiet --no-isolation
	@ls dist/*.whl

bench: setup ## Measure the costs against their floors and peers, and write docs/benchmarks.md (ROWS="switch spans" for some of them)
	@deploy/elevate $(BIN)/python -m tests.bench $(ROWS)

ci: ## What the gate runs
	.ci/run

clean: ## Remove what was built
	rm -rf $(VENV) build dist $(OBJECT_ROOT) exporter/perflens/kernel/*.so exporter/perflens/kernel/lib exporter/*.egg-info
