#!/usr/bin/env bash
# All checks and all tests; the last line counts them. Logs: .cache/logs/.
source "$(dirname "$0")/lib.sh"

scripts/check.sh
scripts/setup/go.sh

mkdir -p "$LOG_DIR"
log=$LOG_DIR/tests.log
: >"$log"
failed_steps=()

# step WHAT COMMAND...: a step that fails is remembered and the next one still runs, so that one run shows all.
step() {
	say "$1"
	local what=$1
	shift
	"$@" 2>&1 | tee -a "$log" || failed_steps+=("$what")
}

step "unit and documentation tests" cargo test --locked --workspace --exclude tetragon-e2e --no-fail-fast
step "release build" scripts/build.sh
# The harness itself needs no optimisation; what it tests does.
export TETRAGON_BIN_DIR
TETRAGON_BIN_DIR=$(realpath "$(release_dir)")
step "tests on real kernels" cargo test --locked -p tetragon-e2e --no-fail-fast

read -r passed failed ignored < <(awk '
	/^test result:/ {
		for (i = 2; i <= NF; i++) {
			if ($i == "passed;") passed += $(i - 1)
			if ($i == "failed;") failed += $(i - 1)
			if ($i == "ignored;") ignored += $(i - 1)
		}
	}
	END { print passed + 0, failed + 0, ignored + 0 }' "$log")

for what in "${failed_steps[@]}"; do
	say "failed: $what"
done
printf '%s passed, %s failed, %s ignored\n' "$passed" "$failed" "$ignored"
# No test at all is a broken run, not a good one.
((${#failed_steps[@]} == 0 && failed == 0 && passed > 0))
