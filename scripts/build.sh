#!/usr/bin/env bash
# The static release binaries.
source "$(dirname "$0")/lib.sh"

cargo build --release --locked -p tetragon -p tetra
# Of a profile of their own: small, and a panic unwinds. One after the other, or the hook would carry what the plugin
# needs of their common libraries. Renamed into place, since the folder's copy may be running.
cargo build --profile hook --locked -p tetragon-oci-hook
cargo build --profile hook --locked -p tetragon-rthooks
for name in tetragon-oci-hook tetragon-rthooks; do
	cp "$(release_dir)/../hook/$name" "$(release_dir)/.$name"
	mv -f "$(release_dir)/.$name" "$(release_dir)/$name"
done
ls -sh "$(release_dir)"/{tetragon,tetra,tetragon-oci-hook,tetragon-rthooks} >&2
