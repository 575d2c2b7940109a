//! Self-test: a trial over each address family in a private namespace, and the checks of each step on the way there.

use std::thread;
use std::time::Duration;

use nix::sys::signal::SigSet;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::here::Here;
use super::privilege::{USER_NAMESPACES, explained};
use super::{Check, Facts, Group, RUN_ON_HOST, SelfTest, Status, Tried};
use crate::capture::cpus;
use crate::error::Error;
use crate::lab::{Environment, Lab};
use crate::trial::pool::runtime;
use crate::trial::{CompletedTrial, Settings, Worker};
use rstproof_core::packet::Packet;
use rstproof_core::report::Remark;
use rstproof_core::scenario::{Family, find};
use rstproof_core::verdict::Verdict;

/// Scenario of the trials.
const SCENARIO: &str = "close-unread-data";

/// Maximum time for the whole self-test, longer than all time limits within it. A bound on failure, not a pace.
const BOUND: Duration = Duration::from_secs(30);

/// Stage that an attempt reached.
// In chronological order: a later stage implies that the earlier ones succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Namespace,
    Capture,
    Trial,
}

/// Result of the attempt to run the trials.
#[derive(Default)]
pub(super) struct Attempt {
    stage: Stage,
    /// Error that ended the attempt at this stage.
    failed: Option<Error>,
    /// Reason why IPv6 is not available; `None` if it is.
    no_ipv6: Option<String>,
    tried: Vec<Tried>,
    /// True if frames have timestamps in nanoseconds, false if in microseconds; `None` if no segment was captured.
    nanoseconds: Option<bool>,
}

/// Runs the trials on their own thread; the private namespace ends with the thread.
pub(super) async fn attempt() -> Attempt {
    let failed = |error| Attempt {
        failed: Some(error),
        ..Attempt::default()
    };
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        // Signals are for the main thread; on this one they would fail a call with EINTR.
        let blocked = SigSet::all()
            .thread_block()
            .map_err(|errno| Error::system("block signals in a worker", errno));
        let attempt = match blocked.and_then(|()| runtime()) {
            Ok(runtime) => runtime.block_on(on_this_thread()),
            Err(error) => failed(error),
        };
        // Fails only if the time limit passed, which has been reported then.
        let _ = sender.send(attempt);
    };
    // A network namespace is entered by a single thread, and this one must stay outside.
    if let Err(error) = thread::Builder::new().name("trial".to_owned()).spawn(work) {
        return failed(Error::start("start a worker", &error));
    }
    match timeout(BOUND, receiver).await {
        Ok(Ok(attempt)) => attempt,
        Ok(Err(_)) => failed(Error::lab("run a trial", &"its thread ended early")),
        Err(_) => failed(Error::lab("run a trial", &"it did not end in time")),
    }
}

async fn on_this_thread() -> Attempt {
    let mut attempt = Attempt::default();
    if let Err(error) = attempt.carry_out().await {
        attempt.failed = Some(error);
    }
    attempt
}

impl Attempt {
    async fn carry_out(&mut self) -> Result<(), Error> {
        // On one CPU the fence cannot overtake earlier frames.
        cpus::stay_on_one(0);
        let settings = Settings::private(8080);
        let lab = Lab::enter(Environment::Private, settings.needs, settings.port).await?;
        // Set before the call that may fail, so that its error belongs to this stage.
        self.stage = Stage::Capture;
        let mut worker = Worker::open_in(lab, settings)?;
        let scenario = find(SCENARIO)
            .ok_or_else(|| Error::Usage(format!("there is no scenario '{SCENARIO}'")))?;
        self.no_ipv6 = worker.cannot_run(scenario, Family::Ipv6);
        self.stage = Stage::Trial;
        for family in [Family::Ipv4, Family::Ipv6] {
            let tried = if let Some(why) = worker.cannot_run(scenario, family) {
                skipped(family, why)
            } else {
                let trial = worker.run(scenario, family).await?;
                self.nanoseconds = self.nanoseconds.or_else(|| stamped_to_the_ns(&trial));
                finished(family, &trial)
            };
            self.tried.push(tried);
        }
        Ok(())
    }

    /// Returns the error that ended the attempt at this stage; `None` if it ended elsewhere or succeeded.
    fn failed_at(&self, stage: Stage) -> Option<&Error> {
        self.failed.as_ref().filter(|_| self.stage == stage)
    }
}

/// Returns true if the time of any segment is not a whole number of microseconds; `None` if there is no segment.
fn stamped_to_the_ns(trial: &CompletedTrial<'_>) -> Option<bool> {
    let segments = trial.evidence.packets.iter();
    let times = segments.filter_map(|packet| match packet {
        Packet::Tcp(segment) => Some(segment.at.0),
        _ => None,
    });
    times.map(|at| at % 1000 != 0).reduce(|a, b| a || b)
}

fn skipped(family: Family, why: String) -> Tried {
    Tried {
        scenario: SCENARIO,
        family,
        verdict: None,
        skipped: Some(why),
        inconclusive_reason: None,
        findings: Vec::new(),
    }
}

fn finished(family: Family, trial: &CompletedTrial<'_>) -> Tried {
    let judgement = &trial.judgement;
    let findings = judgement.findings.iter();
    let findings = findings.map(|finding| Remark::new(finding.id(), finding.to_string()));
    Tried {
        scenario: SCENARIO,
        family,
        verdict: Some(judgement.verdict),
        skipped: None,
        inconclusive_reason: judgement.inconclusive_reason.map(Remark::from),
        // Without details, which refer to calls and frames that are not shown here.
        findings: findings.collect(),
    }
}

/// Feature that is lost without IPv6.
const NO_IPV6: &str = "trials over IPv6, which are skipped";

/// Returns the check that a network namespace could be created and configured.
pub(super) fn network_namespaces(here: &Here, attempt: Option<&Attempt>) -> Check {
    let check = |detail: String| {
        Check::ok(
            Group::Trials,
            "network-namespaces",
            "network namespaces",
            detail,
        )
    };
    let costs = "trials in a private namespace";
    let Some(attempt) = attempt else {
        return check("none without a user namespace".to_owned()).blocked(USER_NAMESPACES, costs);
    };
    if let Some(error) = attempt.failed_at(Stage::Namespace) {
        let (what, fix) = explained(here, error);
        return check(what).less(Status::Missing, costs, fix);
    }
    match &attempt.no_ipv6 {
        None => check("made one, with IPv4 and IPv6 on its lo".to_owned()),
        Some(why) => check(format!("made one, with IPv4 on its lo; {why}")).less(
            Status::Limited,
            NO_IPV6,
            None,
        ),
    }
}

/// Returns the check that a capture could be opened in the network namespace.
pub(super) fn capture(here: &Here, attempt: Option<&Attempt>, libpcap: &str) -> Check {
    // For example `libpcap version 1.10.3 (with TPACKET_V3)`.
    let version = libpcap.replacen("libpcap version", "libpcap", 1);
    let version = version.split(" (").next().unwrap_or(libpcap);
    let check = |detail: String| Check::ok(Group::Trials, "capture", "capture", detail);
    let facts = |nanoseconds: Option<bool>| Facts::Capture {
        libpcap: libpcap.to_owned(),
        timestamps: nanoseconds.map(|yes| if yes { "nanoseconds" } else { "microseconds" }),
    };
    let costs = "every proof: nothing can be proven without packets";
    match attempt {
        Some(attempt) if attempt.stage > Stage::Namespace => {
            if let Some(error) = attempt.failed_at(Stage::Capture) {
                let (what, fix) = explained(here, error);
                return check(format!("{version}; {what}")).with(facts(None)).less(
                    Status::Missing,
                    costs,
                    fix,
                );
            }
            let stamps = match attempt.nanoseconds {
                Some(true) => ", nanosecond timestamps",
                Some(false) => ", microsecond timestamps only",
                None => "",
            };
            let check =
                check(format!("{version}, opened there{stamps}")).with(facts(attempt.nanoseconds));
            if attempt.nanoseconds == Some(false) {
                let costs = "the order of frames and calls less than a microsecond apart";
                return check.less(Status::Limited, costs, None);
            }
            check
        }
        _ => check(format!("{version}; no namespace to open one in"))
            .with(facts(None))
            .blocked("network-namespaces", costs),
    }
}

/// Returns the result of the self-test and its check, from the verdicts of the trials. `before` has the checks of the
/// earlier steps: the first one that is missing blocks this check, and its fix is proposed.
pub(super) fn verdict(
    here: &Here,
    attempt: Option<&Attempt>,
    before: &[&Check],
    on_host: Status,
) -> (SelfTest, Check) {
    let check = |detail: String| Check::ok(Group::Trials, "self-test", SCENARIO, detail);
    let trials = attempt.map_or_else(Vec::new, |attempt| attempt.tried.clone());
    let failed = attempt.and_then(|attempt| attempt.failed_at(Stage::Trial));
    let passed = failed.is_none()
        // `all` alone would also pass if every trial was skipped.
        && trials.iter().any(is_confirmed)
        && trials
            .iter()
            .all(|tried| is_confirmed(tried) || tried.skipped.is_some());
    let job = SelfTest { passed, trials };
    let detail = in_words(&job.trials, failed);
    if passed {
        let all = job.trials.iter().all(is_confirmed);
        let check = if all {
            check(detail)
        } else {
            check(detail).less(Status::Limited, NO_IPV6, None)
        };
        return (job, check);
    }
    let costs = "every proof in a private namespace";
    let way_out = (on_host != Status::Missing).then(|| format!("{} {RUN_ON_HOST}", here.program));
    let check = match before.iter().find(|check| check.status == Status::Missing) {
        Some(first) => {
            let mut check =
                check(format!("not tried without {}", first.name)).blocked(first.id, costs);
            // The host's own loopback is the alternative if there is no fix.
            check.fix = first.fix.clone().or(way_out);
            check
        }
        None => check(detail).less(Status::Missing, costs, None),
    };
    (job, check)
}

/// Describes the results: `confirmed over IPv4 and IPv6`, or each verdict with its reasons, and the error if any.
fn in_words(tried: &[Tried], failed: Option<&Error>) -> String {
    if tried.len() == 2 && tried.iter().all(is_confirmed) {
        return "confirmed over IPv4 and IPv6".to_owned();
    }
    let words = tried.iter().map(|tried| {
        let family = tried.family.proper_name();
        let verdict = tried.verdict.map_or("skipped", Verdict::name);
        let remarks = tried.findings.iter().chain(&tried.inconclusive_reason);
        let remarks = remarks.map(|remark| format!("{} [{}]", remark.message, remark.id));
        let why: Vec<String> = remarks.chain(tried.skipped.clone()).collect();
        let colon = if why.is_empty() { "" } else { ": " };
        format!("{verdict} over {family}{colon}{}", why.join("; "))
    });
    let failed = failed.map(ToString::to_string);
    let words: Vec<String> = words.chain(failed).collect();
    words.join(", ")
}

fn is_confirmed(tried: &Tried) -> bool {
    tried.verdict == Some(Verdict::Confirmed)
}

#[cfg(test)]
mod tests;
