# Every target sets itself up: `make demo` and `make test` are the two commands of a fresh clone.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
PACKAGED := src/handgrad/exercises
ASSIGNMENTS := $(notdir $(wildcard source/*))

# the programs of the environment come first
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help demo test test-all test-container test-lowest test-newest prove lint docs bench release constraints clean clean-course

help:
	@echo "make demo         grade a sample class and write report.html"
	@echo "make test         formatting, lint, types and every test but the slow ones"
	@echo "make test-all     the same and the slow ones"
	@echo "make docs         the documentation as a site, in build/docs"
	@echo "make prove        what takes long and asks again: other seeds, all mutants, nbgrader's own tests (an hour)"
	@echo "make test-container  make the Dockerfile's image without Docker, and grade a class in it; needs root and Debian"
	@echo "make test-lowest, test-newest  tests with the lowest and the newest versions of all packages; needs uv"
	@echo "make bench        measure, and compare with nbgrader and otter-grader (30 minutes; python -m benchmarks --quick takes 5)"
	@echo "make release      release/ and solutions/ from source/, the wheel for students, and the exercises in the package"
	@echo "make constraints  pin the newest version of every package, and write requirements.lock with hashes"
	@echo "make clean        delete what can be made again: the environment, builds, wheels"
	@echo "make clean-course delete submissions, grades, seeds and feedback, such as those of \`make demo\`; asks first"

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

docs: $(READY)
	sphinx-build -n -W --keep-going -q docs build/docs

test: lint docs
	# two processes: torch keeps to one processor in each, or time limits are tested on a machine that is too busy;
	# files in their own order: the journeys first, which are few tests and take long;
	# a test that hangs is named after its time, many times what it needs
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --timeout 900 -m "not slow and not proof and not container"

test-all: test
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --timeout 1800 -m "slow and not proof"

prove: $(READY)
	OMP_NUM_THREADS=1 python -m pytest -n 2 --timeout 1800 -m proof

test-container: $(READY)
	# as root: mmdebstrap and eatmydata, Debian's packages, make the root
	python -m pytest -m container tests/end_to_end/test_container.py

test-lowest test-newest:
	.ci/versions $(@:test-%=%)

bench: $(READY)
	python -m benchmarks

release: $(READY)
	# the wheel holds the exercises and the pages for students, so they come before it
	mkdir -p $(PACKAGED)/student
	cp docs/start/student.md docs/student/*.md $(PACKAGED)/student
	for assignment in $(ASSIGNMENTS); do \
	    nbgrader generate_assignment $$assignment --force && \
	    mkdir -p $(PACKAGED)/$$assignment && \
	    cp -RL source/$$assignment/. $(PACKAGED)/$$assignment && \
	    find $(PACKAGED)/$$assignment -name '*.ipynb*' -delete && \
	    cp release/$$assignment/exercise.json $(PACKAGED)/$$assignment || exit 1; \
	done
	handgrad release

constraints:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	# newer versions of soupsieve need Python 3.11.5, and Debian 12 has 3.11.2
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]' torch==2.13.0 soupsieve==2.10
	sed -n '/^#/p' constraints.txt > $(VENV)/constraints.txt
	$(VENV)/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' >> $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt
	# pip keeps no hashes of what it has installed: uv asks the index for those of all builds, but for torch's
	$(VENV)/bin/python -m handgrad.authoring.locked_requirements grade | grep -v '^torch==' > $(VENV)/requirements.txt
	$(VENV)/bin/python -m pip install --quiet uv
	sed -n '/^#/p' requirements.lock > $(VENV)/requirements.lock
	$(VENV)/bin/uv pip compile --quiet --no-deps --no-header --no-annotate --generate-hashes \
	    $(VENV)/requirements.txt >> $(VENV)/requirements.lock
	mv $(VENV)/requirements.lock requirements.lock
	rm -rf $(VENV)

clean:
	rm -rf $(VENV) build dist release/*/*.whl

clean-course:
	@printf 'This deletes submitted/, autograded/, feedback/, .handgrad/ (seeds and reports), gradebook.db, report*.html, term.html, term.csv.\n'
	@read -p 'All grades are lost. Type yes to delete them: ' answer && [ "$$answer" = yes ] || { echo 'Nothing is deleted.'; exit 1; }
	find submitted autograded -mindepth 1 ! -name README.md -delete
	rm -rf feedback .handgrad gradebook.db* report*.html term.html term.csv
