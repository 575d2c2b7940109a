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
selection=()
if ((EUID != 0)); then
    echo 'test: not root, so the tests that need root (as_root::) are left out'
    selection=(-- --skip as_root::)
fi
cargo test --locked --no-fail-fast --lib --bins --tests "${selection[@]}"
