#!/usr/bin/env bash
# Checks Cargo.lock against the known advisories on vulnerable crates, for those who have an advisory database and a tool that
# reads it. Downloads nothing and changes nothing.
#
#   ./scripts/audit.sh [DATABASE]
#
# DATABASE is a checkout of https://github.com/RustSec/advisory-db, up to date by `git pull`; it is read by cargo-audit (`cargo
# install cargo-audit`). Without DATABASE the copy is used that cargo-audit or else cargo-deny has in ~/.cargo; `cargo audit`
# or `cargo deny fetch` brings it up to date.
#
# Exit code: 0 no advisory applies, 1 the tool found some or failed (its output says which), 2 there is no tool.
set -euo pipefail

if (($# > 1)) || [[ ${1:-} == -* ]]; then
    printf 'usage: scripts/audit.sh [DATABASE]\n' >&2
    exit 2
fi
fail() {
    printf 'audit: error: %s\n' "$*" >&2
    exit 2
}
# From here on relative names are relative to the repository.
database=${1:+$(realpath -m -- "$1")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ -z $database || -d $database/crates ]] ||
    fail "$database is no checkout of RustSec/advisory-db: it has no directory crates"

has() { cargo "$1" --version >/dev/null 2>&1; }

if has audit; then
    command=(cargo audit --no-fetch --stale ${database:+--db "$database"})
elif [[ -z $database ]] && has deny; then
    command=(cargo deny --offline check advisories)
else
    fail 'cargo-audit is missing; install it with `cargo install cargo-audit`'
fi
printf 'audit: %s\n' "${command[*]}"
"${command[@]}" || exit 1
