# Everything a person types. `make run` on a fresh machine builds the whole corpus; `make test` checks the project.
.DEFAULT_GOAL := help
.PHONY: help run results chat test ui estimate bench validate clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
export DAGSTER_DISABLE_TELEMETRY := 1
export PYTHONWARNINGS ?= ignore
# Threads of torch that wait for each other sleep: spinning, two of them stand still as soon as a core is shared.
export OMP_WAIT_POLICY ?= PASSIVE

help: ## This list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1\t\2/' | expand -t 16

run: $(INSTALLED) ## Sample world (or MUSIC_RAW), every asset, a summary
	@$(BIN)/python -m dagster_project.run $(ARGS)

results: $(INSTALLED) ## The evaluation tables of the lake
	@$(BIN)/python -m dagster_project.results $(ARGS)

chat: $(INSTALLED) ## Talk to the trained recommender (ARGS=--page: in a browser)
	@$(BIN)/python -m dagster_project.chat $(ARGS)

test: $(INSTALLED) ## Lint, types, definitions, tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory validate
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

ui: $(INSTALLED) ## Dagster on http://127.0.0.1:3000
	@$(BIN)/python -m dagster_project.ui $(ARGS)

estimate: $(INSTALLED) ## What language models would be asked, and what that would cost (ARGS=--gemini)
	@$(BIN)/python -m dagster_project.estimate $(ARGS)

bench: $(INSTALLED) ## Every claim, measured: ours, the alternative, the ratio
	@$(BIN)/python -m benchmarks $(ARGS)

validate: $(INSTALLED) ## Definitions load
	@$(BIN)/dagster definitions validate -w workspace.yaml --log-level warning

clean: ## Remove the sample world, its lake and all caches; the environment stays
	rm -rf data/embedded/sample data/embedded/lake .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# A killed install leaves no stamp, and pip goes on where it was.
$(INSTALLED): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
