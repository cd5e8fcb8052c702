#!/usr/bin/env bash
# Cost per event inside the agent, the hook's cost to a container, the agent's cost to a machine. Arguments go to the
# last, for example `native 6.1 6.12` or `6.12 --other /path/to/agent -- --its-flag`; docs/benchmarks.md tells how to
# read the figures.
source "$(dirname "$0")/lib.sh"
scripts/setup.sh test
scripts/build.sh

say "decode, enrich, encode"
cargo bench --locked -p tetragon --bench pipeline
say "the OCI hook's cost to a container"
cargo bench --locked --profile hook -p tetragon-oci-hook --bench calls
say "exec storm without and with the agent"
cargo run --locked --release -p tetragon-e2e --bin bench -- "$@"
