# Each target sets up what it needs, in a .venv of the project.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench docs lint clean

demo: .venv/examples
	$(BIN)/python -m examples.pipelines.flight_delays

test: .venv/dev .servers/ready
	$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

bench: .venv/dev
	$(BIN)/python -m benchmarks $(ARGS)

docs: export NO_MKDOCS_2_WARNING = 1
docs: .venv/dev
	$(BIN)/mkdocs build --strict

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

# Servers of S3 for the tests: programs, in an environment of their own because they pin what they
# need.
.servers/ready: tests/s3/servers.txt
	$(PYTHON) -m venv .servers
	.servers/bin/python -m pip install -qq -r tests/s3/servers.txt
	@touch $@

clean:
	rm -rf .venv .servers site .mypy_cache .ruff_cache .pytest_cache

# The marker files say which extras are installed in .venv. (-qq: errors only.)
.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/%: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -qq --editable '.[$*]'
	@touch $@
