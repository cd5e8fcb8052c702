# shellcheck shell=bash
# Installing Debian packages: only the missing ones, as root, and said aloud. Sourced after lib.sh.

installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# install_packages WHY PACKAGE...: does nothing when all are there.
install_packages() {
	local why=$1 package missing=()
	shift
	for package in "$@"; do
		installed "$package" || missing+=("$package")
	done
	((${#missing[@]})) || return 0
	((EUID == 0)) || die "missing packages ($why): as root, run: apt-get install ${missing[*]}"
	say "installing Debian packages ($why): ${missing[*]}"
	mkdir -p "$LOG_DIR"
	local log=$LOG_DIR/apt.log
	if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		"${missing[@]}"; } >"$log" 2>&1 </dev/null; then
		tail -n 20 "$log" >&2
		die "cannot install ${missing[*]} (whole output: $log)"
	fi
}
