#!/usr/bin/env bash
# A Rust toolchain: the one on PATH when it is new enough, otherwise Debian's.
source "$(dirname "$0")/../lib.sh"
source scripts/setup/packages.sh

msrv=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

# has TOOL: cargo finds it and it is at least the MSRV.
has() {
	local version
	# From the root folder, so that no project file has a say in the answer.
	version=$(cd / && "$1" -V 2>/dev/null | sed -n 's/^[a-z]* \([0-9]*\.[0-9]*\).*/\1/p') || return 1
	[[ -n $version && $(printf '%s\n' "$msrv" "$version" | sort -V | head -n 1) == "$msrv" ]]
}

if ! has cargo || ! has rustc; then
	old=$(command -v cargo || true)
	install_packages "Rust $msrv or newer is not on PATH" cargo-web rustc-web
	hash -r
	has cargo && has rustc || die "cargo ${old:+at $old }is older than $msrv and hides the system's: update it or take it off PATH"
fi

[[ $1 == test ]] || exit 0

if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
	if [[ $(command -v cargo) == /usr/bin/cargo ]]; then
		install_packages "formatter and linter of Debian's Rust" rustfmt-web rust-web-clippy
	elif command -v rustup >/dev/null; then
		say "adding rustfmt and clippy to the Rust toolchain"
		rustup component add rustfmt clippy
	fi
	cargo fmt --version >/dev/null && cargo clippy --version >/dev/null ||
		die "$(command -v cargo) has no 'cargo fmt' or no 'cargo clippy': add these components to that toolchain"
fi
