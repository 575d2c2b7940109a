#!/usr/bin/env bash
# Checks the budgets of the project's own builds:
#
#   size   the stripped release binary has at most 8 MiB
#   demo   the build of scripts/demo.sh takes at most 240 CPU seconds (user + system) from nothing
#
#   ./scripts/check-budgets.sh [size] [demo]     the default is both
#
# CPU seconds, not time on the clock, as they depend little on how many cores there are and what else they do. Exit code:
# 0 both kept, 1 a budget is exceeded, 2 it could not be measured.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly MAX_BYTES=$((8 << 20))
readonly MAX_CPU_SECONDS=240
# No build of some hundred crates is faster. A lower time means that crates were not built, or not by children of cargo.
readonly LEAST_CPU_SECONDS=10

fail() {
    printf 'check-budgets: error: %s\n' "$*" >&2
    exit 2
}

budgets=("$@")
(($# > 0)) || budgets=(size demo)
for budget in "${budgets[@]}"; do
    if [[ $budget != size && $budget != demo ]]; then
        printf 'usage: scripts/check-budgets.sh [size] [demo]\n' >&2
        exit 2
    fi
done

# Not in /tmp, which may be small, or mounted noexec: build scripts run from there.
target=${CARGO_TARGET_DIR:-target}
mkdir -p -- "$target"
make_scratch() { scratch=$(realpath -- "$(mktemp -d -- "$target/budget.XXXXXX")"); }

scratch=
trap '[[ -z $scratch ]] || rm -rf -- "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
exceeded=0

# verdict NAME VALUE LIMIT UNIT
verdict() {
    local word=ok
    if (($2 > $3)); then
        word=EXCEEDED
        exceeded=1
    fi
    printf 'check-budgets: %s: %d of at most %d %s: %s\n' "$1" "$2" "$3" "$4" "$word"
}

check_size() {
    make_scratch
    ./scripts/build-release.sh "$scratch" || fail 'the release build failed'
    verdict 'stripped release binary' "$(stat -c %s "$scratch/rstproof")" "$MAX_BYTES" bytes
    rm -rf -- "$scratch"
    scratch=
}

check_demo() {
    ./scripts/setup.sh
    # Downloads do not count.
    cargo fetch --locked --quiet || fail 'the dependencies cannot be downloaded'
    make_scratch
    # Without a compiler cache, which would build in another process or not at all.
    local build=(env -u RUSTC_WRAPPER -u RUSTC_WORKSPACE_WRAPPER -u CARGO_BUILD_RUSTC_WRAPPER
        -u CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER "CARGO_TARGET_DIR=$scratch"
        cargo build --profile demo --locked --offline)
    local TIMEFORMAT='%0U %0S' spent user system
    # The build's own output stays where it is (3), that of `time` goes into `spent`.
    exec 3>&2
    spent=$({ time "${build[@]}" >&3 2>&3; } 2>&1) || fail 'the build of the demo failed'
    exec 3>&-
    read -r user system <<<"$spent"
    local total=$((user + system))
    ((total >= LEAST_CPU_SECONDS)) || fail "the build took $total CPU seconds; something else has built it"
    verdict 'build of the demo' "$total" "$MAX_CPU_SECONDS" 'CPU seconds'
    rm -rf -- "$scratch"
    scratch=
}

for budget in "${budgets[@]}"; do
    "check_$budget"
done
exit "$exceeded"
