#!/usr/bin/env bash
# Runs the catalogue on hosts that are hostile in one way each - few descriptors, no /proc, memory limits, settings that
# namespaces inherit, time that stops - and checks that the host never changes a verdict: each trial is confirmed, or it is
# skipped or inconclusive for a reason that names the condition. A refuted trial, a hang, a panic, a run that ends half-way,
# or anything left behind fails the condition.
#
#   ./scripts/hostile-hosts.sh [OPTION…] [CONDITION…]    conditions by name or glob (fd-*, guest-*); none means all
#
#   --list            show the conditions and end
#   --no-guests       leave out the conditions that boot a guest
#   --short           in guests run a selection: the scenarios that depend most on the host, instead of all fast ones
#   --program FILE    the rstproof to try [default: a dev build]
#   --kernel IMAGE    what guests boot [default: Debian's 6.12, from scripts/fetch-kernels.sh]
#   --page FILE       write the table to this page; without conditions on the command line: docs/reliability.md
#   --keep DIR        keep what each run printed, and its result, in this directory; it has to be empty or not there
#   --resume          with --keep: DIR holds the results of an earlier run; what has a result there is not run again
#
# Exit code: 0 if each condition is as it should be, 1 if one is not, 2 usage error or something needed is missing.
# As an ordinary user the conditions that need root are left out, and listed. Guests are emulated (QEMU, no KVM), so they
# work everywhere and take 20 to 60 seconds each. All of it takes about half an hour.
#
# Run it where no other rstproof is killed meanwhile: what that leaves in tracefs looks like what this script searches for.
# Nothing of this machine is changed: settings are those of namespaces and guests made here, clocks are stepped in guests
# only, loads end by themselves, and control groups, processes and files are removed on every way out.
#
# shellcheck disable=SC2016,SC2317
set -euo pipefail

say() { printf 'hostile-hosts: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 2
}

started_in=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

guest_line=6.12
program='' kernel='' page='' keep='' list=no guests=yes short=no resume=no
wanted=()
while (($# > 0)); do
    case $1 in
        --list) list=yes ;;
        --no-guests) guests=no ;;
        --short) short=yes ;;
        --resume) resume=yes ;;
        --program | --kernel | --page | --keep)
            (($# > 1)) || die "$1 needs a value"
            declare "${1#--}=$2"
            shift
            ;;
        -h | --help)
            sed -n '2,/^#$/!{/shellcheck/q}; s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" | sed 1d
            exit 0
            ;;
        -*) die "unknown option $1; --help shows them" ;;
        *) wanted+=("$1") ;;
    esac
    shift
done
from_here() { if [[ -z $1 || $1 == /* ]]; then printf '%s' "$1"; else printf '%s/%s' "$started_in" "$1"; fi; }
program=$(from_here "$program") kernel=$(from_here "$kernel") page=$(from_here "$page") keep=$(from_here "$keep")
if ((${#wanted[@]} == 0)) && [[ -z $page && $guests == yes ]]; then page=docs/reliability.md; fi

# ---------------------------------------------------------------------------------------------------------------------
# The conditions. Each is one line:
#
#   condition NAME NEEDS BOUND LEAST REASON WHAT HOW DESCRIPTION
#
#   NEEDS        what it takes: any, root, guest (QEMU and a kernel, no root)
#   BOUND        seconds after which it counts as a hang
#   LEAST        percent of the trials confirmed on a plain host that must be confirmed here, too
#   REASON       extended regular expression that the reason of every other trial has to match, and the error line where
#                nothing can run; `-`: every trial must be confirmed, except 1 % that missed its timing on a busy machine
#   WHAT         the command line of rstproof, after `N x` if HOW runs it N times; `@W` is a fresh directory
#   HOW          bash that makes the condition and runs "$@", with the helpers below

names=()
declare -A needs bound least reason what how description heading
section() { group=$1; }
condition() {
    names+=("$1")
    heading[$1]=$group
    needs[$1]=$2 bound[$1]=$3 least[$1]=$4 reason[$1]=$5 what[$1]=$6 how[$1]=$7 description[$1]=$8
}

# machine NAME BOUND LEAST REASON DESCRIPTION SETTING=VALUE…: a guest whose kernel begins with these settings.
machine() {
    local parameters='' setting
    for setting in "${@:6}"; do parameters+="sysctl.${setting%%=*}=\"${setting#*=}\" "; done
    condition "$1" guest "$2" "$3" "$4" run "guest ${parameters@Q} "'"$@"' "$5"
}

# loopback NAME LEAST REASON DESCRIPTION SETTING=VALUE [ARGUMENT…]: --host in a network namespace with this setting.
loopback() {
    condition "$1" root 90 "$2" "$3" "run --host ${*:6}" "with_setting ${5@Q} "'"$@"' "--host, $4"
}

# A tool that fails because of a limit must name the limit, and how to raise it.
few_files='ulimit -n'
few_processes='ulimit -u|pids\.max|TasksMax'
little_memory='[Mm]emory|malloc|ENOMEM|ENOBUFS|ulimit -v'
ro_sys='/proc/sys'
late='timing-missed|clock-stepped'
# Scenarios whose outcome depends on timers, and one that has none.
timers='keepalive-icmp write-after-peer-close-early close-unread-data linger-zero-unsent'

# What guests run with --short: of every topic those that touch buffers, links, neighbours, timers, children and counters.
selection='connect-closed-port connect-backlog-full connect-icmp-reject connect-router-unreachable connect-no-neighbour
    accept-queue-overflow defer-accept-listener-close close-unread-data close-unread-data-shared linger-zero-unsent disconnect-with-data
    reset-blocked-writer mptcp-close-unread-data sock-destroy write-after-peer-close write-after-peer-close-early fast-open-close-unread
    firewall-reset-input firewall-reset-forward reset-lost third-party-reset peer-rebooted half-open-server-restarted blind-rst-exact
    time-wait-rst-rfc1337 syn-received-bad-ack stray-ack-listener'

section 'Nothing hostile'
condition plain any 120 100 - 'run --all' '"$@"' 'nothing; what the others are compared with'

section 'Limits on open files'
for n in 6 20 32 64 128; do
    condition fd-$n any 60 0 "$few_files" run "ulimit -n $n; "'"$@"' "$n open files at most"
done
condition fd-256-all any 90 0 "$few_files" 'run --all' 'ulimit -n 256; "$@"' '256 open files at most, slow scenarios too'
condition fd-512-all any 90 0 "$few_files" 'run --all' 'ulimit -n 512; "$@"' '512 open files at most, slow scenarios too'
condition fd-1024-all any 90 100 - 'run --all' 'ulimit -n 1024; "$@"' '1024 open files at most (the usual default), slow scenarios too'
condition fd-soft-256-all any 90 100 - 'run --all' 'ulimit -S -n 256; "$@"' 'soft limit of 256 open files, hard limit as it is'

section 'Limits on processes and threads'
for n in 1 4 8 16; do
    condition nproc-$n root 60 0 "$few_processes" run "as_user 'ulimit -u $n; "'"$@"'"' "'"$@"' "an ordinary user with $n processes at most"
done
for n in 2 8 16; do
    condition pids-$n root 60 0 "$few_processes" run "in_cgroup pids $n "'"$@"' "control group of $n processes at most"
done

section 'Limits on memory and size'
condition vm-64m any 60 0 "$little_memory" run 'ulimit -v 65536; "$@"' '64 MiB of address space'
condition vm-128m any 60 100 - run 'ulimit -v 131072; "$@"' '128 MiB of address space'
condition vm-200m-all any 120 99 - 'run --all' 'ulimit -v 204800; "$@"' '200 MiB of address space, slow scenarios too'
condition vm-512m any 60 100 - run 'ulimit -v 524288; "$@"' '512 MiB of address space'
condition memory-64m root 60 100 - run 'in_cgroup memory 67108864 "$@"' 'control group of 64 MiB'
condition socket-memory-4k root 240 0 "$little_memory" run 'in_cgroup socket-memory 4096 "$@"' 'control group of 4 KiB of TCP memory'
condition mlock-0 any 60 100 - run 'ulimit -l 0; "$@"' 'no locked memory'
condition signals-0 any 60 100 - run 'ulimit -i 0; "$@"' 'no queued signals'
condition data-64m any 60 0 "$little_memory|ulimit -d" run 'ulimit -d 65536; "$@"' '64 MiB of data'
condition stack-64k any 60 80 'ulimit -s|stack|nft' run 'ulimit -Ss 64; "$@"' '64 KiB of stack, which may be raised'
condition file-size-0 any 60 0 'ulimit -f|EFBIG' 'run -w @W --quiet' '(ulimit -f 0; exec "$@") 2> >(cat >&2); code=$?; wait $!; exit $code' 'files may not grow'

section 'Little processor time'
condition one-cpu any 120 90 "$late" 'run --all' 'taskset -c 0 "$@"' 'one CPU'
condition nice-19 any 120 90 "$late" 'run --all' 'nice -n 19 "$@"' 'lowest priority'
condition cpu-quota-5 root 120 90 "$late" run 'in_cgroup cpu 5 "$@"' '5 % of one CPU'
condition many-jobs any 120 100 - 'run --jobs 64' '"$@"' '64 workers on few CPUs'
condition busy-3-runs any 240 90 "$late" '3 x run --all' 'busy 8 60; side_by_side 3 "$@"' '8 busy loops, 3 runs side by side'
condition twenty-runs any 240 90 "$late" '20 x run' 'side_by_side 20 "$@"' '20 runs at once'

section 'Filesystems that are read-only, hidden or odd'
condition proc-sys-read-only any 30 90 "$ro_sys" run 'in_mounts "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys" "$@"' '/proc/sys read-only, as in containers'
condition proc-sys-hidden any 30 85 "$ro_sys" run 'in_mounts "mount -t tmpfs none /proc/sys" "$@"' '/proc/sys hidden'
condition proc-read-only root 30 85 '/proc' run 'in_mounts "mount -o remount,ro,bind /proc" "$@"' 'all of /proc read-only'
condition proc-hidden any 30 0 '/proc' run 'in_mounts "mount -t tmpfs none /proc" "$@"' 'no /proc'
condition proc-hidepid root 60 100 - run 'in_mounts "mount -t proc -o hidepid=2 proc /proc" "$@"' '/proc with hidepid=2'
condition proc-pids-only root 60 85 '/proc' run 'in_mounts "mount -t proc -o subset=pid proc /proc" "$@"' '/proc with subset=pid'
condition sys-read-only root 60 100 - run 'in_mounts "mount -o remount,ro,bind /sys" "$@"' '/sys read-only'
condition sys-hidden any 60 100 - run 'in_mounts "mount -t tmpfs none /sys" "$@"' 'no /sys'
condition sys-kernel-hidden any 60 100 - run 'in_mounts "mount -t tmpfs none /sys/kernel" "$@"' 'no tracefs and no debugfs available'
condition tracefs-mounted root 60 100 - run 'in_mounts "mount -t tracefs t /sys/kernel/tracing" "$@"' 'tracefs on /sys/kernel/tracing, as systemd mounts it'
condition debugfs-mounted root 60 100 - run 'in_mounts "mount -t debugfs d /sys/kernel/debug" "$@"' 'debugfs on /sys/kernel/debug'
condition tracefs-read-only root 60 100 - run 'in_mounts "mount -t tracefs -o ro t /sys/kernel/tracing || mount -o remount,ro /sys/kernel/tracing" "$@"' 'tracefs read-only'
condition root-read-only root 60 100 - run 'in_mounts "mount --make-rprivate /; mount -o remount,ro,bind /" "$@"' '/ read-only'
condition dev-empty any 60 95 '/dev' run 'in_mounts "mount -t tmpfs none /dev" "$@"' 'an empty /dev'
condition tmp-noexec any 60 100 - run 'exec 9<"$1"; shift; in_mounts "mount -t tmpfs -o noexec,ro none /tmp" /proc/self/fd/9 "$@"' '/tmp read-only and noexec'
condition nft-broken root 60 80 nft run 'in_mounts "mount --bind /bin/false $(PATH=$PATH:/usr/sbin type -P nft)" "$@"' 'an nft that fails'
condition tmpdir-missing any 60 100 - run 'TMPDIR=/nonexistent "$@"' 'TMPDIR does not exist'

section 'What a process inherits'
condition stdin-closed any 60 100 - run '"$@" <&-' 'standard input closed'
condition stderr-closed any 60 100 - run '"$@" 2>&-' 'standard error closed'
condition stdout-closed any 60 100 - 'run -w @W' '"$@" >&-' 'standard output closed'
condition all-closed any 60 100 - 'run -w @W' '"$@" <&- >&- 2>&-' 'standard input, output and error closed'
condition many-descriptors any 60 0 "$few_files" run 'for i in {10..250}; do eval "exec $i</dev/null"; done; ulimit -n 260; "$@"' '240 inherited descriptors, 260 at most'
condition no-environment any 60 100 - run 'env -i "$@"' 'empty environment'
condition huge-environment any 60 100 - run 'for i in {1..12}; do export "V$i=$(head -c 120000 /dev/zero | tr "\0" x)"; done; "$@"' '1.4 MB of environment'
condition locale any 60 100 - run 'LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8 TZ=Asia/Kathmandu "$@"' 'Turkish locale, odd time zone'
condition umask any 60 100 - 'run -w @W' 'umask 777; "$@"' 'umask 777'
condition directory-gone any 60 100 - run 'mkdir gone; cd gone; rmdir ../gone; "$@"' 'working directory removed'
condition program-gone any 60 100 - run 'cp "$1" copy; exec 9<copy; rm copy; shift; /proc/self/fd/9 "$@"' 'program file removed while it runs'
condition path-empty any 60 80 nft run 'PATH=/nonexistent "$@"' 'no program in PATH: nft cannot be started'
condition uname-2.6 any 60 100 - run 'setarch "$(uname -m)" --uname-2.6 "$@"' 'uname reports Linux 2.6 (personality UNAME26)'
condition signals-ignored any 60 100 - run 'trap "" INT TERM HUP PIPE CHLD USR1; "$@"' 'SIGCHLD, SIGPIPE and others ignored'
condition signals-blocked any 60 100 - run 'env --block-signal=CHLD,PIPE,TERM,INT,USR1 "$@"' 'the same signals blocked'

section 'Clocks, and time that stops'
condition time-namespace root 60 100 - run 'unshare -T --boottime 400000000 --monotonic 400000000 "$@"' 'clocks 12 years ahead (time namespace)'
condition child-tables-1 root 60 90 'tcp_child_ehash_entries|tcp_max_tw_buckets' run 'with_setting net.ipv4.tcp_child_ehash_entries=1 "$@"' 'new namespaces get a connection table of one entry and no TIME-WAIT (tcp_child_ehash_entries)'
condition stopped any 400 75 "$late|call-interrupted" '6 x run --all' 'stopped_at_random 6 "$@"' 'SIGSTOP for 0.3 to 5 s at random moments'
condition stopped-timers any 90 0 "$late|call-interrupted" "8 x run --family ipv4 $timers" 'stopped_once 0.8 4 8 "$@"' 'SIGSTOP for 4 s while timers run'

section 'Privileges, containers, refused system calls'
condition user any 60 100 - run 'as_user '"'"'"$@"'"'"' "$@"' 'an ordinary user'
condition user-no-new-privs any 60 100 - run 'as_user '"'"'setpriv --no-new-privs "$@"'"'"' "$@"' 'an ordinary user, no_new_privs'
condition user-namespace any 60 100 - run 'unshare -Ur "$@"' 'root of a user namespace'
condition user-namespaces-3 any 60 100 - run 'unshare -Ur unshare -Ur unshare -Ur "$@"' 'three user namespaces deep'
condition user-unmapped any 60 0 'user namespace|uid_map|mapped' run 'unshare -U "$@"' 'a user namespace without a mapping'
condition pid-1 any 60 100 - run 'unshare -Urpf --mount-proc "$@"' 'first process of a PID namespace'
condition user-namespaces-forbidden any 60 0 'user\.max_user_namespaces' run 'unshare -Ur bash -c "echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --inh-caps=-all --bounding-set=-all \"\$@\"" - "$@"' 'user namespaces forbidden, no capabilities'
condition net-namespaces-few any 60 0 'user\.max_net_namespaces' run 'unshare -Ur bash -c "echo 2 >/proc/sys/user/max_net_namespaces; exec \"\$@\"" - "$@"' 'two network namespaces at most'
condition no-capabilities root 60 0 namespace run 'setpriv --inh-caps=-all --bounding-set=-all "$@"' 'root without capabilities: it may not map itself into a user namespace (user_namespaces(7), CAP_SETFCAP)'
condition docker-host-loopback root 60 90 '/proc/sys|CAP_|namespace' 'run --host' 'docker "" "$@"' "Docker's defaults (capabilities, read-only /proc/sys and /sys, unshare refused), with --host"
condition docker-private root 60 0 'namespace' run 'docker "" "$@"' "Docker's defaults, without --host: no namespace can be made"
condition docker-userns root 60 90 '/proc/sys|CAP_|namespace' run 'docker allowed "$@"' "Docker's defaults where user namespaces are allowed"
condition rootless any 60 90 '/proc/sys|CAP_' run 'rootless "$@"' 'rootless container: user, mount, PID and network namespace, read-only /proc/sys and /sys'
for call in unshare setns; do
    for error in EPERM EINVAL ENOSPC; do
        condition $call-${error,,} any 60 0 "namespace" run "refuse $call $error "'"$@"' "$call fails with $error, as under seccomp"
    done
done
condition clone3-enosys any 120 100 - run 'refuse clone3 ENOSYS "$@"' 'clone3 fails with ENOSYS, as under old seccomp filters'
condition affinity-eperm any 60 85 sched_setaffinity run 'refuse sched_setaffinity EPERM "$@"' 'sched_setaffinity fails with EPERM (gVisor)'
condition prctl-eperm any 60 95 'child process' run 'refuse prctl EPERM "$@"' 'prctl fails with EPERM'
condition flock-enolck any 60 100 - 'run -w @W' 'refuse flock ENOLCK "$@"' 'flock fails with ENOLCK, as on some NFS'
condition timerfd-enosys any 60 100 - run 'refuse timerfd_create ENOSYS "$@"' 'timerfd_create fails with ENOSYS'
condition close-range-enosys any 60 100 - run 'refuse close_range,statx,getrandom ENOSYS "$@"' 'close_range, statx, getrandom fail with ENOSYS'

section '`--host`: settings of the network namespace that it is asked to use'
for setting in tcp_syncookies=2 tcp_syncookies=0 tcp_abort_on_overflow=1 tcp_max_tw_buckets=0 tcp_timestamps=0 tcp_sack=0 tcp_ecn=1 \
    tcp_window_scaling=0 tcp_challenge_ack_limit=0 tcp_invalid_ratelimit=0 tcp_rfc1337=1 tcp_tw_reuse=1 tcp_autocorking=0 tcp_fastopen=0 \
    tcp_fastopen=1027 tcp_fin_timeout=1 tcp_mtu_probing=2 tcp_syn_retries=1 tcp_synack_retries=0 tcp_retries2=1 tcp_orphan_retries=1 \
    tcp_keepalive_time=1 tcp_keepalive_intvl=1 tcp_keepalive_probes=1 tcp_no_metrics_save=1 tcp_slow_start_after_idle=0 tcp_frto=0 tcp_recovery=0 tcp_early_retrans=0 \
    tcp_min_snd_mss=1400 tcp_max_syn_backlog=1 tcp_migrate_req=1 tcp_l3mdev_accept=1 tcp_shrink_window=1 tcp_backlog_ack_defer=0 tcp_pingpong_thresh=255 \
    tcp_stdurg=1 tcp_adv_win_scale=-2 tcp_app_win=0 tcp_moderate_rcvbuf=0 tcp_base_mss=48 tcp_thin_linear_timeouts=1 tcp_reflect_tos=1 tcp_fwmark_accept=1 \
    tcp_limit_output_bytes=1 tcp_notsent_lowat=1 tcp_min_tso_segs=1 tcp_tso_win_divisor=0 tcp_syn_linear_timeouts=0 tcp_max_orphans=0 tcp_workaround_signed_windows=1 \
    tcp_retrans_collapse=0 tcp_reordering=1 tcp_dsack=0 tcp_comp_sack_nr=0 tcp_rto_min_us=1000 \
    ip_default_ttl=1 icmp_ratelimit=0 icmp_ratemask=65535 icmp_echo_ignore_all=1 conf.all.rp_filter=1 conf.all.route_localnet=1 \
    ip_no_pmtu_disc=1 ip_early_demux=0 ip_nonlocal_bind=1 ip_forward=1; do
    slow=''
    # With the slow scenarios where their timers are concerned.
    share=80
    [[ $setting != tcp_max_tw_buckets* ]] || share=70
    [[ ! $setting =~ retries|timeout|keepalive|linear|rto_min|frto|recovery|time_wait ]] || slow=--all
    loopback "host-${setting/=/-}" $share "${setting%%=*}" "net.ipv4.$setting" "net.ipv4.$setting" $slow
done
loopback host-tcp-wmem-small 80 tcp_wmem 'tcp_wmem 4096 4096 4096' 'net.ipv4.tcp_wmem=4096 4096 4096'
loopback host-tcp-wmem-huge 80 tcp_wmem 'tcp_wmem 4096 16777216 33554432' 'net.ipv4.tcp_wmem=4096 16777216 33554432'
loopback host-tcp-rmem-huge 80 tcp_rmem 'tcp_rmem 4096 16777216 33554432' 'net.ipv4.tcp_rmem=4096 16777216 33554432'
loopback host-tcp-rmem-small 80 tcp_rmem 'tcp_rmem 4096 4096 4096' 'net.ipv4.tcp_rmem=4096 4096 4096'
loopback host-few-ports 0 'ip_local_port_range|port' 'four local ports' 'net.ipv4.ip_local_port_range=60000 60003'
loopback host-somaxconn-1 80 'somaxconn' 'somaxconn 1' 'net.core.somaxconn=1'
loopback host-mptcp-off 80 '[Mm]ultipath|mptcp' 'Multipath TCP off' 'net.mptcp.enabled=0'
loopback host-ipv6-off 45 'IPv6|disable_ipv6' 'IPv6 off' 'net.ipv6.conf.all.disable_ipv6=1'
condition host-lo-down root 60 0 'ip link set lo up' 'run --host' 'unshare -n "$@"' '--host, loopback down'
for mtu in 1280 1500 16436; do
    condition host-lo-mtu-$mtu root 60 80 'mtu|MTU' 'run --host' "in_network 'ip link set lo mtu $mtu' "'"$@"' "--host, loopback MTU $mtu"
done
condition host-firewall-drops-invalid root 60 80 'firewall|nft|conntrack' 'run --host' 'in_network "nft add table inet t; nft add chain inet t i {type filter hook input priority 0\;}; nft add rule inet t i ct state invalid drop" "$@"' '--host, a firewall that drops what conntrack calls invalid'
condition host-others root 60 95 "$late" 'run --host' 'in_network : beside "$@"' '--host, another run on the same loopback with other ports'
condition host-twin root 150 95 "$late" 'run --host --all' 'twin "$@"' '--host, and another run with --host in another network namespace: same addresses, same ports'
condition host-port-in-use root 60 0 'port 8080' 'run --host' 'in_network "$HOSTILE_BUSYBOX nc -l -p 8080 & sleep 1" "$@"' '--host, the port is in use'
condition host-rps root 60 95 "$late" 'run --host' 'in_network "unshare -m bash -c \"mount -t sysfs sysfs /sys; echo 3 >/sys/class/net/lo/queues/rx-0/rps_cpus\"" "$@"' '--host, packets of lo are spread over CPUs (RPS)'
condition host-netem root 120 90 "$late|lost|reorder|netem" 'run --host' 'in_network "tc qdisc add dev lo root netem delay 20ms 5ms || { echo no netem qdisc here >&2; exit 77; }" "$@"' '--host, 20 ms of delay on lo'

section 'Whole machines: emulated guests whose kernel has the setting before anything runs'
condition guest-plain guest 240 100 - run 'guest "" "$@"' 'nothing: the guest that the others are compared with'
machine guest-tcp-wmem-small 240 95 tcp_wmem 'tcp_wmem small' net.ipv4.tcp_wmem='4096 4096 4096'
machine guest-tcp-wmem-huge 240 95 tcp_wmem 'tcp_wmem huge' net.ipv4.tcp_wmem='4096 16777216 33554432'
machine guest-tcp-rmem-small 240 95 tcp_rmem 'tcp_rmem small' net.ipv4.tcp_rmem='4096 4096 4096'
machine guest-tcp-rmem-huge 240 95 tcp_rmem 'tcp_rmem huge' net.ipv4.tcp_rmem='4096 16777216 33554432'
machine guest-tcp-mem-0 240 0 "$little_memory|tcp_mem" 'tcp_mem 0: TCP is under memory pressure' net.ipv4.tcp_mem='0 0 0'
machine guest-tcp-mem-1 240 0 "$little_memory|tcp_mem" 'tcp_mem 1' net.ipv4.tcp_mem='1 1 1'
machine guest-arp-ignore 240 60 'arp_ignore|not reach' 'arp_ignore 8: no host answers ARP' net.ipv4.conf.all.arp_ignore=8 net.ipv4.conf.default.arp_ignore=8
machine guest-addr-gen-mode 240 80 'addr_gen_mode|not reach' 'no IPv6 link-local addresses (inherited addr_gen_mode 1)' net.core.devconf_inherit_init_net=1 net.ipv6.conf.default.addr_gen_mode=1
machine guest-ipv6-conf 240 80 'IPv6|disable_ipv6|not reach' 'namespaces inherit disable_ipv6 1' net.core.devconf_inherit_init_net=1 net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1
machine guest-dad 240 95 'IPv6|dad' 'slow duplicate address detection' net.core.devconf_inherit_init_net=1 net.ipv6.conf.default.dad_transmits=3 net.ipv6.conf.default.accept_dad=2 net.ipv6.conf.default.use_tempaddr=2 net.ipv6.conf.default.optimistic_dad=0
machine guest-app-solicit 240 95 'app_solicit|neighbour' 'neigh.default.app_solicit 1' net.ipv4.neigh.default.app_solicit=1 net.ipv6.neigh.default.app_solicit=1
machine guest-mcast-solicit 300 60 'mcast_solicit|neighbour|not reach' 'neigh.default.mcast_solicit 0' net.ipv4.neigh.default.mcast_solicit=0 net.ipv6.neigh.default.mcast_solicit=0
machine guest-neighbours-full 300 60 'neighbour|gc_thresh3' 'neighbour table full (gc_thresh3 2)' net.ipv4.neigh.default.gc_thresh1=0 net.ipv4.neigh.default.gc_thresh2=1 net.ipv4.neigh.default.gc_thresh3=2 net.ipv6.neigh.default.gc_thresh3=2
machine guest-neighbours-slow 300 95 'neigh' 'no queue for unresolved neighbours' net.ipv4.neigh.default.unres_qlen_bytes=0 net.ipv4.neigh.default.retrans_time_ms=10 net.ipv4.neigh.default.ucast_solicit=0
machine guest-rmem-default-4096 240 0 'rmem_default' 'net.core.rmem_default 4096' net.core.rmem_default=4096
machine guest-rmem-default-2304 240 0 'rmem_default' 'net.core.rmem_default and rmem_max 2304' net.core.rmem_default=2304 net.core.rmem_max=2304
machine guest-rmem-default-huge 240 95 'rmem_default' 'net.core.rmem_default and wmem_default 16 MiB' net.core.rmem_max=33554432 net.core.rmem_default=16777216 net.core.wmem_max=33554432 net.core.wmem_default=16777216
machine guest-wmem-default-4608 240 0 'wmem_default' 'net.core.wmem_default and wmem_max 4608' net.core.wmem_default=4608 net.core.wmem_max=4608
machine guest-reno 240 100 - 'congestion control reno' net.ipv4.tcp_congestion_control=reno
machine guest-qdisc 240 100 - 'default_qdisc pfifo_fast, dev_weight 1' net.core.default_qdisc=pfifo_fast net.core.netdev_max_backlog=1000 net.core.dev_weight=1
machine guest-backlog-1 240 0 'netdev_max_backlog|dropped|backlog' 'netdev_max_backlog 1, optmem_max 64' net.core.netdev_max_backlog=1 net.core.optmem_max=64
machine guest-hardened 240 95 'kptr_restrict|perf_event_paranoid|rp_filter' 'kernel hardening: kptr_restrict, dmesg_restrict, perf_event_paranoid, yama, rp_filter' kernel.kptr_restrict=2 kernel.dmesg_restrict=1 kernel.perf_event_paranoid=3 kernel.yama.ptrace_scope=3 kernel.unprivileged_bpf_disabled=2 net.core.bpf_jit_harden=2 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.all.accept_source_route=0 net.ipv4.conf.all.log_martians=1 net.ipv4.icmp_echo_ignore_broadcasts=1
machine guest-hardened-tcp 240 100 - 'TCP settings of hardening guides on the host: trials have their own' net.ipv4.tcp_syncookies=2 net.ipv4.tcp_rfc1337=1 net.ipv4.tcp_tw_reuse=1 net.ipv4.tcp_timestamps=0 net.ipv4.tcp_sack=0 net.ipv4.tcp_dsack=0 net.ipv4.tcp_ecn=1 net.ipv4.tcp_fastopen=0 net.ipv4.tcp_abort_on_overflow=1 net.ipv4.tcp_max_tw_buckets=0 net.ipv4.tcp_fin_timeout=5 net.ipv4.tcp_syn_retries=1 net.ipv4.tcp_retries2=3
machine guest-arp-hardened 240 95 'arp|not reach' 'arp_ignore 2, arp_announce 2, arp_filter' net.ipv4.conf.all.arp_ignore=2 net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.all.arp_filter=1 net.ipv4.conf.all.drop_gratuitous_arp=1 net.ipv4.conf.all.shared_media=0 net.ipv4.conf.all.disable_policy=1 net.ipv4.conf.all.disable_xfrm=1
machine guest-icmp-limits 240 90 'icmp|ICMP' 'one ICMP message a second' net.ipv4.icmp_msgs_per_sec=1 net.ipv4.icmp_msgs_burst=1 net.ipv4.icmp_ratelimit=100000 net.ipv4.icmp_ratemask=65535
condition guest-ipv6-disable guest 240 45 'IPv6' run 'guest ipv6.disable=1 "$@"' 'kernel without IPv6 (ipv6.disable=1)'
machine guest-ipv6-sysctl 240 90 'IPv6' 'IPv6 off on the host (disable_ipv6)' net.ipv6.conf.all.disable_ipv6=1
machine guest-net-namespaces-1 240 0 'max_net_namespaces' 'one network namespace at most' user.max_net_namespaces=1
machine guest-file-max 240 0 'file-max|ENFILE' 'fs.file-max 64' fs.file-max=64
machine guest-orphans-0 240 80 'tcp_max_orphans' 'tcp_max_orphans 0' net.ipv4.tcp_max_orphans=0
machine guest-hop-limit 240 90 'hop_limit|not reach' 'namespaces inherit hop_limit 1' net.core.devconf_inherit_init_net=1 net.ipv6.conf.default.hop_limit=1 net.ipv6.conf.all.hop_limit=1
machine guest-late-stamps 240 100 - 'packets are stamped late, no BPF compiler' net.core.netdev_tstamp_prequeue=0 net.core.bpf_jit_enable=0
machine guest-no-overcommit 240 0 "$little_memory" 'no memory overcommit (overcommit_ratio 40)' vm.overcommit_memory=2 vm.overcommit_ratio=40
machine guest-threads-max 240 0 "$few_processes|threads-max" 'kernel.threads-max 100' kernel.threads-max=100
machine guest-no-modules 240 0 'veth|nft|module|kernel' 'no module can be loaded' kernel.modules_disabled=1
condition guest-small guest 240 95 "$late|$little_memory" run 'GUEST_MEMORY=256 guest "" "$@"' '256 MiB of memory'
condition guest-coarse-timers guest 240 90 "$late" run 'guest "highres=off nohz=off" "$@"' 'timers at the resolution of jiffies'
condition guest-preempt guest 240 90 "$late" run 'guest "preempt=full threadirqs isolcpus=1 nohz_full=1 rcu_nocbs=1" "$@"' 'full preemption, isolated CPU'
condition guest-one-cpu guest 240 90 "$late" run 'guest nosmp "$@"' 'one processor (nosmp)'
condition guest-small-tables guest 240 90 'tcp_max_tw_buckets|tcp_max_orphans' run 'guest "thash_entries=1 uhash_entries=1" "$@"' 'connection table of one entry'
condition guest-lockdown guest 240 100 - run 'guest "lockdown=confidentiality lsm=lockdown,yama" "$@"' 'lockdown=confidentiality: no tracefs'
condition guest-debug guest 300 90 "$late" run 'guest "slub_debug=FZPU init_on_free=1 init_on_alloc=1 threadirqs" "$@"' 'allocator debugging, threaded interrupts'
condition guest-uptime-300 guest 300 100 - run 'GUEST_EMULATOR="-icount shift=3,sleep=off" guest "" hook "until_uptime 300" "$@"' 'uptime 300 to 420 s: jiffies wrap (idle time is skipped)'
condition guest-uptime-298 guest 300 100 - run 'GUEST_EMULATOR="-icount shift=3,sleep=off" guest "" hook "until_uptime 298" "$@"' 'jiffies wrap during the run'
condition guest-clock-forward guest 240 0 "$late" run 'guest "" hook "step_clock +3600" "$@"' 'clock set forward by an hour each second'
condition guest-clock-back guest 240 0 "$late" run 'guest "" hook "step_clock -1" "$@"' 'clock set back by a second each second'
condition guest-clock-2106 guest 240 0 'clock|2106' 'run close-unread-data reset-lost' 'guest "" hook "date -s @4300000000" "$@"' 'a date beyond 2106'
condition guest-paused guest 300 0 "$late" run 'paused guest "" "$@"' 'virtual machine paused for 3 s, several times'
condition guest-cpu-hotplug guest 300 80 "$late" run 'guest "" hook "flap_cpu" "$@"' 'a CPU goes offline and online each second'

if [[ $list == yes ]]; then
    for name in "${names[@]}"; do printf '%-32s %-6s %s\n' "$name" "${needs[$name]}" "${description[$name]}"; done
    exit 0
fi

# ---------------------------------------------------------------------------------------------------------------------
# Helpers of HOW. They run in a bash of their own, in the condition's own empty directory; "$@" is the program with its
# arguments.

# as_user SNIPPET COMMAND…: as a user of no name that owns nothing, if this is root.
as_user() {
    local snippet=$1
    shift
    if ((EUID == 0)); then
        setpriv --reuid=54321 --regid=54321 --clear-groups --bounding-set=-all --inh-caps=-all bash -c "$snippet" - "$@"
    else
        bash -c "$snippet" - "$@"
    fi
}

# in_mounts SNIPPET COMMAND…: in a mount namespace of its own, after SNIPPET.
in_mounts() {
    local snippet=$1
    shift
    local own=(unshare -m)
    ((EUID == 0)) || own=(unshare -Urm)
    "${own[@]}" bash -c "set -e; $snippet; exec \"\$@\"" - "$@"
}

# in_network SNIPPET COMMAND…: in a network namespace of its own with loopback up, after SNIPPET.
in_network() {
    local snippet=$1
    shift
    unshare -n bash -c "set -e; ip link set lo up; $snippet; \"\$@\"" - "$@"
}

# with_setting NAME=VALUE COMMAND…: in a network namespace of its own with this setting.
with_setting() {
    local place=/proc/sys/${1%%=*}
    # The dots are those of names; in a value they stay.
    place=/proc/sys/$(tr . / <<<"${1%%=*}")
    local value=${1#*=}
    shift
    # Only where the setting belongs to the namespace.
    in_network "[ -e $place ] || { echo 'this kernel has no $place' >&2; exit 77; }; echo '$value' >$place" "$@"
}

# in_cgroup KIND LIMIT COMMAND…: in a control group of its own, of either version.
in_cgroup() {
    local kind=$1 limit=$2 group
    shift 2
    local root=/sys/fs/cgroup
    if [[ -e $root/cgroup.controllers ]]; then
        [[ $kind != socket-memory ]] || { echo 'control groups of version 2 do not limit TCP memory' >&2; exit 77; }
        echo "+$kind" >$root/cgroup.subtree_control
        group=$root/$HOSTILE_GROUP
        mkdir -p "$group"
        case $kind in
            pids) echo "$limit" >"$group/pids.max" ;;
            memory) echo "$limit" >"$group/memory.max" ;;
            cpu) echo "$((limit * 1000)) 100000" >"$group/cpu.max" ;;
        esac
    else
        local controller=${kind/socket-memory/memory}
        [[ -d $root/$controller ]] || { echo "there is no $controller control group here" >&2; exit 77; }
        group=$root/$controller/$HOSTILE_GROUP
        mkdir -p "$group"
        case $kind in
            pids) echo "$limit" >"$group/pids.max" ;;
            memory) echo "$limit" >"$group/memory.limit_in_bytes" ;;
            socket-memory) echo "$limit" >"$group/memory.kmem.tcp.limit_in_bytes" ;;
            cpu) echo 100000 >"$group/cpu.cfs_period_us"; echo "$((limit * 1000))" >"$group/cpu.cfs_quota_us" ;;
        esac
    fi
    bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
}

# refuse CALL[,CALL…] ERROR COMMAND…: these system calls fail, in all threads and children.
refuse() {
    local calls=$1 error=$2
    shift 2
    strace -f -qq --seccomp-bpf -o /dev/null -e "trace=$calls" -e "inject=$calls:error=$error" "$@"
}

# docker ALLOWED COMMAND…: what Docker does by default: 14 capabilities, /proc/sys and /sys read-only, some of /proc hidden,
# its own namespaces, and, unless ALLOWED says so, no new ones (its seccomp filter).
docker() {
    local caps='-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap'
    local setup='ip link set lo up; mount -t sysfs -o ro sysfs /sys; mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys
        mount --bind /dev/null /proc/timer_list; mount -t tmpfs -o ro none /proc/acpi 2>/dev/null || :'
    local run=("$@")
    run=("${run[@]:1}")
    [[ -n $1 ]] || run=(refuse 'unshare,setns,mount' EPERM "${run[@]}")
    unshare -nmpiuf --mount-proc bash -c "set -e; $setup; exec setpriv --bounding-set=$caps --inh-caps=-all bash -c '\"\$@\"' - \"\$@\"" - "${run[@]}"
}

rootless() {
    unshare -Urnmpiuf --mount-proc bash -c 'set -e; ip link set lo up; mount -t sysfs -o ro sysfs /sys; mount --bind /proc/sys /proc/sys
        mount -o remount,ro,bind /proc/sys; exec "$@"' - "$@"
}

# busy N SECONDS: N loops in the background; they end by themselves.
busy() {
    local i
    for ((i = 0; i < $1; i++)); do
        timeout "$2" bash -c 'while :; do :; done' &
    done
}

# side_by_side N COMMAND…: the worst exit code of all; their output one after the other.
side_by_side() {
    local count=$1 i pids=() worst=0 code
    shift
    for ((i = 0; i < count; i++)); do
        "$@" >"side.$i" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        code=0
        wait "$i" || code=$?
        ((code == 0 || worst == 1)) || worst=$code
    done
    cat side.*
    return "$worst"
}

# beside COMMAND…: while another run with other ports goes on.
beside() {
    local code=0
    "$@" --port 9080 --repeat 3 >other 2>&1 &
    "$@" || code=$?
    wait
    return $code
}

# twin COMMAND…: in a network namespace of its own, while the same goes on in another one.
twin() {
    local code=0
    in_network : "$@" --repeat 5 >other 2>&1 &
    in_network : "$@" --repeat 1 || code=$?
    wait
    return $code
}

# stopped_at_random N COMMAND…: N runs, one after the other, each stopped at random moments for 0.3 to 5 s.
stopped_at_random() {
    local count=$1 i worst=0 code pid
    shift
    for ((i = 0; i < count; i++)); do
        "$@" &
        pid=$!
        while sleep "$((RANDOM % 3)).$((RANDOM % 10))" && kill -STOP $pid 2>/dev/null; do
            sleep "$(awk -v r=$RANDOM 'BEGIN { print 0.3 + r / 32767 * 4.7 }')"
            kill -CONT $pid 2>/dev/null || :
        done
        code=0
        wait $pid || code=$?
        ((code == 0 || worst == 1)) || worst=$code
    done
    return $worst
}

# stopped_once AFTER SECONDS N COMMAND…: N runs, one after the other, each stopped once.
stopped_once() {
    local after=$1 seconds=$2 count=$3 i worst=0 code pid
    shift 3
    for ((i = 0; i < count; i++)); do
        "$@" &
        pid=$!
        sleep "$after"
        if kill -STOP $pid 2>/dev/null; then
            sleep "$seconds"
            kill -CONT $pid 2>/dev/null || :
        fi
        code=0
        wait $pid || code=$?
        ((code == 0 || worst == 1)) || worst=$code
        # Not at the same moment each time.
        after=$(awk -v a="$after" 'BEGIN { print a + 0.2 }')
    done
    return $worst
}

# guest ARGUMENTS [hook SNIPPET] PROGRAM run ARGUMENT…: in a guest with these kernel arguments. SNIPPET runs as the first
# process of the guest before rstproof does. GUEST_MEMORY in MiB, GUEST_EMULATOR: more arguments for QEMU.
guest() {
    local arguments=$1 hook=''
    shift
    if [[ $1 == hook ]]; then
        hook=$2
        shift 2
        arguments+=' rdinit=/hostile/hook'
    fi
    local program=$1
    shift 2
    mkdir -p emulator
    {
        printf '#!/usr/bin/env bash\n# Stands before QEMU in the path: adds files to the guest and arguments to QEMU.\n'
        printf 'arguments=()\nwhile (($# > 0)); do\n'
        if [[ -n $hook ]]; then
            make_hook "$hook"
            printf '  if [[ $1 == -initrd ]]; then cat "$2" %q >%q; arguments+=(-initrd %q); shift 2; continue; fi\n' "$PWD/hook.cpio" "$PWD/initrd" "$PWD/initrd"
        fi
        printf '  arguments+=("$1"); shift\ndone\nexec %q "${arguments[@]}" %s\n' "$(command -v qemu-system-x86_64)" "${GUEST_EMULATOR:-}"
    } >emulator/qemu-system-x86_64
    chmod +x emulator/qemu-system-x86_64
    # The emulator itself sometimes crashes a kernel during boot (code that the kernel patches on another processor). A boot
    # that did not reach rstproof proves nothing about it.
    local attempt code
    for attempt in 1 2; do
        code=0
        PATH=$PWD/emulator:$PATH "$program" kernels --accel tcg --jobs 1 --memory "${GUEST_MEMORY:-1024}" \
            --timeout "$((HOSTILE_BOUND - 90))" -w saved --force --append "no_timer_check $arguments" "$HOSTILE_KERNEL" "$@" 2>complaints || code=$?
        ((attempt == 1 && code == 2)) && grep -q 'before rstproof started in it' complaints || break
    done
    cat complaints >&2
    return "$code"
}

# make_hook SNIPPET: hook.cpio, with a first process that does this before it becomes rstproof.
make_hook() {
    mkdir -p files/hostile
    cp "$HOSTILE_BUSYBOX" files/hostile/busybox
    cat >files/hostile/hook <<END
#!/hostile/busybox sh
/hostile/busybox --install -s /hostile
export PATH=/hostile
mkdir -p /proc /sys
mount -t proc proc /proc
until_uptime() { while read up rest </proc/uptime; [ "\${up%.*}" -lt "\$1" ]; do sleep 1; done; }
step_clock() { ( while sleep 1; do date -s "@\$((\$(date +%s) \$1))"; done ) >/dev/null 2>&1 & }
flap_cpu() { ( mount -t sysfs sysfs /hostile/sys; cpu=/hostile/sys/devices/system/cpu/cpu1/online; while sleep 1; do echo 0 >\$cpu; sleep 1; echo 1 >\$cpu; done ) >/dev/null 2>&1 & }
mkdir -p /hostile/sys
$1
read up rest </proc/uptime
echo "hook: uptime \$up"
exec /init "\$@"
END
    chmod +x files/hostile/hook
    (cd files && find . | "$HOSTILE_BUSYBOX" cpio -o -H newc 2>/dev/null) >hook.cpio
}

# paused COMMAND…: the emulator that COMMAND starts is stopped for 3 s again and again, as a host does to a virtual machine.
paused() {
    "$@" &
    local pid=$! child code=0
    while sleep 4 && kill -0 $pid 2>/dev/null; do
        for child in $(pgrep -f -- "$PWD/emulator" || :) $(pgrep -s 0 -x qemu-system-x86 || :); do
            kill -STOP "$child" 2>/dev/null || continue
            sleep 3
            kill -CONT "$child" 2>/dev/null || :
        done
    done
    wait $pid || code=$?
    return $code
}

export -f as_user in_mounts in_network with_setting in_cgroup refuse docker rootless busy side_by_side beside twin stopped_at_random stopped_once \
    guest make_hook paused

# ---------------------------------------------------------------------------------------------------------------------
# Ready.

chosen=() left_out=()
is_wanted() {
    ((${#wanted[@]} > 0)) || return 0
    local pattern
    for pattern in "${wanted[@]}"; do
        # shellcheck disable=SC2053 # globs are meant
        [[ $1 == $pattern ]] && return 0
    done
    return 1
}
for name in "${names[@]}"; do
    is_wanted "$name" || continue
    case ${needs[$name]} in
        root) if ((EUID != 0)); then left_out+=("$name (needs root)"); continue; fi ;;
        guest) if [[ $guests == no ]]; then left_out+=("$name (--no-guests)"); continue; fi ;;
    esac
    chosen+=("$name")
done
((${#chosen[@]} + ${#left_out[@]} > 0)) || die "no condition is called ${wanted[*]}; --list shows them"

needs_guests=no
for name in "${chosen[@]}"; do [[ ${needs[$name]} != guest ]] || needs_guests=yes; done
setup=(--hosts)
[[ $needs_guests == no ]] || setup+=(--kernels)
./scripts/setup.sh "${setup[@]}" >&2
if [[ $needs_guests == yes && -z $kernel ]]; then kernel=$(./scripts/fetch-kernels.sh "$guest_line"); fi
if [[ -z $program ]]; then
    cargo build --locked >&2
    program=$(cargo metadata --locked --no-deps --format-version 1 | jq -r .target_directory)/debug/rstproof
fi
[[ -x $program ]] || die "$program is not a program"
if [[ -n $keep ]]; then
    [[ $resume == yes || -z $(ls -A -- "$keep" 2>/dev/null) ]] || die "$keep is not empty; choose another directory, or empty it"
    mkdir -p "$keep"
fi

work=$(mktemp -d)
chmod 755 "$work"
session=''
# Ends what a condition has started, by its session, and removes its control groups.
sweep() {
    local stray strays i
    [[ -n $session ]] || return 0
    for ((i = 0; i < 50; i++)); do
        mapfile -t strays < <(pgrep -s "$session" || :)
        ((${#strays[@]} > 0)) || break
        for stray in "${strays[@]}"; do
            kill -KILL "$stray" 2>/dev/null || :
            kill -CONT "$stray" 2>/dev/null || :
        done
        sleep 0.1
    done
    local group
    for group in /sys/fs/cgroup/"$HOSTILE_GROUP" /sys/fs/cgroup/*/"$HOSTILE_GROUP"; do
        if [[ -d $group ]]; then
            for ((i = 0; i < 50; i++)); do rmdir "$group" 2>/dev/null && break || sleep 0.1; done
        fi
    done
    session=''
}
trap 'sweep; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# Where an ordinary user may run it, and it is not replaced while this goes on.
cp "$program" "$work/rstproof"
chmod 755 "$work/rstproof"
export HOSTILE_GROUP="hostile-hosts.$$" HOSTILE_KERNEL=$kernel HOSTILE_BUSYBOX
HOSTILE_BUSYBOX=$(command -v busybox.static || command -v busybox || :)

# The tracefs instances of rstproof processes that are gone (rstproof-PID-…), where that may be seen.
stale_instances() {
    local instance pid
    ((EUID == 0)) || return 0
    unshare -m bash -c 'mount -t tracefs t /mnt && ls /mnt/instances' 2>/dev/null | grep '^rstproof-' |
        while IFS=- read -r instance pid rest; do [[ -d /proc/$pid ]] || printf '%s\n' "$instance-$pid-$rest"; done || :
}

# trials DIRECTORY: scenario, family, verdict, reason of each trial that a condition's runs have printed or saved.
trials() {
    local from=("$1/out") saved
    for saved in "$1"/saved/report.json "$1"/saved/*/report.json; do [[ ! -f $saved ]] || from=("$saved"); done
    sed -n 's/,$//; /^{"scenario"/p' "${from[@]}" |
        jq -r '[.scenario, .family, .verdict // "skipped", ([.skipped, (.inconclusive_reason, .findings[] | .id?, .message?) | strings] | join("; "))] | @tsv' 2>/dev/null
}

# reference WHAT: file with the trials of these arguments on this host as it is.
declare -A references=()
reference() {
    local arguments=$1
    if [[ -z ${references[$arguments]:-} ]]; then
        local directory=$work/reference.${#references[@]}
        mkdir "$directory"
        local words=()
        read -ra words <<<"${arguments//@W/}"
        local plain=() word
        for word in "${words[@]}"; do [[ $word == -w || $word == --quiet ]] || plain+=("$word"); done
        plain=("$work/rstproof" "${plain[@]}" --format json)
        # The loopback of the host itself may have any settings.
        [[ $arguments != *--host* ]] || plain=(in_network : "${plain[@]}")
        "${plain[@]}" >"$directory/out" 2>"$directory/err" </dev/null || :
        trials "$directory" >"$directory/trials"
        references[$arguments]=$directory/trials
    fi
}

# ---------------------------------------------------------------------------------------------------------------------
# The page.

rows='' last_heading=''
# row NAME CONFIRMED SKIPPED INCONCLUSIVE REFUTED SECONDS RESULT
row() {
    if [[ ${heading[$1]} != "$last_heading" ]]; then
        last_heading=${heading[$1]}
        rows+=$'\n'"### $last_heading"$'\n\n'
        rows+='| condition | host | confirmed | skipped | inconclusive | refuted | seconds | |'$'\n'
        rows+='|---|---|---:|---:|---:|---:|---:|---|'$'\n'
    fi
    local result=$7
    result=${result//|/\\|}
    # Paths of this machine do not belong on the page.
    result=${result//"$work"/DIR}
    rows+="| \`$1\` | ${description[$1]} | $2 | $3 | $4 | $5 | $6 | $result |"$'\n'
}

write_page() {
    local count=$1 failures=$2 guests_ran=''
    [[ $needs_guests == no ]] || guests_ran="Guests: Linux $(basename "$kernel" | sed 's/^vmlinuz-//'), emulated by QEMU without KVM. In guests$(
        if [[ $short == yes ]]; then printf ' a selection of %d scenarios ran.' "$(wc -w <<<"$selection")"; else printf ' all scenarios that are not slow ran.'; fi
    )"
    cat >"$page.partial" <<END
# Reliability: the host never changes a verdict

A proof must not be wrong because of the machine it ran on. On every Linux host, however limited or oddly configured, \`rstproof\`
promises:

- A trial is never \`refuted\` because of the host's state: its settings, limits, memory, clocks or load.
- A trial that the host disturbs or cannot run is \`inconclusive\` or \`skipped\`. The reason names the obstacle and, where there is
  one, the command that fixes it.
- If nothing can run, one line of error gives the reason, and the exit code is 2.
- A run ends: every wait has a bound. Every requested trial is reported.
- Nothing is left behind: no process, namespace, tracefs instance or temporary file.

There are two exceptions. If no memory is left, the process ends at once, with one line that says so and exit code 2. A
process that is killed (SIGKILL, the OOM killer) ends without a message. The next run removes what they leave behind. Trials that were
already reported are correct.

\`scripts/hostile-hosts.sh\` tests this. It creates hosts that are hostile in one way each and runs the scenarios on each. Every trial
must be confirmed, or be skipped or inconclusive for a reason that names the condition. As many trials as possible must be
confirmed: a run that skips everything is useless.

\`\`\`sh
./scripts/hostile-hosts.sh                       # all of it, about half an hour; writes this page
./scripts/hostile-hosts.sh --list                # the conditions
./scripts/hostile-hosts.sh 'fd-*' stopped        # some of them, by name or glob
\`\`\`

The script changes nothing on its own machine. Settings belong to network namespaces or guests that it creates; clocks are stepped
only in guests. For an ordinary user, conditions that need root are left out and listed. Some 20 conditions that take seconds are part
of the tests (\`cargo test --test hosts\`).

## How to read the table

*confirmed*, *skipped*, *inconclusive* and *refuted* count trials. A trial is a scenario over one address family. The numbers differ
because conditions run different scenarios: scenarios with slow timers run where time matters, \`--host\` cannot run scenarios that
change the network, and some conditions run several times. \`ok\` with a text means that nothing can run there; the text is the line
that \`rstproof\` prints. An emulated processor is slow, so in guests a trial may also be inconclusive with \`timing-missed\`.

## Results

$count conditions, $failures failed. \`rstproof\` $("$work/rstproof" --version | sed 's/^rstproof //'), Linux $(uname -r), $(nproc) CPUs, run by $( ((EUID == 0)) && echo root || echo 'an ordinary user'). $guests_ran
$rows
END
    if ((${#left_out[@]} > 0)); then
        { printf '\nLeft out:\n\n'; printf -- '- %s\n' "${left_out[@]}"; } >>"$page.partial"
    fi
    mv "$page.partial" "$page"
    say "$page"
}

# ---------------------------------------------------------------------------------------------------------------------
# One after the other.

failed=() count=0
# show: the condition that has just been run, of which these variables hold the result.
show() {
    printf '%-30s %9d %7d %12d %7d %7s  %s\n' "$name" "$confirmed" "$skipped" "$inconclusive" "$refuted" "$seconds" "$result"
    row "$name" "$confirmed" "$skipped" "$inconclusive" "$refuted" "$seconds" "$result"
    count=$((count + 1))
    [[ $result != FAILED* ]] || failed+=("$name")
}

# bash reads all of this before it runs any of it: this file may be edited meanwhile.
main() {
    local name confirmed skipped inconclusive refuted seconds result
    printf '%-30s %9s %7s %12s %7s %7s  %s\n' condition confirmed skipped inconclusive refuted seconds result
    for name in "${chosen[@]}"; do
        if [[ $resume == yes && -s $keep/$name/result ]]; then
            IFS=$'\t' read -r confirmed skipped inconclusive refuted seconds result <"$keep/$name/result" || :
            show
            continue
        fi
        times=1 arguments=${what[$name]}
        if [[ $arguments =~ ^([0-9]+)\ x\ (.*)$ ]]; then times=${BASH_REMATCH[1]} arguments=${BASH_REMATCH[2]}; fi
        # On a busy machine a script may miss its moment without any condition, and more often on an emulated processor.
        pattern=${reason[$name]} minimum=${least[$name]}
        if [[ $pattern == - ]]; then pattern=$late minimum=99; fi
        if [[ ${needs[$name]} == guest ]]; then
            [[ $short == no || $arguments != run ]] || arguments+=" ${selection//$'\n'/ }"
            pattern+="|$late"
            ((minimum < 95)) || minimum=95
        fi
        reference "$arguments"
        expected=${references[$arguments]}
        [[ -s $expected ]] || die "rstproof $arguments runs nothing on this host as it is: $(cat "${expected%/trials}/err")"
        total=$(($(wc -l <"$expected") * times))
        directory=$work/$name
        mkdir "$directory"
        ((EUID != 0)) || [[ ${how[$name]} != *as_user* ]] || chown 54321 "$directory"
        read -ra words <<<"${arguments//@W/saved}"
        command=("$work/rstproof" "${words[@]}")
        [[ $arguments == *@W* || ${needs[$name]} == guest ]] || command+=(--format json)
        before=$(stale_instances)
        export HOSTILE_BOUND=${bound[$name]}
        begun=$EPOCHREALTIME
        # A session of its own: what is left of it can be found.
        (cd "$directory" && exec setsid timeout -k 10 "$HOSTILE_BOUND" bash -c "${how[$name]}" - "${command[@]}") \
            >"$directory/out" 2>"$directory/err" </dev/null &
        session=$!
        code=0
        wait "$session" 2>/dev/null || code=$?
        seconds=$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')

        problems=()
        # Loops that this script started end by themselves; no process of the program may be left.
        if [[ $code != 124 && $code != 137 ]]; then
            left=$(pgrep -s "$session" -x rstproof | wc -l || :)
            ((left == 0)) || problems+=("$left processes left")
            after=$(stale_instances | grep -vxF -- "$before" | tr '\n' ' ' || :)
            [[ -z $after ]] || problems+=("tracefs instance left: $after")
            [[ -z $(find "$directory/saved" -name '*.partial' 2>/dev/null) ]] || problems+=('a .partial file left')
        fi
        sweep
        trials "$directory" >"$directory/trials" || :
        if [[ $code == 77 ]]; then
            left_out+=("$name ($(tail -n 1 "$directory/err"))")
            rm -rf "$directory"
            continue
        fi
        [[ ${needs[$name]} != guest || $name != guest-plain ]] || cp "$directory/trials" "$work/reference.guest"

        refused=$(grep -ah 'sysctl parameter' "$directory"/saved/*/console.log 2>/dev/null | head -n 1 || :)
        [[ -z $refused ]] || problems+=("the condition was not made: $refused")

        # A feature that the host itself lacks does not count against the condition.
        usual=$expected
        [[ ${needs[$name]} != guest || ! -s $work/reference.guest ]] || usual=$work/reference.guest
        read -r confirmed skipped inconclusive refuted unnamed first < <(
            pattern=$pattern awk -F '\t' '
                BEGIN { pattern = ENVIRON["pattern"] }
                NR == FNR { if ($3 == "skipped") usual[$1, $2] = 1; next }
                { count[$3]++ }
                ($3 == "inconclusive" || $3 == "skipped") && !(($1, $2) in usual && $3 == "skipped") {
                    if (pattern == "-" || $4 !~ pattern) { if (!unnamed++) first = $1 " " $2 ": " $4 }
                }
                END { printf "%d %d %d %d %d %s\n", count["confirmed"], count["skipped"], count["inconclusive"], count["refuted"], unnamed, first }
            ' "$usual" "$directory/trials"
        )
        normally=$(awk -F '\t' '$3 == "confirmed"' "$usual" | wc -l)
        [[ $usual == "$expected" ]] || normally=$(awk -F '\t' 'NR == FNR { if ($3 == "skipped") s[$1, $2] = 1; next } !(($1, $2) in s)' "$usual" "$expected" | wc -l)
        seen=$((confirmed + skipped + inconclusive + refuted))
        # Rust aborts a process that gets no memory, in one line; nothing can be cleaned up then, and the next run does it.
        if [[ $code == 134 && $pattern == "$little_memory"* ]] && grep -q '^memory allocation of .* failed' "$directory/err"; then
            problems=() code=aborted
        elif grep -q 'panicked at' "$directory/err" || [[ $code == 134 || $code == 101 ]]; then
            problems+=('PANIC')
        fi
        ((refuted == 0)) || problems+=("$refuted REFUTED ($(awk -F '\t' '$3 == "refuted" { print $1, $2 ": " substr($4, 1, 120); exit }' "$directory/trials"))")
        case $code in
            0 | 3)
                ((seen == total)) || problems+=("$seen of $total trials")
                ((unnamed == 0)) || problems+=("$unnamed without the condition's name (${first:0:160})")
                ((confirmed * 100 >= normally * times * minimum)) || problems+=("only $confirmed of $((normally * times)) confirmed")
                ;;
            1 | aborted) ;;
            2)
                # Nothing can run here: no trial may have run, and one line must give the reason. Only memory may also be
                # refused to one worker after another has run trials.
                ((seen == 0)) || [[ $pattern == "$little_memory"* ]] || problems+=("ended after $seen of $total trials")
                lines=$(grep -c . "$directory/err" || :)
                ((lines == 1)) || problems+=("$lines lines of error")
                ((minimum == 0)) && grep -Eq -- "$pattern" "$directory/err" || problems+=("exit 2: $(head -c 200 "$directory/err" | tr '\n' ' ')")
                ;;
            124 | 137) problems+=("HANG: not ended after ${bound[$name]} s") ;;
            *) problems+=("exit $code") ;;
        esac
        result=ok
        if ((${#problems[@]} > 0)); then
            result=$(printf '%s; ' "${problems[@]}")
            result="FAILED: ${result%; }"
        elif [[ $code == aborted ]]; then
            result="ok: aborted after $seen trials: $(grep -m 1 '^memory allocation of' "$directory/err")"
        elif [[ $code == 2 ]]; then
            result="ok: $( ((seen == 0)) || printf 'ended after %d trials: ' "$seen")$(sed 's/^rstproof: //' "$directory/err" | head -n 1)"
        fi
        show
        if [[ -n $keep ]]; then
            mkdir -p "$keep/$name"
            printf '%s\t' "$confirmed" "$skipped" "$inconclusive" "$refuted" "$seconds" "${result//"$work"/DIR}" >"$keep/$name/result"
            cp "$directory"/{out,err,trials} "$keep/$name/"
            cp "$directory"/saved/*/console.log "$keep/$name/" 2>/dev/null || :
        fi
        rm -rf "$directory"
    done
    printf '%d conditions, %d failed%s\n' "$count" "${#failed[@]}" "${failed[*]:+: ${failed[*]}}"
    ((${#left_out[@]} == 0)) || printf 'left out: %s\n' "${left_out[@]}"
    [[ -z $page ]] || write_page "$count" "${#failed[@]}"
    ((${#failed[@]} == 0)) || exit 1
    exit 0
}
main
