# `make loop` installs what it needs and runs the main job; `make test` installs and passes the tests.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ENV    := .rondo/env
STAMP  := $(VENV)/.installed
RUN    := . ./$(ENV) &&
# For training alone on a machine: waiting threads of GNU OpenMP stay awake for a moment.
ALONE  := $(RUN) GOMP_SPINCOUNT=10000

# `exec`, so that a signal that make passes on reaches the program instead of a shell.
# make loop SEED=7 CONTROL=1 DAYS=6; make loop DATA=path WAVES=3
LOOP   := $(if $(SEED),--seed $(SEED)) $(if $(filter-out 0,$(CONTROL)),--control) \
          $(if $(DATA),--data $(DATA)) $(if $(DAYS),--days $(DAYS)) \
          $(if $(WAVES),--waves $(WAVES))

.PHONY: install loop test test-all serve deploy deps bento bench-accuracy bench-times bench-speed bench-scale bench-pipeline bench-imports bench-sizes bench-paging bench-canary bench-planted bench-poison bench-gate bench-ope bench-ope-coverage tune lint typecheck check clean

loop: install           ## the whole cycle: events -> a gated, served, retrained recommender
	@$(RUN) exec python -m flows.loop $(LOOP)

test: install           ## the tests that need only Python
	@$(RUN) exec python -m pytest -q -m "not servers and not slow" $(ARGS)

test-all: install       ## all tests; tests without the servers they need are skipped with a reason
	@$(RUN) exec python -m pytest -q $(ARGS)

serve: install          ## the current champion on http://localhost:3000
	@$(RUN) exec python -m flows.serve

deploy: install         ## a local Prefect server and worker with the scheduled deployments
	@$(RUN) exec python -m flows.deploy

bento: install          ## package the current champion as a Bento
	@$(RUN) exec python -m serving.bento

# make bench-accuracy DATA=path/to/ml-1m.txt SEEDS=3 LENGTH=200
ACCURACY := $(if $(DATA),--data $(DATA)) $(if $(SEEDS),--seeds $(SEEDS)) \
            $(if $(LENGTH),--length $(LENGTH)) $(ARGS)

bench-accuracy: install ## accuracy on a file of `user item` lines, as published tables measure it
	@$(ALONE) exec python -m benchmarks.accuracy $(ACCURACY)

# make bench-times DATA=path/to/u.data SEEDS=3
TIMES := $(if $(DATA),--data $(DATA)) $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

bench-times: install    ## the effect of time intervals in the attention, on ratings with times
	@$(ALONE) exec python -m benchmarks.times $(TIMES)

# make bench-speed DATA=path/to/ml-1m.txt LENGTH=200 TARGET=0.165
SPEED := $(if $(DATA),--data $(DATA)) $(if $(LENGTH),--length $(LENGTH)) \
         $(if $(TARGET),--target $(TARGET)) $(ARGS)

bench-speed: install    ## training speed compared with RecTools and a padded baseline, on the same data
	@$(ALONE) exec python -m benchmarks.speed $(SPEED)

# make bench-scale ARGS="--events 1e5 1e6 --catalogues 1e3 1e4"
bench-scale: install    ## cost of training by events (to 100 million) and items (to 1 million)
	@$(ALONE) exec python -m benchmarks.scale $(ARGS)

# make bench-pipeline ARGS="--events 1e5 1e6 --items 1e3 1e4 --days 10 365"
bench-pipeline: install ## cost of every stage by events, items and days
	@$(ALONE) exec python -m benchmarks.pipeline $(ARGS)

# make bench-imports ARGS="--rows 1e6 2.5e7 --forms movielens csv jsonl gz"
bench-imports: install  ## memory and time to import a file of ratings, by number of rows
	@$(ALONE) exec python -m benchmarks.imports $(ARGS)

# make bench-sizes ARGS="--sizes tiny small --seconds 20"
bench-sizes: install    ## training speed by size on this device, relative to its matrix products
	@$(ALONE) exec python -m benchmarks.sizes $(ARGS)

# make bench-paging ARGS="--people 300 --pages 30"
bench-paging: install   ## a feed that excludes items shown before: quality and cost by page
	@$(RUN) dvc repro -q package && python -m benchmarks.paging $(ARGS)

# make bench-canary ARGS="--replicates 200 --seed 7"
bench-canary: install   ## how often a good canary is rolled back, and how soon a bad one is caught
	@$(RUN) exec python -m benchmarks.canary $(ARGS)

bench-planted: install  ## twenty faults planted in runs, and how many of them the gate blocks
	@$(RUN) exec env RONDO_PLANTED_REPORT=$(CURDIR)/reports/bench-planted.json \
	    python -m pytest -q -m slow tests/planted $(ARGS)

# make bench-poison ARGS="--seeds 7 8 --forms few cover"; ARGS=--report only reports what was measured
bench-poison: install   ## how much fake users who push one item raise its exposure; goes on where it was stopped
	@$(ALONE) exec python -m benchmarks.poison.bench $(ARGS)

# make bench-ope DATA=path/to/a/campaign
bench-ope: install      ## off-policy values on a campaign of the Open Bandit Dataset, beside on-policy ones
	@$(RUN) exec python -m benchmarks.ope.bandit $(if $(DATA),--data $(DATA)) $(ARGS)

bench-ope-coverage: install ## bias and coverage of off-policy estimates, where the truth is a sum
	@$(RUN) exec python -m benchmarks.ope.coverage $(ARGS)

# make bench-gate SEED=7 RUNS=300 ARGS="--processes 2"; ARGS=--report only reports what was played
GATE := $(if $(SEED),--seeds $(SEED)) $(if $(RUNS),--runs $(RUNS)) $(ARGS)
bench-gate: install     ## how often the gate is right, on a bank of real releases; goes on where it was stopped
	@$(ALONE) exec python -m benchmarks.gate.bench $(GATE)

# make tune SECTION=fit TRIALS=20 SAMPLER=grid JOBS=2 DRY_RUN=1
TUNE := $(if $(SECTION),--section $(SECTION)) $(if $(TRIALS),--trials $(TRIALS)) \
        $(if $(SAMPLER),--sampler $(SAMPLER)) $(if $(JOBS),--jobs $(JOBS)) \
        $(if $(filter-out 0,$(DRY_RUN)),--dry-run) $(ARGS)

tune: install           ## search for better values in params.yaml, on validation data
	@$(RUN) dvc repro -q $(if $(filter trees,$(SECTION)),candidates,split) && \
	  python -m training.tune $(TUNE)

deps: install           ## update dvc.yaml: the code that each stage runs, found by its imports
	@$(RUN) exec python -m flows.dependencies

lint: install
	@$(RUN) ruff check . && ruff format --check .

typecheck: install
	@$(RUN) mypy

check: lint typecheck test

install: $(STAMP) $(ENV)

# Compile bytecode here, on all cores. Errors are ignored: some packages hold templates that are not
# Python. Tests of packages are left out, as nothing imports them.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Rondo needs Python 3.11 or newer; set PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) 2>/dev/null || \
	  { rm -rf $(VENV); $(PYTHON) -m venv --without-pip $(VENV) && \
	    $(PYTHON) -m pip --python $(BIN)/python install -q pip; } || \
	  { echo "cannot make a virtual environment: install python3-venv (Debian) or pip"; exit 1; }
	@echo "installing (1 to 5 minutes the first time) ..."
	@$(BIN)/python install.py --python $(BIN)/python -c constraints.txt -e ".[train,dev]"
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
	@touch $@

# Our Python is first on PATH, because DVC runs `python` by name. Telemetry is off in all tools.
# Waiting threads sleep, because on a busy machine spinning ones cost minutes.
$(ENV): Makefile
	@mkdir -p .rondo && rm -f $@.tmp && { \
	  echo 'export PATH="$(CURDIR)/$(BIN):$$PATH"'; \
	  echo 'export RONDO_HOME="$${RONDO_HOME:-$(CURDIR)/.rondo}"'; \
	  echo 'export BENTOML_HOME="$$RONDO_HOME/bentoml"'; \
	  echo 'export PREFECT_HOME="$$RONDO_HOME/prefect"'; \
	  echo 'export PREFECT_API_URL="$${PREFECT_API_URL:-http://127.0.0.1:4200/api}"'; \
	  echo 'export DVC_SITE_CACHE_DIR="$$RONDO_HOME/dvc-site"'; \
	  echo 'export DO_NOT_TRACK=1 DVC_NO_ANALYTICS=1 BENTOML_DO_NOT_TRACK=True'; \
	  echo 'export PREFECT_SERVER_ANALYTICS_ENABLED=false OTEL_SDK_DISABLED=true'; \
	  echo 'export OMP_WAIT_POLICY=PASSIVE'; \
	} > $@.tmp && mv $@.tmp $@

clean:                  ## remove all state, keep the installation
	rm -rf .rondo reports .pytest_cache .mypy_cache .ruff_cache
	rm -rf $(addprefix data/,world split features transformer candidates trees evaluation release metrics)
