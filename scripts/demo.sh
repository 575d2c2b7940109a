#!/usr/bin/env bash
# Builds rstproof with the profile `demo`, which takes the least CPU time. Then proves one reset step by step, and runs every
# scenario that is not slow.
# Needs no root where user namespaces are allowed. Otherwise rstproof prints the command that enables them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/setup.sh
cargo build --profile demo --locked

run() {
    printf '\n$ rstproof %s\n' "$*"
    cargo run --profile demo --locked --quiet -- "$@"
}

run run close-unread-data
run run
