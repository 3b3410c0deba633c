# make demo | make test | make build: each installs what it needs and works on a fresh Debian/Ubuntu.
BUILD ?= build
JOBS ?= $(shell nproc)

.PHONY: all build deps test check lint demo goldens sanitize fuzz bench clean

all: build

deps:
	@scripts/deps $(BUILD)/deps

build: deps  ## the command line, at build/octavo
	@cmake -S . -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=Release \
	  -DOCTAVO_ONEDNN_DIR=$(abspath $(BUILD))/deps/onednn >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)

test: build  ## every test and check
	@tools/floors.py && tools/size.py
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

demo: build  ## quantize, generate and judge the model in zoo/emoji
	@scripts/demo $(BUILD)

lint:  ## clang-format and clang-tidy
	@scripts/lint $(BUILD)

sanitize:  ## the tests under ASan+UBSan, the threaded ones under TSan
	@scripts/sanitize

fuzz:  ## each fuzz target for a few seconds (scripts/fuzz 3600 for an hour each)
	@scripts/fuzz 10

bench: build  ## against PyTorch, same run, same threads
	@bench/compare.sh $(BUILD)

goldens:  ## remakes every golden file (needs torch, diffusers, transformers, ml_dtypes)
	@scripts/goldens

clean:
	@rm -rf $(BUILD)
