#!/usr/bin/env bash
# Builds the release binary and its symbols as two files, for a package:
#
#   ./scripts/build-release.sh [DIRECTORY]     the default is target/package
#
#   rstproof         stripped, as it is installed
#   rstproof.debug   symbols and line tables of exactly this binary
#
# gdb finds rstproof.debug beside the binary or in /usr/lib/debug (the binary names it: .gnu_debuglink). For a stripped
# backtrace: addr2line -Cfie rstproof.debug ADDRESS…
set -euo pipefail

if (($# > 1)) || [[ ${1:-} == -* ]]; then
    printf 'usage: scripts/build-release.sh [DIRECTORY]\n' >&2
    exit 2
fi
fail() {
    printf 'build-release: error: %s\n' "$*" >&2
    exit 2
}
# From here on relative names are relative to the repository.
directory=${1:+$(realpath -m -- "$1")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/setup.sh
command -v objcopy >/dev/null || fail 'objcopy is missing; install binutils'

# The release profile, but linked with what it otherwise strips: both files have to come from one link.
binary=$(cargo build --release --locked --message-format=json-render-diagnostics \
    --config 'profile.release.debug="line-tables-only"' --config 'profile.release.strip="none"' |
    sed -n 's/.*"name":"rstproof".*"executable":"\([^"]*\)".*/\1/p') || fail 'the build failed'
[[ -x $binary ]] || fail 'cargo did not report the path of rstproof'
# target/release/rstproof -> target
: "${directory:=$(dirname "$(dirname "$binary")")/package}"

mkdir -p -- "$directory"
cd -- "$directory"
rm -f rstproof rstproof.debug
objcopy --only-keep-debug "$binary" rstproof.debug
chmod 644 rstproof.debug
objcopy --strip-all --add-gnu-debuglink=rstproof.debug "$binary" rstproof
chmod 755 rstproof
printf 'build-release: %s: rstproof %d bytes, rstproof.debug %d bytes\n' \
    "$directory" "$(stat -c %s rstproof)" "$(stat -c %s rstproof.debug)"
