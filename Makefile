# Thin on purpose: it makes the environments and passes what was asked for to `python -m bench`.
# Start with `make bench`; `make help` lists the rest.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PLAN ?=
CONFIGURATIONS ?=
SCENARIOS ?=
USERS ?=
RATES ?=
ARRIVALS ?=
WORKERS ?=
REPEATS ?=
DURATION ?=
MAX_REQUESTS ?=
REPLACEMENTS ?=
LAUNCHER ?=
RESULTS ?= results
RUN ?=
ARGUMENTS ?=
CONFIGURATION ?= sanic
PORT ?= 8000
UI_PORT ?= 8089
TARGET_URL ?=
# Of an app of one's own. Not taken from the environment, where ENVIRONMENT may mean something else.
APP =
APP_DIR =
REQUIREMENTS =
SCENARIO =
ENVIRONMENT =
URL ?=
ALLOW_REMOTE ?=

VENV := .venvs/suite
PYTHON := $(VENV)/bin/python
# The first Python that is new enough, those the suite was tested with first.
FIND_PYTHON = for python in python3.13 python3.12 python3.11 python3 "$${HOME}"/.pyenv/versions/3.1[1-3].*/bin/python; do \
	if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$$python"; exit; fi; done; \
	echo "error: Python 3.11 or newer with the venv module was not found." >&2; \
	echo "Install it (Debian: apt install python3 python3-venv; or: pyenv install 3.13) and run make again." >&2; exit 1
# Docker Compose in either version, as the shell's $compose.
FIND_COMPOSE = if docker compose version >/dev/null 2>&1; then compose='docker compose'; elif command -v docker-compose >/dev/null; then compose=docker-compose; \
	else echo 'error: Docker Compose was not found.' >&2; echo 'Install it (Debian: apt install docker.io docker-compose) and run make again.' >&2; exit 1; fi

option = $(if $(2),--$(1) "$(2)")
# What narrows a run.
narrowing = --results "$(RESULTS)" $(call option,configurations,$(CONFIGURATIONS)) $(call option,scenarios,$(SCENARIOS)) \
	$(call option,users,$(USERS)) $(call option,rates,$(RATES)) $(call option,arrivals,$(ARRIVALS)) \
	$(call option,workers,$(WORKERS)) $(call option,repeats,$(REPEATS)) $(call option,duration,$(DURATION)) \
	$(call option,max-requests,$(MAX_REQUESTS)) $(call option,replacements,$(REPLACEMENTS)) \
	$(call option,launcher,$(LAUNCHER)) $(call option,resume,$(RUN)) \
	$(call option,app,$(APP)) $(call option,app-dir,$(APP_DIR)) $(call option,requirements,$(REQUIREMENTS)) \
	$(call option,locustfile,$(SCENARIO)) $(call option,environment,$(ENVIRONMENT)) \
	$(call option,url,$(URL)) $(if $(ALLOW_REMOTE),--allow-remote)

.PHONY: help bench recycle report notebook serve up images configurations scenarios plans doctor setup test test-compose test-browser ui lint ceiling bench-self known-answers yardsticks replay verdict claims readme-figures clean

help: ## List what can be made.
	@echo 'Which worker should serve my Sanic app? `make bench` measures it on this machine.'; echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do printf '  make %-15s %s\n' "$$name" "$$what"; done
	@echo; echo 'Narrow a run with PLAN= CONFIGURATIONS= SCENARIOS= USERS= RATES= ARRIVALS= WORKERS= REPEATS= DURATION='; \
		echo 'MAX_REQUESTS= REPLACEMENTS= RESULTS= RUN=, LAUNCHER=processes or compose (containers; the default where Docker answers),'; \
		echo 'or measure what runs already: URL=http://127.0.0.1:8000 (docs/external.md),'
	@echo 'for example: make bench CONFIGURATIONS=sanic,granian USERS=1,64 DURATION=5'
	@echo; echo 'Your own app (docs/own-app.md):'; echo '  make bench APP=package.module:app APP_DIR=../my-service \'; \
		echo '    REQUIREMENTS=../my-service/requirements.txt SCENARIO=../my-service/locustfile.py ENVIRONMENT="DATABASE_URL TOKEN"'

bench: $(VENV)/.suite ## Measure (the quick plan unless PLAN= says otherwise) and make the report.
	@$(PYTHON) -m bench run $(call option,plan,$(PLAN)) $(narrowing) $(ARGUMENTS)

recycle: $(VENV)/.suite ## Have workers replaced after N requests: who loses what (80 minutes; PLAN=recycle-smoke: two).
	@$(PYTHON) -m bench run $(if $(RUN),,--plan "$(or $(PLAN),recycle)") $(narrowing) $(ARGUMENTS)

report: $(VENV)/.suite ## Make the report of the latest run (or of RUN=) again, from its files.
	@$(PYTHON) -m bench report --results "$(RESULTS)" $(RUN)

notebook: $(VENV)/.notebook ## Open the analysis in JupyterLab on the latest run (or RUN=).
	@PYTHONPATH="$(CURDIR)" WHICHWORKER_RUN="$$($(PYTHON) -m bench latest --results "$(RESULTS)" $(RUN))" \
		$(VENV)/bin/jupyter lab analysis/notebooks

serve: $(VENV)/.suite ## Serve the app: CONFIGURATION=sanic PORT=8000 WORKERS=1.
	@$(PYTHON) -m bench serve "$(CONFIGURATION)" --port "$(PORT)" $(call option,workers,$(WORKERS))

up: ## Serve CONFIGURATION=sanic in a container (docs/compose.md).
	@address=$$(sed -n '/^  $(CONFIGURATION):$$/,/^    ports:/s/^    ports: \["\(.*\):8000"\]$$/\1/p' docker-compose.yml); \
		if test -z "$$address"; then echo 'error: "$(CONFIGURATION)" is no configuration; `make configurations` lists them.' >&2; exit 1; fi; \
		$(FIND_COMPOSE); echo "$(CONFIGURATION) will answer at http://$$address, until Ctrl-C"; $$compose up --build "$(CONFIGURATION)"

images: ## Build every container image: of each stack, and of the suite.
	@$(FIND_COMPOSE); $$compose --profile bench build

ui: $(VENV)/.suite ## Open Locust's web UI with every configuration behind it: SCENARIOS= UI_PORT=8089 TARGET_URL=.
	@$(PYTHON) -m bench ui --port "$(UI_PORT)" --results "$(RESULTS)" $(call option,scenarios,$(SCENARIOS)) \
		$(call option,target-url,$(TARGET_URL)) $(if $(ALLOW_REMOTE),--allow-remote) $(call option,launcher,$(LAUNCHER)) $(ARGUMENTS)

configurations: $(VENV)/.suite ## List the ways to serve the app that are compared.
	@$(PYTHON) -m bench configurations

scenarios: $(VENV)/.suite ## List the loads.
	@$(PYTHON) -m bench scenarios

plans: $(VENV)/.suite ## List the plans: what is measured, how often and how long.
	@$(PYTHON) -m bench plans

doctor: $(VENV)/.suite ## Say what this machine has and lacks.
	@$(PYTHON) -m bench doctor --results "$(RESULTS)"

setup: $(VENV)/.dev ## Make every environment now: suite, tests and one for each dependency stack.
	@$(PYTHON) -m bench setup

lint: $(VENV)/.dev ## Check style, types and the direction of imports.
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

test: setup lint ## Check everything: lint, then every test.
	@# Tests of servers wait for most of their time: more processes than CPUs. Files stay whole, for the servers that
	@# their tests share, and come in the order of tests/conftest.py, those that take longest first.
	@$(VENV)/bin/pytest --numprocesses=4 --dist=loadfile --no-loadscope-reorder --ignore=tests/swarm --ignore=tests/known
	@# What these two rooms hold against clocks must not meet the load of those above, and known alone no other test.
	@$(VENV)/bin/pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder tests/swarm
	@$(VENV)/bin/pytest tests/known

test-compose: $(VENV)/.dev ## Check everything in containers, on the Docker engine that answers.
	@docker version >/dev/null 2>&1 || { \
		echo "make test-compose: no Docker engine answers (docker version says why); tests/compose/engine.sh starts one" >&2; exit 1; }
	@# Two processes, which wait for most of their time; their images come from the cache that this leaves.
	@$(MAKE) --no-print-directory images >/dev/null
	@$(VENV)/bin/pytest --numprocesses=2 --dist=loadfile tests/compose/real

test-browser: setup $(VENV)/.browser ## Check the web UI in the system's Chromium; screenshots: tests/browser/shots.
	@$(VENV)/bin/pytest tests/browser

ceiling: $(VENV)/.suite ## Measure what the load generator itself can reach (the loads of PLAN=, SCENARIOS=, USERS=).
	@$(PYTHON) -m bench ceiling $(call option,plan,$(PLAN)) $(call option,scenarios,$(SCENARIOS)) $(call option,users,$(USERS)) \
		$(call option,launcher,$(LAUNCHER))

bench-self: $(VENV)/.suite ## Measure the load generator itself, beside FastHttpUser, HttpUser and wrk.
	@$(PYTHON) -m swarm.selfbench $(ARGUMENTS)

known-answers: $(VENV)/.suite ## Hold the whole pipeline against servers whose answers are known (two minutes).
	@$(PYTHON) -m bench known-answers $(ARGUMENTS)

yardsticks: $(VENV)/.suite ## Measure the suite beside wrk, hey and FastHttpUser, and what its metering and recording cost.
	@$(PYTHON) -m bench yardsticks --results "$(RESULTS)" $(ARGUMENTS)

replay: $(VENV)/.suite ## Replay the benchmark of an old answer, and say what it really measured (half an hour).
	@$(PYTHON) -m bench replay --results "$(RESULTS)" $(call option,configurations,$(CONFIGURATIONS)) $(call option,repeats,$(REPEATS)) $(ARGUMENTS)

verdict: $(VENV)/.suite ## Say which configuration to use, by the latest runs (or RUN="A B"): ARGUMENTS="--restart none".
	@$(PYTHON) -m bench verdict --results "$(RESULTS)" $(RUN) $(ARGUMENTS)

claims: $(VENV)/.suite ## Hold what people say about it against what was measured here; measures nothing.
	@$(PYTHON) -m bench claims --results "$(RESULTS)"

readme-figures: $(VENV)/.suite ## Put the figures of the latest run (or RUN=) and of bench-self into the README.
	@$(PYTHON) -m analysis.readme "$$($(PYTHON) -m bench latest --results "$(RESULTS)" $(RUN))"
	@$(PYTHON) -m swarm.selfbench --readme README.md

clean: ## Remove environments and caches; results stay.
	rm -rf .venvs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is made anew when the requirements it stands for change.
$(VENV)/bin/python:
	@python="$$($(FIND_PYTHON))"; echo "making $(VENV) with $$python …"; "$$python" -m venv $(VENV)

$(VENV)/.suite: requirements/suite.txt requirements/constraints.txt | $(VENV)/bin/python
	@echo 'installing the suite (once) …'
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements/suite.txt -c requirements/constraints.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.suite
	@echo 'installing what the tests need (once) …'
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt -c requirements/constraints.txt
	@touch $@

$(VENV)/.notebook: requirements/notebook.txt $(VENV)/.suite
	@echo 'installing JupyterLab (once) …'
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements/notebook.txt -c requirements/constraints.txt
	@touch $@

$(VENV)/.browser: requirements/browser.txt $(VENV)/.dev
	@echo 'installing Playwright (once) …'
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements/browser.txt -c requirements/constraints.txt
	@touch $@
