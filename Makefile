# Every command works on a fresh machine: it sets up what it needs first.
#   PYTHON=python3.12 make setup     another interpreter (3.11 or newer)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all check bench docs devices onnxruntime-web

WEB := onnxruntime-web-1.30.0
WEB_SHA256 := d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71
WEB_FILES := ort.wasm.bundle.min.mjs ort-wasm-simd-threaded.wasm
WEB_FOLDER := $(VENV)/share/understudy/$(WEB)

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(STAMP) ## make .venv with everything that demo and tests need

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "understudy needs Python 3.11 or newer: received PYTHON=$(PYTHON); run: make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "no virtual environment: on Debian and Ubuntu run: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## compress a CLINC150 intent classifier and show the table
	$(BIN)/understudy compress examples/clinc150/job.toml --out runs/demo

test: setup ## run the ordinary tests
	@$(MAKE) --silent onnxruntime-web || echo "not fetched: ONNX Runtime Web; its tests are left out" >&2
	$(PYTEST) -m "not slow"

test-all: setup onnxruntime-web ## run every test, with coverage
	$(PYTEST) --cov --cov-report=term

check: setup ## lint, format, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir $(VENV)/.import_linter_cache

bench: setup ## measure the tables of the docs again (hours; writes benchmarks/results; arm_runtimes.py and image_peer.py need arguments)
	@for script in import_time c_code_size text few_texts other_sets images image_teaching projections pruned windows search fasttext_peer raw_text latency image_latency executorch_latency file_overhead devices fuzz_bundle fuzz_c image_training image_precision image_variations table; do \
		echo "== $$script"; $(BIN)/python benchmarks/$$script.py || exit 1; done

onnxruntime-web: $(WEB_FOLDER)/.complete ## fetch ONNX Runtime Web, which bench --on browser runs ONNX files in (needs npm)

$(WEB_FOLDER)/.complete: | setup
	@command -v npm >/dev/null || { echo "no npm: install Node.js with npm, then run: make onnxruntime-web" >&2; exit 1; }
	@rm -rf $(WEB_FOLDER).partial && mkdir -p $(WEB_FOLDER).partial
	cd $(WEB_FOLDER).partial && npm pack --silent $(subst web-,web@,$(WEB)) >/dev/null
	cd $(WEB_FOLDER).partial && echo "$(WEB_SHA256)  $(WEB).tgz" | sha256sum --check --quiet
	cd $(WEB_FOLDER).partial && tar -xzf $(WEB).tgz --strip-components=2 $(addprefix package/dist/,$(WEB_FILES)) && rm $(WEB).tgz
	@touch $(WEB_FOLDER).partial/.complete && rm -rf $(WEB_FOLDER) && mv $(WEB_FOLDER).partial $(WEB_FOLDER)

devices: onnxruntime-web ## install what emulated targets need, from Debian's packages (asks for root through sudo)
	$(shell test "$$(id -u)" = 0 || echo sudo) apt-get install -y --no-install-recommends \
		qemu-system-arm qemu-user gcc-arm-none-eabi libnewlib-arm-none-eabi \
		gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf libc6-dev-armhf-cross \
		gcc-riscv64-linux-gnu libc6-dev-riscv64-cross clang lld nodejs chromium

docs: setup ## write the generated pages: golden vectors, schemas, the command reference, the tables of results
	$(BIN)/python spec/make_vectors.py
	$(BIN)/python spec/schemas.py
	$(BIN)/python docs/make_command_reference.py
	$(BIN)/python benchmarks/table.py
