//! What containers take away: writable settings, parts of `/proc`, capabilities, descriptors. What cannot run there is skipped for a
//! reason that is true, and nothing is judged wrongly for it.

use std::process::Command;

use serde_json::Value;

use crate::run::{PROGRAM, Run, rstproof};

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
const DEFAULT_CAPABILITIES: &str = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,\
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
fn where_settings_are_hidden_it_is_not_said_that_the_kernel_has_none() {
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
fn doctor_tells_what_a_container_takes_away() {
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
