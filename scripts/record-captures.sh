#!/usr/bin/env bash
# Records the golden evidence in captures/ again: every scenario over every family, on this machine's kernel. Replaces
# nothing unless every trial is confirmed twice: when it is recorded, and when it is judged from its files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'record-captures: error: %s\n' "$*" >&2
    exit 1
}
for id in "$@"; do
    if [[ $id == -* ]]; then
        printf 'usage: scripts/record-captures.sh [ID…]\n' >&2
        exit 2
    fi
    # Before the build, which takes its time.
    grep -rqF "\"$id\"" core/src/scenario || fail "unknown scenario '$id' (\`rstproof list\` shows all scenarios)"
done

./scripts/setup.sh
cargo build --release --locked
rstproof() { cargo run --release --locked --quiet -- "$@"; }

# shellcheck disable=SC2016 # backquotes of Markdown
mapfile -t catalogue < <(rstproof list --format markdown | sed -n 's/^| `\([^`]*\)` .*/\1/p')
((${#catalogue[@]} > 0)) || fail 'cannot read the output of rstproof list'
for id in "$@"; do
    [[ " ${catalogue[*]} " == *" $id "* ]] || fail "'$id' is no scenario (\`rstproof list\` shows all)"
done

# On the same file system, so that moving is renaming.
new=$(mktemp -d ./captures/.new.XXXXXX)
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

scenarios=("$@")
((${#scenarios[@]} > 0)) || scenarios=(--all)
rstproof run "${scenarios[@]}" -w "$new/recorded" || fail 'not every trial was confirmed; captures/ is as it was'
# Skipped trials do not fail a run, but captures/ must have every trial.
if grep -q '"skipped":"' "$new/recorded/report.json"; then
    fail 'this host skipped a trial; captures/ is as it was'
fi

mkdir "$new/whole"
if (($# > 0)); then
    cp -p captures/*.pcapng captures/*.json "$new/whole/"
    # The report has one head for all trials: program and host.
    [[ $(sed -n 1p captures/report.json) == "$(sed -n 1p "$new/recorded/report.json")" ]] ||
        fail 'captures/ was recorded on another host or by another version: record all, without arguments'
else
    cp -p "$new/recorded/report.json" "$new/whole/"
fi

# The report once more, in the order of the catalogue: the trials of all documents, each in a line of its own, between
# head and tail.
report=$new/whole/report.json
{
    sed -n '1,2p' "$report"
    separator=''
    for id in "${catalogue[@]}"; do
        for family in ipv4 ipv6; do
            document=$new/recorded/$id.$family.json
            [[ -e $document ]] || document=$new/whole/$id.$family.json
            [[ -e $document ]] || continue
            printf '%s%s' "$separator" "$(sed -n 3p "$document")"
            separator=$',\n'
        done
    done
    printf '\n'
    sed -n '/^\],$/,$p' "$report"
} >"$new/report.json"
mv "$new/report.json" "$new/recorded/"
cp -p "$new"/recorded/* "$new/whole/"
rstproof check --quiet "$new/whole" || fail 'what was saved is not confirmed; captures/ is as it was'

if (($# == 0)); then
    rm -f captures/*.pcapng captures/*.json
fi
written=("$new"/recorded/*)
mv "${written[@]}" captures/
if (($# > 0)); then
    printf 'captures/%s\n' "${written[@]##*/}"
fi
printf 'record-captures: %s files written; captures/ has %s files, %s\n' "${#written[@]}" \
    "$(find captures -maxdepth 1 -name '*.json' -o -maxdepth 1 -name '*.pcapng' | wc -l)" \
    "$(du -sh --apparent-size --exclude '.new.*' captures | cut -f1)"
