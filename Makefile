# PerfLens. `make help` lists the targets.

PYTHON ?= /usr/bin/python3
VENV   := .venv
BIN    := $(VENV)/bin
CLANG  ?= clang
STRIP  ?= llvm-strip
ARCHES ?= x86_64 aarch64
MACHINE := $(shell uname -m)
ARCH    ?= $(MACHINE)
SYSROOT = build/sysroot-$(ARCH)

BPF_SOURCES  := $(wildcard bpf/*.bpf.c)
BPF_HEADERS  := $(wildcard bpf/include/*.h)
OBJECT_ROOT  := exporter/perflens/objects
# bpf_rdonly_cast is there from 6.2 on; `bare` objects refer to nothing of a kernel that has no BTF of its own.
OBJECT_KINDS     := bpf uncast.bpf bare.bpf
FLAGS_uncast.bpf := -DWITHOUT_CAST
FLAGS_bare.bpf   := -DWITHOUT_KERNEL_BTF
OBJECTS      := $(foreach arch,$(ARCHES),$(foreach kind,$(OBJECT_KINDS),$(patsubst bpf/%.bpf.c,$(OBJECT_ROOT)/$(arch)/%.$(kind).o,$(BPF_SOURCES))))
# What bcc compiles on hosts without BTF is brought to them as it is.
BCC_SOURCES  := $(wildcard bpf/bcc/*) bpf/include/bucket.h bpf/include/pseudo.h
OBJECTS      += $(addprefix $(OBJECT_ROOT)/bcc/,$(notdir $(BCC_SOURCES)))
NATIVE       := exporter/perflens/kernel/_native.abi3.so
TARGET_x86_64  := x86
TARGET_aarch64 := arm64
# Expanded when a recipe runs: on a bare machine there is no cc yet when this file is read.
BPF_FLAGS     = -g -O2 -Wall -Werror -target bpf -mcpu=v3 -I/usr/include/$(shell cc -print-multiarch)
# What is to be installed before anything is compiled; a build that must not install packages passes PACKAGES= (setup.py).
PACKAGES     ?= $(VENV)/packages

# What test-vm boots, and this machine as it is. CHECKS="rungs events" are those modules of tests/vm/guest alone; capabilities, and bcc
# on 5.10, run only so.
KERNELS ?= 5.10 6.1 6.12 newest native

.DELETE_ON_ERROR:
.PHONY: help run setup test test-components test-cluster test-vm lint objects wheel wheels chart manifests bench sizing lab lab-smoke soak ci clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

run: setup ## Set up this machine and run the agent on :9435 (ARGS="--threshold=1ms")
	@deploy/elevate $(BIN)/perflens run $(ARGS)

setup: $(OBJECTS) $(NATIVE) ## Install what is missing and make .venv with the perflens command

test: setup ## Run every test; those that cannot run here are skipped by name with the reason
	@deploy/elevate $(BIN)/python -m pytest $(ARGS)

test-components: setup ## Run the tests that need large components: the image, Compose, the operator, helm-unittest, Alertmanager, a model; and those that take minutes
	@deploy/elevate env TEST_COMPONENTS=1 $(BIN)/python -m pytest tests/integration tests/kernel -m components $(ARGS)

test-cluster: setup ## Prove the chart in a real cluster of one node, which is built for it: Helm, pods of every kind, the Prometheus operator
	@deploy/elevate env TEST_COMPONENTS=1 $(BIN)/python -m pytest tests/cluster $(ARGS)

test-vm: setup ## Prove the probes on other kernels, in emulated guests, and write docs/kernels.md (KERNELS="6.1" for some of them)
	@deploy/install-packages --with-guests $(filter aarch64,$(KERNELS))
	@deploy/elevate env KERNELS="$(KERNELS)" CHECKS="$(CHECKS)" $(BIN)/python -m pytest tests/vm $(ARGS)

lint: setup ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

objects: $(OBJECTS) ## Compile the BPF objects

define object_rule
$(OBJECT_ROOT)/$(1)/%.$(2).o: bpf/%.bpf.c $(BPF_HEADERS) Makefile | $(PACKAGES)
	@mkdir -p $$(@D)
	$(CLANG) $$(BPF_FLAGS) -D__TARGET_ARCH_$(TARGET_$(1)) $(FLAGS_$(2)) -c $$< -o $$@
	$(STRIP) -g $$@
endef
$(foreach arch,$(ARCHES),$(foreach kind,$(OBJECT_KINDS),$(eval $(call object_rule,$(arch),$(kind)))))

define bcc_rule
$(OBJECT_ROOT)/bcc/$(notdir $(1)): $(1)
	@mkdir -p $$(@D)
	@cp $$< $$@
endef
$(foreach source,$(BCC_SOURCES),$(eval $(call bcc_rule,$(source))))

# A stamp, so that a machine that has everything is not asked again.
$(VENV)/packages: deploy/install-packages
	@deploy/install-packages
	@mkdir -p $(VENV) && touch $@

$(VENV)/installed: pyproject.toml | $(VENV)/packages $(OBJECTS)
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --system-site-packages $(VENV)
	@echo 'installing Python packages into $(VENV)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[dev,otlp,tui]'
	@touch $@

$(NATIVE): exporter/perflens/kernel/_native.c exporter/perflens/kernel/_threads.c setup.py $(VENV)/installed
	@$(BIN)/python setup.py --quiet build_ext --inplace --force
	@touch $@

# A wheel for another architecture is linked with libraries of its own, which lie unpacked in a folder.
$(SYSROOT): deploy/sysroot deploy/install-packages
	@deploy/install-packages --with-cross $(ARCH)
	@rm -rf $@ && deploy/sysroot $(ARCH) $@
	@touch $@

wheel: setup $(if $(filter-out $(MACHINE),$(ARCH)),$(SYSROOT)) ## Build dist/*.whl with libbpf inside, and dist/*.tar.gz (ARCH=aarch64 cross-compiles)
	@rm -f dist/*.tar.gz dist/*_$(ARCH).whl
	PERFLENS_STATIC=1 PERFLENS_MACHINE=$(ARCH) PERFLENS_SYSROOT=$(abspath $(SYSROOT)) $(BIN)/python -m build --quiet --no-isolation
	@ls dist/*_$(ARCH).whl

wheels: ## Build the wheels of every architecture
	@for arch in $(ARCHES); do $(MAKE) --no-print-directory wheel ARCH=$$arch || exit 1; done

chart: setup ## Write what follows from other files: the chart's rules, dashboards and README, and the manifests in deploy/kubernetes
	$(BIN)/python -m helm.build

manifests: chart ## The same: plain manifests are rendered from the chart

bench: setup ## Measure the costs against their floors and peers, and write docs/benchmarks.md (ROWS="switch spans" for some of them)
	@deploy/elevate $(BIN)/python -m tests.bench $(ROWS)

sizing: setup ## Measure the size of pages by the number of containers, and write docs/scaling.md's table
	@$(BIN)/python -m tests.bench.sizing

lab: setup ## Try the analyzer on known faults of this machine, add the runs to those that are kept, and write docs/lab.md (ARGS="journal --runs 3")
	@deploy/elevate $(BIN)/python -m tests.lab --page docs/lab.md $(ARGS)

lab-smoke: setup ## Try it once on each fault, in half an hour, and keep nothing
	@deploy/elevate $(BIN)/python -m tests.lab --one-means --healthy 30 --fault 45 --kept "$$(mktemp -d)"

soak: setup ## Watch perflens top and its agent for an hour on a busy host: memory and CPU time (ARGS="--minutes 10 --page docs/soak.md")
	@deploy/elevate $(BIN)/python -m tests.soak.top $(ARGS)

ci: ## What the gate runs
	.ci/run

clean: ## Remove what was built
	rm -rf $(VENV) build dist $(OBJECT_ROOT) exporter/perflens/kernel/*.so exporter/perflens/kernel/lib exporter/*.egg-info
