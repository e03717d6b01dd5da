# Everything a person does with this project, one line each: `make` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
# The first that runs and is of a version that suits; a name on PATH alone may be an empty shim.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
  $$name -c '$(SUITS)' 2> /dev/null && { echo $$name; break; }; done)
VENV := .venv
PY := $(VENV)/bin/python
WORKERS ?= 2
SEEDS ?= 20
# How often a test that failed is tried again. A machine that others share may ask for one; each is listed as RERUN.
RERUNS ?= 0

ifdef PORT
export PORT
endif
ifdef MODEL
export MODEL
endif

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.dev ## Make .venv with everything for running, testing and checking

.PHONY: run
run: $(VENV)/.run ## Start the platform on this machine [PORT=8000] [MODEL=name|none] [MODEL_PATH=file]
	@exec $(PY) manage.py up

.PHONY: doctor
doctor: $(VENV)/.run ## Say what is missing on this machine, and how to fix it
	@$(PY) manage.py doctor

.PHONY: test
test: $(VENV)/.dev needs ## Run every test; the database-bound ones on PostgreSQL too, if there is one
	@WORKERS=$(WORKERS) RERUNS=$(RERUNS) scripts/test-stages

.PHONY: e2e
e2e: $(VENV)/.dev needs ## Run the browser tests alone
	$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m e2e

.PHONY: screens
screens: $(VENV)/.dev needs ## Take a picture of every state in every look, measured, into test-results/screens
	SCREENS=all $(PY) -m pytest tests/e2e/test_screens.py

.PHONY: faults
faults: $(VENV)/.dev ## Kill every process at random moments of long turns, on both databases; prints the table
	$(PY) -m tests.faults.kill_run --database sqlite --seeds $(SEEDS)
	@if $(PY) -m tests.services; then $(PY) -m tests.faults.kill_run --database postgres --seeds $(SEEDS); \
	  else echo "PostgreSQL is not installed: its kill runs did not run."; fi
	$(PY) -m tests.faults.waiting_run

.PHONY: clients
clients: $(VENV)/.dev ## Install programs of others that speak to our API, and try each against a running server
	@scripts/client-peers
	$(PY) -m pytest -v tests/clients

.PHONY: check
check: $(VENV)/.dev gettext ## Prove style, types, who imports whom, migrations, vendored files, translations
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) -m webapp.vendored
	@scripts/check-translations

.PHONY: fmt
fmt: $(VENV)/.dev ## Format the code and mend what ruff can mend
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

.PHONY: bundle
bundle: ## Build static/built from our scripts and styles, which is committed: needs Node, running does not
	@test -d node_modules/rollup || npm ci --silent
	npm run --silent bundle

.PHONY: bench
bench: $(VENV)/.dev ## Measure the engine on the default model [JSON=file]
	@$(PY) manage.py models pull qwen2.5-coder-1.5b
	@$(PY) -m inference.bench $(if $(JSON),--json $(JSON))

.PHONY: bench-peers
bench-peers: $(VENV)/.dev ## Build llama.cpp into var/peers for the benches to compare with (about ten CPU-minutes)
	@scripts/bench-peers

.PHONY: bench-cpu
bench-cpu: $(VENV)/.dev ## Hold the engine against llama.cpp, transformers and fp32 [RESULTS=folder]
	@$(PY) manage.py models pull qwen2.5-coder-1.5b
	@$(PY) manage.py models pull smollm2
	@$(PY) -m inference.bench cpu $(if $(RESULTS),--json $(RESULTS)/cpu-2-cores.json)
	@$(PY) -m inference.bench moe $(if $(RESULTS),--json $(RESULTS)/moe-2-cores.json)
	@$(PY) -m inference.bench quality $(if $(RESULTS),--json $(RESULTS)/quality-2-cores.json)

.PHONY: bench-web
bench-web: $(VENV)/.dev ## Measure what the web path adds to a backend's own time [JSON=file]
	@$(PY) manage.py bench_web $(if $(JSON),--json $(JSON))

.PHONY: bench-chat
bench-chat: $(VENV)/.dev ## Measure the chat in a browser and under load (about 15 minutes) [JSON=file]
	@$(PY) -m tests.chat_bench $(if $(JSON),--json $(JSON))

.PHONY: bench-api
bench-api: $(VENV)/.dev ## Measure what the REST gateway adds, beside LiteLLM's proxy [JSON=file]
	@scripts/bench-api-peer
	@$(PY) manage.py bench_api --litellm var/peers/litellm/bin/litellm $(if $(JSON),--json $(JSON))

.PHONY: bench-agents
bench-agents: $(VENV)/.dev ## Measure agent turns beside LangGraph and the OpenAI Agents SDK [JSON=file]
	@scripts/bench-agents-peers
	@$(PY) -m agents.bench $(if $(JSON),--json $(JSON))

.PHONY: clean
clean: ## Remove .venv and caches; var/ with its data and models stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- what the targets above stand on

.PHONY: needs
needs: $(VENV)/.dev
	@scripts/test-needs browser postgres compiler sandbox printing
	@$(PY) manage.py models pull smollm2 > /dev/null
	@if [ -z "$${CI_FAST:-}" ]; then $(PY) manage.py models pull qwen2.5-coder-1.5b > /dev/null; fi

.PHONY: gettext
gettext:
	@scripts/test-needs gettext

$(PY):
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(SUITS)' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed: install one, or set PYTHON=/path/to/it."; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python's venv module is missing (Debian: apt-get install python3-venv)."; exit 1; }
	@# Python 3.11 brings a pip that stumbles over one extra spelled in two ways (html_clean, html-clean).
	@$(PY) -m pip install --quiet --disable-pip-version-check --upgrade "pip>=26"

# TORCH_INDEX chooses the build of torch, as README says. pip's own PIP_* variables hold for everything.
define install
@echo "Installing $(1) into $(VENV) ..."
@if [ -n "$${TORCH_INDEX:-}" ]; then $(PY) -m pip install --quiet --index-url "$$TORCH_INDEX" torch==2.13.0; fi
@$(PY) -m pip install --quiet --disable-pip-version-check "$(1)"
@touch $@
endef

$(VENV)/.run: pyproject.toml | $(PY)
	$(call install,.[cpu])

$(VENV)/.dev: pyproject.toml | $(PY)
	$(call install,.[cpu$(,)dev])
	@touch $(VENV)/.run

, := ,
