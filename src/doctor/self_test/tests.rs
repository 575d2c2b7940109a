//! Tests with constructed verdicts and failures: the checks of the steps, and the result of the whole self-test.

use super::*;

fn tried(family: Family, verdict: Verdict) -> Tried {
    Tried {
        verdict: Some(verdict),
        skipped: None,
        ..skipped(family, String::new())
    }
}

/// Returns a finished attempt with these results.
fn ended(tried: Vec<Tried>) -> Attempt {
    Attempt {
        stage: Stage::Trial,
        tried,
        nanoseconds: Some(true),
        ..Attempt::default()
    }
}

fn judged(attempt: Option<&Attempt>) -> (SelfTest, Check) {
    let here = Here::of(1000);
    let namespaces = network_namespaces(&here, attempt);
    let capture = capture(&here, attempt, "libpcap version 1.10.3 (with TPACKET_V3)");
    verdict(&here, attempt, &[&namespaces, &capture], Status::Ok)
}

#[test]
fn trials_can_run_if_all_that_ran_were_confirmed() {
    let both = [Family::Ipv4, Family::Ipv6].map(|family| tried(family, Verdict::Confirmed));
    let (job, check) = judged(Some(&ended(both.to_vec())));
    assert!(job.passed);
    assert_eq!(check.status, Status::Ok);
    assert_eq!(check.detail, "confirmed over IPv4 and IPv6");
}

#[test]
fn a_family_that_is_not_there_is_a_limit() {
    let why = "no IPv6: why".to_owned();
    let without = skipped(Family::Ipv6, why.clone());
    let mut attempt = ended(vec![tried(Family::Ipv4, Verdict::Confirmed), without]);
    attempt.no_ipv6 = Some(why);
    let (job, check) = judged(Some(&attempt));
    assert!(job.passed);
    assert_eq!(check.status, Status::Limited);
    assert_eq!(
        check.detail,
        "confirmed over IPv4, skipped over IPv6: no IPv6: why"
    );
    let namespaces = network_namespaces(&Here::of(0), Some(&attempt));
    assert_eq!(namespaces.status, Status::Limited);
    assert!(namespaces.detail.ends_with("no IPv6: why"));
}

#[test]
fn one_verdict_that_is_not_confirmed_is_the_last_word() {
    for verdict in [Verdict::Refuted, Verdict::Inconclusive] {
        let mut second = tried(Family::Ipv6, verdict);
        second
            .findings
            .push(Remark::new("no-reset", "no RST".to_owned()));
        let attempt = ended(vec![tried(Family::Ipv4, Verdict::Confirmed), second]);
        let (job, check) = judged(Some(&attempt));
        assert!(!job.passed);
        assert_eq!(check.status, Status::Missing);
        let said = format!(
            "confirmed over IPv4, {} over IPv6: no RST [no-reset]",
            verdict.name()
        );
        assert_eq!(check.detail, said);
    }
}

#[test]
fn nothing_confirmed_is_no_proof_that_trials_can_run() {
    let neither = [Family::Ipv4, Family::Ipv6].map(|family| skipped(family, String::new()));
    assert!(!judged(Some(&ended(neither.to_vec()))).0.passed);
    assert!(!judged(None).0.passed);
}

#[test]
fn an_error_at_the_second_trial_outweighs_the_verdict_of_the_first() {
    let mut attempt = ended(vec![tried(Family::Ipv4, Verdict::Confirmed)]);
    attempt.failed = Some(Error::lab("run a trial", &"no memory"));
    let (job, check) = judged(Some(&attempt));
    assert!(!job.passed);
    let said = "confirmed over IPv4, cannot run a trial: no memory";
    assert_eq!(check.detail, said);
}

#[test]
fn the_fix_is_that_of_the_failed_step_or_the_hosts_loopback() {
    let attempt = |remedy: &str| Attempt {
        failed: Some(Error::Privilege {
            missing: "too many".to_owned(),
            remedy: remedy.to_owned(),
        }),
        ..Attempt::default()
    };
    let (job, check) = judged(Some(&attempt("use `sudo sysctl a.b=1`")));
    assert!(!job.passed && job.trials.is_empty());
    assert_eq!(check.blocked_by, Some("network-namespaces"));
    assert_eq!(check.fix.unwrap(), "sudo sysctl a.b=1");
    let (_, check) = judged(Some(&attempt("ask somebody")));
    assert_eq!(check.fix.unwrap(), "/opt/rstproof run --host");
}

#[test]
fn a_capture_that_stamps_in_microseconds_is_limited() {
    let mut attempt = ended(Vec::new());
    let here = Here::of(0);
    let stamps = |attempt: &Attempt| capture(&here, Some(attempt), "libpcap version 1.9.1");
    let said = "libpcap 1.9.1, opened there, nanosecond timestamps";
    assert_eq!(stamps(&attempt).detail, said);
    attempt.nanoseconds = Some(false);
    assert_eq!(stamps(&attempt).status, Status::Limited);
    attempt.stage = Stage::Capture;
    attempt.failed = Some(Error::Privilege {
        missing: "no right".to_owned(),
        remedy: "give it with `sudo setcap cap_net_raw=ep /x`".to_owned(),
    });
    let check = stamps(&attempt);
    assert_eq!(check.status, Status::Missing);
    assert_eq!(check.blocked_by, None);
    assert!(check.fix.unwrap().starts_with("setcap cap_net_raw=ep /"));
}
