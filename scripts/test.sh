#!/usr/bin/env bash
# Runs all tests. Arguments go to `cargo test` instead of the usual selection:
#   scripts/test.sh --test live -- --nocapture
# Benchmarks are not tests: `cargo bench`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/setup.sh --tests
if (($# > 0)); then
    exec cargo test --locked "$@"
fi
cargo test --locked --doc
cargo test --locked --no-fail-fast --lib --bins --tests
