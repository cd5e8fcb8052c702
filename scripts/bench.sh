#!/usr/bin/env bash
# Cost per event inside the agent, then the agent's cost to a machine. Arguments go to the second, for example
# `native 6.1 6.12` or `6.12 --other /path/to/agent -- --its-flag`; docs/benchmarks.md tells how to read the figures.
source "$(dirname "$0")/lib.sh"
scripts/setup.sh test
scripts/build.sh

say "decode, enrich, encode"
cargo bench --locked -p tetragon --bench pipeline
say "exec storm without and with the agent"
cargo run --locked --release -p tetragon-e2e --bin bench -- "$@"
