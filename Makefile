# Everything a checkout needs, on a machine that has Python 3.11 or newer and make.
#   make up      run Gatebook here, until Ctrl-C        make up ARGS="--scale 5 --port 9000"
#   make test    run the tests                          make test ARGS="-k page"
#   make bench   measure it against a hello world       make bench ARGS="--rounds 5"; bench-quick: see that it works
#   make lighthouse   have Lighthouse (npm) judge the pages
#   make advisories   ask whether any is known for what the locks pin; make pin: name the base images by digest
#   make chaos   break it under a million requests      make chaos ARGS="--acknowledged 100000"
#   make fuzz    try inputs that nobody thought of      make fuzz ARGS="--seconds 600 --target json"

PYTHON ?= python3
VENV   := .venv
ARGS   ?=

help:
	@sed -n 's/^# \{0,3\}//p' Makefile | head -8

.PHONY: help up test check advisories pin chaos fuzz bench bench-quick lighthouse lock screenshots clean

up: $(VENV)/run
	@$(VENV)/bin/gatebook up $(ARGS)

test: $(VENV)/test check
	@$(VENV)/bin/python -m pytest $(ARGS)

check: $(VENV)/test
	@$(VENV)/bin/ruff format --check --quiet . && $(VENV)/bin/ruff check --quiet . && $(VENV)/bin/mypy

# The locks name every package by version and hash; pyproject.toml says what is wanted. `make lock` renews them.
$(VENV)/run: locks/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Error: $(PYTHON) is older than Python 3.11"; echo "Try:   make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r locks/run.txt
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test: $(VENV)/run locks/test.txt
	@echo "adding what the tests need"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r locks/test.txt
	@touch $@

bench bench-quick: $(VENV)/bench
	@$(VENV)/bin/python -m bench $(if $(filter bench-quick,$@),--quick) $(ARGS)

$(VENV)/bench: $(VENV)/run locks/bench.txt
	@echo "adding what the benchmark compares with"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r locks/bench.txt
	@touch $@

fuzz: $(VENV)/test
	@$(VENV)/bin/python -m tests.fuzz $(ARGS)

chaos: $(VENV)/test
	@$(VENV)/bin/python -m tests.faults $(ARGS)

lock:
	@locks/renew

advisories: $(VENV)/test
	@$(VENV)/bin/python locks/advisories || test $$? -eq 3  # 3: nobody could be asked, and it says so

pin:
	@locks/pin

lighthouse: $(VENV)/test
	@$(VENV)/bin/python -m tests.browser.lighthouse $(ARGS)

screenshots: $(VENV)/test
	@$(VENV)/bin/python -m tests.browser.screenshots

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
