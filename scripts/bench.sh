#!/usr/bin/env bash
# Cost per event inside the agent (native), then the agent's cost to the machine (in a VM).
source "$(dirname "$0")/lib.sh"
scripts/setup.sh test
scripts/build.sh

say "decode, enrich, encode"
cargo bench --locked --workspace --exclude tetragon-e2e --benches
say "exec storm without and with the agent"
cargo run --locked --release -p tetragon-e2e --bin bench -- "$@"
