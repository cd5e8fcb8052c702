#!/usr/bin/env bash
# A shell in a VM with the given kernel, the agent running.
source "$(dirname "$0")/lib.sh"
scripts/setup.sh test
scripts/build.sh

cargo run --locked --release -p tetragon-e2e --bin vm -- "$@"
