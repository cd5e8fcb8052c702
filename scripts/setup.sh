#!/usr/bin/env bash
# Installs what this machine lacks, and says what. `setup.sh build|run` prepares building and running,
# `setup.sh test` also what tests and checks need.
source "$(dirname "$0")/lib.sh"

purpose=${1:?usage: setup.sh build|run|test}
scripts/setup/debian.sh "$purpose"
scripts/setup/rust.sh "$purpose"
if [[ $purpose == test ]]; then
	scripts/setup/cargo-deny.sh
fi
