#!/usr/bin/env bash
# The static release binaries.
source "$(dirname "$0")/lib.sh"

cargo build --release --locked -p tetragon -p tetra
ls -sh "$(release_dir)"/{tetragon,tetra} >&2
