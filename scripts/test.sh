#!/usr/bin/env bash
# Runs all tests: unit tests and doc tests, what needs files alone, the command line, and real loopback and namespaces. What
# waits for most of its time runs beside them: other states of the host, and kernels that are booted in QEMU. A failure in one
# part does not keep the next from running; the summary at the end names every test that failed.
#
# Arguments go to `cargo test` instead of all this:
#   scripts/test.sh --test live -- --nocapture
# Benchmarks are not tests: `cargo bench`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Shells start background jobs with SIGINT ignored, nohup does it with SIGHUP, and sudo sets what changes whose the files are:
# the tests send these signals, and set these variables themselves.
unset SUDO_UID SUDO_GID CLICOLOR_FORCE
if [[ -z ${RSTPROOF_TEST_SIGNALS:-} ]] && env --default-signal true 2>/dev/null; then
    RSTPROOF_TEST_SIGNALS=default exec env --default-signal "$BASH" scripts/test.sh "$@"
fi

./scripts/setup.sh --tests
if (($# > 0)); then
    exec cargo test --locked --workspace "$@"
fi

# Test programs by part. Programs that are not listed belong to `offline`.
cli=(cli compare doctor)
waiting=(hosts decoys)
live=(failures live)
servers=(programs)
offline=()
for path in tests/*.rs tests/*/main.rs; do
    name=${path#tests/}
    name=${name%/main.rs}
    name=${name%.rs}
    [[ " ${cli[*]} ${waiting[*]} ${live[*]} ${servers[*]} kernels " == *" $name "* ]] || offline+=("$name")
done
core=()
for path in core/tests/*.rs core/tests/*/main.rs; do
    name=${path#core/tests/}
    name=${name%/main.rs}
    core+=("${name%.rs}")
done
# --test NAME, for each of these that there is.
programs() {
    local name
    for name in "$@"; do
        if [[ -e tests/$name.rs || -e tests/$name/main.rs || -e core/tests/$name.rs || -e core/tests/$name/main.rs ]]; then
            printf -- '--test\n%s\n' "$name"
        fi
    done
}

work=$(mktemp -d)
running=() # process groups of the parts that run beside others
end() {
    local group
    for group in "${running[@]}"; do
        kill -- "-$group" 2>/dev/null || true
    done
    rm -rf -- "$work"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# part NAME ARGUMENT…: runs `cargo test` with these arguments, and keeps NAME.counts and NAME.failures. Always of the whole workspace:
# another selection of packages has other features, and all would be built once more. What is ignored counts as skipped, and so
# does what `--skip as_root::` leaves out.
part() {
    local name=$1 began=$SECONDS code=0 log=$work/$1.log failures=$work/$1.failures test
    shift
    : >"$failures"
    printf '\n== %s: cargo test %s\n' "$name" "$*"
    cargo test --locked --workspace --no-fail-fast "$@" 2>&1 | tee "$log" || code=${PIPESTATUS[0]}
    local ok=0 bad=0 left=0 results=0 counts
    while read -r -a counts; do
        results=$((results + 1))
        ok=$((ok + counts[0]))
        bad=$((bad + counts[1]))
        left=$((left + counts[2]))
        if [[ " $* " == *' as_root:: '* ]]; then
            left=$((left + counts[3]))
        fi
    done < <(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored; [0-9]+ measured; ([0-9]+) filtered out.*/\1 \2 \3 \4/p' "$log")
    awk -v name="$name" '/^failures:$/ { n = 0 } /^    [^ ]/ { names[++n] = substr($0, 5) }
        /^test result: FAILED/ { for (i = 1; i <= n; i++) print name ": " names[i] }' "$log" >>"$failures"
    # Some programs end without a result: they did not compile, or a signal ended them.
    local broken=0 what
    while read -r what; do
        broken=$((broken + 1))
        printf '%s: %s\n' "$name" "$what" >>"$failures"
    done < <(sed -nE 's/^error: could not compile .*/&/p; s/^ *process didn.t exit successfully: `([^`]*)` \(((signal|exit status): .*)\).*$/\1 (\2)/p' "$log")
    if ((code != 0 && bad + broken == 0)); then
        broken=1
        printf '%s: cargo test ended with code %s\n' "$name" "$code" >>"$failures"
    elif ((code == 0 && results == 0)); then
        broken=1
        printf '%s: no test program reported a result\n' "$name" >>"$failures"
    fi
    printf '%d %d %d %d\n' "$ok" $((bad + broken)) "$left" $((SECONDS - began)) >"$work/$name.counts"
}

# beside NAME ARGUMENT…: starts the part, and shows nothing of it. It is a process group of its own, since what bash starts in
# the background would otherwise ignore SIGINT.
beside() {
    printf '\n== %s: started beside what follows\n' "$1"
    set -m
    part "$@" >"$work/$1.shown" 2>&1 </dev/null &
    set +m
    running+=($!)
}

# shown NAME…: waits for the parts that were started beside others, and shows what they printed.
shown() {
    local name
    wait "${running[@]}" || true
    running=()
    for name in "$@"; do
        cat "$work/$name.shown"
    done
}

not_root=()
if ((EUID != 0)); then
    not_root=(--skip as_root::)
fi
parts=(unit doc core offline cli hosts kernels live)
notes=()

part unit --lib --bins -- "${not_root[@]}"

# Kernels, where they and QEMU can be had: the oldest, which lacks most of what has changed, and one that lacks what the
# oldest does not have at all.
images=()
printf '\n== kernels\n'
if ! ./scripts/setup.sh --kernels; then
    notes+=('QEMU cannot be installed, so no kernel was booted')
else
    # One at a time: if one cannot be fetched, the other is booted all the same.
    for line in 5.10 6.16; do
        if image=$(./scripts/fetch-kernels.sh "$line"); then
            images+=("$image")
        else
            notes+=("kernel $line cannot be fetched, so it was not booted")
        fi
    done
fi

# Real servers and clients, where they are available.
if ./scripts/setup.sh --programs; then
    parts+=(programs)
else
    servers=()
    notes+=('the servers and clients of tests/programs are not available, so they were not run')
fi

# Parts that mostly wait run beside parts that compute.
if ((${#images[@]} > 0)); then
    printf 'booting %s\n' "${images[*]}"
    RSTPROOF_TEST_KERNELS=$(printf '%s:' "${images[@]}")
    export RSTPROOF_TEST_KERNELS
    beside kernels --test kernels -- --include-ignored --test-threads 1
else
    # The tests that boot one are listed as ignored.
    beside kernels --test kernels
fi
mapfile -t arguments < <(programs "${waiting[@]}")
beside hosts "${arguments[@]}" -- "${not_root[@]}"
if ((${#servers[@]} > 0)); then
    mapfile -t arguments < <(programs "${servers[@]}")
    beside programs "${arguments[@]}" -- --test-threads 1
fi
part doc --doc
mapfile -t arguments < <(programs "${core[@]}")
part core "${arguments[@]}"
mapfile -t arguments < <(programs "${offline[@]}")
part offline "${arguments[@]}" -- "${not_root[@]}"
mapfile -t arguments < <(programs "${cli[@]}")
part cli "${arguments[@]}" -- "${not_root[@]}"
shown hosts kernels "${servers[@]}"
# Alone: some tests check that the host is unchanged. It also waits half of the time.
mapfile -t arguments < <(programs "${live[@]}")
part live "${arguments[@]}" -- "${not_root[@]}" --test-threads $((2 * $(getconf _NPROCESSORS_ONLN)))
((EUID == 0)) || notes+=('not root: the tests that need root (as_root::) were skipped')

printf '\n== summary\n'
passed=0 failed=0 skipped=0
for name in "${parts[@]}"; do
    if ! read -r ok bad left took 2>/dev/null <"$work/$name.counts"; then
        printf '%s: it ended before its result was known\n' "$name" >>"$work/$name.failures"
        ok=0 bad=1 left=0 took=0
    fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + left))
    printf '%-8s %5d passed %4d failed %4d skipped %5d s\n' "$name" "$ok" "$bad" "$left" "$took"
done
for note in "${notes[@]}"; do
    printf 'note: %s\n' "$note"
done
for name in "${parts[@]}"; do
    sed 's/^/FAILED /' "$work/$name.failures"
done
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
((failed == 0))
