#!/usr/bin/env bash
# Builds rstproof and does its main job: one reset proven step by step, then the whole catalogue.
# Needs no root where user namespaces are allowed; where they are not, rstproof says what mends it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/setup.sh
cargo build --release --locked

run() {
    printf '\n$ rstproof %s\n' "$*"
    cargo run --release --locked --quiet -- "$@"
}

run run close-unread-data
run run
