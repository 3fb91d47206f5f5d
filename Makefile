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
SITTINGS ?=
PRECISION ?=
# Seconds.
TIME_LIMIT ?=
BLOCKS ?=
VARIANTS ?=
MAX_REQUESTS ?=
REPLACEMENTS ?=
LAUNCHER ?=
# user@host: the servers run there (docs/machines.md). Not taken from the environment, where it may mean something else.
SERVER =
# nginx or haproxy, and what it does with a request that was not answered: default or off (docs/proxy.md).
PROXY ?=
PROXY_RETRIES ?=
# default or off: does it keep connections to servers? tcp or unix: how it reaches them. on: do clients reach it by TLS?
PROXY_KEEPALIVE ?=
PROXY_SOCKET ?=
PROXY_TLS ?=
# user@a,user@b: the load is made there. Or other machines that join, and the address of this one that they reach (docs/machines.md).
GENERATORS =
EXPECT_GENERATORS ?=
LOST_GENERATOR ?=
ADDRESS ?=
MASTER ?=
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
BASELINE =
BASELINE_REQUIREMENTS =
SCENARIO =
SCENARIO_OPTIONS =
SCENARIO_REQUIREMENTS =
ENVIRONMENT =
# Seconds.
STARTUP_TIMEOUT ?=
IMPORT_TIMEOUT ?=
URL ?=
ALLOW_REMOTE ?=
# own or host, and STEER=host: docs/methodology.md, The network.
NETWORK ?=
STEER ?=
# Of what a rotation can tell: bench/studies/README.md.
RUNS ?=
# Of the fuzzers, and of faults.
MINUTES ?=
FAULTS ?=
SEED ?=
SHARE ?=
TURNS ?=
# Of an app that leaks: sizes such as 50kB and 500MB.
LEAK ?=
ALLOWANCE ?=
# Of a soak.
HOURS ?=

VENV := .venvs/suite
PYTHON := $(VENV)/bin/python
# Those that the servers of today run on, the best first: the suite takes the first that is found, as its servers do.
PYTHONS = $$(sed -n '/^\[stack.current\]/,/^requirements/s/^python = \[\(.*\)\]/\1/p' targets/configurations.toml | tr -d '",')
FIND_PYTHON = for version in $(PYTHONS); do \
	for python in "python$$version" python3 "$${PYENV_ROOT:-$${HOME:-}/.pyenv}/versions/$$version".*/bin/python; do \
	if "$$python" -c 'import sys, venv, ensurepip; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$$version" >/dev/null 2>&1; \
	then echo "$$python"; exit; fi; done; done; \
	echo "error: no Python of these with the venv module was found: "$(PYTHONS)"." >&2; \
	echo "Install one (Debian: apt install python3 python3-venv; or: pyenv install 3.13) and run make again." >&2; exit 1
# Docker Compose in either version, as the shell's $compose.
FIND_COMPOSE = if docker compose version >/dev/null 2>&1; then compose='docker compose'; elif command -v docker-compose >/dev/null; then compose=docker-compose; \
	else echo 'error: Docker Compose was not found.' >&2; echo 'Install it (Debian: apt install docker.io docker-compose) and run make again.' >&2; exit 1; fi

# Tests start make themselves, which must not look for the jobs of this one.
PYTEST := env MAKEFLAGS= $(VENV)/bin/pytest

option = $(if $(2),--$(1) "$(2)")
limits = $(call option,startup-timeout,$(STARTUP_TIMEOUT)) $(call option,import-timeout,$(IMPORT_TIMEOUT))
# What narrows a run.
narrowing = --results "$(RESULTS)" $(call option,configurations,$(CONFIGURATIONS)) $(call option,scenarios,$(SCENARIOS)) \
	$(call option,users,$(USERS)) $(call option,rates,$(RATES)) $(call option,arrivals,$(ARRIVALS)) \
	$(call option,workers,$(WORKERS)) $(call option,repeats,$(REPEATS)) $(call option,duration,$(DURATION)) \
	$(call option,sittings,$(SITTINGS)) $(call option,precision,$(PRECISION)) $(call option,time-limit,$(TIME_LIMIT)) \
	$(if $(BLOCKS),--blocks) \
	$(call option,max-requests,$(MAX_REQUESTS)) $(call option,replacements,$(REPLACEMENTS)) \
	$(call option,launcher,$(LAUNCHER)) $(call option,resume,$(RUN)) \
	$(call option,generators,$(GENERATORS)) $(call option,expect-generators,$(EXPECT_GENERATORS)) \
	$(call option,lost-generator,$(LOST_GENERATOR)) $(call option,address,$(ADDRESS)) \
	$(call option,server,$(SERVER)) $(call option,proxy,$(PROXY)) $(call option,proxy-retries,$(PROXY_RETRIES)) \
	$(call option,proxy-keepalive,$(PROXY_KEEPALIVE)) $(call option,proxy-socket,$(PROXY_SOCKET)) \
	$(if $(PROXY_TLS),$(if $(filter on,$(PROXY_TLS)),--proxy-tls,$(error PROXY_TLS=on is all there is))) \
	$(call option,app,$(APP)) $(call option,app-dir,$(APP_DIR)) $(call option,requirements,$(REQUIREMENTS)) \
	$(call option,baseline,$(BASELINE)) $(call option,baseline-requirements,$(BASELINE_REQUIREMENTS)) \
	$(call option,locustfile,$(SCENARIO)) $(call option,locustfile-requirements,$(SCENARIO_REQUIREMENTS)) \
	$(if $(SCENARIO_OPTIONS),--scenario-options="$(SCENARIO_OPTIONS)") $(call option,environment,$(ENVIRONMENT)) \
	$(limits) $(call option,url,$(URL)) $(if $(ALLOW_REMOTE),--allow-remote) \
	$(call option,network,$(NETWORK)) $(if $(STEER),$(if $(filter host,$(STEER)),--steer-host-loopback,$(error STEER=host is all there is)))

.PHONY: help bench recycle settings soak report notebook worker serve up images configurations scenarios plans findings doctor setup stacks test test-analysis test-servers test-clocks test-generator test-known test-compose test-browser ui lint ceiling bench-self known-answers coverage faults fuzz planted manners alone calm yardsticks replay verdict choose-n claims readme-figures docs house audit clean

help: ## List what can be made.
	@echo 'Which worker should serve my Sanic app? `make bench` measures it on this machine.'; echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do printf '  make %-15s %s\n' "$$name" "$$what"; done
	@echo; echo 'Narrow a run with PLAN= CONFIGURATIONS= SCENARIOS= USERS= RATES= ARRIVALS= WORKERS= REPEATS= DURATION='; \
		echo 'SITTINGS= PRECISION= TIME_LIMIT= BLOCKS= MAX_REQUESTS= REPLACEMENTS= RESULTS= RUN=, LAUNCHER=processes or compose (containers; the default where Docker answers),'; \
		echo 'SERVER=user@host: servers on another machine, GENERATORS=user@a,user@b: the load (docs/machines.md), PROXY=nginx or haproxy before the servers (docs/proxy.md),'; \
		echo 'or measure what runs already: URL=http://127.0.0.1:8000 (docs/external.md),'
	@echo 'for example: make bench CONFIGURATIONS=sanic,granian USERS=1,64 DURATION=5'
	@echo; echo 'Your own app (docs/own-app.md):'; echo '  make bench APP=package.module:app APP_DIR=../my-service \'; \
		echo '    REQUIREMENTS=../my-service/requirements.txt SCENARIO=../my-service/locustfile.py \'; \
		echo '    SCENARIO_REQUIREMENTS=../my-service/load.txt ENVIRONMENT="DATABASE_URL TOKEN"'
	@echo; echo 'Is it slower than before (docs/ci.md)? Add BASELINE=../other-checkout, and BASELINE_REQUIREMENTS= for other packages.'

bench: $(VENV)/.suite ## Measure (the quick plan unless PLAN= says otherwise) and make the report.
	@$(PYTHON) -m bench run $(call option,plan,$(PLAN)) $(narrowing) $(ARGUMENTS)

recycle: $(VENV)/.suite ## Replace workers after N requests, and see what clients lose (80 minutes; PLAN=recycle-smoke: two; PROXY=nginx).
	@$(PYTHON) -m bench run $(if $(RUN),,--plan "$(or $(PLAN),$(if $(PROXY),recycle-proxy,recycle))") $(narrowing) $(ARGUMENTS)

settings: $(VENV)/.suite ## Say what each setting of a server is worth (of the two best, or CONFIGURATIONS=): a quarter of an hour.
	@$(PYTHON) -m bench settings $(call option,plan,$(PLAN)) $(narrowing) $(ARGUMENTS)

soak: $(VENV)/.suite ## Load servers side by side for HOURS=2 and say what grows: a leak, or caches (ALLOWANCE=500MB MAX_REQUESTS=).
	@$(PYTHON) -m bench soak $(if $(RUN),,$(call option,plan,$(PLAN)) $(call option,hours,$(HOURS)) $(call option,allowance,$(ALLOWANCE))) \
		$(narrowing) $(ARGUMENTS)

report: $(VENV)/.suite ## Make the report of the latest run (or of RUN=) again, from its files.
	@$(PYTHON) -m bench report --results "$(RESULTS)" $(RUN)

notebook: $(VENV)/.notebook ## Open the analysis in JupyterLab on the latest run (or RUN=).
	@PYTHONPATH="$(CURDIR)" WHICHWORKER_RUN="$$($(PYTHON) -m bench latest --results "$(RESULTS)" $(RUN))" \
		$(VENV)/bin/jupyter lab analysis/notebooks

worker: $(VENV)/.suite ## Make load for a run on another machine: MASTER=10.0.0.1, its ADDRESS= (docs/machines.md).
	@$(PYTHON) -m bench worker --master "$(MASTER)" $(ARGUMENTS)

serve: $(VENV)/.suite ## Serve the app: CONFIGURATION=sanic PORT=8000 WORKERS=1.
	@$(PYTHON) -m bench serve "$(CONFIGURATION)" --port "$(PORT)" $(call option,workers,$(WORKERS)) $(call option,startup-timeout,$(STARTUP_TIMEOUT))

up: ## Serve CONFIGURATION=sanic in a container (docs/compose.md).
	@address=$$(sed -n '/^  $(CONFIGURATION):$$/,/^    ports:/s/^    ports: \["\(.*\):8000"\]$$/\1/p' docker-compose.yml); \
		if test -z "$$address"; then echo 'error: "$(CONFIGURATION)" is no configuration; `make configurations` lists them.' >&2; exit 1; fi; \
		$(FIND_COMPOSE); echo "$(CONFIGURATION) will answer at http://$$address, until Ctrl-C"; $$compose up --build "$(CONFIGURATION)"

images: ## Build every container image: of each stack, of the suite, and of both in one.
	@$(FIND_COMPOSE); $$compose --profile bench --profile one-container build

ui: $(VENV)/.suite ## Open Locust's web UI with every configuration behind it: SCENARIOS= SCENARIO= UI_PORT=8089 TARGET_URL=.
	@$(PYTHON) -m bench ui --port "$(UI_PORT)" --results "$(RESULTS)" $(call option,scenarios,$(SCENARIOS)) \
		$(call option,locustfiles,$(SCENARIO)) $(call option,locustfile-requirements,$(SCENARIO_REQUIREMENTS)) \
		$(if $(SCENARIO_OPTIONS),--scenario-options="$(SCENARIO_OPTIONS)") $(call option,target-url,$(TARGET_URL)) \
		$(if $(ALLOW_REMOTE),--allow-remote) $(call option,launcher,$(LAUNCHER)) $(limits) $(ARGUMENTS)

configurations: $(VENV)/.suite ## List the ways to serve the app that are compared (VARIANTS=1: each with one setting changed).
	@$(PYTHON) -m bench configurations $(if $(VARIANTS),--variants)

scenarios: $(VENV)/.suite ## List the loads.
	@$(PYTHON) -m bench scenarios

plans: $(VENV)/.suite ## List the plans: what is measured, how often and how long.
	@$(PYTHON) -m bench plans

findings: $(VENV)/.suite ## List what a report may find wrong with a run, with thresholds and reasons.
	@$(PYTHON) -m bench findings

doctor: $(VENV)/.suite ## Say what this machine has and lacks.
	@$(PYTHON) -m bench doctor --results "$(RESULTS)"

setup: $(VENV)/.dev stacks ## Make every environment now: suite, tests and one for each dependency stack.

stacks: $(VENV)/.suite ## Make the environment of each dependency stack now.
	@$(PYTHON) -m bench setup

lint: $(VENV)/.dev ## Check style, types and the direction of imports.
	@# ruff leaves out what git ignores, and so may nothing that is in git be ignored.
	@ignored="$$(git ls-files --cached --ignored --exclude-standard 2>/dev/null)" || exit 0; [ -z "$$ignored" ] || \
		{ printf 'make lint: in git, and ignored by .gitignore:\n%s\n' "$$ignored" >&2; exit 1; }
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

# In this order whatever --jobs says: what fails most first. .ci/run takes the same parts, the last two side by side.
test: lint setup ## Check everything: lint, then every test (make --jobs=3 test: what it installs, beside lint).
	@$(MAKE) --no-print-directory test-clocks
	@$(MAKE) --no-print-directory test-analysis
	@$(MAKE) --no-print-directory test-servers

test-analysis: $(VENV)/.dev ## Check what needs no server: the analysis and the documents (a part of make test).
	@# It takes CPU time only, and waits for nothing: whatever runs beside goes before it.
	@nice -n 10 $(PYTEST) --numprocesses=2 --dist=loadfile --no-loadscope-reorder tests/analysis tests/docs

test-servers: $(VENV)/.dev stacks ## Check what starts servers, and what remains (a part of make test).
	@# They wait for most of their time: more processes than CPUs, as many as have ports of their own (tests/ports.py).
	@# Files stay whole, for the servers that their tests share, and come in the order of tests/conftest.py, those that
	@# take longest first.
	@$(PYTEST) --numprocesses=7 --dist=loadfile --no-loadscope-reorder \
		--ignore=tests/analysis --ignore=tests/docs --ignore=tests/swarm --ignore=tests/known

test-clocks: $(VENV)/.dev stacks ## Check what is held against clocks: the generator, known answers (a part of make test).
	@# Nothing else may run beside these two.
	@$(MAKE) --no-print-directory test-generator
	@$(MAKE) --no-print-directory test-known

test-generator: $(VENV)/.dev stacks ## Check the generator (a part of make test-clocks).
	@$(PYTEST) --numprocesses=4 --dist=loadfile --no-loadscope-reorder tests/swarm

test-known: $(VENV)/.dev stacks ## Check known answers; no other test may run beside them (a part of make test-clocks).
	@$(PYTEST) tests/known

test-compose: $(VENV)/.dev ## Check everything in containers, on the Docker engine that answers.
	@docker version >/dev/null 2>&1 || { \
		echo "make test-compose: no Docker engine answers (docker version says why); tests/compose/engine.sh starts one" >&2; exit 1; }
	@# Two processes, which wait for most of their time; their images come from the cache that this leaves.
	@$(MAKE) --no-print-directory images >/dev/null
	@$(PYTEST) --numprocesses=2 --dist=loadfile tests/compose/real

test-browser: setup $(VENV)/.browser ## Check the web UI in the system's Chromium; screenshots: tests/browser/shots.
	@$(PYTEST) tests/browser

ceiling: $(VENV)/.suite ## Measure what the load generator itself can reach (the loads of PLAN=, SCENARIOS=, USERS=).
	@$(PYTHON) -m bench ceiling $(call option,plan,$(PLAN)) $(call option,scenarios,$(SCENARIOS)) $(call option,users,$(USERS)) \
		$(call option,launcher,$(LAUNCHER))

bench-self: $(VENV)/.suite ## Measure the load generator itself, beside FastHttpUser, HttpUser and wrk.
	@$(PYTHON) -m bench self $(ARGUMENTS)

known-answers: $(VENV)/.suite ## Hold the whole pipeline against servers whose answers are known (two minutes).
	@$(PYTHON) -m bench known-answers $(ARGUMENTS)

planted: $(VENV)/.suite ## Does a rotation see a planted cost? RUNS=10 times two minutes, SHARE=0.05 of a request's CPU time.
	@$(PYTHON) -m bench planted --results "$(RESULTS)" $(call option,runs,$(RUNS)) $(call option,share,$(SHARE)) $(ARGUMENTS)

manners: $(VENV)/.suite ## Compare a generator that polls and one that sleeps, with steering and without (SITTINGS=8).
	@$(PYTHON) -m bench manners --results "$(RESULTS)" $(call option,sittings,$(SITTINGS)) $(ARGUMENTS)

coverage: $(VENV)/.suite ## Say how often 95 % intervals have the truth in them, on simulated runs: RUNS=2000 of each design.
	@$(PYTHON) -m bench coverage $(call option,runs,$(RUNS)) $(ARGUMENTS)

alone: $(VENV)/.suite ## Compare each server in a rotation with itself alone, and rotation with blocks (TURNS=10).
	@$(PYTHON) -m bench alone --results "$(RESULTS)" $(call option,turns,$(TURNS)) $(ARGUMENTS)

calm: $(VENV)/.suite ## Show how often the latest run of PLAN=aa (or RUN=) called equals different; measures nothing.
	@$(PYTHON) -m bench calm --results "$(RESULTS)" $(call option,show,$(RUN)) $(ARGUMENTS)

yardsticks: $(VENV)/.suite ## Measure the suite beside wrk, hey and FastHttpUser, and what its metering and recording cost.
	@$(PYTHON) -m bench yardsticks --results "$(RESULTS)" $(ARGUMENTS)

replay: $(VENV)/.suite ## Replay the benchmark of an old answer, and see what it really measured (half an hour).
	@$(PYTHON) -m bench replay --results "$(RESULTS)" $(call option,configurations,$(CONFIGURATIONS)) $(call option,repeats,$(REPEATS)) $(ARGUMENTS)

verdict: $(VENV)/.suite ## Say which configuration to use, by the latest runs (or RUN="A B"): ARGUMENTS="--restart none".
	@$(PYTHON) -m bench verdict --results "$(RESULTS)" $(RUN) $(ARGUMENTS)

choose-n: $(VENV)/.suite ## Choose N for an app that leaks, by the latest run (or RUN=): LEAK=50kB ALLOWANCE=500MB.
	@$(PYTHON) -m bench choose-n $(RUN) --results "$(RESULTS)" $(call option,leak,$(LEAK)) $(call option,allowance,$(ALLOWANCE)) \
		$(call option,workers,$(WORKERS)) $(call option,configurations,$(CONFIGURATIONS)) $(ARGUMENTS)

claims: $(VENV)/.suite ## Hold what people say against what was measured here; measures nothing.
	@$(PYTHON) -m bench claims --results "$(RESULTS)"

readme-figures: $(VENV)/.suite ## Put the figures of the latest run (or RUN=) and of bench-self into the README and docs/one-machine.md.
	@$(PYTHON) -m analysis.documents.pages "$$($(PYTHON) -m bench latest --results "$(RESULTS)" $(RUN))"
	@$(PYTHON) -m bench self --readme docs/one-machine.md

fuzz: $(VENV)/.dev ## Damage results, plans and answers at random for MINUTES=10; what CI does with few examples.
	@$(PYTHON) -m tests.fuzz $(call option,minutes,$(MINUTES)) $(ARGUMENTS)

faults: $(VENV)/.dev stacks ## Kill, freeze and starve runs at random moments: FAULTS=200 SEED=1. Root sees more.
	@$(PYTHON) -m tests.faults $(call option,faults,$(FAULTS)) $(call option,seed,$(SEED)) $(ARGUMENTS)

house: $(VENV)/.suite ## Say how large the rooms of this project are, and how they import each other.
	@$(PYTHON) tests/house.py

docs: $(VENV)/.suite ## Write the tables of docs/contracts.md from the models that they are about.
	@$(PYTHON) -m bench.cli.contracts

audit: $(VENV)/.suite ## Ask PyPI which packages of every environment here have known vulnerabilities; needs the network.
	@test -x .venvs/audit/bin/pip-audit || { $(PYTHON) -m venv .venvs/audit && \
		.venvs/audit/bin/pip install --quiet --disable-pip-version-check -r requirements/audit.txt; }
	@failed=0; for packages in .venvs/*/lib/python*/site-packages; do echo "$$packages"; \
		.venvs/audit/bin/pip-audit --strict --progress-spinner off --path "$$packages" || failed=1; done; exit $$failed

clean: ## Remove environments and caches; results stay.
	rm -rf .venvs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is made anew when the requirements it stands for change.
$(VENV)/bin/python:
	@python="$$($(FIND_PYTHON))"; echo "making $(VENV) with $$python …"; "$$python" -m venv $(VENV)

# What runs there finds `swarm` from any folder, and nothing else of this checkout.
$(VENV)/.swarm: | $(VENV)/bin/python
	@ln -sfn "$(CURDIR)/swarm" "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/swarm"
	@touch $@

$(VENV)/.suite: requirements/suite.txt requirements/constraints.txt | $(VENV)/bin/python $(VENV)/.swarm
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
