# `make help` lists what there is. Needs Python 3.11 or newer and nothing else: no root, no Docker, no system packages.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# Without byte code each of the hundreds of processes that tests start would compile all of our modules.
unexport PYTHONDONTWRITEBYTECODE

# The newest Python that is new enough; PYTHON=… chooses another.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3; do \
	if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then command -v $$name; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
# One more than two processors: the portals and devices of a test wait for each other half of the time.
PYTEST_WORKERS ?= 3

# What `make run` passes on to the supervisor when it is given: make run PORT=8001 HOST=0.0.0.0
export HOST PORT HTTPS_PORT HTTP_PORT MQTT_PORT AMQP_PORT WEB_PROCESSES BRIDGES MAIL_PORT MAIL_PAGE_PORT PAYPAL_PORT POSTGRES_PORT VALKEY_PORT

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/runtime.stamp ## start everything (HOST=127.0.0.1 PORT=8000 MQTT_PORT=8883 MAIL_PORT=1025 MAIL_PAGE_PORT=8025 PAYPAL_PORT=8026)
	@exec $(BIN)/python -m iotportal.embedded run

.PHONY: run-full
run-full: $(VENV)/runtime.stamp rabbitmq nginx ## start the production stack: RabbitMQ, nginx, many workers (HTTPS_PORT=8443 AMQP_PORT=5671 WEB_PROCESSES=2 …)
	@exec $(BIN)/python -m iotportal.embedded run-full

.PHONY: stop
stop: $(VENV)/runtime.stamp ## stop what `make run` or `make run-full` started in another terminal
	@exec $(BIN)/python -m iotportal.embedded stop

.PHONY: manage
manage: $(VENV)/runtime.stamp ## run a management command against the running stack: make manage CMD="shell"
	@exec $(BIN)/python -m iotportal.embedded manage $(CMD)

.PHONY: backup
backup: $(VENV)/runtime.stamp ## back up the running portal into one file: make backup FILE=portal.backup (PORTAL_BACKUP_PASSPHRASE encrypts)
	@exec $(BIN)/python -m iotportal.embedded manage backup $(abspath $(FILE))

.PHONY: restore
restore: $(VENV)/runtime.stamp ## make the portal of this checkout, while it is stopped, that of a backup: make restore FILE=portal.backup
	@exec $(BIN)/python -m iotportal.embedded restore $(abspath $(FILE))

.PHONY: test
test: dev chromium node compiler rabbitmq nginx lint types checks unit ## everything that must pass: lint, types, checks, all tests
	@sh .ci/left-out.sh

.PHONY: lint
lint: dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: dev ## ruff: put imports and format right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: types
types: dev ## mypy --strict
	$(BIN)/mypy .

.PHONY: checks
checks: dev ## migrations complete, and Django's own checks with settings as in production
	@exec sh .ci/checks.sh $(BIN)/python

.PHONY: unit
unit: dev ## all tests (PYTEST_WORKERS=3; ARGS="-k name" to choose)
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadgroup $(ARGS)

.PHONY: chromium
chromium:
	@sh .ci/chromium.sh

.PHONY: node
node:
	@sh .ci/node.sh

.PHONY: compiler
compiler:
	@sh .ci/compiler.sh

.PHONY: rabbitmq
rabbitmq:
	@sh .ci/server.sh rabbitmq-server

.PHONY: nginx
nginx:
	@sh .ci/server.sh nginx

.PHONY: bench
bench: dev ## measure commands and history ingest against real servers (bench/; BENCH="commands ingest faults")
	@for name in $(or $(BENCH),commands ingest); do $(BIN)/python -m bench.$$name $(ARGS) || exit 1; done

.PHONY: lock
lock: dev ## resolve requirements*.in anew into the locked requirements*.txt
	@exec sh .ci/lock.sh $(BIN)/pip-compile

.PHONY: clean
clean: ## remove caches and the virtual environment; your data in var/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis staticfiles
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +

.PHONY: dev
dev: $(VENV)/dev.stamp

# Each stamp holds the hash of what was installed, so that a checkout of another commit installs only where the lock differs.
.PHONY: FORCE
FORCE:
$(VENV)/runtime.stamp: FORCE
	@sh .ci/install.sh "$(PYTHON)" $(VENV) runtime requirements.txt
$(VENV)/dev.stamp: FORCE
	@sh .ci/install.sh "$(PYTHON)" $(VENV) dev requirements.txt requirements-dev.txt
