#!/usr/bin/env bash
# Prepares a machine with a Rust toolchain for building rstproof: a C linker, and libpcap with its development files.
# With --tests also what the tests call: tshark, tcpdump, nft of nftables, setpriv of util-linux, and strace.
# With --strace also strace, for scripts/inject-failures.sh.
# With --kernels also QEMU for x86-64, which boots other kernels.
# With --hosts also what scripts/hostile-hosts.sh uses: jq, strace, and a busybox that needs no library.
# With --programs also the servers and clients of tests/programs. From Debian's packages they are unpacked into a cache directory:
# nothing is installed or started, and no root is needed.
# Does nothing if everything is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: error: %s\n' "$*" >&2
    exit 1
}

usage='usage: scripts/setup.sh [--tests] [--strace] [--kernels] [--hosts] [--programs]'
tests=no
strace=no
kernels=no
hosts=no
programs=no
for argument in "$@"; do
    case $argument in
        --tests) tests=yes strace=yes ;;
        --strace) strace=yes ;;
        --kernels) kernels=yes ;;
        --hosts) hosts=yes strace=yes ;;
        --programs) programs=yes ;;
        -h | --help)
            printf '%s\n' "$usage"
            exit 0
            ;;
        *)
            printf '%s\n' "$usage" >&2
            exit 2
            ;;
    esac
done

# Requirements.

have_linker() {
    command -v cc >/dev/null || return 1
    # A compiler without the C library's start-up files links nothing.
    [[ $(cc -print-file-name=crt1.o) == /* ]]
}

# The build links with -lpcap. LIBPCAP_LIBDIR is where the pcap crate looks first.
have_libpcap() {
    [[ -n ${LIBPCAP_LIBDIR:-} && -e $LIBPCAP_LIBDIR/libpcap.so ]] && return
    command -v cc >/dev/null && [[ $(cc -print-file-name=libpcap.so) == /* ]]
}

# On some systems only root has its directory in the path.
have_nft() { PATH=$PATH:/usr/sbin:/sbin command -v nft >/dev/null; }

have_qemu() { command -v qemu-system-x86_64 >/dev/null; }

have_strace() { command -v strace >/dev/null; }

have_tshark() { command -v tshark >/dev/null; }

have_tcpdump() { PATH=$PATH:/usr/sbin:/sbin command -v tcpdump >/dev/null; }

have_jq() { command -v jq >/dev/null; }

# Guests get a busybox without libraries, so it must be static.
have_busybox() { command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1; }

# Busybox has one that cannot change the user.
have_setpriv() { [[ $(setpriv --help 2>&1) == *--reuid* ]]; }

# The programs of tests/programs, by the package of Debian that has each.
programs_of_tests=(nginx:nginx haproxy:haproxy node:nodejs initdb:postgresql psql:postgresql-client redis-server:redis-server
    redis-cli:redis-tools sshd:openssh-server ssh:openssh-client curl:curl python3:python3)

unpacked=${XDG_CACHE_HOME:-$HOME/.cache}/rstproof/programs

# have_program NAME: it is in the path, where only root looks, or unpacked.
have_program() {
    local where=$PATH:/usr/sbin:/sbin:$unpacked/usr/sbin:$unpacked/usr/bin directory
    for directory in {,"$unpacked"}/usr/lib/postgresql/*/bin; do
        where+=:$directory
    done
    PATH=$where command -v "$1" >/dev/null
}

# missing_programs: the packages of the programs that are not there.
missing_programs() {
    local pair
    for pair in "${programs_of_tests[@]}"; do
        have_program "${pair%%:*}" || printf '%s\n' "${pair#*:}"
    done
}

missing() {
    have_linker || printf 'linker\n'
    have_libpcap || printf 'libpcap\n'
    if [[ $tests == yes ]]; then
        have_tshark || printf 'tshark\n'
        have_tcpdump || printf 'tcpdump\n'
        have_nft || printf 'nft\n'
        have_setpriv || printf 'setpriv\n'
    fi
    if [[ $strace == yes ]]; then
        have_strace || printf 'strace\n'
    fi
    if [[ $kernels == yes ]]; then
        have_qemu || printf 'qemu\n'
    fi
    if [[ $programs == yes ]] && ! command -v apt-get >/dev/null; then
        missing_programs
    fi
    if [[ $hosts == yes ]]; then
        have_jq || printf 'jq\n'
        have_busybox || printf 'busybox\n'
        have_setpriv || printf 'setpriv\n'
    fi
}

# How to get it.

find_manager() {
    local manager
    for manager in apt-get dnf yum pacman zypper apk; do
        if command -v "$manager" >/dev/null; then
            printf '%s\n' "$manager"
            return
        fi
    done
}

# package_of MANAGER THING: the packages that contain THING.
package_of() {
    case $1:$2 in
        apt-get:linker) echo gcc libc6-dev ;;
        apk:linker) echo gcc musl-dev ;;
        dnf:linker | yum:linker | zypper:linker) echo gcc glibc-devel ;;
        *:linker) echo gcc ;;
        apt-get:libpcap | apk:libpcap) echo libpcap-dev ;;
        pacman:libpcap) echo libpcap ;;
        *:libpcap) echo libpcap-devel ;;
        dnf:tshark | yum:tshark | pacman:tshark) echo wireshark-cli ;;
        zypper:tshark) echo wireshark ;;
        *:tshark) echo tshark ;;
        zypper:qemu) echo qemu-x86 ;;
        apk:qemu) echo qemu-system-x86_64 ;;
        *:qemu) echo qemu-system-x86 ;;
        apt-get:busybox | apk:busybox) echo busybox-static ;;
        *:busybox) echo busybox ;;
        *:tcpdump) echo tcpdump ;;
        *:nginx | *:haproxy | *:nodejs | *:curl | *:python3) echo "$2" ;;
        *:redis-*) echo redis ;;
        pacman:openssh-* | zypper:openssh-* | apk:openssh-*) echo openssh ;;
        *:openssh-client) echo openssh-clients ;;
        *:openssh-server) echo openssh-server ;;
        pacman:postgresql* | apk:postgresql*) echo postgresql ;;
        *:postgresql) echo postgresql-server ;;
        *:postgresql-client) echo postgresql ;;
        *:jq) echo jq ;;
        *:nft) echo nftables ;;
        *:strace) echo strace ;;
        apk:setpriv) echo setpriv ;;
        *:setpriv) echo util-linux ;;
    esac
}

# install_command MANAGER: the words before the package names.
install_command() {
    case $1 in
        apt-get) echo apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 install -y --no-install-recommends ;;
        dnf | yum) echo "$1" install -y ;;
        pacman) echo pacman -S --needed --noconfirm ;;
        zypper) echo zypper --non-interactive install --no-recommends ;;
        apk) echo apk add --no-cache ;;
    esac
}

install_missing() {
    local things thing manager words packages=() command=() as_root=()
    mapfile -t things < <(missing | sort -u)
    if ((${#things[@]} == 0)); then
        return
    fi
    manager=$(find_manager)
    if [[ -z $manager ]]; then
        die "missing: ${things[*]}; none of apt-get, dnf, yum, pacman, zypper, apk is here to install it with"
    fi
    for thing in "${things[@]}"; do
        read -ra words < <(package_of "$manager" "$thing")
        packages+=("${words[@]}")
    done
    read -ra command < <(install_command "$manager")
    command+=("${packages[@]}")

    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            die "missing: ${things[*]}; run as root: ${command[*]}"
        fi
        as_root=(sudo)
        # There is no terminal to type a password at.
        [[ -t 0 ]] || as_root+=(-n)
    fi
    as_root+=(env DEBIAN_FRONTEND=noninteractive)

    say "missing: ${things[*]}"
    if [[ $manager == apt-get ]]; then
        say 'running: apt-get update'
        "${as_root[@]}" apt-get -q -o Acquire::Retries=3 update ||
            say 'apt-get update failed; trying with the package lists that are here'
    fi
    say "running: ${command[*]}"
    "${as_root[@]}" "${command[@]}" ||
        die "cannot install ${packages[*]}; what failed, to be run as root: ${command[*]}"

    mapfile -t things < <(missing | sort -u)
    if ((${#things[@]} > 0)); then
        die "still missing after installing ${packages[*]}: ${things[*]}"
    fi
    say "installed: ${packages[*]}"
}

# unpack_programs: downloads the missing programs with what they depend on, and unpacks all of it into the cache.
unpack_programs() {
    local packages archives archive
    mapfile -t packages < <(missing_programs | sort -u)
    if ((${#packages[@]} == 0)); then
        return
    fi
    say "unpacking into $unpacked: ${packages[*]}"
    mkdir -p "$unpacked"
    archives=$(mktemp -d)
    mkdir "$archives/partial"
    # Locks are for those who install.
    local download=(apt-get -q -y -o Acquire::Retries=3 -o Debug::NoLocking=1 -o APT::Sandbox::User= -o "Dir::Cache::archives=$archives"
        --no-install-recommends --download-only install "${packages[@]}")
    # Package lists may be missing or old; only root can renew them.
    if ! "${download[@]}" >"$archives/log" 2>&1 && ((EUID == 0)); then
        say 'running: apt-get update'
        apt-get -q -o Acquire::Retries=3 update >>"$archives/log" 2>&1 || true
        "${download[@]}" >>"$archives/log" 2>&1 || true
    fi
    if ! compgen -G "$archives/*.deb" >/dev/null; then
        tail -n 3 "$archives/log" >&2
        rm -rf -- "$archives"
        die "cannot download ${packages[*]}; \`apt-get update\`, as root, may help"
    fi
    for archive in "$archives"/*.deb; do
        dpkg-deb -x "$archive" "$unpacked"
    done
    rm -rf -- "$archives"
    mapfile -t packages < <(missing_programs | sort -u)
    if ((${#packages[@]} > 0)); then
        die "still missing after unpacking: ${packages[*]}"
    fi
}

install_missing
if [[ $programs == yes ]] && command -v apt-get >/dev/null; then
    unpack_programs
fi

if ! cargo --version >/dev/null 2>&1; then
    rust=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    die "no working cargo on PATH of $(id -un); install Rust $rust or newer, with rustup or from the distribution"
fi
say 'ready'
