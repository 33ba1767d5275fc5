# `make` alone lists the targets.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test test-fast chaos check image bench lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

venv: $(STAMP)  ## install everything into .venv, at the versions of constraints.txt (PYTHON=python3.12)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or \
	  sys.exit("Python 3.11 to 3.13 is needed, and $(PYTHON) is %d.%d: say make PYTHON=python3.12, for one" % v)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/pip || { echo "making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing into $(VENV) (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# make hands TRACE and the like on in the environment: a path may hold spaces and quotes.
demo: venv  ## run the whole story on this machine (TRACE=file ZONE=DE DAY=2023-06-12 KEEP=1 DEMO_ARGS=...)
	@$(BIN)/carbon-policy demo $${TRACE:+--trace "$$TRACE"} $${ZONE:+--zone "$$ZONE"} $${DAY:+--day "$$DAY"} \
	  $${KEEP:+--keep} $(DEMO_ARGS)

test: venv  ## run every test (PYTEST_ARGS=...)
	@$(BIN)/pytest $(PYTEST_ARGS)

test-fast: venv  ## run the tests that need no server, no Docker and little time
	@$(BIN)/pytest -m "not server and not docker and not slow" $(PYTEST_ARGS)

chaos: venv  ## kill, cut and delay carbon workers and their server, and count their jobs (JOBS=1000 MINUTES=20 SEED=...)
	@$(BIN)/python -m tests.support.chaos --jobs $(or $(JOBS),1000) --minutes $(or $(MINUTES),20) \
	  $(if $(SEED),--seed $(SEED)) $(CHAOS_ARGS)

check: venv  ## lint, format, types, layers and file sizes; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_file_sizes.py

image: venv  ## build the image that jobs run in, unless it is up to date (IMAGE_ARGS="--base NAME")
	@$(BIN)/python scripts/build_image.py $(IMAGE_ARGS)

bench: venv  ## measure decisions, the worker, forecasts, history, the queue and the peers (those on traces where ../shared/data stands)
	@$(BIN)/python benchmarks/gate.py
	@$(BIN)/python benchmarks/worker.py
	@$(BIN)/python benchmarks/history.py
	@$(BIN)/python benchmarks/decision.py
	@test ! -d ../shared/data || for one in forecasting lets_wait_awhile gaia capacity deadlines; do \
	  $(BIN)/python benchmarks/$$one.py || exit 1; done

# uv, as only its lock holds for every Python we support. It keeps the versions that are there already:
# LOCK_ARGS=--upgrade takes the newest. No index is named, so the files work with whichever you use.
LOCK = build/lock/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --strip-extras \
  --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(LOCK_ARGS)

lock:  ## pin every version again, after a change to pyproject.toml
	@test -x build/lock/bin/uv || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv; }
	@$(LOCK) --extra dev --output-file constraints.txt
	@$(LOCK) --extra jobs --constraints constraints.txt --output-file docker/requirements.txt
	@! grep -nE 'https?:|file:' constraints.txt docker/requirements.txt
	@wc -l constraints.txt docker/requirements.txt

clean:  ## remove what the tools left, but neither .venv nor wheelhouse/
	rm -rf build dist demo-output artifacts *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +
