# Everything that people and CI run. `make` alone lists it.
#
# Needs: make, git, Python 3.11 or newer, and apt for what else is missing (see setup/debian).

VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
export PYTHON
# Bytecode that is kept saves each process that a test starts, and each later run, its compiling.
unexport PYTHONDONTWRITEBYTECODE

# Real programs that tests talk to, as Debian's packages; one that cannot be had skips its tests.
PROGRAMS := buildah chromium curl docker-registry groff mosquitto netavark nginx-light openssl prometheus rsync skopeo swupdate systemd-container umoci zstd

# Tests on two cores: three at once, for some wait. Who is done takes over what others did not begin.
THREE := -n 3 --dist worksteal

# What `quick` leaves out: whole programs, installations, what pages have people type, and memory
# measured over thousands of connections and entries. Its properties have a fifth of the examples.
WHOLE_PROGRAMS := scenarios cli test_setup.py test_readme.py test_tutorial.py test_pages_run.py test_site.py \
	web/ops/test_browser.py keyless/test_process.py
MEASURED := web/port/test_memory.py registry/layout/test_large.py

.DEFAULT_GOAL := help
.PHONY: help demo quick test lint programs coverage bench attacks site man fuzz simulate interop lock sbom audit clean

help: ## this list
	@awk -F ":.*## " '/^[a-z]*:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run-ready ## the main job in under a minute: push, hook, polls, download; leaves nothing
	@$(BIN)/python demo/demo.py

quick: lint ## in under two minutes: style, types, layers, docs, and all tests but those of whole programs
	@EXAMPLES=20 $(BIN)/pytest -q $(THREE) $(patsubst %,--ignore tests/%,$(WHOLE_PROGRAMS) $(MEASURED))

test: programs lint ## everything that is checked: style, types, layers, docs, tests with real programs
	@$(BIN)/pytest $(THREE)

lint: $(VENV)/.dev-ready ## style and types
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary

programs: ## the real programs that tests talk to
	@setup/debian $(PROGRAMS)

coverage: programs $(VENV)/.dev-ready ## the tests, and which lines and branches none of them runs
	@$(BIN)/pytest $(THREE) --cov --cov-report=term-missing:skip-covered

bench: $(VENV)/.dev-ready ## speed and memory beside nginx and other peers, in one table; QUICK=1 for a short one
	@setup/debian docker-registry mosquitto nginx-light openssl wrk zstd
	@$(BIN)/python bench

attacks: $(VENV)/.dev-ready ## attacks on a real server, and what they take: some twenty minutes
	@$(BIN)/python bench/attacks.py

site: $(VENV)/.dev-ready ## docs/ as a site with search, in build/site
	@$(BIN)/sphinx-build -E -n -q -W --keep-going -b html -c setup/site docs build/site
	@echo "build/site/index.html"

man: $(VENV)/.run-ready ## man pages and shells' completion, from the commands
	@$(BIN)/python setup/man.py

fuzz: $(VENV)/.dev-ready ## some minutes of coverage-guided fuzzing
	@set -e; for script in fuzz/*.py; do [ ! -e "$$script" ] || $(BIN)/python "$$script"; done

simulate: $(VENV)/.dev-ready ## the seeded whole-program simulation with a hundred thousand seeds: most of an hour on two cores
	@SIMULATION_SEEDS=$${SIMULATION_SEEDS:-100000} HISTORIES=$${HISTORIES:-10000} $(BIN)/pytest -n 2 \
		tests/scenarios/test_simulation.py tests/scenarios/test_never_falls.py

interop: programs $(VENV)/.dev-ready ## other real programs where they can be had; says what it ran and skipped
	@$(BIN)/python setup/interop.py

lock: ## the lock files anew, and what changed; LOCK=--upgrade takes newer versions
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || setup/debian python3-venv
	@$(PYTHON) setup/lock.py $(LOCK)
	@$(MAKE) --no-print-directory sbom

sbom: $(VENV)/.run-ready ## the bill of materials that the wheel carries, from requirements.lock
	@$(BIN)/python setup/sbom.py

audit: ## what is known against the locked releases; needs the vulnerability service of PyPI
	@rm -rf .audit && $(PYTHON) -m venv .audit && .audit/bin/pip install --quiet pip-audit==2.10.1
	@set -e; for lock in requirements.lock requirements-dev.lock; do \
		.audit/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r $$lock; done
	@rm -rf .audit

clean: ## what the commands above made in this folder
	@rm -rf $(VENV) .audit build dist .*_cache .hypothesis .coverage*
	@find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.run-ready: requirements.lock requirements-build.lock pyproject.toml setup/venv
	@setup/venv $(VENV) requirements.lock
	@touch $@

$(VENV)/.dev-ready: requirements-dev.lock requirements-build.lock pyproject.toml setup/venv
	@setup/venv $(VENV) requirements-dev.lock
	@touch $@ $(VENV)/.run-ready
