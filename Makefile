# For newcomers: `make demo`, `make test` and `make docs`. Each builds its own environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT := demo
CONSUMERS := $(VENV)-consumers
NPM_PACKAGES := three@0.187.0 @pixiv/three-vrm@3.5.5 gltf-validator@2.0.0-dev.3.10 onnxruntime-web@1.30.0 \
	react@19.3.1 react-dom@19.3.1 @types/react@19.3.3 @types/react-dom@19.3.0 \
	@met4citizen/talkinghead@1.7.0 @google/model-viewer@4.4.0

.PHONY: demo test lint docs consumers clean

demo: $(VENV)/demo.stamp
	$(BIN)/imavatar-export sample --format onnx --out $(OUT)/avatar --overwrite
	$(BIN)/imavatar-verify $(OUT)/avatar
	$(BIN)/imavatar-run $(OUT)/avatar --source talk --background white --overwrite --sink $(OUT)/talk.mp4 --sink $(OUT)/contact_sheet.png
	$(BIN)/imavatar-bench $(OUT)/avatar --json $(OUT)/latency.json
	@echo "the commands are in $(BIN); to have them on your path: . $(BIN)/activate"

# In several processes, the tests of a file together, because they share fixtures; files with slow tests come first
# (tests/conftest.py), not those with many tests. Each process computes on one thread: more would compete for the same cores.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Types are checked on the installed package: the mapped folders have their real names only there.
lint: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	rm -rf build
	$(BIN)/pip install --quiet --no-deps --target build/installed .
	cd build/installed && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache

# Opens exports in the programs that read them: see docs/importers.md. They are installed from PyPI and npm in an
# environment of their own. Blender's module needs Python 3.11, and the tests of pages an installed Chromium.
consumers: $(VENV)/consumers.stamp
	$(BIN)/pip install --quiet --editable '.[meshopt]'
	NODE_PATH=tools/node_modules PATH="$(CURDIR)/$(CONSUMERS)/bin:$$PATH" \
	$(BIN)/pytest tests/consumers tests/exporters/test_gltf.py tests/exporters/test_glb_format.py \
	tests/exporters/test_glb_compress.py tests/exporters/test_colour_morphs.py tests/exporters/test_web_examples.py \
	tests/exporters/test_arkit_map.py -rs

docs: $(VENV)/docs.stamp
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs build/docs
	@echo "open build/docs/index.html"

$(VENV)/demo.stamp: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "imavatar-deploy needs Python 3.10 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[cpu,export]'
	touch $@

$(VENV)/dev.stamp: $(VENV)/demo.stamp
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

# model-viewer asks for an older three than the others are tested with: hence --legacy-peer-deps.
$(VENV)/consumers.stamp: tests/consumers/requirements.txt Makefile | $(VENV)/dev.stamp
	$(PYTHON) -m venv $(CONSUMERS)
	$(CONSUMERS)/bin/pip install --quiet --requirement tests/consumers/requirements.txt
	PATH="$(CURDIR)/$(CONSUMERS)/bin:$$PATH" npm install --no-save --silent --legacy-peer-deps --prefix tools \
	$(NPM_PACKAGES)
	touch $@

$(VENV)/docs.stamp: $(VENV)/demo.stamp
	$(BIN)/pip install --quiet --editable '.[docs,train]'
	touch $@

clean:
	rm -rf build .mypy_cache $(OUT) $(VENV) $(CONSUMERS)
