# shellcheck shell=bash
# What every script shares. Sourced first; leaves the working directory at the repository's root.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Downloads, tools and logs; git-ignored, and safe to delete at any time.
CACHE_DIR=$PWD/.cache
LOG_DIR=$CACHE_DIR/logs

say() { printf '==> %s\n' "$*" >&2; }

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# The folder of cargo's release binaries. .cargo/config.toml names a target, so that is part of the path.
release_dir() {
	local host
	host=$(rustc -vV | sed -n 's/^host: //p')
	printf '%s/%s/release\n' "${CARGO_TARGET_DIR:-target}" "$host"
}
