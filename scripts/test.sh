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

# The tests that boot other kernels, where these and QEMU can be had: the oldest, which lacks most of what has changed, and
# one that lacks what the oldest does not have at all.
images=()
if ! ./scripts/setup.sh --kernels; then
    echo 'test: QEMU cannot be installed, so NO KERNEL IS BOOTED'
else
    # Each by itself: without one the other is booted all the same.
    for line in 5.10 6.16; do
        if image=$(./scripts/fetch-kernels.sh "$line"); then
            images+=("$image")
        else
            echo "test: kernel $line cannot be fetched, so IT IS NOT BOOTED"
        fi
    done
fi
if ((${#images[@]} > 0)); then
    echo "test: booting ${images[*]}"
    RSTPROOF_TEST_KERNELS=$(printf '%s:' "${images[@]}") \
        cargo test --locked --test kernels -- --ignored --test-threads 1
fi
cargo test --locked --no-fail-fast --lib --bins --tests "${selection[@]}"
