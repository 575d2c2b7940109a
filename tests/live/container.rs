//! What containers take away: writable settings, parts of `/proc`, capabilities, descriptors. What cannot run there is skipped for a
//! reason that is true, and nothing is judged wrongly for it.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use serde_json::Value;

use crate::run::{PROGRAM, Run, User, rstproof};

/// What container runtimes do to `/proc` and `/sys`: the defaults of the OCI runtime specification's `maskedPaths` and
/// `readonlyPaths`, as Docker and Podman have them.
const AS_RUNTIMES_DO: &str = r"
    for path in bus fs irq sys sysrq-trigger; do
        if [ -e /proc/$path ]; then
            mount --bind /proc/$path /proc/$path && mount -o remount,bind,ro /proc/$path || exit 99
        fi
    done
    for path in kcore keys latency_stats timer_list sched_debug; do
        if [ -e /proc/$path ]; then mount --bind /dev/null /proc/$path || exit 99; fi
    done
    for path in /proc/acpi /proc/scsi /sys/firmware; do
        if [ -d $path ]; then mount -t tmpfs -o ro none $path || exit 99; fi
    done
";

/// Those capabilities that Docker leaves a container.
pub(crate) const DEFAULT_CAPABILITIES: &str = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,\
                                    +net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap";

/// The program as the only one in a rootless container: in user, mount, network and process namespaces of its own.
fn in_container(script: &str, arguments: &[&str]) -> Command {
    let script = format!(
        "{script}\nexec setpriv --no-new-privs --inh-caps=-all --bounding-set={DEFAULT_CAPABILITIES} \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "--net",
        "--ipc",
        "--uts",
    ]);
    command.args(["--pid", "--fork", "--mount-proc"]);
    command.args(["sh", "-c", &script, "sh", PROGRAM]);
    command.args(arguments);
    command
}

fn verdicts<'a>(trials: &'a [Value], verdict: &str) -> Vec<&'a Value> {
    let all = trials.iter();
    all.filter(|trial| trial["verdict"] == verdict).collect()
}

fn skipped(trials: &[Value]) -> Vec<(&str, &str)> {
    let reason = |trial| {
        let trial: &Value = trial;
        Some((trial["scenario"].as_str()?, trial["skipped"].as_str()?))
    };
    trials.iter().filter_map(reason).collect()
}

/// As `net.ipv4.tcp_fastopen` and others cannot be changed there. At least nine of ten of those trials run that run on the host.
#[test]
fn in_a_container_with_default_settings_nine_of_ten_trials_run() {
    let arguments = ["run", "--format", "json"];
    let here = Run::of(&mut rstproof(&arguments)).quietly(0).trials();
    let there = Run::of(&mut in_container(AS_RUNTIMES_DO, &arguments));
    let there = there.quietly(0).trials();
    assert_eq!(there.len(), here.len());
    let ran = |trials: &[Value]| trials.len() - skipped(trials).len();
    assert!(
        ran(&there) * 10 >= ran(&here) * 9,
        "{} of {}",
        ran(&there),
        ran(&here)
    );
    assert_eq!(verdicts(&there, "confirmed").len(), ran(&there));
    let also_here = skipped(&here);
    for (scenario, why) in skipped(&there) {
        assert!(
            why.contains("/proc/sys is read-only") && why.contains("systempaths=unconfined")
                || also_here.contains(&(scenario, why)),
            "{scenario}: {why}"
        );
    }
}

/// The kernel has these settings all the same.
#[test]
fn hidden_settings_are_not_reported_as_missing_from_the_kernel() {
    let arguments = [
        "run",
        "fast-open-connect-refused",
        "reset-lost",
        "close-unread-data",
    ];
    let arguments = [&arguments[..], &["--format", "json"]].concat();
    let hidden = "mount -t tmpfs none /proc/sys || exit 99";
    let trials = Run::of(&mut in_container(hidden, &arguments))
        .quietly(0)
        .trials();
    for (scenario, why) in skipped(&trials) {
        assert!(why.contains("/proc/sys is hidden"), "{scenario}: {why}");
    }
    // Fast Open over both families, and IPv6 through a router, for which there is no other way.
    assert_eq!(skipped(&trials).len(), 3, "{trials:?}");
    assert_eq!(verdicts(&trials, "confirmed").len(), 3);
}

#[test]
fn doctor_reports_the_restrictions_of_a_container() {
    for (script, status, code, found) in [
        (AS_RUNTIMES_DO, "limited", 0, "/proc/sys is read-only"),
        (
            "mount -t tmpfs none /proc/sys",
            "limited",
            0,
            "/proc/sys is hidden",
        ),
        (
            "mount -t tmpfs none /proc",
            "missing",
            2,
            "/proc is not mounted",
        ),
    ] {
        let run = Run::of(&mut in_container(script, &["doctor", "--format", "json"]));
        let run = run.quietly(code);
        let document: Value = serde_json::from_str(&run.out).unwrap();
        let mut checks = document["checks"].as_array().unwrap().iter();
        let check = checks.find(|it| it["id"] == "kernel-settings").unwrap();
        assert_eq!(check["status"], status, "{check}");
        assert!(check["detail"].as_str().unwrap().contains(found), "{check}");
        assert_eq!(document["self_test"]["passed"], code == 0);
    }
}

#[test]
fn without_proc_one_line_names_it() {
    let run = Run::of(&mut in_container("mount -t tmpfs none /proc", &["run"]));
    let complaint = run.complaint();
    assert!(complaint.contains("/proc is not mounted"), "{complaint}");
    assert!(
        complaint.contains("`mount -t proc proc /proc`"),
        "{complaint}"
    );
}

/// The program with no more than this many open files.
fn with_files(limit: u32, arguments: &[&str]) -> Command {
    let script = format!("ulimit -n {limit} && exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh", PROGRAM]).args(arguments);
    command
}

/// Fewer run side by side then.
#[test]
fn with_few_open_files_all_trials_run_all_the_same() {
    let run = Run::of(&mut with_files(
        120,
        &["run", "--jobs", "32", "--format", "json"],
    ));
    let trials = run.quietly(0).trials();
    let run = verdicts(&trials, "confirmed").len() + skipped(&trials).len();
    assert_eq!(run, trials.len());
    assert!(trials.len() >= 200);
}

#[test]
fn with_too_few_open_files_one_line_names_the_limit() {
    for limit in [16, 40] {
        let run = Run::of(&mut with_files(limit, &["run", "close-unread-data-shared"]));
        let complaint = run.complaint();
        assert!(complaint.contains("`ulimit -n "), "{complaint}");
    }
}

/// Calls that Docker's default profile refuses a container without `CAP_SYS_ADMIN` (moby, profiles/seccomp/default.json): those
/// that this program, its libraries or a kernel's tools may make.
const REFUSED: [libc::c_long; 21] = [
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_kexec_load,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
];

/// Flags of clone(2) for new namespaces.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// A filter by which calls with these rules fail with this error; without rules, always.
fn failing(rules: BTreeMap<libc::c_long, Vec<SeccompRule>>, errno: libc::c_int) -> BpfProgram {
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.cast_unsigned()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    filter.unwrap().try_into().unwrap()
}

/// Runs the command under Docker's default filter, which its programs inherit.
pub(crate) fn under_dockers_filter(mut command: Command) -> Run {
    let flag = |flag: libc::c_int| {
        let flag = u64::try_from(flag).unwrap();
        let is_set = SeccompCmpOp::MaskedEq(flag);
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, is_set, flag);
        SeccompRule::new(vec![condition.unwrap()]).unwrap()
    };
    let mut refused: BTreeMap<_, _> = REFUSED.map(|call| (call, Vec::new())).into();
    refused.insert(libc::SYS_clone, NAMESPACES.map(flag).into());
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let filters = [
        failing(refused, libc::EPERM),
        failing(unknown, libc::ENOSYS),
    ];
    // The filters are those of a thread and its children.
    let confined = thread::spawn(move || {
        for filter in &filters {
            apply_filter(filter).unwrap();
        }
        Run::of(&mut command)
    });
    confined.join().unwrap()
}

#[test]
fn a_filter_that_refuses_namespaces_is_named_with_the_option_that_lifts_it() {
    for command in [rstproof(&["run"]), User::new().rstproof(&["run"])] {
        let run = under_dockers_filter(command);
        let complaint = run.complaint();
        for part in [
            "private network namespace (EPERM)",
            "seccomp filter",
            "`--security-opt seccomp=unconfined`",
            "`--cap-add SYS_ADMIN --cap-add NET_ADMIN`",
        ] {
            assert!(complaint.contains(part), "{complaint}");
        }
        assert!(!complaint.contains("sudo"), "{complaint}");
    }
}

#[test]
fn doctor_reports_the_restrictions_of_a_seccomp_filter() {
    for command in [
        rstproof(&["doctor", "--format", "json"]),
        User::new().rstproof(&["doctor", "--format", "json"]),
    ] {
        let run = under_dockers_filter(command).quietly(2);
        let document: Value = serde_json::from_str(&run.out).unwrap();
        let checks = document["checks"].as_array().unwrap();
        let of = |id: &str| checks.iter().find(|check| check["id"] == id).unwrap();
        // Root makes its namespaces without a user namespace.
        let first = &of("self-test")["blocked_by"];
        let first = of(first.as_str().unwrap());
        let detail = first["detail"].as_str().unwrap();
        assert!(
            detail.contains("seccomp filter") && detail.contains("seccomp=unconfined"),
            "{first}"
        );
        assert!(first["fix"].is_null(), "{first}");
    }
}

/// What needs no namespace is not in the way of the filter.
#[test]
fn under_a_filter_saved_evidence_is_judged_all_the_same() {
    let run = under_dockers_filter(rstproof(&["check", "captures"]));
    assert_eq!(run.code, Some(0), "{}", run.err);
    let capture = "captures/close-unread-data.ipv4.pcapng";
    let run = under_dockers_filter(rstproof(&["analyze", capture]));
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("aborted-close"), "{}", run.out);
}

/// Found out before the namespace is entered: in it, root has all capabilities but no user is mapped.
#[test]
fn the_capability_that_root_lacks_to_map_itself_is_named() {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "setpriv", "--inh-caps=-all"]);
    command.args(["--bounding-set=-all", PROGRAM, "run"]);
    let run = Run::of(&mut command);
    let complaint = run.complaint();
    assert!(complaint.contains("CAP_SETFCAP"), "{complaint}");
    assert!(complaint.contains("`--cap-add SETFCAP`"), "{complaint}");
    for false_hope in ["maps no user", "sudo", "--host"] {
        assert!(!complaint.contains(false_hope), "{complaint}");
    }
}
