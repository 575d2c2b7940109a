#!/usr/bin/env bash
# Builds rstproof, in the least CPU time (profile `demo`), and does its main job: one reset proven step by step, then the
# whole catalogue.
# Needs no root where user namespaces are allowed; where they are not, rstproof says what mends it.
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
