//! Rule 6: the kernel's counters and trace must agree with the packets and the calls.
//!
//! Counters belong to the network namespace, so they count everything that happened in it during the trial, including
//! connections that only fill a queue. Facts that this kernel cannot provide do not affect the verdict.

use std::collections::BTreeMap;

use super::correlation::{self, ResetOrigin};
use super::kernel_mismatch::KernelMismatch;
use super::{Attribution, Case, attribution};
use crate::evidence::Evidence;
use crate::flow::{Form, Reset, State};
use crate::kernel::counters::WATCHED;
use crate::kernel::event::{Event, EventKind, Trace};
use crate::kernel::reason::NOT_SPECIFIED;
use crate::packet::{Flags, Packet, Segment, Tap};
use crate::scenario::{Disposition, Exemption, ExpectedReset, Scenario, Sender};
use crate::transcript::{Errno, Op, Role};

/// Trace events about one end of the connection, with that end.
#[derive(Clone, Copy)]
struct End<'a> {
    evidence: &'a Evidence,
    trace: &'a Trace,
    role: Role,
}

impl<'a> End<'a> {
    fn events(self) -> impl Iterator<Item = &'a Event> {
        let ends = (
            self.evidence.address(self.role),
            self.evidence.address(self.role.peer()),
        );
        let events = self.trace.events.iter();
        events.filter(move |event| (event.source, event.destination) == ends)
    }

    /// Returns, for each socket of this end that an RST closed, its state at that time, if the trace has it.
    fn states_when_received(self) -> Vec<Option<&'a str>> {
        let mut states: BTreeMap<u32, &str> = BTreeMap::new();
        let mut received = Vec::new();
        for event in self.events() {
            match (&event.kind, event.socket) {
                (EventKind::SetState { new, .. }, Some(socket)) => {
                    states.insert(socket, new);
                }
                (EventKind::ReceiveReset, Some(socket)) => {
                    received.push(states.get(&socket).copied());
                }
                (EventKind::ReceiveReset, None) => received.push(None),
                _ => {}
            }
        }
        received
    }

    /// Returns the errors that were put on this end's sockets.
    fn reported_errors(self) -> Vec<Errno> {
        let errors = self.events().filter_map(|event| match event.kind {
            EventKind::ErrorReport(errno) => Some(errno),
            _ => None,
        });
        errors.collect()
    }
}

impl Case<'_> {
    /// Checks the trace events against the frames and the calls.
    pub(super) fn trace(&self) -> impl Iterator<Item = KernelMismatch> {
        self.evidence.trace.iter().flat_map(|trace| {
            let ends = Role::BOTH.map(|role| End {
                evidence: self.evidence,
                trace,
                role,
            });
            let by_end = ends.into_iter().flat_map(|end| {
                let received = trace.coverage.tcp_receive_reset.then(|| self.received(end));
                let errors = (trace.coverage.inet_sk_error_report).then(|| self.errors(end));
                let received = received.into_iter().flatten();
                received.chain(errors.into_iter().flatten())
            });
            self.origins().chain(self.uncaptured()).chain(by_end)
        })
    }

    /// Checks the sender and the reason of each expected RST.
    fn origins(&self) -> impl Iterator<Item = KernelMismatch> {
        let expected = self.scenario.resets.iter().zip(&self.matched);
        let captured = expected.filter_map(|(expected, index)| Some((expected, (*index)?)));
        captured.flat_map(|(expected, index)| {
            let (reset, origin) = (&self.wire.resets[index], &self.correlated.origins[index]);
            let sender = wrong_sender(expected, reset, origin);
            sender
                .into_iter()
                .chain(wrong_reason(expected, reset, origin))
        })
    }

    /// Returns the RSTs that were sent and not captured, and that are not expected to be lost at their sender.
    fn uncaptured(&self) -> impl Iterator<Item = KernelMismatch> {
        let expected = self.scenario.resets.iter();
        // Each expected RST accounts for one event: several may have the same sender and reason.
        let mut expected: Vec<_> = expected
            .filter(|it| it.disposition == Disposition::DroppedAtSender)
            .collect();
        self.correlated.uncaptured.iter().filter_map(move |sent| {
            let fits = |expected: &&ExpectedReset| correlation::fits(sent, expected);
            if let Some(index) = expected.iter().position(fits) {
                expected.remove(index);
                return None;
            }
            let (role, reason) = sent.clone();
            Some(KernelMismatch::NotCaptured { role, reason })
        })
    }

    /// Checks the sockets of this end that an RST closed. A socket that answers data after `shutdown` of both sides
    /// closes itself, and the trace shows it as if the socket had received the RST that it sends.
    fn received(&self, end: End<'_>) -> Vec<KernelMismatch> {
        let role = end.role;
        let resets = self.wire.resets.iter();
        let closing = resets.filter(|reset| reset.puts_error_on(role).is_some());
        let closing: Vec<&Reset> = closing.collect();
        let resets = self.wire.resets.iter();
        let answers = resets.filter(|it| it.from == role && it.form != Some(Form::Active));
        let received = end.states_when_received();
        let missing = closing.iter().skip(received.len());
        let missing = missing.map(|reset| KernelMismatch::NotReceived {
            frame: reset.frame,
            role,
        });
        let is_other = received.len() > closing.len() + answers.count();
        let other = is_other.then_some(KernelMismatch::OtherReceived { role });
        // Without exactly one event per RST, it is unknown which state belongs to which RST.
        let has_states = end.trace.coverage.inet_sock_set_state && received.len() == closing.len();
        let states = closing.iter().zip(&received).filter(|_| has_states);
        let states = states.filter_map(|(reset, state)| other_state(role, reset, (*state)?));
        missing.chain(other).chain(states).collect()
    }

    /// Checks the errors that were put on this end's socket.
    fn errors(&self, end: End<'_>) -> Vec<KernelMismatch> {
        let role = end.role;
        let reported = end.reported_errors();
        let mut explained = self.errors_of_resets(role);
        let mut mismatches = Vec::new();
        for &(call, attribution) in &self.attributions {
            let made = self.evidence.calls.get(call).filter(|it| it.role == role);
            let Some(errno) = made.and_then(|call| call.outcome.errno()) else {
                continue;
            };
            let is_put_on_socket = self.puts_on_socket(call, attribution, errno);
            let may_be = matches!(attribution, Attribution::NoRoute | Attribution::Icmp(_));
            if is_put_on_socket || may_be {
                explained.push(errno);
            }
            let is_exempt = self.is_exempt(Exemption::Untraced(call));
            if is_put_on_socket && !reported.contains(&errno) && !is_exempt {
                mismatches.push(KernelMismatch::ErrorNotReported { call, errno });
            }
        }
        let mut reported = reported.into_iter();
        let other = reported.find(|errno| !explained.contains(errno));
        mismatches.extend(other.map(|errno| KernelMismatch::OtherErrorReported { role, errno }));
        mismatches
    }

    /// Returns the errors that the captured RSTs put on this end's socket.
    fn errors_of_resets(&self, role: Role) -> Vec<Errno> {
        let resets = self.wire.resets.iter();
        let of_peer = resets.filter_map(|reset| reset.puts_error_on(role));
        let mut resets = self.wire.resets.iter();
        // A socket that resets itself.
        let is_own = resets.any(|it| it.from == role && it.form != Some(Form::Active));
        of_peer.chain(is_own.then_some(Errno::ECONNRESET)).collect()
    }

    /// Returns true if this error of a call must have been put on its socket.
    fn puts_on_socket(&self, call: usize, attribution: Attribution, errno: Errno) -> bool {
        match attribution {
            Attribution::Reset(_) | Attribution::OwnReset(_) => true,
            Attribution::TimedOut(_) | Attribution::Unanswered => errno == Errno::ETIMEDOUT,
            Attribution::Destroyed(_) => errno == Errno::ECONNABORTED,
            // connect() may return the error without putting it on the socket.
            Attribution::NoRoute => {
                attribution::is_routing_error(errno) && self.evidence.calls[call].op != Op::Connect
            }
            // A soft error goes to sk_err_soft instead of sk_err.
            Attribution::Icmp(index) => {
                let icmp = self.wire.icmp.get(index);
                icmp.is_some_and(|it| it.state == State::SynSent && it.errno == Some(errno))
            }
            Attribution::AfterReset(_)
            | Attribution::OwnShutdown(_)
            | Attribution::OwnDisconnect(_)
            | Attribution::NotConnected
            | Attribution::NotListening(_)
            | Attribution::WouldBlock(_)
            | Attribution::InUse(_)
            | Attribution::WrongErrno { .. }
            | Attribution::ReportedTwice(_)
            | Attribution::Unexplained => false,
        }
    }

    /// Checks each counter against the scenario. `OutRsts` need not equal the number of captured RSTs: a firewall, or
    /// anybody else, may add some to the wire.
    pub(super) fn counters(&self) -> impl Iterator<Item = KernelMismatch> {
        WATCHED.into_iter().filter_map(|name| self.counter(name))
    }

    /// Checks one counter.
    fn counter(&self, name: &'static str) -> Option<KernelMismatch> {
        let mut stated = self.scenario.counters.iter();
        let stated = stated.find(|(stated, _)| *stated == name);
        let expected = stated.map_or(0, |(_, by)| *by);
        let seen = self.evidence.counters.as_ref()?.get(name)?;
        let may_move = depends_on_uptime(self.scenario, name);
        if seen == expected || (may_move && seen <= self.answered_by_listener()) {
            return None;
        }
        let captured = resets_captured(self.evidence);
        Some(if name == OUT_RSTS && seen != captured {
            let sent = seen;
            KernelMismatch::ResetsSent { sent, captured }
        } else {
            KernelMismatch::Counter {
                name,
                expected,
                seen,
            }
        })
    }

    /// Returns the number of captured segments that a listener may have taken for a SYN cookie: with ACK, without SYN
    /// and RST, and of no connection (`tcp_rcv_state_process()` in LISTEN).
    fn answered_by_listener(&self) -> u64 {
        let answers = |expected: &ExpectedReset| {
            expected.sender == Sender::Socket
                && expected.form == Some(Form::Passive)
                && expected.reason == "TCP_FLAGS"
        };
        let is_for_no_syn = |index: usize| {
            let frame = self.wire.resets[index].triggered_by;
            let mut packets = self.evidence.packets.iter();
            packets.any(|packet| {
                matches!(packet, Packet::Tcp(segment)
                    if Some(segment.frame) == frame && !segment.flags.has(Flags::SYN))
            })
        };
        let resets = self.scenario.resets.iter().zip(&self.matched);
        let answered = resets
            .filter(|(expected, index)| answers(expected) && index.is_some_and(is_for_no_syn));
        answered.count() as u64
    }
}

/// Checks the sender of an expected RST.
fn wrong_sender(
    expected: &ExpectedReset,
    reset: &Reset,
    origin: &ResetOrigin,
) -> Option<KernelMismatch> {
    let by_kernel = |sender| matches!(sender, Sender::Socket | Sender::Kernel);
    let (frame, role) = (reset.frame, reset.from);
    match (expected.sender, origin.sender) {
        (_, Sender::Unknown) => None,
        (expected, seen) if by_kernel(expected) && !by_kernel(seen) => {
            Some(KernelMismatch::NotSent { frame, role })
        }
        (expected, seen) => (expected != seen).then_some(KernelMismatch::WrongSender {
            frame,
            expected,
            seen,
        }),
    }
}

/// Checks the reason of an expected RST. Kernels before Linux 6.12 give `NOT_SPECIFIED` for every abort: it contradicts
/// no reason.
fn wrong_reason(
    expected: &ExpectedReset,
    reset: &Reset,
    origin: &ResetOrigin,
) -> Option<KernelMismatch> {
    let seen = origin.reason.as_ref()?;
    let is_known = origin.sender != Sender::Unknown && seen != NOT_SPECIFIED;
    (is_known && seen != expected.reason).then(|| KernelMismatch::WrongReason {
        frame: reset.frame,
        expected: expected.reason,
        seen: seen.clone(),
    })
}

/// Checks the state of the socket that an RST closed.
fn other_state(role: Role, reset: &Reset, seen: &str) -> Option<KernelMismatch> {
    let expected = reset.receiver_state;
    (Some(seen) != kernel_name(expected)).then(|| KernelMismatch::StateDiffers {
        frame: reset.frame,
        role,
        expected,
        seen: seen.to_owned(),
    })
}

/// Returns the name in `include/net/tcp_states.h`; `None` for a state that no socket of the connection is in.
fn kernel_name(state: State) -> Option<&'static str> {
    Some(match state {
        State::SynSent => "TCP_SYN_SENT",
        State::SynReceived => "TCP_SYN_RECV",
        State::Established => "TCP_ESTABLISHED",
        State::FinWait1 => "TCP_FIN_WAIT1",
        State::FinWait2 => "TCP_FIN_WAIT2",
        State::CloseWait => "TCP_CLOSE_WAIT",
        State::Closing => "TCP_CLOSING",
        State::LastAck => "TCP_LAST_ACK",
        State::TimeWait => "TCP_TIME_WAIT",
        State::Closed => "TCP_CLOSE",
        State::Listen => return None,
    })
}

/// Counter of ACKs that a listener takes for an invalid SYN cookie.
///
/// A listener takes an ACK of no connection for a SYN cookie if it has sent cookies within two minutes. A listener that
/// never sent any behaves as if it had while the 32-bit tick counter is near 0: from 299 to 420 seconds after boot, and
/// for two minutes whenever the counter wraps (`tcp_synq_no_recent_overflow()`, include/net/tcp.h, with a stamp of 0;
/// `INITIAL_JIFFIES`). The listener then counts an invalid cookie, once a segment (`cookie_v4_check()`,
/// `cookie_v6_check()`), and answers with an RST as always.
const SYNCOOKIES_FAILED: &str = "SyncookiesFailed";

/// Returns true if the uptime of the host, and not the scenario, decides whether this counter increases in its trials:
/// a confirmed trial shows nothing about the kernel by it.
#[must_use]
pub fn depends_on_uptime(scenario: &Scenario, counter: &str) -> bool {
    let is_stated = scenario.counters.iter().any(|(name, _)| *name == counter);
    counter == SYNCOOKIES_FAILED && !is_stated
}

/// Counter of sent segments that contain the RST flag (RFC 4022).
const OUT_RSTS: &str = "OutRsts";

fn resets_captured(evidence: &Evidence) -> u64 {
    let packets = evidence.packets.iter();
    let is_sent = |segment: &Segment| match segment.tap {
        Tap::Both => true,
        Tap::Client => segment.source.ip() == evidence.client.ip(),
        Tap::Server => segment.source.ip() == evidence.server.ip(),
    };
    let resets = packets.filter(|packet| {
        matches!(packet, Packet::Tcp(segment)
            if segment.flags.has(Flags::RST) && segment.at >= evidence.began && is_sent(segment))
    });
    resets.count() as u64
}
