//! Schema of findings: the differences that refute a trial, each with typed details.

use serde_json::{Value, json};

use super::trial::result;
use super::{
    Field, constant, count, errno, field, form, frame, object, one_of, optional, role, tcp_state,
    text,
};
use crate::scenario::Sender;

/// Kind of finding: its id, its meaning and the fields of its details.
type Kind = (&'static str, &'static str, Vec<Field>);

fn call() -> Field {
    field("call", count("Index of the call in `calls`."))
}

fn at_frame() -> Field {
    field("frame", frame("Frame number."))
}

fn of_role() -> Field {
    field("role", role("End that the finding is about."))
}

fn operation() -> Field {
    field(
        "operation",
        text("The call and its arguments, as in `read(1)`."),
    )
}

fn index(what: &str) -> Field {
    let description = format!("Index among the {what} that the scenario expects, from 0.");
    field("index", count(&description))
}

/// Returns the fields `expected` and `actual`, both with this schema.
fn both(schema: &Value) -> [Field; 2] {
    ["expected", "actual"].map(|name| field(name, schema.clone()))
}

fn bytes(name: &'static str, description: &str) -> Field {
    field(name, count(description))
}

fn sent() -> Field {
    bytes("sent", "Bytes of payload that were captured.")
}

fn sender() -> Value {
    let senders = [
        Sender::Socket,
        Sender::Kernel,
        Sender::Firewall,
        Sender::Injected,
        Sender::Unknown,
    ];
    one_of("Sender of the RST.", &senders.map(Sender::name))
}

/// Returns the fields followed by two more.
fn with(fields: Vec<Field>, more: [Field; 2]) -> Vec<Field> {
    fields.into_iter().chain(more).collect()
}

fn about_resets() -> Vec<Kind> {
    let state = tcp_state("State of the receiver.");
    let dispositions = [
        "accepted",
        "ignored",
        "challenged",
        "lost",
        "dropped-at-sender",
    ];
    let disposition = one_of("Expected treatment of the RST.", &dispositions);
    let from = field("expected", role("End that the RST must come from."));
    let acceptance = text("Why the RST is not acceptable, as in `resets`.");
    vec![
        (
            "no-reset",
            "An expected RST was not captured.",
            vec![index("RSTs")],
        ),
        (
            "no-such-reset",
            "An expected RST without effect was not captured.",
            vec![index("RSTs"), field("disposition", disposition)],
        ),
        (
            "reset-unacceptable",
            "The receiver must ignore the captured RST.",
            vec![at_frame(), field("acceptance", acceptance)],
        ),
        (
            "unexpected-reset",
            "An RST must not be there.",
            vec![at_frame()],
        ),
        (
            "reset-from-wrong-end",
            "The RST carries the other end's address.",
            vec![at_frame(), from],
        ),
        (
            "wrong-form",
            "The RST has another form.",
            with(vec![at_frame()], both(&form())),
        ),
        (
            "drawn-by-nothing",
            "The RST has the form of a reply, and no captured segment triggers it.",
            vec![at_frame()],
        ),
        (
            "wrong-receiver-state",
            "The receiver was in another state.",
            with(vec![at_frame()], both(&state)),
        ),
        (
            "reset-too-late",
            "The RST was captured after the call had failed.",
            vec![at_frame(), call()],
        ),
    ]
}

fn about_calls() -> Vec<Kind> {
    let state = field("state", tcp_state("State of the receiver."));
    let expected = field("expected", errno("Error that this state gives."));
    let cause = text("Kind of cause, as in `cause` of the call.");
    let results = vec![
        call(),
        operation(),
        optional(
            "expected",
            result("Expected result; missing if several are allowed."),
        ),
        field("actual", result("Actual result.")),
    ];
    vec![
        (
            "wrong-errno",
            "The error is not the one that the receiver's state gives.",
            vec![call(), at_frame(), state, expected],
        ),
        (
            "error-reported-twice",
            "The error of one RST was reported a second time.",
            vec![call(), at_frame()],
        ),
        (
            "unexplained-error",
            "Nothing explains the failure of the call.",
            vec![call()],
        ),
        (
            "unexplained-end-of-file",
            "Nothing explains the end of file.",
            vec![call()],
        ),
        (
            "other-cause",
            "The call failed for another reason.",
            vec![call(), field("actual", cause)],
        ),
        (
            "unexpected-outcome",
            "The call has another result.",
            results,
        ),
        (
            "call-not-made",
            "A call of the script is missing.",
            vec![of_role(), operation()],
        ),
        (
            "other-call",
            "The call is not the next one of the script.",
            vec![call(), of_role(), operation()],
        ),
    ]
}

fn about_packets() -> Vec<Kind> {
    let read = || bytes("read", "Bytes that the reads returned in total.");
    vec![
        (
            "unexpected-segment",
            "The connection must not have any segment.",
            vec![at_frame()],
        ),
        (
            "payload-differs",
            "The bytes on the wire are not those that were written.",
            vec![
                of_role(),
                bytes("written", "Bytes that the writes returned in total."),
                sent(),
            ],
        ),
        (
            "payload-not-sent",
            "More bytes were read than were captured.",
            vec![of_role(), read(), sent()],
        ),
        (
            "payload-not-read",
            "The reads failed before all data was read.",
            vec![of_role(), read(), sent()],
        ),
        (
            "icmp-error",
            "An ICMP error must not be there.",
            vec![at_frame()],
        ),
        (
            "no-icmp-error",
            "An expected ICMP error was not captured.",
            vec![index("ICMP errors")],
        ),
    ]
}

fn about_kernel() -> Vec<Kind> {
    let number = count("Increase of the counter.");
    let reason = |description| field("expected", text(description));
    let reported = || field("errno", errno("Error on the socket."));
    let given = text("Reason in the kernel trace; missing if it gives none.");
    vec![
        (
            "resets-sent-differ",
            "The kernel counted another number of RSTs than were captured.",
            vec![
                field("sent", count("RSTs that the kernel counted.")),
                field("captured", count("RSTs that were captured.")),
            ],
        ),
        (
            "counter-differs",
            "A counter increased by another amount.",
            with(
                vec![field("counter", text("Name of the counter."))],
                both(&number),
            ),
        ),
        (
            "kernel-sent-no-reset",
            "The kernel of that end did not send the captured RST.",
            vec![at_frame(), of_role()],
        ),
        (
            "kernel-reset-not-captured",
            "An RST that the kernel sent was not captured.",
            vec![of_role(), optional("reason", given)],
        ),
        (
            "wrong-sender",
            "The RST has another sender.",
            with(vec![at_frame()], both(&sender())),
        ),
        (
            "wrong-reason",
            "The kernel gives another reason.",
            vec![
                at_frame(),
                reason("Expected reason; empty if no kernel sends the RST."),
                field("actual", text("Reason in the kernel trace.")),
            ],
        ),
        (
            "kernel-received-no-reset",
            "The RST closed no socket of the end that had to accept it.",
            vec![at_frame(), of_role()],
        ),
        (
            "kernel-received-other-reset",
            "An RST that was not captured closed a socket of the end.",
            vec![of_role()],
        ),
        (
            "kernel-state-differs",
            "The RST closed the socket in another state.",
            vec![
                at_frame(),
                of_role(),
                field("expected", tcp_state("State according to the packets.")),
                field(
                    "actual",
                    text("State in the kernel trace, by the kernel's name."),
                ),
            ],
        ),
        (
            "kernel-reported-no-error",
            "The error of the call was not put on its socket.",
            vec![call(), reported()],
        ),
        (
            "kernel-reported-other-error",
            "Nothing explains the error on the socket.",
            vec![of_role(), reported()],
        ),
    ]
}

/// Returns every kind of finding.
fn kinds() -> Vec<Kind> {
    let groups = [
        about_resets(),
        about_calls(),
        about_packets(),
        about_kernel(),
    ];
    groups.into_iter().flatten().collect()
}

/// Returns the schema of a finding: one object for each id.
pub(super) fn finding() -> Value {
    let kinds = kinds().into_iter().map(|(id, description, details)| {
        let fields = vec![
            field("id", constant("Stable id.", &json!(id))),
            field("message", text("One line for people.")),
            field("details", object("Fields of this finding.", details)),
        ];
        object(description, fields)
    });
    let kinds: Vec<Value> = kinds.collect();
    json!({"description": "A finding.", "anyOf": kinds})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Acceptance, Form, State};
    use crate::report::Remark;
    use crate::scenario::Disposition;
    use crate::transcript::{Errno, Events, Op, Outcome, Role};
    use crate::verdict::{Attribution, Finding, KernelMismatch};

    /// Findings about RSTs, with the JSON of their details.
    fn examples_of_resets() -> Vec<(Finding, &'static str)> {
        let (call, frame, index, state) = (5, 6, 0, State::CloseWait);
        let acceptance = Acceptance::WrongSequence { seq: 2, rcv_nxt: 1 };
        vec![
            (Finding::NoReset { index }, r#"{"index":0}"#),
            (
                Finding::NoSuchReset {
                    index,
                    disposition: Disposition::DroppedAtSender,
                },
                r#"{"index":0,"disposition":"dropped-at-sender"}"#,
            ),
            (
                Finding::NoSuchReset {
                    index,
                    disposition: Disposition::Challenged,
                },
                r#"{"index":0,"disposition":"challenged"}"#,
            ),
            (
                Finding::ResetUnacceptable { frame, acceptance },
                r#"{"frame":6,"acceptance":"SEQ 2 is not RCV.NXT 1"}"#,
            ),
            (Finding::UnexpectedReset { frame }, r#"{"frame":6}"#),
            (
                Finding::ResetFromWrongEnd {
                    frame,
                    expected: Role::Server,
                },
                r#"{"frame":6,"expected":"server"}"#,
            ),
            (
                Finding::WrongForm {
                    frame,
                    expected: Some(Form::PassiveAck),
                    seen: None,
                },
                r#"{"frame":6,"expected":"passive-ack","actual":null}"#,
            ),
            (Finding::UntriggeredAnswer { frame }, r#"{"frame":6}"#),
            (
                Finding::WrongReceiverState {
                    frame,
                    expected: state,
                    seen: State::SynSent,
                },
                r#"{"frame":6,"expected":"CLOSE-WAIT","actual":"SYN-SENT"}"#,
            ),
            (
                Finding::ResetTooLate { frame, call },
                r#"{"frame":6,"call":5}"#,
            ),
        ]
    }

    /// Findings about calls and bytes, with the JSON of their details.
    fn examples_of_calls() -> Vec<(Finding, &'static str)> {
        let (call, frame, index, role) = (5, 6, 0, Role::Client);
        let (op, errno, state) = (Op::Read(1), Errno::EPIPE, State::CloseWait);
        let (written, read, sent) = (1, 2, 3);
        vec![
            (
                Finding::WrongErrno {
                    call,
                    frame,
                    state,
                    expected: errno,
                },
                r#"{"call":5,"frame":6,"state":"CLOSE-WAIT","expected":"EPIPE"}"#,
            ),
            (
                Finding::ReportedTwice { call, frame },
                r#"{"call":5,"frame":6}"#,
            ),
            (Finding::UnexplainedError { call }, r#"{"call":5}"#),
            (Finding::UnexplainedEnd { call }, r#"{"call":5}"#),
            (
                Finding::OtherCause {
                    call,
                    seen: Attribution::OwnShutdown(2),
                },
                r#"{"call":5,"actual":"own-shutdown"}"#,
            ),
            (
                Finding::UnexpectedOutcome {
                    call,
                    op,
                    expected: Some(Outcome::Failed(errno)),
                    seen: Outcome::SocketError(None),
                },
                r#"{"call":5,"operation":"read(1)","expected":{"errno":"EPIPE"},"actual":{"ok":0,"so_error":null}}"#,
            ),
            (
                Finding::UnexpectedOutcome {
                    call,
                    op: Op::Poll,
                    expected: None,
                    seen: Outcome::Polled(Events::IN),
                },
                r#"{"call":5,"operation":"poll()","actual":{"ok":1,"revents":"IN"}}"#,
            ),
            (Finding::UnexpectedSegment { frame }, r#"{"frame":6}"#),
            (
                Finding::PayloadDiffers {
                    role,
                    written,
                    sent,
                },
                r#"{"role":"client","written":1,"sent":3}"#,
            ),
            (
                Finding::NotSent { role, read, sent },
                r#"{"role":"client","read":2,"sent":3}"#,
            ),
            (
                Finding::NotRead { role, read, sent },
                r#"{"role":"client","read":2,"sent":3}"#,
            ),
            (
                Finding::CallNotMade { role, op },
                r#"{"role":"client","operation":"read(1)"}"#,
            ),
            (
                Finding::OtherCall { call, role, op },
                r#"{"call":5,"role":"client","operation":"read(1)"}"#,
            ),
            (Finding::IcmpError { frame }, r#"{"frame":6}"#),
            (Finding::NoIcmp { index }, r#"{"index":0}"#),
        ]
    }

    /// Kernel mismatches with the JSON of their details.
    fn examples_of_kernel() -> Vec<(KernelMismatch, &'static str)> {
        let (call, frame, role, errno) = (5, 6, Role::Server, Errno::ECONNRESET);
        vec![
            (
                KernelMismatch::ResetsSent {
                    sent: 0,
                    captured: 1,
                },
                r#"{"sent":0,"captured":1}"#,
            ),
            (
                KernelMismatch::Counter {
                    name: "OutRsts",
                    expected: 1,
                    seen: 2,
                },
                r#"{"counter":"OutRsts","expected":1,"actual":2}"#,
            ),
            (
                KernelMismatch::NotSent { frame, role },
                r#"{"frame":6,"role":"server"}"#,
            ),
            (
                KernelMismatch::NotCaptured { role, reason: None },
                r#"{"role":"server"}"#,
            ),
            (
                KernelMismatch::NotCaptured {
                    role,
                    reason: Some("NO_SOCKET".to_owned()),
                },
                r#"{"role":"server","reason":"NO_SOCKET"}"#,
            ),
            (
                KernelMismatch::WrongSender {
                    frame,
                    expected: Sender::Socket,
                    seen: Sender::Kernel,
                },
                r#"{"frame":6,"expected":"socket","actual":"kernel"}"#,
            ),
            (
                KernelMismatch::WrongReason {
                    frame,
                    expected: "NO_SOCKET",
                    seen: "99".to_owned(),
                },
                r#"{"frame":6,"expected":"NO_SOCKET","actual":"99"}"#,
            ),
            (
                KernelMismatch::NotReceived { frame, role },
                r#"{"frame":6,"role":"server"}"#,
            ),
            (
                KernelMismatch::OtherReceived { role },
                r#"{"role":"server"}"#,
            ),
            (
                KernelMismatch::StateDiffers {
                    frame,
                    role,
                    expected: State::Established,
                    seen: "TCP_CLOSE_WAIT".to_owned(),
                },
                r#"{"frame":6,"role":"server","expected":"ESTABLISHED","actual":"TCP_CLOSE_WAIT"}"#,
            ),
            (
                KernelMismatch::ErrorNotReported { call, errno },
                r#"{"call":5,"errno":"ECONNRESET"}"#,
            ),
            (
                KernelMismatch::OtherErrorReported { role, errno },
                r#"{"role":"server","errno":"ECONNRESET"}"#,
            ),
        ]
    }

    fn all_examples() -> Vec<(Finding, &'static str)> {
        let kernel = examples_of_kernel().into_iter();
        let kernel = kernel.map(|(mismatch, json)| (Finding::Kernel(mismatch), json));
        let others = examples_of_resets().into_iter().chain(examples_of_calls());
        others.chain(kernel).collect()
    }

    #[test]
    fn a_finding_is_serialised_with_its_fields() {
        for (finding, json) in all_examples() {
            assert_eq!(serde_json::to_string(&finding).unwrap(), json, "{finding}");
        }
    }

    #[test]
    fn every_finding_has_the_fields_of_its_schema() {
        let mut ids = Vec::new();
        for (finding, _) in all_examples() {
            let remark = serde_json::to_value(Remark::from(&finding)).unwrap();
            let (_, _, fields) = kinds()
                .into_iter()
                .find(|(id, ..)| *id == finding.id())
                .unwrap_or_else(|| panic!("{} is not in the schema", finding.id()));
            let details = remark["details"].as_object().unwrap();
            for (name, is_optional, schema) in &fields {
                match (details.get(*name), schema.get("enum")) {
                    (None, _) => assert!(is_optional, "{}: {name}", finding.id()),
                    (Some(value), Some(Value::Array(values))) => {
                        assert!(values.contains(value), "{}: {value}", finding.id());
                    }
                    (Some(_), _) => {}
                }
            }
            assert!(
                details
                    .keys()
                    .all(|key| fields.iter().any(|(name, ..)| name == key)),
                "{remark}"
            );
            ids.push(finding.id());
        }
        ids.sort_unstable();
        ids.dedup();
        let mut listed: Vec<_> = kinds().into_iter().map(|(id, ..)| id).collect();
        listed.sort_unstable();
        assert_eq!(ids, listed);
    }
}
