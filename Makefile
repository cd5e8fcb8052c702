# The only way in. Each target is one script of scripts/, so that what it does can be read there.

# Kernel of `make vm`.
K ?= 6.12
# Arguments handed on to `make bench`, for example ARGS="native 6.12 --other /path/to/agent".
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check bench build vm

help: ## List these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: ## Set up, build, and show this machine's process events live (root; Ctrl-C ends it, DURATION=5 limits it)
	@scripts/run.sh

test: ## Set up, check, and run every test, those on real kernels included
	@scripts/test.sh

check: ## Formatting, lints, licences and dependency rules; changes nothing
	@scripts/check.sh

bench: ## Set up, and measure the agent's cost (ARGS="native 6.1 6.12" names the kernels)
	@scripts/bench.sh $(ARGS)

build: ## Set up, and build the static release binaries
	@scripts/setup.sh build
	@scripts/build.sh

vm: ## Set up, and open a shell in a VM with kernel K (5.10 6.1 6.12 7.2) and the agent running
	@scripts/vm.sh $(K)
