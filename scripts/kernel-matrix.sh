#!/usr/bin/env bash
# Runs the whole catalogue on a kernel of each line that Debian's archive holds and on this host's, and writes what
# differs to docs/kernels.md.
#
#   ./scripts/kernel-matrix.sh [DIR]     the evidence is kept in DIR, if one is named; it has to be empty or not there
set -euo pipefail
if (($# > 0)) && [[ -n $(ls -A -- "$1" 2>/dev/null) ]]; then
    # What an earlier run has left there would come onto the page.
    echo "kernel-matrix: $1 is not empty; name another directory, or remove what is in it" >&2
    exit 1
fi
if (($# > 0)); then
    evidence=$(realpath -m -- "$1")
else
    evidence=$(mktemp -d)
    trap 'rm -rf "$evidence"' EXIT
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/setup.sh --kernels
fetched=$(./scripts/fetch-kernels.sh)
mapfile -t images <<<"$fetched"
cargo build --release --locked
program=./target/release/rstproof

# 1 says that something differs or was refuted, which the page shows; 3 that a trial was inconclusive, which it shows, too.
"$program" kernels --all --with-running -w "$evidence" "${images[@]}" || (($? == 1 || $? == 3))

page=docs/kernels.md
mkdir -p docs
{
    cat <<'EOF'
# What differs from kernel to kernel

The same scripts of socket calls on each of these kernels, each trial proven by three witnesses: what the calls returned,
what was on the wire, what the kernel traced and counted. What is not listed as different was the same. Each difference has
the commit that made it; one that nobody has explained would say so.

This page is made by `scripts/kernel-matrix.sh`, which boots the kernels in QEMU and writes down what it saw. To see it for
yourself, or with kernels of your own:

```sh
./scripts/fetch-kernels.sh                                             # Debian's, one of each line
rstproof kernels --with-running $(./scripts/fetch-kernels.sh)          # or name any vmlinuz
```

`since` and `until` are said of the kernels in the table below; the releases that a change is really in stand beside its
commit: fixes are backported. `rstproof explain SCENARIO` tells each scenario's story.

EOF
    "$program" compare --format markdown --all "$evidence" || (($? == 1))
} >"$page.partial"
mv "$page.partial" "$page"
printf 'kernel-matrix: %s\n' "$page"
