# `make run` and `make test` need only python3.11 and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RUN_LOCKS := base grpc worker optimize demo
LOCKS = $(foreach name,$(1),-r requirements/$(name).txt)

.PHONY: run test explore check format bench bench-peers bench-latency shots proto clean
run: $(VENV)/.run ## the whole product with demo models; flags go in ARGS="--port 9000 …"
	@exec $(BIN)/python manage.py up $(ARGS)

test: $(VENV)/.dev ## every test; browser tests skip, saying so, where Chromium is missing
	$(BIN)/python -m pytest $(ARGS)

explore: $(VENV)/.dev ## the property tests with examples that nobody has seen yet; what it finds becomes a test
	HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest -m hypothesis $(ARGS)

check: $(VENV)/.dev ## what CI runs: lint (templates too), format, types, import contracts, missing migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djlint --lint --quiet templates
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/.dev ## rewrite to our format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## figures of this machine, as ratios in one run
	$(BIN)/python -m bench.throughput $(ARGS)

bench-peers: $(VENV)/.dev ## ours beside Triton, mosec and others; first ARGS=--setup; needs wrk
	$(BIN)/python -m bench.peers $(ARGS)

bench-latency: $(VENV)/.dev ## p99 at parts of capacity, ours beside Triton; the same needs
	$(BIN)/python -m bench.latency $(ARGS)

shots: $(VENV)/.dev ## screenshots of every page into docs/screenshots/
	$(BIN)/python -m bench.screenshots $(ARGS)

proto: $(VENV)/.dev ## remake the gRPC messages from inference/protocol/proto/open_inference.proto
	PYTHON=$(abspath $(BIN)/python) inference/protocol/proto/generate.sh

# Torch first and by plain pip: a lock or a resolver would bring gigabytes of CUDA to a machine without a GPU.
$(VENV)/.torch: requirements/torch.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -r requirements/torch.txt
	@touch $@

$(VENV)/.run: $(VENV)/.torch $(RUN_LOCKS:%=requirements/%.txt)
	$(PIP) install --no-deps --require-hashes $(call LOCKS,$(RUN_LOCKS))
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(PIP) install --no-deps --require-hashes $(call LOCKS,dev)
	@touch $@

clean: ## forget the environment and the local data
	rm -rf $(VENV) data
