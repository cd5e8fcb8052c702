#!/usr/bin/env bash
# Agent in the background, its events on the terminal. It uses a socket and files of its own, so an installed agent
# is not disturbed. DURATION=<seconds> ends it by itself.
source "$(dirname "$0")/lib.sh"

((EUID == 0)) || die "loading BPF programs needs root: run 'make run' as root"
scripts/setup.sh run
scripts/build.sh

bin=$(release_dir)
mkdir -p "$LOG_DIR"
log=$LOG_DIR/agent.log
work=$(mktemp -d)
socket=unix://$work/tetragon.sock
agent=

stop() {
	trap - EXIT
	if [[ -n $agent ]]; then
		"$bin/tetra" --server-address "$socket" --timeout 2s status >&2 || true
		kill -TERM "$agent" 2>/dev/null || true
		wait "$agent" || true
	fi
	rm -rf "$work"
}
trap stop EXIT
# Ctrl-C is for the client, which ends by it; what follows is the orderly end of the agent.
trap : INT

# A session of its own keeps Ctrl-C away from the agent.
setsid "$bin/tetragon" --server-address="$socket" --run-dir="$work" --bpf-dir="tetragon-run-$$" \
	--health-server-address= --export-filename= </dev/null >"$log" 2>&1 &
agent=$!
for ((tries = 0; tries < 300; tries++)); do
	[[ -S $work/tetragon.sock ]] && break
	if ! kill -0 "$agent" 2>/dev/null; then
		agent=
		tail -n 20 "$log" >&2
		die "the agent did not start (whole log: $log)"
	fi
	sleep 0.1
done

say "every process of this machine, as it starts and ends (agent log: $log)"
client=("$bin/tetra" --server-address "$socket" getevents -o compact --timestamps)
if [[ -n ${DURATION:-} ]]; then
	client=(timeout --foreground --preserve-status -s INT "$DURATION" "${client[@]}")
fi
# A pipe on standard input would be read for events instead.
"${client[@]}" </dev/null
