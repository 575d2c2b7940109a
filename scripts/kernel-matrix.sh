#!/usr/bin/env bash
# Runs all scenarios on a kernel of each line in Debian's archive and on this host's kernel, and writes the differences
# to docs/kernels.md.
#
#   ./scripts/kernel-matrix.sh [DIR]     keep the evidence in DIR, which must be empty or missing
set -euo pipefail
if (($# > 0)) && [[ -n $(ls -A -- "$1" 2>/dev/null) ]]; then
    # Evidence of an earlier run would appear on the page.
    echo "kernel-matrix: $1 is not empty; choose another directory, or empty it" >&2
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
program=${CARGO_TARGET_DIR:-target}/release/rstproof

# Exit code 1: something differs or was refuted; 3: a trial was inconclusive. The page shows both.
"$program" kernels --all --with-running -w "$evidence" "${images[@]}" || (($? == 1 || $? == 3))

page=docs/kernels.md
mkdir -p docs
{
    cat <<'EOF'
# How kernels differ

Each kernel below ran the same [scenarios](scenarios.md). Each trial is proven from system calls, packets, kernel counters and the
kernel trace. Everything that is not listed as a difference was the same. Each difference names the commit that made it;
unexplained differences are marked.

`scripts/kernel-matrix.sh` writes this page: it boots the kernels in QEMU and records the results. To repeat it, or to try your own
kernels:

```sh
./scripts/fetch-kernels.sh                                             # Debian's, one of each line
rstproof kernels --with-running $(./scripts/fetch-kernels.sh)          # or name any vmlinuz
```

`since` and `until` refer to the kernels in the table below. Fixes are backported, so the releases that contain a change are listed
with its commit. `rstproof explain SCENARIO` explains each scenario; [comparing kernels](compare.md) explains the commands.

EOF
    "$program" compare --format markdown --all "$evidence" || (($? == 1))
} >"$page.partial"
mv "$page.partial" "$page"
printf 'kernel-matrix: %s\n' "$page"
