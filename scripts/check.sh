#!/usr/bin/env bash
# Everything that can be said about the sources without running them.
source "$(dirname "$0")/lib.sh"
scripts/setup.sh test

say "formatting"
cargo fmt --all --check
mapfile -t c_files < <(git ls-files --cached --others --exclude-standard -- 'bpf/*.c' 'bpf/*.h')
if ((${#c_files[@]})); then
	clang-format-19 --dry-run -Werror "${c_files[@]}"
fi

say "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings

say "licences, dependencies, sources"
deny=$CACHE_DIR/tools/cargo-deny
"$deny" --locked check --hide-inclusion-graph licenses bans sources
# The advisory database is a git repository that not every build machine can reach.
if timeout 60 "$deny" --locked fetch db >"$LOG_DIR/advisories.log" 2>&1; then
	"$deny" --locked --offline check advisories
else
	say "security advisories NOT checked: their database cannot be reached from here ($LOG_DIR/advisories.log)"
fi
