//! What each scenario must lead to, written out by hand.

use serde_json::Value;

use crate::laboratory::{EXPERIMENTS, assert_were, trials};

/// The families that all scenarios are run over.
pub(crate) const BOTH: [&str; 2] = ["ipv4", "ipv6"];

/// Names of all of [`DOCUMENTED`].
pub(crate) fn names() -> [&'static str; DOCUMENTED.len()] {
    DOCUMENTED.each_ref().map(|it| it.scenario)
}

/// The trials of a run that is given no names, each repeated once.
pub(crate) const TRIALS: usize = DOCUMENTED.len() * BOTH.len() + trials(EXPERIMENTS);

/// A scenario as docs/scenarios.md has it, written out anew: not what the catalogue says.
pub(crate) struct Documented {
    pub(crate) scenario: &'static str,
    /// `>` is the client's call, `<` the server's, each with its result.
    calls: &'static str,
    pub(crate) reset: Option<DocumentedReset>,
}

#[derive(Clone, Copy)]
pub(crate) struct DocumentedReset {
    from: &'static str,
    flags: &'static str,
    /// Relative to the sender's initial number; `None` where that is unknown.
    seq: Option<u32>,
    /// `None` where there is no ACK, or where it depends on how much was sent.
    ack: Option<u32>,
    /// `active` by a socket that aborts, else in answer to a segment: `passive` with ACK, `passive-ack` without.
    form: &'static str,
    receiver_state: &'static str,
    /// The call that is told of it.
    told: usize,
}

/// A socket of the server aborts.
const fn active(seq: u32, ack: u32, receiver_state: &'static str, told: usize) -> DocumentedReset {
    DocumentedReset {
        from: "server",
        flags: "R.",
        seq: Some(seq),
        ack: Some(ack),
        form: "active",
        receiver_state,
        told,
    }
}

/// The server's end answers data with ACK; the client is in CLOSE-WAIT.
const fn passive(seq: u32, told: usize) -> DocumentedReset {
    DocumentedReset {
        from: "server",
        flags: "R",
        seq: Some(seq),
        ack: None,
        form: "passive",
        receiver_state: "CLOSE-WAIT",
        told,
    }
}

/// The server's end answers the SYN.
const fn refused(told: usize) -> DocumentedReset {
    DocumentedReset {
        from: "server",
        flags: "R.",
        seq: None,
        ack: Some(1),
        form: "passive-ack",
        receiver_state: "SYN-SENT",
        told,
    }
}

/// The same, sent by the client.
const fn by_client(reset: DocumentedReset) -> DocumentedReset {
    DocumentedReset {
        from: "client",
        ..reset
    }
}

/// The same with a number that depends on how much was sent.
const fn some_way_on(reset: DocumentedReset) -> DocumentedReset {
    DocumentedReset {
        seq: None,
        ack: None,
        ..reset
    }
}

const fn documented(
    scenario: &'static str,
    calls: &'static str,
    reset: Option<DocumentedReset>,
) -> Documented {
    Documented {
        scenario,
        calls,
        reset,
    }
}

pub(crate) const DOCUMENTED: [Documented; 55] = [
    documented(
        "connect-closed-port",
        ">connect ECONNREFUSED >read ENOTCONN >write EPIPE",
        Some(refused(0)),
    ),
    documented(
        "connect-not-listening",
        "<shutdown 0 >connect ECONNREFUSED >read ENOTCONN >write EPIPE",
        Some(refused(1)),
    ),
    documented(
        "connect-closed-port-nonblocking",
        ">fcntl 0 >connect EINPROGRESS >poll IN|OUT|ERR|HUP|RDHUP >SO_ERROR ECONNREFUSED >poll IN|OUT|HUP|RDHUP >read 0 >write EPIPE",
        Some(refused(3)),
    ),
    documented(
        "connect-nonblocking-read",
        ">fcntl 0 >connect EINPROGRESS >poll IN|OUT|ERR|HUP|RDHUP >read ECONNREFUSED >SO_ERROR 0 >poll IN|OUT|HUP|RDHUP >read 0 >write EPIPE",
        Some(refused(3)),
    ),
    documented(
        "connect-nonblocking-write",
        ">fcntl 0 >connect EINPROGRESS >poll IN|OUT|ERR|HUP|RDHUP >write ECONNREFUSED >SO_ERROR 0 >poll IN|OUT|HUP|RDHUP >read 0 >write EPIPE",
        Some(refused(3)),
    ),
    documented(
        "connect-nonblocking-again",
        ">fcntl 0 >connect EINPROGRESS >poll IN|OUT|ERR|HUP|RDHUP >connect ECONNREFUSED >SO_ERROR 0",
        Some(refused(3)),
    ),
    documented(
        "connect-consumed-error",
        ">fcntl 0 >connect EINPROGRESS >poll IN|OUT|ERR|HUP|RDHUP >SO_ERROR ECONNREFUSED >connect ECONNABORTED",
        Some(refused(3)),
    ),
    documented(
        "connect-backlog-full",
        ">fcntl 0 >connect EINPROGRESS >poll 0 >connect EALREADY >SO_ERROR 0",
        None,
    ),
    documented(
        "connect-send-timeout",
        ">setsockopt 0 >connect EINPROGRESS >connect EALREADY",
        None,
    ),
    documented(
        "connect-cancelled-shutdown",
        ">connect ECONNRESET >shutdown 0",
        None,
    ),
    documented(
        "connect-cancelled-disconnect",
        ">connect EPIPE >connect 0",
        None,
    ),
    documented(
        "self-connect",
        ">connect 0 >getpeername 0 >write 2 >read 2 >SO_ERROR 0",
        None,
    ),
    documented(
        "not-connected",
        ">poll OUT|HUP >read ENOTCONN >write EPIPE >getpeername ENOTCONN >shutdown ENOTCONN >SO_ERROR 0",
        None,
    ),
    documented(
        "mptcp-connect-closed-port",
        ">connect ECONNREFUSED >read ENOTCONN >write EPIPE",
        Some(refused(0)),
    ),
    documented(
        "listener-close-pending-accept",
        ">connect 0 >write 1 <close 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 2, "ESTABLISHED", 3)),
    ),
    documented(
        "listener-shutdown-pending-accept",
        ">connect 0 >write 1 <shutdown 0 <accept EINVAL >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 2, "ESTABLISHED", 4)),
    ),
    documented(
        "reuseport-close",
        ">connect 0 >write 1 <close 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 2, "ESTABLISHED", 3)),
    ),
    documented(
        "reset-in-accept-queue",
        ">connect 0 >setsockopt 0 >close 0 <accept 0 <getpeername ENOTCONN <read ECONNRESET <read 0 <write EPIPE",
        Some(by_client(active(1, 1, "ESTABLISHED", 5))),
    ),
    documented(
        "reset-in-accept-queue-data",
        ">connect 0 >write 2 >setsockopt 0 >close 0 <accept 0 <read 2 <read ECONNRESET <read 0 <write EPIPE",
        Some(by_client(active(3, 1, "ESTABLISHED", 6))),
    ),
    documented(
        "accept-queue-overflow",
        ">connect 0 >write 1 >poll OUT >SO_ERROR 0",
        None,
    ),
    documented(
        "defer-accept-listener-close",
        ">connect 0 <close 0 >poll OUT >write 1 >read ECONNRESET >read 0 >write EPIPE",
        Some(DocumentedReset {
            receiver_state: "ESTABLISHED",
            ..passive(1, 4)
        }),
    ),
    documented(
        "close-unread-data",
        ">connect 0 <accept 0 >write 2 <read 1 <close 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 3, "ESTABLISHED", 5)),
    ),
    documented(
        "close-unread-data-write",
        ">connect 0 <accept 0 >write 2 <read 1 <close 0 >write ECONNRESET >write EPIPE >read 0",
        Some(active(1, 3, "ESTABLISHED", 5)),
    ),
    documented(
        "fin-then-reset",
        ">connect 0 <accept 0 >write 2 <read 1 <shutdown 0 <close 0 >read 0 >SO_ERROR EPIPE >write EPIPE >SO_ERROR 0 >read 0",
        Some(active(2, 3, "CLOSE-WAIT", 7)),
    ),
    documented(
        "fin-then-reset-write",
        ">connect 0 <accept 0 >write 2 <read 1 <shutdown 0 <close 0 >read 0 >write EPIPE >SO_ERROR 0 >write EPIPE",
        Some(active(2, 3, "CLOSE-WAIT", 7)),
    ),
    documented(
        "linger-zero-close",
        ">connect 0 <accept 0 <setsockopt 0 <close 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 1, "ESTABLISHED", 4)),
    ),
    documented(
        "close-peeked-data",
        ">connect 0 <accept 0 >write 2 <recv 2 <close 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 3, "ESTABLISHED", 5)),
    ),
    documented(
        "close-urgent-data",
        ">connect 0 <accept 0 >send 1 <close 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 2, "ESTABLISHED", 4)),
    ),
    documented(
        "close-unread-data-shared",
        ">connect 0 <accept 0 >write 2 <read 1 <posix_spawn 0 <kill 0 >poll OUT <close 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 3, "ESTABLISHED", 8)),
    ),
    documented(
        "close-unread-data-sigkill",
        ">connect 0 <accept 0 >write 2 <read 1 <posix_spawn 0 <close 0 >poll OUT <kill 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 3, "ESTABLISHED", 8)),
    ),
    documented(
        "close-unread-data-exit",
        ">connect 0 <accept 0 >write 2 <read 1 <posix_spawn 0 <close 0 >poll OUT <kill 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 3, "ESTABLISHED", 8)),
    ),
    documented(
        "close-unread-data-response",
        ">connect 0 <accept 0 >write 2 <read 1 <write 3 <close 0 >poll IN|OUT|ERR|HUP|RDHUP >read 3 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(4, 3, "ESTABLISHED", 8)),
    ),
    documented(
        "linger-zero-unsent",
        ">setsockopt 0 >connect 0 <accept 0 <write 60000 <setsockopt 0 <close 0 >read some >read ECONNRESET >read 0 >write EPIPE",
        Some(some_way_on(active(1, 1, "ESTABLISHED", 7))),
    ),
    documented(
        "disconnect-af-unspec",
        ">connect 0 <accept 0 <connect 0 <poll OUT|ERR|HUP <SO_ERROR ECONNRESET <read ENOTCONN >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 1, "ESTABLISHED", 6)),
    ),
    documented(
        "disconnect-with-data",
        ">connect 0 <accept 0 <shutdown 0 >fcntl 0 >write some >shutdown 0 >connect 0 <read some <read ECONNRESET <read 0 <SO_ERROR 0",
        Some(some_way_on(by_client(active(1, 2, "FIN-WAIT-2", 8)))),
    ),
    documented(
        "reset-blocked-reader",
        ">connect 0 <accept 0 >write 2 <read 1 >read ECONNRESET <close 0 >read 0 >write EPIPE",
        Some(active(1, 3, "ESTABLISHED", 4)),
    ),
    documented(
        "reset-blocked-writer",
        ">connect 0 <accept 0 >write some <close 0 >write ECONNRESET >write EPIPE >read 0",
        Some(some_way_on(active(1, 1, "ESTABLISHED", 4))),
    ),
    documented(
        "half-closed-then-reset",
        ">connect 0 <accept 0 >write 2 >shutdown 0 <read 1 <close 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 4, "FIN-WAIT-2", 6)),
    ),
    documented(
        "shutdown-rdwr-then-peer-write",
        ">connect 0 <accept 0 <shutdown 0 >write 1 <SO_ERROR ECONNRESET >write EPIPE >read 0",
        Some(passive(2, 5)),
    ),
    documented(
        "shutdown-rdwr-own",
        ">connect 0 <accept 0 >shutdown 0 <write 1 >SO_ERROR ECONNRESET >write EPIPE >read 0 <write EPIPE",
        Some(by_client(passive(2, 7))),
    ),
    documented(
        "linger2-negative-half-closed",
        ">connect 0 <accept 0 <setsockopt 0 <shutdown 0 <close 0 >read 0 >write EPIPE >SO_ERROR 0",
        Some(active(2, 1, "CLOSE-WAIT", 6)),
    ),
    documented(
        "linger2-negative",
        ">connect 0 <accept 0 <setsockopt 0 <close 0 >read 0 >write EPIPE >SO_ERROR 0",
        Some(passive(2, 5)),
    ),
    documented(
        "shutdown-rd-then-close",
        ">connect 0 <accept 0 >shutdown 0 <write 2 >close 0 <read ECONNRESET <read 0 <write EPIPE",
        Some(by_client(active(1, 3, "ESTABLISHED", 5))),
    ),
    documented(
        "mptcp-close-unread-data",
        ">connect 0 <accept 0 >write 2 <read 1 <close 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 3, "ESTABLISHED", 5)),
    ),
    documented(
        "mptcp-linger-zero-close",
        ">connect 0 <accept 0 >write 2 <read 2 <setsockopt 0 <close 0 >read ECONNRESET >read 0 >write EPIPE",
        Some(active(1, 3, "ESTABLISHED", 6)),
    ),
    documented(
        "clean-close-eof",
        ">connect 0 <accept 0 >write 2 <read 2 <close 0 >read 0 >SO_ERROR 0",
        None,
    ),
    documented(
        "write-after-peer-close",
        ">connect 0 <accept 0 <close 0 >write 1 >write EPIPE >read 0 >SO_ERROR 0",
        Some(passive(2, 4)),
    ),
    documented(
        "write-after-peer-close-early",
        ">connect 0 <accept 0 <write 1 >read 1 >setsockopt 0 <close 0 >write 1 >write EPIPE >read 0 >SO_ERROR 0",
        Some(passive(3, 7)),
    ),
    documented(
        "shutdown-wr-then-write",
        ">connect 0 <accept 0 >shutdown 0 >write EPIPE >SO_ERROR 0 <read 0 <write 1 >read 1",
        None,
    ),
    documented(
        "clean-close-sigkill",
        ">connect 0 <accept 0 >write 2 <read 2 <posix_spawn 0 <close 0 >poll OUT <kill 0 >poll IN|OUT|RDHUP >read 0 >SO_ERROR 0",
        None,
    ),
    documented(
        "close-only-fin-queued",
        ">connect 0 <accept 0 >shutdown 0 <close 0 >read 0 >SO_ERROR 0",
        None,
    ),
    documented(
        "write-after-peer-close-response",
        ">connect 0 <accept 0 <write 3 <close 0 >write 1 >poll IN|OUT|ERR|HUP|RDHUP >read 3 >read 0 >SO_ERROR EPIPE >write EPIPE",
        Some(passive(5, 8)),
    ),
    documented(
        "shutdown-rd",
        ">connect 0 <accept 0 >shutdown 0 >poll IN|OUT|RDHUP >read 0 <write 2 >read 2 >SO_ERROR 0",
        None,
    ),
    documented(
        "receive-timeout",
        ">connect 0 <accept 0 >setsockopt 0 >read EAGAIN >SO_ERROR 0 >write 1 <read 1",
        None,
    ),
    documented(
        "mptcp-write-after-peer-close",
        ">connect 0 <accept 0 <close 0 >read 0 >write 1 >write 1 >poll IN|OUT|RDHUP",
        None,
    ),
];

/// Those that wait for timers, which are run only if asked for.
pub(crate) const SLOW: [Documented; 5] = [
    documented(
        "connect-backlog-full-timeout",
        ">setsockopt 0 >connect ETIMEDOUT >SO_ERROR 0",
        None,
    ),
    documented(
        "defer-accept",
        ">connect 0 <accept 0 <getpeername 0 >SO_ERROR 0",
        None,
    ),
    documented(
        "write-after-peer-close-late",
        ">connect 0 <accept 0 <setsockopt 0 <close 0 >write 1 >write EPIPE >read 0 >SO_ERROR 0",
        Some(passive(2, 5)),
    ),
    documented(
        "write-after-peer-close-gone",
        ">connect 0 <accept 0 <setsockopt 0 <close 0 <close 0 >write 1 >write EPIPE >read 0 >SO_ERROR 0",
        Some(passive(2, 6)),
    ),
    documented(
        "zero-window-user-timeout",
        ">connect 0 <accept 0 >setsockopt 0 >fcntl 0 >write some >poll IN|OUT|ERR|HUP|RDHUP >write ETIMEDOUT >write EPIPE >read 0",
        None,
    ),
];

/// The transcript of a trial in the form of [`Documented::calls`].
fn calls(trial: &Value) -> String {
    let calls = trial["calls"].as_array().unwrap();
    let words: Vec<String> = calls.iter().map(call).collect();
    words.join(" ")
}

fn call(call: &Value) -> String {
    let arrow = if call["role"] == "client" { '>' } else { '<' };
    let name = match call["call"].as_str().unwrap() {
        "getsockopt" => "SO_ERROR",
        name => name,
    };
    let result = &call["result"];
    if let Some(events) = result["revents"].as_str() {
        return format!("{arrow}{name} {events}");
    }
    // Of so many bytes a part was taken, how many depends on the buffers.
    let asked = call["arguments"].as_str().unwrap().parse::<i64>();
    if let (Ok(60_000..), Some(1..)) = (&asked, result["ok"].as_i64())
        && result["ok"].as_i64() < asked.ok()
    {
        return format!("{arrow}{name} some");
    }
    let error = result["errno"].as_str().or(result["so_error"].as_str());
    error.map_or_else(
        || format!("{arrow}{name} {}", result["ok"]),
        |errno| format!("{arrow}{name} {errno}"),
    )
}

/// These are the trials of a run that is given no names, and each went as documented.
#[track_caller]
pub(crate) fn assert_as_documented(trials: &[Value]) {
    let is_experiment = |trial: &&Value| {
        let mut experiments = EXPERIMENTS.iter();
        experiments.any(|it| trial["scenario"] == it.scenario)
    };
    let (experiments, others): (Vec<&Value>, Vec<&Value>) = trials.iter().partition(is_experiment);
    assert_were(EXPERIMENTS, &experiments);
    let others: Vec<Value> = others.into_iter().cloned().collect();
    assert_are(&DOCUMENTED, &others, &BOTH);
}

/// These are the trials of these scenarios over these families, and each went as documented.
#[track_caller]
pub(crate) fn assert_are(scenarios: &[Documented], trials: &[Value], families: &[&str]) {
    assert_eq!(trials.len(), scenarios.len() * families.len());
    for documented in scenarios {
        for family in families {
            let trial = trials
                .iter()
                .find(|trial| {
                    trial["scenario"] == documented.scenario && trial["family"] == *family
                })
                .unwrap_or_else(|| panic!("no trial of {} over {family}", documented.scenario));
            assert_eq!(trial["verdict"], "confirmed", "{trial}");
            assert_eq!(calls(trial), documented.calls);
            assert_reset(trial, documented.reset.as_ref());
        }
    }
}

/// Who sends the RST and why, as the kernel's trace has it: the tables of scenarios that were measured on Linux 6.18 by hand.
fn sender_and_reason(scenario: &str) -> (&'static str, &'static str) {
    match scenario {
        "defer-accept-listener-close" | "write-after-peer-close-gone" => ("kernel", "NO_SOCKET"),
        "write-after-peer-close" | "write-after-peer-close-response" => {
            ("kernel", "TCP_TIMEWAIT_SOCKET")
        }
        "write-after-peer-close-late" => ("socket", "TCP_FLAGS"),
        "write-after-peer-close-early"
        | "shutdown-rdwr-then-peer-write"
        | "shutdown-rdwr-own"
        | "linger2-negative" => ("socket", "TCP_ABORT_ON_DATA"),
        "linger2-negative-half-closed" => ("socket", "TCP_ABORT_ON_LINGER"),
        "disconnect-with-data" => ("socket", "TCP_DISCONNECT_WITH_DATA"),
        "listener-close-pending-accept"
        | "listener-shutdown-pending-accept"
        | "reuseport-close"
        | "reset-in-accept-queue"
        | "reset-in-accept-queue-data"
        | "linger-zero-close"
        | "linger-zero-unsent"
        | "disconnect-af-unspec" => ("socket", "TCP_STATE"),
        _ if scenario.contains("connect-") => ("kernel", "NO_SOCKET"),
        _ => ("socket", "TCP_ABORT_ON_CLOSE"),
    }
}

#[track_caller]
fn assert_reset(trial: &Value, documented: Option<&DocumentedReset>) {
    let resets = trial["resets"].as_array().unwrap();
    let rst = |packet: &&Value| {
        packet["flags"]
            .as_str()
            .is_some_and(|flags| flags.contains('R'))
    };
    let packets = trial["packets"].as_array().unwrap();
    let captured: Vec<&Value> = packets.iter().filter(rst).collect();
    let Some(documented) = documented else {
        assert!(resets.is_empty() && captured.is_empty(), "{trial}");
        return;
    };
    let ([reset], [packet]) = (&resets[..], &captured[..]) else {
        panic!("one RST is documented: {trial}");
    };
    assert_eq!(reset["frame"], packet["frame"], "{trial}");
    assert_eq!(reset["from"], documented.from, "{trial}");
    assert_eq!(reset["form"], documented.form, "{trial}");
    assert_eq!(
        reset["receiver_state"], documented.receiver_state,
        "{trial}"
    );
    assert_eq!(reset["acceptable"], true, "{trial}");
    let (sender, reason) = if trial["trace_coverage"].is_null() {
        ("unknown", Value::Null)
    } else {
        let (sender, reason) = sender_and_reason(trial["scenario"].as_str().unwrap());
        (sender, reason.into())
    };
    assert_eq!(reset["sender"], sender, "{trial}");
    assert_eq!(reset["kernel_reason"], reason, "{trial}");
    assert_eq!(
        reset["explains_calls"],
        Value::from(vec![documented.told]),
        "{trial}"
    );
    assert_eq!(packet["from"], documented.from, "{trial}");
    assert_eq!(packet["flags"], documented.flags, "{trial}");
    let depends = documented.form == "active" && documented.seq.is_none();
    if !depends {
        assert_eq!(packet["seq"], Value::from(documented.seq), "{trial}");
        assert_eq!(packet["ack"], Value::from(documented.ack), "{trial}");
    }
    let told = &trial["calls"][documented.told];
    let before = packet["at_ns"].as_i64() < told["ended_ns"].as_i64();
    assert!(before, "it came before the call returned: {trial}");
}
