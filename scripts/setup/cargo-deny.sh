#!/usr/bin/env bash
# The checker of licences and dependency rules, built once per version into the cache.
source "$(dirname "$0")/../lib.sh"

version=0.20.2
tool=$CACHE_DIR/tools/cargo-deny-$version

if [[ ! -x $tool/bin/cargo-deny ]]; then
	say "building cargo-deny $version (some minutes, once)"
	mkdir -p "$LOG_DIR" "$tool"
	# Unoptimised: it runs for a second and would compile for much longer.
	if ! cargo install --quiet --locked --debug --root "$tool" --target-dir "$CACHE_DIR/tools/target" \
		"cargo-deny@$version" >"$LOG_DIR/cargo-deny.log" 2>&1; then
		tail -n 20 "$LOG_DIR/cargo-deny.log" >&2
		die "cannot build cargo-deny (whole output: $LOG_DIR/cargo-deny.log)"
	fi
	rm -rf "$CACHE_DIR/tools/target"
fi
ln -sfn "cargo-deny-$version/bin/cargo-deny" "$CACHE_DIR/tools/cargo-deny"
