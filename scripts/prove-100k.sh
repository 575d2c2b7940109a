#!/usr/bin/env bash
# Runs all scenarios many times: at least N trials (default 100000) on an idle machine, and as many again with every core
# busy. Exit code: 0 none refuted, 1 some refuted, 2 the run failed.
# An inconclusive trial is not a wrong verdict, but if more than one in a thousand is inconclusive, the exit code is 2.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if (($# > 1)) || ! [[ ${1:-100000} =~ ^[1-9][0-9]{0,8}$ ]]; then
    printf 'usage: scripts/prove-100k.sh [N]\n' >&2
    exit 2
fi
wanted=${1:-100000}

# A busy loop ends with this script, and by itself after this many seconds.
readonly BUSY_AT_MOST=7200

fail() {
    printf 'prove-100k: error: %s\n' "$*" >&2
    exit 2
}

# Background jobs that have not been waited for.
run=
busy=()
stop_children() {
    local children=("${busy[@]}" ${run:+"$run"})
    if ((${#children[@]} > 0)); then
        kill "${children[@]}" 2>/dev/null || true
        wait "${children[@]}" 2>/dev/null || true
    fi
    rm -f "$output"
}
output=$(mktemp)
trap stop_children EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

./scripts/setup.sh
cargo build --release --locked
# Where cargo put it, so that cargo itself is not part of what is run.
binary=$(cargo build --release --locked --quiet --message-format=json |
    sed -n 's/.*"name":"rstproof".*"executable":"\([^"]*\)".*/\1/p')
[[ -x $binary ]] || fail 'cargo did not say where it put rstproof'

# Trials in one round of the catalogue: one for each scenario and family that can run here, and one per line.
round=$("$binary" run --format json | grep -c '"verdict":"') || true
((round > 0)) || fail 'no trial can run here'
repeat=$(((wanted + round - 1) / round))

# prove LABEL: runs the catalogue `repeat` times. Sets `refuted` if a trial was.
refuted=0
prove() {
    local code=0 inconclusive
    printf '\n%s: rstproof run --repeat %d (%d trials)\n' "$1" "$repeat" "$((repeat * round))"
    # In the background, so that a signal to this script need not wait for it.
    "$binary" run --repeat "$repeat" >"$output" &
    run=$!
    wait "$run" || code=$?
    run=
    cat "$output"
    inconclusive=$(sed -n 's/^[0-9]* trials\{0,1\} in .* \([0-9][0-9]*\) inconclusive.*/\1/p' "$output")
    ((${inconclusive:-0} * 1000 <= repeat * round)) || fail "$inconclusive trials were inconclusive"
    case $code in
        0 | 3) ;;
        1) refuted=1 ;;
        *) fail "rstproof ended with $code" ;;
    esac
}

prove 'idle'

script=$$
cpus=$(nproc)
for ((cpu = 0; cpu < cpus; cpu++)); do
    (
        trap - EXIT INT TERM
        end=$((SECONDS + BUSY_AT_MOST))
        while ((SECONDS < end)) && kill -0 "$script" 2>/dev/null; do :; done
    ) &
    busy+=("$!")
done
prove "every core busy ($cpus)"
for loop in "${busy[@]}"; do
    kill -0 "$loop" 2>/dev/null || fail 'a busy loop ended before the trials did'
done

if ((refuted)); then
    printf '\nat least one trial was REFUTED\n'
    exit 1
fi
printf '\nno trial was refuted\n'
