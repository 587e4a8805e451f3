# make train        trains Sparse MERIT on synthetic speech, scores it and writes the report
# make test         checks style and runs every test but the long ones
# make test-long    runs the long tests: a run killed at ten random moments, and the like
# make test-lowest  runs the tests with the oldest versions that setup.py admits
# make test-newest  runs them with the newest
# make fuzz         ten thousand generated cases for each of six surfaces
# make lint         checks style, as CI of SpeechBrain does
# Each makes its environment first, and again when setup.py or constraints.txt have changed.
# Another Python: make train PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install -c constraints.txt

.PHONY: train test test-long test-lowest test-newest fuzz lint
.DELETE_ON_ERROR:

train: $(VENV)/.installed
	$(BIN)/python train.py hparams/merit.yaml

test: lint
	$(BIN)/python -m pytest

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m long

fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/fuzz --cases 10000

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --strict hparams recipes
	$(BIN)/codespell

# Both ends of what setup.py admits; resolved by uv, which knows how to take the lowest.
test-lowest test-newest: test-%: $(SOURCES)
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install uv
	.venv-$*/bin/python -m uv pip install --python .venv-$*/bin/python \
	    --resolution $(if $(filter lowest,$*),lowest-direct,highest) -e ".[test]"
	.venv-$*/bin/python -m pytest

# A stamp is the last thing that is made: what failed half way is done again.
$(VENV)/.installed: $(SOURCES)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v < (3, 15) or sys.exit("Python 3.10 to 3.14 is needed, and $(PYTHON) is %d.%d. Give another: make PYTHON=python3.12" % v)'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(INSTALL) -e ".[$*]"
	touch $@
