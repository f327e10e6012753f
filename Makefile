# Every target sets itself up: `make demo` and `make test` are the two commands of a fresh clone.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
PACKAGED := src/handgrad/exercises
ASSIGNMENTS := $(notdir $(wildcard source/*))

# nbgrader asks for its helpers (alembic, jupyter) by name
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help demo test test-all lint bench release constraints clean

help:
	@echo "make demo         grade a sample class and write report.html"
	@echo "make test         formatting, lint, types and every test but the slow ones"
	@echo "make test-all     the same and the slow ones"
	@echo "make bench        measure beside nbgrader and otter-grader (20 minutes); writes benchmarks/results.md"
	@echo "make release      release/ and solutions/ from source/, and the wheel for students"
	@echo "make constraints  pin the newest versions of every package anew"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)
	handgrad demo

lint: $(READY)
	ruff format --check .
	ruff check .
	mypy

test: lint
	# two processes: torch keeps to one processor in each, or time limits are tested on a machine that is too busy
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: test
	python -m pytest -m slow

bench: $(READY)
	python -m benchmarks

release: $(READY)
	rm -rf build dist
	for assignment in $(ASSIGNMENTS); do \
	    nbgrader generate_assignment $$assignment --force && \
	    nbgrader generate_solution $$assignment --force && \
	    mkdir -p $(PACKAGED)/$$assignment && \
	    find -L source/$$assignment -type f ! -name '*.ipynb' -exec cp {} $(PACKAGED)/$$assignment \; && \
	    cp release/$$assignment/exercise.json $(PACKAGED)/$$assignment || exit 1; \
	done
	python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	for assignment in $(ASSIGNMENTS); do cp dist/handgrad-*.whl release/$$assignment/ || exit 1; done

constraints:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]' torch==2.13.0
	sed -n '/^#/p' constraints.txt > $(VENV)/constraints.txt
	$(VENV)/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' >> $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) build dist autograded feedback submitted .handgrad gradebook.db* report.html release/*/*.whl
