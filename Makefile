# Needs Python 3.13 and make; everything else is installed inside this folder.
# An environment or a build is made again when the contents of what it is made from change: its
# stamp lies inside it and has their checksum in its name.

SHELL := /bin/sh
MAKEFLAGS += --no-builtin-rules
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.tools/uv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
export __SAM_CLI_APP_DIR := $(CURDIR)/.tools/sam/settings
unexport PYTHONDONTWRITEBYTECODE # each worker of pytest would compile every test anew

STEP := @local/step.sh
SHIPPED := layers/dependencies/requirements
SOURCES := template.yaml functions layers

checksum = $(shell cat $(1) | cksum | tr -cd '0-9')
UV := .tools/uv/.made-$(call checksum,requirements/uv.txt)
DEV := .venv/.made-$(call checksum,requirements/dev.txt)
SAM := .tools/sam/.made-$(call checksum,requirements/sam.txt)
BENCH := .tools/bench/.made-$(call checksum,requirements/bench.txt)
MINISTACK := .tools/ministack/.made-$(call checksum,requirements/ministack.txt)
RELEASE := .tools/release/.made-$(call checksum,requirements/release.txt)
CHECKOV := .tools/checkov/.made-$(call checksum,requirements/checkov.txt)
MOTO := .tools/moto/.made-$(call checksum,requirements/moto.txt)
OPENAPI := .tools/openapi/.made-$(call checksum,requirements/openapi.txt)
BUILD := .aws-sam/build/.made-$(shell find -L $(SOURCES) -type f ! -name '*.pyc' -exec cksum {} + \
	2>/dev/null | LC_ALL=C sort | cksum | tr -cd '0-9')

SIMULATOR := .aws-sam/simulator/.made-$(shell find local/Makefile local/simulator local/media -type f ! -name '*.pyc' \
	-exec cksum {} + 2>/dev/null | LC_ALL=C sort | cksum | tr -cd '0-9')

# NAME=value on the command line, each quoted for the shell with its value as it was typed.
quoted = '$(subst ','\'',$(1))'
GIVEN = $(foreach name,$(sort $(.VARIABLES)),$(if $(findstring command line,$(origin $(name))),$\
	$(call quoted,$(name)=$(value $(name)))))

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{printf "%-15s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## Watch four transfers live, in a stack on this machine
	$(call numbered,1. Tools,tools)
	$(call numbered,2. Build,build)
	@exec .venv/bin/python -m local.demo --after 2

numbered = @echo '$(1)'; began=$$(date +%s); $(MAKE) --no-print-directory $(2) && \
	echo "   $$(($$(date +%s) - began)) s"

.PHONY: tools
tools: $(DEV) $(SAM) $(MINISTACK) $(OPENAPI) $(RELEASE) ## Make the tools, in .venv and .tools
	@:

.PHONY: local
local: $(DEV) $(SAM) $(MINISTACK) $(BUILD) ## Run the stack on this machine; NAME=value sets its parameters
	@exec .venv/bin/python -m local.stack up $(GIVEN)

.PHONY: local-down
local-down: $(DEV) ## Stop it
	@exec .venv/bin/python -m local.stack down

.PHONY: doctor
doctor: $(DEV) ## Check whether a stack can be deployed; STACK=name and NAME=value as for sam deploy
	@PYTHONPATH=layers/act_one .venv/bin/python -m ops.doctor $(if $(STACK),--stack $(call quoted,$(STACK))) \
		$(filter-out 'STACK=%,$(GIVEN))

.PHONY: smoke
smoke: $(DEV) ## Check the deployed stack STACK; PAID=yes adds one paid transfer, of VIDEO and IMAGE if given
	@PYTHONPATH=layers/act_one .venv/bin/python -m ops.smoke $(call quoted,$(STACK)) \
		$(if $(filter yes,$(PAID)),--paid) $(if $(VIDEO),--video $(call quoted,$(VIDEO))) \
		$(if $(IMAGE),--image $(call quoted,$(IMAGE))) $(if $(KEY),--key $(call quoted,$(KEY))) \
		$(if $(SECONDS),--seconds $(call quoted,$(SECONDS)))

.PHONY: trace
trace: $(DEV) ## Print the story of the task TASK of the stack STACK; JSON=1 for machines
	@PYTHONPATH=layers/act_one .venv/bin/python -m ops.trace $(call quoted,$(STACK)) \
		$(call quoted,$(TASK)) $(if $(JSON),--json)

.PHONY: uninstall
uninstall: $(DEV) ## Remove the stack STACK with all its data, on CONFIRM=its-name
	@PYTHONPATH=layers/act_one .venv/bin/python -m ops.uninstall $(call quoted,$(STACK)) \
		$(if $(CONFIRM),--confirm $(call quoted,$(CONFIRM))) $(if $(FORCE),--force) \
		$(if $(FORGET_SECRETS),--forget-secrets)

.PHONY: redrive
redrive: $(DEV) ## Try again what the stack STACK gave up
	@PYTHONPATH=layers/act_one .venv/bin/python -m ops.redrive $(call quoted,$(STACK))

.PHONY: restore
restore: $(DEV) ## Bring lost tasks back into the stack STACK, from the restored table FROM
	@PYTHONPATH=layers/act_one .venv/bin/python -m ops.restore $(call quoted,$(STACK)) $(call quoted,$(FROM))

.PHONY: erase
erase: $(DEV) ## Erase tasks of CLIENT in the stack STACK, by METADATA=key=value or TASK=id; DRY_RUN=1 only lists them
	@PYTHONPATH=layers/act_one .venv/bin/python -m ops.erase $(call quoted,$(STACK)) \
		--client $(call quoted,$(CLIENT)) $(if $(METADATA),--metadata $(call quoted,$(METADATA))) \
		$(if $(TASK),--task $(call quoted,$(TASK))) $(if $(DRY_RUN),--dry-run)

.PHONY: pause
pause: $(DEV) ## Hold the sending of tasks of the stack STACK
	@PYTHONPATH=layers/act_one .venv/bin/python -m ops.pause $(call quoted,$(STACK))

.PHONY: resume
resume: $(DEV) ## Send what waited in the stack STACK
	@PYTHONPATH=layers/act_one .venv/bin/python -m ops.pause $(call quoted,$(STACK)) --resume

.PHONY: probe
probe: $(DEV) ## Settle what the provider's documentation leaves open (docs/provider.md); PAID=yes pays for two transfers
	@PYTHONPATH=layers/act_one .venv/bin/python -m ops.probe $(call options,KEY_FILE RECEIVER \
		STEPS REPORT AGAIN PROVIDER RUNWAY_VERSION MODELS PAGES) $(if $(PAID),--paid $(call quoted,$(PAID)))

.PHONY: drift
drift: $(DEV) ## Compare the provider's offer and routes with what is assumed here; free, without a key
	@PYTHONPATH=layers/act_one .venv/bin/python -m ops.drift $(call options,MODELS PAGES PRICE)

# --name value for each of the variables that is given.
options = $(foreach name,$(1),$(if $($(name)),--$(shell echo $(name) | tr A-Z_ a-z-) $(call quoted,$($(name)))))

.PHONY: unit
unit: $(DEV) $(MINISTACK) ## Run the tests that need no deployed stack, in a minute
	@.venv/bin/pytest -q --tb=short -n 4 $(addprefix tests/,$(UNIT))

UNIT := unit template media simulator local protocol

# Two runs side by side: the tests of deployed stacks mostly wait, with a worker for each chain.
STACKS := tests/e2e tests/crashes
.PHONY: test
test: $(DEV) $(SAM) $(MINISTACK) $(OPENAPI) $(RELEASE) $(BUILD) $(SIMULATOR) ## Run every test
	@echo 'Testing; what deploys stacks reports at the end'
	@mkdir -p .local; .venv/bin/pytest -q --tb=short --durations=10 -n 6 $(STACKS) \
		>.local/stacks.log 2>&1 & stacks=$$!; \
	.venv/bin/pytest -q --tb=short -n 2 $(addprefix tests/,$(UNIT) package); others=$$?; \
	wait $$stacks; stacks=$$?; cat .local/stacks.log; exit $$((stacks + others))

.PHONY: full
full: $(DEV) $(SAM) $(MINISTACK) $(OPENAPI) $(RELEASE) $(BUILD) $(SIMULATOR) ## Run every test at full size: more histories, pairs, cases
	@ACT_ONE_FULL=1 .venv/bin/pytest -q --tb=short --durations=20 -n 4

.PHONY: bench
bench: $(DEV) $(MINISTACK) $(BENCH) $(BUILD) ## Measure what is built
	@PYTHONPATH=layers/act_one .venv/bin/python -m local.bench

.PHONY: costs
costs: $(DEV) $(SAM) $(MINISTACK) $(BUILD) ## Count what a task asks of AWS, into docs/costs.md
	@PYTHONPATH=layers/act_one .venv/bin/python -m tools.costs

.PHONY: scale
scale: $(DEV) ## Say which limit comes first, in docs/scale.md
	@PYTHONPATH=layers/act_one .venv/bin/python -m tools.scale

.PHONY: second-opinion
second-opinion: $(DEV) $(MINISTACK) $(MOTO) ## Deploy the template into two emulators and compare, into docs/aws-review.md
	@PYTHONPATH=layers/act_one .venv/bin/python -m tools.aws_review
.PHONY: dashboard
dashboard: $(DEV) $(SAM) $(MINISTACK) $(BUILD) ## Draw the dashboard after a run on this machine, into docs/dashboard.svg
	@PYTHONPATH=layers/act_one .venv/bin/python -m tools.dashboard_picture

.PHONY: openapi
openapi: $(DEV) ## Describe the API, in docs/openapi.json
	@PYTHONPATH=layers/act_one .venv/bin/python -m tools.openapi

.PHONY: crashes
crashes: $(DEV) $(SAM) $(MINISTACK) $(BUILD) ## Kill workers at every point of a task's life
	@CRASHES=every .venv/bin/pytest -q --tb=short tests/crashes

.PHONY: upgrades
upgrades: $(DEV) $(SAM) $(MINISTACK) $(RELEASE) $(BUILD) ## Update a stack of the last release to this one, and back, with tasks in flight
	@.venv/bin/pytest -q --tb=short -rs -n0 tests/upgrades

.PHONY: release
release: $(DEV) $(SAM) $(RELEASE) $(BUILD) ## Make the files of a release, in out/; DRAFT=1 from any tree, SAMPLES=1 for later tests
	@PYTHONPATH=layers/act_one .venv/bin/python -m tools.release $(if $(DRAFT),--draft) \
		$(if $(SAMPLES),--samples)

.PHONY: fuzz
fuzz: $(DEV) ## Fuzz what reads strangers' bytes, for SECONDS (60)
	@PYTHONPATH=layers/act_one .venv/bin/python -m tools.fuzz --seconds $(or $(SECONDS),60)

.PHONY: check
check: $(DEV) $(SAM) $(CHECKOV) ## Lint, check types, check the template
	$(STEP) 'Linting' ruff check --output-format concise
	$(STEP) 'Checking the format' ruff format --check
	$(STEP) 'Checking types' mypy
	$(STEP) 'Checking the layers of imports' env PYTHONPATH=layers/act_one lint-imports
	$(STEP) 'Validating the template' .tools/sam/bin/sam validate --lint --region us-east-1
	$(STEP) 'Expanding the template' sh -c 'mkdir -p .aws-sam && python -m local.expand >.aws-sam/expanded.json'
	$(STEP) 'Linting the expanded templates' local/lint-templates.sh $(TEMPLATES)
	$(STEP) 'Checking it against common rules' .tools/checkov/bin/python -m checkov.main --config-file .checkov.yaml

TEMPLATES := template.yaml local/simulator/template.yaml ops/probe/receiver/template.yaml \
	$(wildcard docs/snippets/*.yaml)

.PHONY: build
build: $(BUILD) $(SIMULATOR) ## Build what is deployed, into .aws-sam/build, and the simulator
	@:

.PHONY: format
format: $(DEV) ## Format the code and repair what ruff can
	@ruff check --fix-only --quiet
	@ruff format

.PHONY: pins
pins: $(UV) ## Pin the newest versions of everything
	$(STEP) 'Pinning what ships' $(call pin,$(SHIPPED))
	$(STEP) 'Pinning the development tools' $(call pin,requirements/dev)
	$(STEP) 'Pinning SAM CLI' $(call pin,requirements/sam)
	$(STEP) 'Pinning the emulator' $(call pin,requirements/ministack)
	$(STEP) 'Pinning the other emulator' $(call pin,requirements/moto)
	$(STEP) 'Pinning what tests the description' $(call pin,requirements/openapi)
	$(STEP) 'Pinning what a release is made with' $(call pin,requirements/release)
	$(STEP) 'Pinning what checks the template' $(call pin,requirements/checkov)
	$(STEP) 'Pinning what the copy is measured against' $(call pin,requirements/bench)
	$(STEP) 'Pinning the installer' $(call pin,requirements/uv)

pin = uv pip compile --upgrade --universal --python-version 3.13 --generate-hashes \
	--no-emit-index-url --no-header $(1).in --output-file $(1).txt

.PHONY: clean
clean: ## Remove everything that make made
	rm -rf .venv .tools .aws-sam .local out .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(UV):
	@python=$$(local/find-python.sh) && rm -rf .tools/uv && \
	local/step.sh 'Making .tools/uv, the installer' sh -ec '"$$0" -m venv .tools/uv && \
		.tools/uv/bin/pip install --disable-pip-version-check --require-hashes -r requirements/uv.txt' \
		"$$python"
	@touch $@

$(DEV): | $(UV)
	$(call environment,.venv,dev,the development tools)

# SAM CLI is pinned: a last look for a newer one in 2100 keeps it from looking weekly.
$(SAM): | $(UV)
	$(call environment,.tools/sam,sam,SAM CLI)
	@mkdir -p .tools/sam/settings && \
	echo '{"lastVersionCheck": 4102444800.0}' >.tools/sam/settings/metadata.json

$(MINISTACK): | $(UV)
	$(call environment,.tools/ministack,ministack,the AWS emulator)

$(OPENAPI): | $(UV)
	$(call environment,.tools/openapi,openapi,what tests the description of the API)

$(RELEASE): | $(UV)
	$(call environment,.tools/release,release,what a release is made with)

$(CHECKOV): | $(UV)
	$(call environment,.tools/checkov,checkov,what checks the template against common rules)

$(MOTO): | $(UV)
	$(call environment,.tools/moto,moto,the other emulator)

$(BENCH): | $(UV)
	$(call environment,.tools/bench,bench,what the copy is measured against)

define environment
@rm -f $(1)/.made-*
$(STEP) 'Making $(1), $(3)' sh -ec 'uv venv --allow-existing --python .tools/uv/bin/python $(1) && \
	uv pip sync --python $(1) --require-hashes --compile-bytecode requirements/$(2).txt'
@touch $@
endef

# The flags of this make are not meant for the makes that sam runs.
$(BUILD): | $(DEV) $(SAM)
	$(STEP) 'Building into .aws-sam/build' env MAKEFLAGS= MFLAGS= .tools/sam/bin/sam build --cached --parallel
	@touch $@

$(SIMULATOR): | $(DEV) $(SAM)
	$(STEP) 'Building into .aws-sam/simulator' env MAKEFLAGS= MFLAGS= .tools/sam/bin/sam build \
		--template-file local/simulator/template.yaml --build-dir .aws-sam/simulator
	@touch $@
