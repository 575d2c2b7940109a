#!/usr/bin/env bash
# Records the golden evidence in captures/ again: every scenario over every family, on this machine's kernel. Replaces
# nothing unless every trial is confirmed twice: when it is recorded, and when it is judged from its files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if (($# > 0)); then
    printf 'usage: scripts/record-captures.sh\n' >&2
    exit 2
fi

fail() {
    printf 'record-captures: error: %s\n' "$*" >&2
    exit 1
}

./scripts/setup.sh
cargo build --release --locked

# On the same file system, so that moving is renaming.
new=$(mktemp -d ./captures/.new.XXXXXX)
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
rstproof() { cargo run --release --locked --quiet -- "$@"; }

rstproof run --all -w "$new" || fail 'not every trial was confirmed; captures/ is as it was'
# Skipped trials do not fail a run, but captures/ must have every trial.
if grep -q '"skipped":"' "$new/report.json"; then
    fail 'this host skipped a trial; captures/ is as it was'
fi
rstproof check --quiet "$new" || fail 'what was saved is not confirmed; captures/ is as it was'

rm -f captures/*.pcapng captures/*.json
mv "$new"/* captures/
printf 'record-captures: %s files, %s\n' "$(find captures -name '*.json' -o -name '*.pcapng' | wc -l)" \
    "$(du -sh --apparent-size captures | cut -f1)"
