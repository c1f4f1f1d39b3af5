# Everything a person or a machine asks of this project: `make help` lists it.

SHELL := /bin/sh
PYTHON ?= python3
TEMPS_HOME ?= .local
export TEMPS_HOME

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.locks-installed
# What plays the providers in tests has an environment of its own: only `make test` asks for its 300 MB.
EMULATORS := .venv-emulators
EMULATORS_READY := $(EMULATORS)/.locks-installed
SERVICES := gateway providers sender tracking analytics
# Interpreters and packages come from this machine and the locks, never from somewhere uv finds by itself.
export UV_PYTHON_DOWNLOADS := never
# What reads the API's description in tests: generators of clients and a linter, in Python and (where there is npm) Node.
CLIENTS := .venv-clients
CLIENTS_READY := $(CLIENTS)/.locks-installed
NODE := tests/clients/node_modules
NODE_READY := $(NODE)/.locks-installed
# GNU make 3.81 (macOS) has no --output-sync: the lines then mix, the outcome is the same.
TOGETHER := --no-print-directory --keep-going -j3 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

# What a command needs to be told is asked for at once, before anything is set up.
ifneq ($(filter stop start,$(MAKECMDGOALS)),)
ifeq ($(SERVICE),)
$(error say which part: make $(firstword $(filter stop start,$(MAKECMDGOALS))) SERVICE=postgres)
endif
endif
ifneq ($(filter rebuild,$(MAKECMDGOALS)),)
ifeq ($(NAME),)
$(error say which read model: make rebuild NAME=all)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help up down status stop start logs reset rotate-keys demo rebuild verify-log setup emulators lock fmt check test ci bench \
        check-format check-lint check-types check-imports check-addresses check-tests

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

# -- the system on this machine ---------------------------------------------------------------------------------

up: $(READY) ## start everything here (TEMPS_PORT=8080 TEMPS_HOME=.local); Ctrl-C stops it
	@exec $(BIN)/python -m deploy.local up

down: $(READY) ## stop it from another terminal
	@exec $(BIN)/python -m deploy.local down

status: $(READY) ## what runs, what is held, what waits
	@exec $(BIN)/python -m deploy.local status

stop: $(READY) ## hold one part down: make stop SERVICE=postgres
	@exec $(BIN)/python -m deploy.local stop $(SERVICE)

start: $(READY) ## let a held part run again: make start SERVICE=postgres
	@exec $(BIN)/python -m deploy.local start $(SERVICE)

logs: $(READY) ## follow the logs, of all or of one: make logs SERVICE=sender
	@exec $(BIN)/python -m deploy.local logs $(SERVICE)

reset: $(READY) ## forget every email, key and setting of TEMPS_HOME (asks first)
	@exec $(BIN)/python -m deploy.local reset

rotate-keys: $(READY) ## new keys for stored credentials and passwords, while it runs; again to go on after an interruption
	@exec $(BIN)/python -m deploy.local rotate-keys

demo: $(READY) ## 200 tracked emails through the running system, with what came of them
	@exec $(BIN)/python -m deploy.local.demo

rebuild: $(READY) ## read models anew from the facts: make rebuild NAME=emails (or all)
	@exec $(BIN)/python -m deploy.local run analytics rebuild $(NAME)

verify-log: $(READY) ## compare the log with its copy in Postgres
	@exec $(BIN)/python -m deploy.local run analytics verify-log

# -- setting up --------------------------------------------------------------------------------------------------

setup: $(READY) ## the .venv, from the locks (the other commands do it by themselves)

# A checkout that was moved takes its .venv along, whose scripts name the old path: then it is set up again.
MADE_IN := $(shell cat $(VENV)/.made-in 2>/dev/null)
ifneq ($(MADE_IN),)
ifneq ($(MADE_IN),$(CURDIR))
.PHONY: $(READY)
endif
endif

# PYTHON= counts although there is a .venv: it is made again with that interpreter.
ifneq ($(filter command environment,$(origin PYTHON)),)
IDENTITY := -c 'import sys; print(sys.base_prefix, *sys.version_info[:3])' 2>/dev/null
ifneq ($(shell $(PYTHON) $(IDENTITY)),$(shell $(BIN)/python $(IDENTITY)))
.PHONY: $(READY)
endif
endif

$(READY): export WHERE := $(CURDIR)
$(READY): locks/uv.txt locks/dev.txt
	@PYTHON='$(PYTHON)' VENV='$(VENV)' LOCK=locks/dev.txt WITH_UV= sh deploy/local/setup.sh
	@touch $@

emulators: $(EMULATORS_READY) ## what plays SES and Scaleway in tests, in .venv-emulators (make test does it by itself)

EMULATORS_MADE_IN := $(shell cat $(EMULATORS)/.made-in 2>/dev/null)
ifneq ($(EMULATORS_MADE_IN),)
ifneq ($(EMULATORS_MADE_IN),$(CURDIR))
.PHONY: $(EMULATORS_READY)
endif
endif

$(EMULATORS_READY): export WHERE := $(CURDIR)
$(EMULATORS_READY): locks/emulators.txt | $(READY)
	@PYTHON='$(PYTHON)' VENV='$(EMULATORS)' LOCK=locks/emulators.txt WITH_UV='$(BIN)/uv' sh deploy/local/setup.sh
	@touch $@

CLIENTS_MADE_IN := $(shell cat $(CLIENTS)/.made-in 2>/dev/null)
ifneq ($(CLIENTS_MADE_IN),)
ifneq ($(CLIENTS_MADE_IN),$(CURDIR))
.PHONY: $(CLIENTS_READY)
endif
endif

$(CLIENTS_READY): export WHERE := $(CURDIR)
$(CLIENTS_READY): locks/clients.txt | $(READY)
	@PYTHON='$(PYTHON)' VENV='$(CLIENTS)' LOCK=locks/clients.txt WITH_UV='$(BIN)/uv' sh deploy/local/setup.sh
	@touch $@

# Without npm the tests that need it are skipped, or fail on a build machine; they say so themselves.
$(NODE_READY): tests/clients/package-lock.json
	@if command -v npm >/dev/null 2>&1; then \
	  echo 'setup: installing what tests/clients/package-lock.json names' && cd tests/clients && npm ci --ignore-scripts --silent && touch ../../$@; \
	fi

lock: ## resolve anew and write locks/*.txt (hashes, no addresses)
	@test -x $(BIN)/uv || $(MAKE) --no-print-directory setup
	$(BIN)/uv lock
	$(BIN)/uv export --quiet --frozen --all-packages --no-emit-workspace --format requirements-txt -o locks/dev.txt
	$(BIN)/uv export --quiet --frozen --only-group uv --no-emit-workspace --format requirements-txt -o locks/uv.txt
	for service in $(SERVICES); do \
	  $(BIN)/uv export --quiet --frozen --package temps-$$service --no-dev --no-emit-workspace \
	    --format requirements-txt -o locks/$$service.txt || exit 1; \
	done
	$(BIN)/uv lock --project tests/emulators
	$(BIN)/uv export --quiet --frozen --project tests/emulators --no-emit-project --format requirements-txt \
	  -o locks/emulators.txt
	$(BIN)/uv lock --project tests/clients
	$(BIN)/uv export --quiet --frozen --project tests/clients --no-emit-project --format requirements-txt \
	  -o locks/clients.txt
	cd tests/clients && npm install --package-lock-only --ignore-scripts --silent
	@$(MAKE) --no-print-directory check-addresses

# -- checking ----------------------------------------------------------------------------------------------------

fmt: $(READY) ## format, and mend what a linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

check: $(READY) ## format, lint, types, imports, addresses, unit and contract tests: under a minute
	@$(MAKE) $(TOGETHER) check-tests check-types check-imports check-format check-lint check-addresses

check-format: $(READY)
	@$(BIN)/ruff format --check --quiet . && echo 'format: fine'

check-lint: $(READY)
	@$(BIN)/ruff check --quiet . && echo 'lint: fine'

check-types: $(READY)
	@$(BIN)/mypy

check-imports: $(READY)
	@$(BIN)/lint-imports --no-logo

# A lock has hashes and no address; no tracked file says where a registry lives (a fresh machine knows its own).
check-addresses:
	@! grep -nE '://|--(extra-)?index-url|--find-links' locks/*.txt
	@! git grep -nIE '://[^ ]*(py[p]i|python[h]osted|npm[j]s|registry\.)|--(extra-)?index-ur[l]|--find-link[s]' -- ':!Makefile'
	@echo 'addresses: none'

check-tests: $(READY)
	@$(BIN)/python -m pytest -q -n 2 $(wildcard tests/unit tests/contract)

test: $(READY) $(EMULATORS_READY) $(CLIENTS_READY) $(NODE_READY) ## every test but the benchmarks: make test ARGS='-k retry -x'
	@$(BIN)/python -m pytest --ignore=tests/bench -n 2 $(ARGS)

ci: test ## what the build machine runs

bench: $(READY) ## the figures, each beside its ceiling on this machine
	@$(BIN)/python -m tests.bench $(ARGS)
