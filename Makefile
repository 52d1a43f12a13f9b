# Each target installs the Debian packages it needs by itself. Two of them are all that a newcomer needs: run and test.
.PHONY: run test test-postgres tsan bench fuzz fmt lint docs clean

run:  ## build, start the control plane and two emulated agents, print what to try; Ctrl-C stops it
	@tools/run.sh

test:  ## build and run everything that CI runs
	@tools/test.sh

test-postgres:  ## the suites that use a database, on PostgreSQL
	@tools/test-postgres.sh

tsan:  ## the concurrent parts under ThreadSanitizer
	@tools/tsan.sh

bench:  ## measure, side by side with nginx and openssl
	@tools/bench.sh

fuzz:  ## fuzz every parser; FUZZ_SECONDS=60 each by default, FUZZ_RUNS at most, FUZZ_TARGETS to choose
	@tools/fuzz.sh

fmt:  ## format the sources in place
	@tools/install-packages.sh
	@git ls-files -co --exclude-standard '*.cpp' '*.h' | xargs clang-format-19 -i

lint:  ## formatter, include directions, clang-tidy
	@tools/lint.sh

docs:  ## rewrite the documents that are made from the code
	@tools/docs.sh

clean:
	rm -rf build
