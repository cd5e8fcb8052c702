#!/usr/bin/env bash
# The static release binaries.
source "$(dirname "$0")/lib.sh"

cargo build --release --locked -p tetragon -p tetra
# Of its own profile: small, and a panic unwinds. Renamed into place, since the folder's copy may be running.
cargo build --profile hook --locked -p tetragon-oci-hook
cp "$(release_dir)/../hook/tetragon-oci-hook" "$(release_dir)/.tetragon-oci-hook"
mv -f "$(release_dir)/.tetragon-oci-hook" "$(release_dir)/tetragon-oci-hook"
ls -sh "$(release_dir)"/{tetragon,tetra,tetragon-oci-hook} >&2
