//! Scenario of the catalogue that teaches a failure: what happens there, why, and what to do about it.
//!
//! A scenario fits only if nothing in it contradicts what the capture shows: the state of the receiver, the error and the end that
//! sent the RST. If several fit, the nearest one is named.

use super::connections::ResetRecord;
use super::explain::{Cause, ErrnoCondition, RequiredAction};
use super::failure::{FailureKind, MIN_IDLE_NS};
use super::icmp::{Effect, IcmpRecord};
use crate::flow::{Acceptance, Form, State};
use crate::scenario::{ALL, Expect, Family, Scenario};
use crate::transcript::{Errno, Role};

/// What the choice of a scenario depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// Cause of the RST; `None` if it is unknown, or if there is no RST.
    cause: Option<Cause>,
    /// Cause that a doubtful RST would have if its source had sent it.
    claim: Option<Cause>,
    /// Failure without an RST and an ICMP error.
    failure: Option<FailureKind>,
    /// Sender of the RST.
    from: Role,
    form: Option<Form>,
    /// State of the receiver.
    state: State,
    action: RequiredAction,
    errno: Option<Errno>,
    /// True if the error does not depend on what the capture leaves open.
    is_certain: bool,
    /// True if the sender had not answered data of the receiver.
    has_unanswered: bool,
    /// True if the sender had sent the response to the last request.
    has_answered: bool,
    /// True if data of the sender was not acknowledged.
    has_unacknowledged: bool,
    /// True if all data of the receiver was acknowledged.
    is_receiver_done: bool,
    /// True if a silence preceded what the RST replies to.
    was_idle: bool,
    /// True if the sender has sent nothing but its part of the handshake.
    has_only_opened: bool,
    /// True if the receiver had sent an RST before.
    has_been_reset: bool,
    /// True if SEQ is before what the receiver expects, and false if it is behind; `None` if it is neither.
    is_old: Option<bool>,
}

/// Rule of the table.
pub struct Rule {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Condition, in words.
    pub when: &'static str,
    /// Advice in one clause: it has to hold for every failure that the condition admits.
    pub advice: &'static str,
    applies: fn(&Situation) -> bool,
}

/// Rules, of which the first one that applies is taken.
pub const RULES: [Rule; 29] = [
    Rule {
        scenario: "connect-closed-port",
        when: "`refused`",
        advice: "check that the server listens on this address and port (`ss -ltn`), and that no firewall rejects the SYN",
        applies: |it| {
            // Another form is not that of a kernel without a listener.
            it.is(Cause::Refused)
                && it.form == Some(Form::PassiveAck)
                && it.errno == Some(Errno::ECONNREFUSED)
        },
    },
    Rule {
        scenario: "close-unread-data-response",
        when: "`aborted-close` by the server soon after its HTTP response, or with more data of the client after it; ECONNRESET",
        advice: "read the response before giving up, and let the server read the request to its end before close()",
        applies: |it| it.server_aborts() && it.has_answered && (it.has_unanswered || !it.was_idle),
    },
    Rule {
        scenario: "close-unread-data",
        when: "`aborted-close` by the server, with data of the client unanswered; ECONNRESET",
        advice: "find out why the server aborted instead of answering: an error, a limit, a time-out or its end",
        applies: |it| it.server_aborts() && it.has_unanswered,
    },
    Rule {
        scenario: "linger-zero-unsent",
        when: "`aborted-close` by the server, with data of its own not acknowledged; ECONNRESET",
        advice: "look for SO_LINGER with 0 seconds on the server, or for a process that was ended there",
        applies: |it| it.server_aborts() && it.has_unacknowledged,
    },
    Rule {
        scenario: "linger-zero-close",
        when: "`aborted-close` by the server, with nothing unanswered; ECONNRESET",
        advice: "look for SO_LINGER with 0 seconds on the server, and for data that it had not read",
        applies: |it| it.server_aborts(),
    },
    Rule {
        scenario: "half-closed-then-reset",
        when: "`aborted-close` by the server after the FIN of the client; ECONNRESET",
        advice: "let the server read the request to its end before close()",
        applies: |it| {
            it.is(Cause::AbortedClose)
                && it.from == Role::Server
                && matches!(it.state, State::FinWait1 | State::FinWait2)
                && it.errno == Some(Errno::ECONNRESET)
                && it.has_unanswered
        },
    },
    Rule {
        scenario: "linger-zero-blocked-reader",
        when: "`aborted-close` by the client, when the server had sent all of its data; ECONNRESET",
        advice: "harmless if no request was under way: health checks, load balancers and connection pools close like this",
        applies: |it| {
            it.is(Cause::AbortedClose)
                && it.from == Role::Client
                && it.state == State::Established
                && it.errno == Some(Errno::ECONNRESET)
                && it.is_receiver_done
        },
    },
    Rule {
        scenario: "fin-then-reset",
        when: "`reset-after-fin`, as the abort of a socket; EPIPE",
        advice: "check the length that the protocol announces: the server closed, then aborted, and read() shows only the end of file",
        applies: |it| {
            it.is(Cause::ResetAfterFin)
                && it.form == Some(Form::Active)
                && it.from == Role::Server
                && it.state == State::CloseWait
                && it.errno == Some(Errno::EPIPE)
        },
    },
    Rule {
        scenario: "write-after-peer-close",
        when: "`data-after-close`, sent by the server; EPIPE",
        advice: "look for the FIN before a connection is used again, and repeat only what is safe to repeat",
        applies: |it| {
            it.is(Cause::DataAfterClose)
                && it.from == Role::Server
                && it.state == State::CloseWait
                && it.errno == Some(Errno::EPIPE)
                && it.is_certain
        },
    },
    Rule {
        scenario: "stray-syn-ack-closed-port",
        when: "`half-open-peer`, in reply to a SYN-ACK",
        advice: "usually a scan, or a SYN with a forged source address: nothing to fix on the server",
        applies: |it| {
            it.is(Cause::HalfOpenPeer) && it.state == State::SynReceived && it.from == Role::Client
        },
    },
    Rule {
        scenario: "defer-accept-listener-close",
        when: "`half-open-peer`, sent by the server to a connection that it has not used; ECONNRESET",
        advice: "check whether the server was restarted, or its listener closed, at that time",
        applies: |it| it.server_is_gone() && !it.was_idle && it.has_only_opened,
    },
    Rule {
        scenario: "half-open-peer-vanished",
        when: "`half-open-peer`, sent by the server to an open connection after a silence; ECONNRESET",
        advice: "send keepalive probes at shorter intervals than the silence, and check whether the server was restarted",
        applies: |it| it.server_is_gone() && it.was_idle,
    },
    Rule {
        scenario: "half-open-reconnect",
        when: "`older-connection`, sent by the client, which ends an open connection of the server; ECONNRESET",
        advice: "find out why the client connected again from the same port: a restart, or a NAT that reuses ports too soon",
        applies: |it| {
            it.is(Cause::OlderConnection)
                && it.from == Role::Client
                && it.state == State::Established
                && it.errno == Some(Errno::ECONNRESET)
                && it.is_certain
        },
    },
    Rule {
        scenario: "syn-sent-close",
        when: "`abandoned-connect`",
        advice: "compare the timeout of the client with the round trip; after a scan there is nothing to fix",
        applies: |it| it.is(Cause::AbandonedConnect) && it.from == Role::Client,
    },
    Rule {
        scenario: "stray-fin-closed-port",
        when: "`listener-answer`, in reply to a segment without ACK",
        advice: "usually a scan: nothing to fix",
        applies: |it| {
            it.is(Cause::ListenerAnswer)
                && it.form == Some(Form::PassiveAck)
                && it.from == Role::Server
        },
    },
    Rule {
        scenario: "stray-ack-listener",
        when: "`listener-answer`, in reply to a segment with ACK",
        advice: "find out which connection the client takes this for; after a scan there is nothing to fix",
        applies: |it| it.is(Cause::ListenerAnswer) && it.from == Role::Server,
    },
    Rule {
        scenario: "keepalive-timeout",
        when: "`keepalive` by the client, whose probes got no answer",
        advice: "check the path to the server, and its host",
        applies: |it| {
            it.is(Cause::Keepalive) && it.form == Some(Form::Active) && it.from == Role::Client
        },
    },
    Rule {
        scenario: "keepalive-half-open",
        when: "`keepalive`, in reply to a probe of the client; ECONNRESET",
        advice: "check whether the server was restarted; a device on the path may have forgotten the connection as well",
        applies: |it| {
            it.is(Cause::Keepalive)
                && it.form == Some(Form::Passive)
                && it.from == Role::Server
                && it.errno == Some(Errno::ECONNRESET)
        },
    },
    Rule {
        scenario: "connect-firewall-reset",
        when: "`third-party`, in reply to a SYN",
        advice: "check the rules of the firewalls on the server and on the path, with OutRsts of the server's kernel",
        applies: |it| {
            it.is(Cause::ThirdParty)
                && it.claim == Some(Cause::Refused)
                && it.errno == Some(Errno::ECONNREFUSED)
        },
    },
    Rule {
        scenario: "firewall-reset-forward",
        when: "`third-party`, in the name of the server, in reply to data after a silence; ECONNRESET",
        advice: "send keepalive probes at shorter intervals than the silence, and capture on both sides to find the device",
        applies: |it| {
            it.is(Cause::ThirdParty)
                && it.claim == Some(Cause::HalfOpenPeer)
                && it.from == Role::Server
                && it.was_idle
                && it.errno == Some(Errno::ECONNRESET)
        },
    },
    Rule {
        scenario: "third-party-reset",
        when: "`third-party`, in the name of the server, accepted by an open connection; ECONNRESET",
        advice: "capture at both ends, or check whether OutRsts on the server increases",
        applies: |it| it.is(Cause::ThirdParty) && it.resets_client(),
    },
    Rule {
        scenario: "blind-rst-in-window",
        when: "`third-party`, answered with a challenge ACK",
        advice: "it had no effect; TCPChallengeACK (`nstat -az`) counts such RSTs",
        applies: |it| it.is(Cause::ThirdParty) && it.action == RequiredAction::Challenge,
    },
    Rule {
        scenario: "blind-rst-old",
        when: "`third-party`, with an old sequence number, ignored by an open connection",
        advice: "nothing to fix: it had no effect",
        applies: |it| it.is_ignored_forgery() && it.is_old == Some(true),
    },
    Rule {
        scenario: "blind-rst-outside",
        when: "`third-party`, beyond the window, ignored by an open connection",
        advice: "nothing to fix: it had no effect",
        applies: |it| it.is_ignored_forgery() && it.is_old == Some(false),
    },
    Rule {
        scenario: "connect-blackholed",
        when: "`no-reply`",
        advice: "capture at the server: does the SYN arrive, and does a reply leave?",
        applies: |it| {
            it.failure == Some(FailureKind::NoReply) && it.errno == Some(Errno::ETIMEDOUT)
        },
    },
    Rule {
        scenario: "icmp-then-timeout",
        when: "`timed-out`, after an ICMP error that was recorded; its error in place of ETIMEDOUT",
        advice: "look for the ICMP error: its source is the router that could not deliver",
        applies: |it| {
            it.failure == Some(FailureKind::TimedOut) && it.errno == Some(Errno::EHOSTUNREACH)
        },
    },
    Rule {
        scenario: "retransmission-timeout",
        when: "`timed-out`, after data; ETIMEDOUT",
        advice: "check the path to the other end and its host; TCP_USER_TIMEOUT limits the time",
        applies: |it| {
            it.failure == Some(FailureKind::TimedOut)
                && it.errno == Some(Errno::ETIMEDOUT)
                && it.has_unacknowledged
        },
    },
    Rule {
        scenario: "zero-window-user-timeout",
        when: "`zero-window`",
        advice: "find out why the other end stopped reading: its Recv-Q in `ss -tn`",
        applies: |it| {
            it.failure == Some(FailureKind::ZeroWindow) && it.errno == Some(Errno::ETIMEDOUT)
        },
    },
    Rule {
        scenario: "syn-sent-bad-ack",
        when: "`older-connection`, sent by the client and ignored",
        advice: "nothing to fix if the handshake succeeds: an older connection was still there",
        applies: |it| {
            it.is(Cause::OlderConnection)
                && it.from == Role::Client
                && it.errno.is_none()
                && it.action == RequiredAction::Drop
        },
    },
];

impl Situation {
    fn is(&self, cause: Cause) -> bool {
        self.cause == Some(cause)
    }

    /// Returns true if the server aborted an open connection, and the client gets ECONNRESET.
    fn server_aborts(&self) -> bool {
        self.is(Cause::AbortedClose) && self.resets_client()
    }

    /// Returns true if the server had an open connection no more, for another reason than an RST of the client, and the client gets
    /// ECONNRESET.
    fn server_is_gone(&self) -> bool {
        self.is(Cause::HalfOpenPeer) && self.resets_client() && !self.has_been_reset
    }

    fn resets_client(&self) -> bool {
        self.from == Role::Server
            && self.state == State::Established
            && self.errno == Some(Errno::ECONNRESET)
    }

    fn is_ignored_forgery(&self) -> bool {
        self.is(Cause::ThirdParty)
            && self.action == RequiredAction::Drop
            && self.state == State::Established
    }

    fn related(&self) -> Option<Related> {
        let found = RULES.iter().position(|rule| (rule.applies)(self))?;
        u8::try_from(found).ok().map(Related)
    }
}

/// Scenario that teaches a failure: number of a rule, or of a scenario of the catalogue plus the number of rules.
// A byte, because each failure has one, and a capture may have a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Related(u8);

const _: () = assert!(RULES.len() + ALL.len() <= 256);

impl Related {
    fn rule(self) -> Option<&'static Rule> {
        RULES.get(usize::from(self.0))
    }

    fn of_scenario(nth: usize) -> Option<Self> {
        u8::try_from(nth + RULES.len()).ok().map(Self)
    }

    fn of_catalogue(self) -> Option<&'static Scenario> {
        let nth = usize::from(self.0).checked_sub(RULES.len())?;
        ALL.get(nth).copied()
    }

    /// Returns the name of the scenario.
    #[must_use]
    pub fn scenario(self) -> &'static str {
        let rule = self.rule().map(|rule| rule.scenario);
        rule.or_else(|| Some(self.of_catalogue()?.id))
            .unwrap_or_default()
    }

    /// Returns an advice, in a clause: that of the rule, or the first sentence of the scenario's.
    #[must_use]
    pub fn advice(self) -> &'static str {
        let of_catalogue = || {
            let advice = self.of_catalogue()?.advice;
            let first = advice.split_once(". ").map_or(advice, |it| it.0);
            Some(first.trim_end_matches('.'))
        };
        let rule = self.rule().map(|rule| rule.advice);
        rule.or_else(of_catalogue).unwrap_or_default()
    }
}

/// Returns the scenario that teaches an RST; `None` if none fits.
pub(super) fn of_reset(record: &ResetRecord) -> Option<Related> {
    let (reset, explanation) = (&record.reset, &record.explanation);
    // It belongs to another connection, of which little is known.
    if record.earlier.is_some() && explanation.cause != Some(Cause::OlderConnection) {
        return None;
    }
    let situation = Situation {
        cause: explanation.cause,
        claim: explanation.claim.and_then(|it| it.cause),
        failure: None,
        from: reset.from,
        form: reset.form,
        state: reset.receiver_state,
        action: explanation.required_action,
        errno: explanation.errno,
        is_certain: explanation.errno_condition.is_none()
            || explanation.errno_condition == Some(ErrnoCondition::FinReceived),
        has_unanswered: record.unanswered.is_some(),
        has_answered: record.answer.is_some(),
        has_unacknowledged: record.unacknowledged > 0,
        is_receiver_done: record.is_receiver_done,
        was_idle: record.silence >= MIN_IDLE_NS,
        has_only_opened: record.history.of(reset.from).packets == 1,
        has_been_reset: record.consequence_of.is_some()
            || record.history.of(reset.from.peer()).reset(),
        is_old: match reset.acceptance {
            Acceptance::WrongSequence { .. } => Some(reset.acceptance.ahead().is_none()),
            _ => None,
        },
    };
    situation.related()
}

/// Returns the scenario that teaches a failure without an RST and an ICMP error; `None` if none fits. `from` is the end that closed,
/// or that got no reply; `sent_data` is true if it had sent data or a FIN, and no probes.
pub(super) fn of_failure(
    failure: FailureKind,
    from: Role,
    errno: Option<Errno>,
    sent_data: bool,
) -> Option<Related> {
    let situation = Situation {
        cause: None,
        claim: None,
        failure: Some(failure),
        from,
        form: None,
        state: State::Established,
        action: RequiredAction::Unknown,
        errno,
        is_certain: true,
        has_unanswered: false,
        has_answered: false,
        has_unacknowledged: sent_data,
        is_receiver_done: false,
        was_idle: false,
        has_only_opened: false,
        has_been_reset: false,
        is_old: None,
    };
    situation.related()
}

/// Returns the scenario that teaches an ICMP error: that of the same type and code, in the same state. `None` if there is none.
pub(super) fn of_icmp(record: &IcmpRecord) -> Option<Related> {
    let code = (record.kind.kind, record.kind.code);
    let family = if record.kind.is_v6 {
        Family::Ipv6
    } else {
        Family::Ipv4
    };
    let fails_with = |scenario: &Scenario, errno: Option<Errno>| {
        let mut calls = scenario.calls();
        calls.any(|(_, _, expect)| matches!(expect, Expect::Fails(it, _) if Some(it) == errno))
    };
    let is_it = |scenario: &&Scenario| {
        scenario.id.starts_with("connect-icmp-")
            && matches!(scenario.icmp, [expected] if record.to == expected.to
                && code == expected.over(family))
            && scenario.families.contains(&family)
            && fails_with(scenario, record.errno)
    };
    let found = match record.effect {
        Effect::ConnectFails if record.went_on.is_none() => ALL.iter().position(is_it),
        Effect::Recorded if record.state == State::Established => {
            ALL.iter().position(|it| it.id == "icmp-established")
        }
        _ => None,
    };
    found.and_then(Related::of_scenario)
}
