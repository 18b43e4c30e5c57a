# On a fresh machine with Python >= 3.11:
#   make reproduce   installs into .venv, re-runs the papers on the embedded data, writes figures/
#   make test        installs into .venv, runs every test
#   make install     installs into .venv what `make reproduce` needs, and runs nothing
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: install reproduce test lint notebooks

reproduce: $(VENV)/installed
	$(BIN)/python run_all.py

install: $(VENV)/installed

test: $(VENV)/installed-test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-test
	$(BIN)/python -m ruff check .

# For maintainers: the committed notebooks carry the outputs of the embedded profile, and what is said of them.
notebooks: $(VENV)/installed
	$(BIN)/python run_all.py --update-notebooks
	$(BIN)/python scripts/tutorial.py
	$(BIN)/python scripts/sentences.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "error: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[suite]'
	@touch $@

$(VENV)/installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/installed
