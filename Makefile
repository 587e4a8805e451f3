# make train   trains Sparse MERIT on synthetic speech, scores it and writes the report
# make test    runs every test
# make lint    checks style, as CI of SpeechBrain does
# Each makes .venv first, and again when setup.py or constraints.txt have changed.
# Another Python: make train PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install -c constraints.txt

.PHONY: train test lint
.DELETE_ON_ERROR:

train: $(VENV)/.installed
	$(BIN)/python train.py hparams/merit.yaml

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --strict hparams recipes
	$(BIN)/codespell

# A stamp is the last thing that is made: what failed half way is done again.
$(VENV)/.installed: $(SOURCES)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v < (3, 13) or sys.exit("Python 3.10, 3.11 or 3.12 is needed, and $(PYTHON) is %d.%d. Give another: make PYTHON=python3.12" % v)'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(INSTALL) -e ".[$*]"
	touch $@
