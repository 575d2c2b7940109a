//! Kernel trace as an evidence source: a run has an instance of tracefs, and leaves none behind.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::{fs, io};

use nix::sys::signal::Signal;
use nix::unistd::{Pid, geteuid};
use rstproof::sources::RunSources;
use rstproof::sources::trace::{RING_KIB, TraceSession};
use rstproof::sources::tracefs::Tracefs;
use rstproof::trial::{Settings, Worker, this_program};
use rstproof_core::scenario::{Family, Sender, find};
use rstproof_core::verdict::{Finding, InconclusiveReason, Judgement, Verdict};
use serde_json::Value;

use crate::as_root::doctor::MOUNT_TRACEFS;
use crate::program;
use crate::run::{ENDLESS, PROGRAM, Run, Running, TRIAL, User, rstproof};

/// The names of the instances of this process.
fn instances_of(process: Pid) -> Vec<String> {
    assert!(geteuid().is_root(), "this test has to be run as root");
    let tracefs = Tracefs::open().unwrap();
    let instances = fs::read_dir(tracefs.root().join("instances")).unwrap();
    let names = instances.map(|it| it.unwrap().file_name().into_string().unwrap());
    let prefix = format!("rstproof-{process}-");
    names.filter(|name| name.starts_with(&prefix)).collect()
}

fn start() -> Running {
    let mut run = Running::start(rstproof(&ENDLESS).args(["--format", "json", "--jobs", "2"]));
    run.read_until(TRIAL);
    run
}

#[test]
fn there_is_one_instance_while_a_run_is_at_work_and_none_after_any_signal() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let run = start();
        let process = run.pid();
        assert_eq!(instances_of(process).len(), 1);
        run.signal(signal);
        assert_eq!(run.finish().code, Some(128 + signal as i32));
        assert_eq!(instances_of(process), [""; 0]);
    }
}

#[test]
fn there_is_none_after_the_end_nor_after_a_failure_nor_when_nobody_reads() {
    for (arguments, code) in [
        (&["run", "linger-zero-close"][..], 0),
        (&["run", "-i", "no-such-interface"], 2),
        (&["run", "-f", "no filter"], 2),
    ] {
        let run = Running::start(&mut rstproof(arguments));
        let process = run.pid();
        assert_eq!(run.finish().code, Some(code), "{arguments:?}");
        assert_eq!(instances_of(process), [""; 0], "{arguments:?}");
    }
    let mut run = start();
    let process = run.pid();
    run.out = None;
    assert_eq!(run.finish().code, Some(0));
    assert_eq!(instances_of(process), [""; 0]);
}

#[test]
fn what_a_run_that_was_killed_has_left_the_next_one_removes_and_no_more() {
    let (killed, alive) = (start(), start());
    let (left, kept) = (killed.pid(), alive.pid());
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.finish().code, None);
    // Another test's run may have been that next one.
    Run::of(&mut rstproof(&["run", "linger-zero-close"])).quietly(0);
    assert_eq!(instances_of(left), [""; 0]);
    assert_eq!(instances_of(kept).len(), 1);
}

/// A tracefs that is mounted, and may only be read there, in a mount namespace of the test's own.
#[test]
fn a_tracefs_in_which_no_instance_can_be_made_is_not_the_only_one() {
    let script = format!(
        "{MOUNT_TRACEFS} || exit 99
        mount -o remount,bind,ro /sys/kernel/tracing || exit 99
        ! mkdir /sys/kernel/tracing/instances/x 2>&- || exit 98
        exec \"$1\" run linger-zero-close --format json"
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh", PROGRAM]);
    let run = Run::of(&mut command).quietly(0);
    for trial in run.trials() {
        assert!(!trial["trace_coverage"].is_null(), "{trial}");
    }
}

#[test]
fn every_trial_has_all_sources_and_without_root_the_reason_why_not() {
    let document = |run: &Run| serde_json::from_str::<Value>(&run.out).unwrap();
    let run = Run::of(&mut rstproof(&["run", "--format", "json"])).quietly(0);
    let sources = &document(&run)["evidence_sources"];
    for source in ["capture", "kernel_trace", "counters"] {
        assert_eq!(sources[source], true, "{source}");
    }
    for trial in run.trials() {
        assert!(
            trial["trace_coverage"].is_object() && trial["unsupported_counters"].is_array(),
            "{trial}"
        );
    }

    let user = User::new();
    let arguments = ["run", "linger-zero-close", "--format", "json"];
    let run = Run::of(&mut user.rstproof(&arguments)).quietly(0);
    let sources = &document(&run)["evidence_sources"];
    assert_eq!(sources["kernel_trace"], false);
    let why = sources["kernel_trace_note"].as_str().unwrap();
    assert!(why.contains("tracefs"), "{why}");
    for trial in run.trials() {
        assert!(
            trial["trace_coverage"].is_null() && trial["kernel_events"] == Value::from([0; 0]),
            "{trial}"
        );
        assert_eq!(trial["verdict"], "confirmed");
    }
    let run = Run::of(&mut user.rstproof(&arguments[..2])).quietly(0);
    let told = format!("not available: kernel trace ({why})");
    let said = run.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.ends_with(&told), "{said}");
}

/// As many workers as are allowed, each with 64 trials at least: no event of one is ever in a trial of another.
#[test]
fn sixty_four_workers_do_not_mix_their_evidence() {
    let mut command = rstproof(&["run", "--format", "json", "--jobs", "64", "--repeat", "700"]);
    command.args([
        "connect-closed-port",
        "close-unread-data",
        "linger-zero-close",
    ]);
    let run = Run::of(&mut command).quietly(0);
    let ip = |address: &Value| {
        let address: std::net::SocketAddr = address.as_str().unwrap().parse().unwrap();
        address.ip()
    };
    let trials = run.trials();
    assert_eq!(trials.len(), 700 * 6);
    let mut addresses = BTreeSet::new();
    for trial in trials {
        assert_eq!(trial["verdict"], "confirmed", "{trial}");
        let own = [&trial["client"], &trial["server"]].map(ip);
        assert_ne!(own[0], own[1], "{trial}");
        addresses.insert(own);
        let events = trial["kernel_events"].as_array().unwrap();
        assert!(!events.is_empty());
        for event in events {
            for end in ["source", "destination"] {
                assert!(own.contains(&ip(&event[end])), "{trial}");
            }
        }
    }
    // Two for each family of each worker. How many of them get any trials is for the scheduler to say.
    assert!(addresses.len() > 16, "{}", addresses.len());
}

/// Ports that no other test uses: a ring of the smallest size has no room for the events of trials that run beside.
const PORT: u16 = 18_080;
const PORTS: RangeInclusive<u16> = PORT..=PORT + 2;

fn settings(trace: Option<Arc<TraceSession>>, program: PathBuf) -> Settings {
    Settings {
        program,
        sources: RunSources { trace },
        ..Settings::private(PORT)
    }
}

/// Does this on a thread of its own, which gives up its privileges.
fn on_a_thread<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let work = move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(work())
    };
    thread::spawn(work).join().unwrap()
}

async fn run_in(worker: &mut Worker, scenario: &str) -> Judgement {
    let trial = worker.run(find(scenario).unwrap(), Family::Ipv4).await;
    trial.unwrap().judgement
}

/// Trials of a worker that does not empty the rings fill them, and push out what was there.
#[test]
fn events_that_the_kernel_had_no_room_for_make_one_trial_inconclusive() {
    const SMALLEST_KIB: u32 = 8;
    assert!(geteuid().is_root(), "this test has to be run as root");
    let session = TraceSession::open(Tracefs::open().unwrap(), PORTS, SMALLEST_KIB).unwrap();
    let traced = Some(Arc::clone(&session));
    on_a_thread(async || {
        let mut deaf = Worker::open(settings(None, this_program()), 0)
            .await
            .unwrap();
        for _ in 0..100 {
            let judgement = run_in(&mut deaf, "close-unread-data").await;
            assert_eq!(judgement.verdict, Verdict::Confirmed);
            assert_eq!(judgement.origins[0].sender, Sender::Unknown);
        }
    });
    on_a_thread(async move || {
        let mut worker = Worker::open(settings(traced, this_program()), 0)
            .await
            .unwrap();
        let lost = run_in(&mut worker, "close-unread-data").await;
        assert_eq!(
            (lost.verdict, lost.inconclusive_reason),
            (
                Verdict::Inconclusive,
                Some(InconclusiveReason::TraceOverrun)
            )
        );
        for _ in 0..100 {
            let judgement = run_in(&mut worker, "close-unread-data").await;
            assert_eq!(judgement.verdict, Verdict::Confirmed, "{judgement:?}");
            assert_eq!(judgement.origins[0].sender, Sender::Socket);
        }
    });
    session.close();
}

#[test]
fn an_instance_can_be_made_twice_and_closed_twice() {
    assert!(geteuid().is_root(), "this test has to be run as root");
    let own = Pid::this();
    let open = || TraceSession::open(Tracefs::open().unwrap(), PORTS, RING_KIB).unwrap();
    let (one, other) = (open(), open());
    assert!(instances_of(own).len() >= 2);
    one.close();
    one.close();
    drop(other);
}

/// Its socket stays open when it is killed, as that of a child would that the kernel cannot end.
#[test]
fn a_child_that_does_not_die_is_not_waited_for_for_ever_and_proves_nothing() -> io::Result<()> {
    const HOLD_S: u32 = 20;
    let dir = program::directory();
    let pid_file = dir.path().join("pid");
    let script = format!(
        "#!/bin/sh\nexec 3<&0\nsleep {HOLD_S} >/dev/null &\necho $! >'{}'\necho\nwait\n",
        pid_file.display()
    );
    let program = program::script(dir.path(), "child", &script);
    let judgement = on_a_thread(async move || {
        let mut worker = Worker::open(settings(None, program), 0).await.unwrap();
        run_in(&mut worker, "close-unread-data-sigkill").await
    });
    let holder = fs::read_to_string(pid_file)?.trim().parse().unwrap();
    // It is still there: nothing but the time that it was given would have ended it.
    nix::sys::signal::kill(Pid::from_raw(holder), Signal::SIGKILL)?;
    assert_eq!(judgement.verdict, Verdict::Refuted, "{judgement:?}");
    let ids: Vec<&str> = judgement.findings.iter().map(Finding::id).collect();
    assert!(ids.contains(&"no-reset"), "{ids:?}");
    Ok(())
}
