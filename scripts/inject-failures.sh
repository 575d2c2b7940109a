#!/usr/bin/env bash
# Makes the system calls of rstproof fail, one at a time, and checks the result (strace -e inject).
#
#   ./scripts/inject-failures.sh             every call that its commands make: some thousand injections, for a quarter of an hour
#   ./scripts/inject-failures.sh --fast      some dozen of them, in some seconds
#   ./scripts/inject-failures.sh ... PROGRAM with this binary, and nothing is built or installed; else with a debug build
#   ./scripts/inject-failures.sh ... --case NAME   only this command (as often as it is given); `--case help` lists them
#
# For each command, every kind of system call that it makes fails with each of EIO, ENOSPC, EPERM, EMFILE and EINTR: once
# the first call, and once one in the middle. Correct is the right result, or exit code 2 (3 if a trial is inconclusive)
# with lines on standard error that name the failure. A failure is: a panic or an abort, an end by a signal, a
# verdict `refuted`, another output with exit code 0, exit code 2 without a word, more than 30 s, a file with a temporary
# name or a damaged one left behind, a process or an instance of tracefs left behind.
# Not injected, since nothing can be done about them or they do not fail like this: memory (mmap, brk ...), what the C
# library and Rust's runtime do before main and at the start of a thread (sigaltstack, rseq ...), futex, execve, exit; and
# what fails for wrong arguments only: calls on event counters, waiting for epoll; getrandom fails with EPERM and EINTR, and
# rt_sigtimedwait with EINTR.
# A call of a trial itself is what the trial is about: `refuted` is right if it is shown to have failed with this very error,
# unless that is EMFILE, which is no behaviour of TCP.
#
# Prints a line for each failure and a table. Exit code: 0 all in order, 1 some failed, 2 it could not be done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
    printf 'inject-failures: error: %s\n' "$*" >&2
    exit 2
}

usage='usage: scripts/inject-failures.sh [--fast] [--case NAME]... [PROGRAM]'
all_cases=(list compare check analyze analyze-write analyze-force doctor run run-hosts run-write run-force)
fast=no
cases=()
program=
while (($# > 0)); do
    case $1 in
        --fast) fast=yes ;;
        --case)
            if [[ " ${all_cases[*]} " != *" ${2:-} "* ]]; then
                printf 'inject-failures: commands: %s\n' "${all_cases[*]}" >&2
                exit 2
            fi
            cases+=("$2")
            shift
            ;;
        -h | --help)
            printf '%s\n' "$usage"
            exit 0
            ;;
        -*)
            printf '%s\n' "$usage" >&2
            exit 2
            ;;
        *)
            [[ -z $program ]] || die "$usage"
            program=$(realpath -- "$1")
            [[ -x $program ]] || die "$1 is not a program"
            ;;
    esac
    shift
done
if ((${#cases[@]} == 0)); then
    cases=("${all_cases[@]}")
    [[ $fast == no ]] || cases=(check analyze-force run-write)
fi

if [[ -z $program ]]; then
    ./scripts/setup.sh --strace
    cargo build --locked
    program=$(cargo build --locked --quiet --message-format=json |
        sed -n 's/.*"name":"rstproof".*"executable":"\([^"]*\)".*/\1/p')
    [[ -x $program ]] || die 'cargo did not report the path of rstproof'
fi
command -v strace >/dev/null || die 'strace is missing; scripts/setup.sh --strace installs it'
strace -o /dev/null true 2>/dev/null || die "strace may not trace processes here (sysctl kernel.yama.ptrace_scope, or the container's seccomp profile)"

# Most seconds that one run may take: longer than all bounds of rstproof's own.
readonly BOUND=30
readonly ERRORS=(EIO ENOSPC EPERM EMFILE EINTR)
readonly NEVER=' execve exit exit_group rt_sigreturn restart_syscall mmap munmap mprotect brk mremap madvise futex sigaltstack set_robust_list set_tid_address rseq arch_prctl sched_yield epoll_wait '

work=$(mktemp -d)
export RSTPROOF_INJECTION=$work
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What is read.
evidence=$work/evidence
captures=$work/captures
"$program" run close-unread-data clean-close-eof --family ipv4 --quiet -w "$evidence" >/dev/null ||
    die 'no trial can run here (see `rstproof doctor`)'
mkdir "$captures"
cp captures/close-unread-data.ipv4.pcapng captures/blind-rst-exact.ipv4.pcapng "$captures"
gzip -k "$captures/close-unread-data.ipv4.pcapng"
out=$work/out

# arguments_of CASE: sets `arguments`.
arguments_of() {
    local trials=(run close-unread-data --family ipv4)
    case $1 in
        list) arguments=(list) ;;
        compare) arguments=(compare "$evidence" "$evidence/report.json") ;;
        check) arguments=(check "$evidence") ;;
        analyze) arguments=(analyze --threads 2 "$captures") ;;
        analyze-write) arguments=(analyze --threads 2 "$captures" -w "$out/o.pcapng") ;;
        analyze-force) arguments=(analyze --threads 2 "$captures" -w "$out/o.pcapng" --force) ;;
        doctor) arguments=(doctor) ;;
        run) arguments=("${trials[@]}" connect-closed-port clean-close-eof --jobs 1) ;;
        run-hosts) arguments=(run reset-lost --family ipv4) ;;
        run-write) arguments=("${trials[@]}" --quiet -w "$out") ;;
        run-force) arguments=("${trials[@]}" --quiet -w "$out" --force) ;;
    esac
}

# can_fail_with CALL ERROR
can_fail_with() {
    case $1 in
        getrandom) [[ $2 == EPERM || $2 == EINTR ]] ;;
        rt_sigtimedwait) [[ $2 == EINTR ]] ;;
    esac
}

# prepare CASE: what it finds there.
prepare() {
    rm -rf "$out"
    case $1 in
        analyze-write) mkdir "$out" ;;
        analyze-force)
            mkdir "$out"
            echo old >"$out/o.pcapng"
            ;;
        run-force) cp -r "$evidence" "$out" ;;
    esac
}

# run_with ARGUMENTS-OF-STRACE...: sets `code`; output and errors are in files.
run_with() {
    code=0
    timeout -k 5 "$BOUND" strace -f -qq -y -o "$work/log" "$@" "$program" "${arguments[@]}" \
        >"$work/stdout" 2>"$work/stderr" </dev/null || code=$?
}

# calls FIRST: kinds of calls that are made behind main's beginning, which is where new privileges are given up: the name,
# how often the main thread makes it before that, and how often at most a thread makes it.
calls() {
    awk -v never="$NEVER" '
        !main { main = $1 }
        match($2, /^[a-z0-9_]+\(/) {
            name = substr($2, 1, RLENGTH - 1)
            if ($0 ~ /PR_SET_NO_NEW_PRIVS/ && $1 == main && !begun) {
                begun = 1
                for (each in made) { split(each, of, SUBSEP); before[of[2]] = made[each] }
            }
            count = ++made[$1, name]
            if (begun && count > most[name]) most[name] = count
        }
        END {
            for (name in most)
                if (index(never, " " name " ") == 0 && most[name] > before[name])
                    print name, before[name] + 0, most[name]
        }' "$work/log" | sort
}

# injected_calls: the calls that failed on demand, with their arguments: strace writes a call in two lines where another
# thread makes one meanwhile.
injected_calls() {
    awk '
        / <unfinished \.\.\.>$/ { begun[$1] = $0; next }
        /\(INJECTED\)/ { print /<\.\.\. [a-z0-9_]+ resumed>/ ? begun[$1] $0 : $0 }' "$work/log"
}

# leftovers: what must not be there now.
leftovers() {
    local instance maker
    find "$work" -name '.*' ! -path "$work" -printf '%P\n'
    for instance in /sys/kernel/tracing/instances/rstproof-* /sys/kernel/debug/tracing/instances/rstproof-*; do
        [[ -e $instance ]] || continue
        maker=${instance##*/rstproof-}
        [[ -d /proc/${maker%%-*} ]] || printf '%s\n' "$instance"
    done
}

# timeless FILE: its content, without how long it took.
timeless() { sed 's/ trials in [0-9.]* s/ trials/' "$1"; }

# is_written: whether the file that was written is right: what of the captures could be read, whole.
is_written() {
    cmp -s "$out/o.pcapng" "$work/expected.pcapng" ||
        { ((code == 2)) && "$program" analyze --quiet "$out/o.pcapng" >/dev/null 2>&1; }
}

# judge CASE CALL ERROR: prints what is wrong with the result; if nothing is, prints nothing and sets `kind`.
judge() {
    local lines left
    kind=
    if ((code == 124 || code == 137)); then
        echo "it took more than $BOUND s"
        return
    fi
    if grep -q panicked "$work/stderr"; then
        grep -m 1 panicked "$work/stderr"
        return
    fi
    case $code in
        0) ;;
        2) ;;
        3) if [[ $1 != run* && $1 != check ]]; then echo 'exit code 3'; return; fi ;;
        1)
            if [[ $1 != run* || $3 == EMFILE ]] || ! grep -q "$3" "$work/stdout"; then
                echo "exit code 1: $(grep -m 1 refuted "$work/stdout")"
                return
            fi
            ;;
        *)
            echo "exit code $code: $(head -c 300 "$work/stderr" | tr '\n' '|')"
            return
            ;;
    esac
    # libpcap then filters in user space, and reports that.
    sed -i '/^strace: /d; /^Warning: Kernel filter failed: /d' "$work/stderr"
    if grep -qv '^rstproof: ' "$work/stderr"; then
        echo "unknown words: $(grep -vm 1 '^rstproof: ' "$work/stderr")"
        return
    fi
    lines=$(grep -c '^rstproof: ' "$work/stderr" || true)
    if ((code == 2 && lines == 0)) && [[ $1 != doctor ]]; then
        echo 'exit code 2 without a word'
        return
    fi
    ((lines <= 3)) || { echo "$lines lines of errors"; return; }
    if ((code == 0)); then
        case $1 in
            list | compare | check | analyze*)
                cmp -s <(timeless "$work/stdout") <(timeless "$work/expected") || { echo 'another output, and exit code 0'; return; }
                ;;
            run*)
                grep -q refuted "$work/stdout" && { echo 'refuted, and exit code 0'; return; }
                ;;
        esac
    fi
    case $1 in
        analyze-write)
            if ((code == 0)) || [[ -e $out/o.pcapng ]]; then
                is_written || { echo 'a wrong file was written'; return; }
            fi
            ;;
        analyze-force)
            if ((code == 0)) || [[ $(head -c 3 "$out/o.pcapng") != old ]]; then
                is_written || { echo 'a wrong file was written'; return; }
            fi
            ;;
        run-write | run-force)
            if ((code == 0)) && ! "$program" check --quiet "$out" >"$work/checked" 2>&1; then
                echo "what was saved is not confirmed: $(head -n 1 "$work/checked")"
                return
            fi
            ;;
    esac
    # A file whose removal failed is removed by the next run.
    if [[ $2 != unlinkat && $2 != rmdir ]]; then
        left=$(leftovers)
        [[ -z $left ]] || { echo "left behind: $left"; return; }
    fi
    case $code in
        0 | 1) kind=right ;;
        2) kind=reported ;;
        3) kind=inconclusive ;;
    esac
}

declare -A counts
count() { counts[$1]=$((${counts[$1]:-0} + 1)); }
failures=0

# inject CASE CALL ERROR WHEN
inject() {
    local words injected
    prepare "$1"
    run_with -e "trace=$2" -e "inject=$2:error=$3:when=$4"
    # Not every run makes the same calls. Event counters and epoll fail for wrong arguments only.
    injected=$(injected_calls)
    if [[ -z $injected || $injected == *'anon_inode:[event'* ]]; then
        count "$1 missed"
        return
    fi
    count "$1 injected"
    # Not in a subshell, for it sets `kind`.
    judge "$1" "$2" "$3" >"$work/words"
    words=$(<"$work/words")
    if [[ -n $words ]]; then
        count "$1 failed"
        failures=$((failures + 1))
        printf 'FAILED  %s, %s, call %s of a thread: %s\n        %s\n' "$2" "$3" "$4" "$words" \
            "strace -f -e inject=$2:error=$3:when=$4 rstproof ${arguments[*]}"
    else
        count "$1 $kind"
    fi
}

printf 'injecting failures into %s\n' "$program"
for each in "${cases[@]}"; do
    arguments_of "$each"
    prepare "$each"
    run_with
    ((code == 0)) || [[ $each == doctor ]] || die "rstproof ${arguments[*]} ends with $code by itself: $(head -n 1 "$work/stderr")"
    cp "$work/stdout" "$work/expected"
    [[ ! -e $out/o.pcapng ]] || cp "$out/o.pcapng" "$work/expected.pcapng"
    made=$(calls)
    nth=0
    while read -r name before most; do
        first=$((before + 1))
        middle=$((first + (most - before) / 2))
        ((middle <= most)) || middle=$most
        for error in "${ERRORS[@]}"; do
            nth=$((nth + 1))
            can_fail_with "$name" "$error" || continue
            # One error for each kind of call, another one each time.
            if [[ $fast == yes ]]; then
                ((nth % ${#ERRORS[@]} == nth / ${#ERRORS[@]} % ${#ERRORS[@]})) || continue
            fi
            inject "$each" "$name" "$error" "$first"
            [[ $fast == no ]] || continue
            # The first ones of a thread may wake another one.
            if [[ $name == write ]]; then
                inject "$each" "$name" "$error" $((first + 1))
                inject "$each" "$name" "$error" $((first + 2))
            fi
            if ((middle > first)); then
                inject "$each" "$name" "$error" "$middle"
            fi
        done
    done <<<"$made"
    # A run without injections removes what the others left behind.
    prepare "$each"
    run_with
    left=$(leftovers)
    if [[ -n $left ]]; then
        failures=$((failures + 1))
        printf 'FAILED  %s: left behind for good: %s\n' "$each" "$left"
    fi
done

left=$(grep -lzs "^RSTPROOF_INJECTION=$work\$" /proc/[0-9]*/environ | grep -vE "^/proc/($$|$BASHPID|self)/" || true)
for environment in $left; do
    process=${environment#/proc/}
    process=${process%/environ}
    [[ $(readlink "/proc/$process/exe" || true) == "$program" ]] || continue
    failures=$((failures + 1))
    printf 'FAILED  process %s is left\n' "$process"
done

printf '\n%-14s %9s %7s %9s %13s %7s\n' command injected right 'exit 2' inconclusive FAILED
total=0
for each in "${cases[@]}"; do
    total=$((total + ${counts[$each injected]:-0}))
    printf '%-14s %9d %7d %9d %13d %7d\n' "$each" "${counts[$each injected]:-0}" "${counts[$each right]:-0}" \
        "${counts[$each reported]:-0}" "${counts[$each inconclusive]:-0}" "${counts[$each failed]:-0}"
done
printf '\n%d injections, %d failed\n' "$total" "$failures"
((failures == 0)) || exit 1
