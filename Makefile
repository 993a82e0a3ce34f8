# SPDX-License-Identifier: MIT
# A thin face over CMake's presets. `make` alone lists what there is.
# Needs nothing but make and a Debian 12: `deps` installs the rest from the distribution.

MAKEFLAGS += --no-print-directory
ARGS ?= serve
JOBS ?= $(shell nproc)
SECONDS_PER_FUZZER ?= 60
# Most tests wait for something: three at a time leave half of two processors idle. Under TSan they compute.
export CTEST_PARALLEL_LEVEL ?= 4
TSAN_PARALLEL_LEVEL ?= 3
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(JOBS)

# What CMake says at length goes to a log; what is off, and errors, stay on the terminal.
configure = mkdir -p build/$(1) && cmake --preset $(1) >build/$(1)/configure.log

# What `install` has to offer, and all that it builds.
INSTALLED = coracle_static coracle_shared coracle_program coracle_manual

.DEFAULT_GOAL := help
.PHONY: help deps deps-run deps-test deps-check build run test check abi bench bench-compare install amalgamation \
        amalgamated dist package try docs fmt fmt-check tidy style clean cover parsers aarch64 dev-tests tsan-tests \
        valgrind fuzz sim mutants amalgamated-contract

help: ## list the targets
	@echo "Coracle: Go's goroutines, channels and net for C. Targets:"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables: ARGS=\"$(ARGS)\" for run, JOBS=$(JOBS), DESTDIR and PREFIX for install,"
	@echo "BENCH_ARGS=\"--only echo --quick\" for bench (bench/side_by_side.py --help),"
	@echo "MUTANTS_ARGS=\"--only 'sync/*'\" for mutants (tests/mutants/run.py --help)."

deps: deps-check ## install every Debian package that a target below needs
deps-run:
	@tools/deps.sh run
deps-test:
	@tools/deps.sh test
deps-check:
	@tools/deps.sh check

build: deps-run ## build the library, the program, examples and benchmarks into build/release
	@$(call configure,release)
	@cmake --build --preset release

run: deps-run ## build, then start the six services (make run ARGS="serve echo" runs anything else)
	@$(call configure,release)
	@cmake --build --preset release --target coracle_program >build/release/build.log 2>&1 \
	    || { cat build/release/build.log; exit 1; }
	@exec build/release/coracle $(ARGS)

test: deps-test ## build and run the fast suite
	@$(call configure,release)
	@cmake --build --preset release
	@ctest --preset release

check: deps-check ## what takes longer: style, sanitizers, simulated rooms, valgrind, emulated ARM, coverage, fuzzing
	@$(MAKE) style fmt-check
	@reuse lint --quiet
	@$(MAKE) abi
	@$(MAKE) dev-tests
	@$(MAKE) tsan-tests
	@$(MAKE) sim
	@$(MAKE) valgrind
	@$(MAKE) aarch64
	@$(MAKE) amalgamated-contract
	@$(MAKE) parsers
	@$(MAKE) fuzz
	@echo "make check: all passed"

style: ## check the rules of the house (floors, sizes, docstrings, banned calls, names in documents)
	@python3 -B tests/tidy/style.py --self-test
	@python3 -B tests/tidy/style.py --numbers .
	@python3 -B tests/tidy/readme.py .

dev-tests:
	@$(call configure,dev)
	@cmake --build --preset dev
	@ctest --preset dev

tsan-tests:
	@$(call configure,tsan)
	@cmake --build --preset tsan
	@ctest --preset tsan -j $(TSAN_PARALLEL_LEVEL)

conformance: ## count the properties of Go's net that a test proves, cannot apply, or are open
	@python3 -B tests/net/check_table.py --count

abi: deps-check ## compare what the library offers with what it offered at the last tag
	@$(call configure,release)
	@cmake --build --preset release --target coracle_shared >build/release/abi.log 2>&1 \
	    || { cat build/release/abi.log; exit 1; }
	@tools/abi.sh build/release

valgrind: deps-check ## run the single-worker unit tests under valgrind
	@$(call configure,release)
	@cmake --build --preset release
	@tools/valgrind.sh build/release

aarch64: deps-check ## build for 64-bit ARM and run its self-contained tests under qemu
	@$(call configure,aarch64)
	@cmake --build --preset aarch64
	@ctest --preset aarch64

amalgamated: deps-test ## run the fast suite on the library as one file; check has what pollers and connections must do
	@$(call configure,amalgamated)
	@cmake --build --preset amalgamated
	@ctest --preset amalgamated

# Of its own folder, make builds only these.
amalgamated-contract: deps-test
	@$(call configure,amalgamated)
	@$(MAKE) -j $(JOBS) -C build/amalgamated/tests/contract
	@ctest --preset amalgamated -L contract

fuzz: deps-check ## run each fuzz target for SECONDS_PER_FUZZER seconds
	@tools/fuzz.sh $(SECONDS_PER_FUZZER)

sim: deps-test ## play 10,000 simulated rooms (make sim SIM_ARGS="--seeds 1 100000", or SIM_ARGS=617: that one alone)
	@$(call configure,release)
	@cmake --build --preset release --target test_sim_room >build/release/sim.log 2>&1 \
	    || { cat build/release/sim.log; exit 1; }
	@build/release/tests/test_sim_room $(or $(SIM_ARGS),--seeds 1 10000 --for 60)

mutants: deps-test ## put one fault after the other into a copy of the tree: does a test notice each? half an hour
	@python3 -B tests/mutants/run.py $(MUTANTS_ARGS)

bench: ## compare with bare kernel loops, Go, libuv, libevent, NATS and Redis: half an hour, results in build/bench
	@tools/deps.sh bench
	@$(call configure,release)
	@cmake --build --preset release
	@bench/side_by_side.py $(BENCH_ARGS)

bench-compare: ## compare with an earlier commit: make bench-compare REV=main~1 BENCH_ARGS="--only primitives"
	@tools/deps.sh bench
	@$(call configure,release)
	@cmake --build --preset release
	@bench/compare.py $(or $(REV),HEAD~1) $(BENCH_ARGS)

cover: deps-check ## measure line coverage of src/, at least 90 %
	@$(call configure,cover)
	@cmake --build --preset cover
	@find build/cover -name '*.gcda' -delete
	@ctest --preset cover
	@gcovr --root . --filter src/ --object-directory build/cover --exclude-unreachable-branches \
	    --txt --print-summary --fail-under-line 90
	@$(MAKE) parsers

parsers: deps-check ## measure what tests and fuzz corpora reach of each parser of strangers' bytes, at least 90 % each
	@$(call configure,cover)
	@tools/parsers.py build/cover

# ldconfig is for programs linked without pkg-config's -rpath; a staged tree has no loader to tell.
install: deps-run ## build the library and the program, install below PREFIX (default /usr/local), staged in DESTDIR
	@$(call configure,release)
	@cmake --build --preset release --target $(INSTALLED)
	@cmake --install build/release --prefix $(or $(PREFIX),/usr/local)
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" -eq 0 ]; then PATH=$$PATH:/sbin:/usr/sbin ldconfig; fi

amalgamation: ## make the library as two files, coracle.c and coracle.h, in build/amalgamation
	@python3 -B tools/amalgamate.py build/amalgamation

docs: ## make the documentation as a site of plain files in build/docs, and check its links
	@tools/deps.sh docs
	@python3 -B tools/docs.py --version "$$(sed -n 's/^project(coracle VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)" \
	    build/docs

dist: ## make the source tarball of HEAD in build/dist, the same bytes each time
	@tools/dist.sh build/dist

package: ## make the Debian packages of HEAD in build/package, and have lintian look at them
	@tools/deps.sh package
	@tools/package.sh build/package

try: package ## install these on a bare Debian 12 and use them there, systemd, CMake and container too; root, minutes
	@tools/deps.sh try
	@packaging/try.sh build/package

# Found, not listed by depth: a folder inside a folder would be left out without a word.
sources = $(shell find include src cmd examples bench tests -name '*.[ch]')

fmt: ## lay out all C: clang-format, and comments of 120 columns
	@command -v clang-format >/dev/null || tools/deps.sh check
	@clang-format -i $(sources)
	@python3 -B tools/wrap.py $(sources)

fmt-check:
	@clang-format --dry-run --Werror $(sources) && echo "clang-format: nothing to change"

tidy: deps-check ## run clang-tidy over src/ and cmd/
	@$(call configure,clang)
	@tools/tidy.sh build/clang

clean: ## remove everything built
	@rm -rf build
