#!/usr/bin/env bash
# Downloads Debian kernels for `rstproof kernels` with apt, which checks the archive's signatures, and unpacks them into a
# cache directory. Nothing is installed, and root is not needed.
#
#   ./scripts/fetch-kernels.sh [LINE…]     6.12, or 6.18.5 or 5.10.0-32 for one version; none means the newest of each line
#                                          that the archive holds
#
# Prints the path of each image on its own line; everything else goes to standard error. A kernel that is already in the
# cache is not downloaded again: remove its directory to get a newer one.
#
#   RSTPROOF_KERNELS           the cache directory [default: ~/.cache/rstproof/kernels]
#   RSTPROOF_DEBIAN_ARCHIVE    the archive's address, where apt is not configured for one of Debian's
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }
fail() { say "fetch-kernels: $*"; exit 1; }

case ${1:-} in
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac

cache=${RSTPROOF_KERNELS:-${XDG_CACHE_HOME:-$HOME/.cache}/rstproof/kernels}
# The lines that the archive held when all of them were fetched.
all=$cache/.lines
lines=("$@")
if [ $# -eq 0 ] && [ -s "$all" ]; then
  mapfile -t lines <"$all"
fi

for line in "${lines[@]}"; do
  [[ $line =~ ^[0-9]+\.[0-9]+(\.[0-9]+(-[0-9]+)?)?$ ]] ||
    fail "'$line' is no kernel line; name them as in 6.12, 6.18.5 or 5.10.0-32"
done

# The image that was fetched for this line, if it was.
image_of() {
  local image
  for image in "$cache/$1"/boot/vmlinuz-* "$cache/$1"/usr/lib/modules/*/vmlinuz; do
    if [ -f "$image" ]; then
      printf '%s\n' "$image"
      return 0
    fi
  done
  return 1
}

missing=()
find_missing() {
  local line
  missing=()
  for line in "${lines[@]}"; do
    image_of "$line" >/dev/null || missing+=("$line")
  done
}
find_missing

fetch() {
  local tool
  for tool in apt-get apt-cache dpkg dpkg-deb; do
    command -v "$tool" >/dev/null ||
      fail "$tool is not here; this needs a Debian or Ubuntu host (install apt and dpkg, or bring images of your own)"
  done
  local arch flavour
  arch=$(dpkg --print-architecture)
  flavour=cloud-$arch
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -r "$keyring" ] ||
    fail "Debian's keys are not here, so nothing could be checked; install debian-archive-keyring"

  # Suites with kernels. Those that an archive does not have are skipped.
  local main=${RSTPROOF_DEBIAN_ARCHIVE:-} security=''
  if [ -z "$main" ]; then
    main=$(apt-get indextargets --format '$(LABEL)|$(SITE)' 'Created-By: Packages' | sed -n '/^Debian|/{s///p;q}')
    security=$(apt-get indextargets --format '$(LABEL)|$(SITE)' 'Created-By: Packages' |
      sed -n '/^Debian-Security|/{s///p;q}')
  fi
  [ -n "$main" ] ||
    fail "apt is configured for no archive of Debian's (or \`apt-get update\` was never run); set RSTPROOF_DEBIAN_ARCHIVE"

  local apt=$cache/.apt
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  local suite
  {
    for suite in bullseye bookworm bookworm-backports trixie trixie-backports forky sid; do
      echo "deb [signed-by=$keyring] $main $suite main"
    done
    if [ -n "$security" ]; then
      for suite in bullseye-security bookworm-security trixie-security; do
        echo "deb [signed-by=$keyring] $security $suite main"
      done
    fi
  } >"$apt/sources.list"
  # These options keep apt away from the packages that are installed here.
  : >"$apt/status"
  local options=(
    -q -o Acquire::Retries=3
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/status"
    -o "Dir::Cache=$apt" -o APT::Sandbox::User= -o Acquire::Languages=none
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
    -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
  )
  say "fetch-kernels: reading the package lists of $main"
  apt-get "${options[@]}" update >&2 || say "fetch-kernels: some lists could not be read; continuing with the others"
  local names
  names=$(apt-cache "${options[@]}" pkgnames linux-)

  if [ ${#lines[@]} -eq 0 ]; then
    mapfile -t lines < <(sed -nE "s/^linux-(image|binary)-([0-9]+\.[0-9]+)\.[0-9].*$flavour\$/\2/p" <<<"$names" | sort -Vu)
    find_missing
  fi
  local line failed=()
  for line in "${missing[@]}"; do
    fetch_one "$line" || failed+=("$line")
  done
  # The lists are some hundred megabytes, and old tomorrow.
  rm -rf "$apt"
  [ ${#failed[@]} -eq 0 ] || lacking=("${failed[@]}")
}

fetch_one() {
  local line=$1 pattern name version best='' best_version=''
  case $line in
    *.*.*) pattern="^linux-(image|binary)-${line//./\\.}[+-].*$flavour\$" ;;
    *) pattern="^linux-(image|binary)-${line//./\\.}\\.[0-9].*$flavour\$" ;;
  esac
  local candidates
  mapfile -t candidates < <(grep -E "$pattern" <<<"$names")
  if [ ${#candidates[@]} -gt 0 ]; then
    while read -r name version; do
      # From 6.19 on linux-image-* is empty and depends on linux-binary-*.
      if [[ $name == linux-image-* ]] && grep -qx "linux-binary-${name#linux-image-}" <<<"$names"; then
        continue
      fi
      if [ -z "$best" ] || dpkg --compare-versions "$version" gt "$best_version"; then
        best=$name best_version=$version
      fi
    done < <(apt-cache "${options[@]}" show --no-all-versions "${candidates[@]}" |
      awk '$1 == "Package:" { name = $2 } $1 == "Version:" { print name, $2 }')
  fi
  if [ -z "$best" ]; then
    say "fetch-kernels: the archive has no $flavour kernel of line $line"
    return 1
  fi
  local packages=("$best") modules=linux-modules-${best#linux-binary-}
  ! grep -qx "$modules" <<<"$names" || packages+=("$modules")
  say "fetch-kernels: $line: ${packages[*]} ($best_version)"
  local work=$apt/work-$line
  mkdir -p "$work/root"
  (cd "$work" && apt-get "${options[@]}" download "${packages[@]}") >&2 || return 1
  local package
  for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$work/root" || return 1
  done
  rm -rf "${cache:?}/$line"
  # Renamed in one step, so a directory with this name is always complete.
  mv "$work/root" "$cache/$line"
}

lacking=()
if [ ${#missing[@]} -gt 0 ] || [ ${#lines[@]} -eq 0 ]; then
  mkdir -p "$cache"
  exec 9>"$cache/.lock"
  flock 9
  trap 'rm -rf "$cache/.apt"' EXIT
  # The process that held the lock before may have fetched the same kernel.
  if [ $# -eq 0 ] && [ -s "$all" ]; then
    mapfile -t lines <"$all"
  fi
  find_missing
  if [ ${#missing[@]} -gt 0 ] || [ ${#lines[@]} -eq 0 ]; then
    fetch
  fi
fi

had=()
for line in "${lines[@]}"; do
  if image_of "$line"; then
    had+=("$line")
  fi
done
[ ${#lacking[@]} -eq 0 ] || fail "not fetched: ${lacking[*]}"
[ ${#had[@]} -gt 0 ] || fail "the archive holds no kernel"
[ $# -gt 0 ] || printf '%s\n' "${had[@]}" >"$all"
