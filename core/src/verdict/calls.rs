//! Rules 4, 5 and 7: the calls, their bytes and the causes of their errors are the expected ones.

use super::{Attribution, Case, Finding};
use crate::evidence::Evidence;
use crate::scenario::Exemption;
use crate::time::Timestamp;
use crate::transcript::{Call, Op, Outcome, PerEnd, Role};

/// Number of bytes that the calls of one end passed to the kernel and got from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bytes {
    /// Bytes that writes accepted.
    written: u64,
    /// Bytes that were passed to writes that failed.
    refused: u64,
    /// Bytes that reads returned.
    read: u64,
}

impl Bytes {
    /// Counts the bytes of each end.
    pub(super) fn of(evidence: &Evidence) -> PerEnd<Self> {
        let mut bytes: PerEnd<Self> = PerEnd::default();
        for call in &evidence.calls {
            bytes[call.role].add(call);
        }
        bytes
    }

    // Saturating: saved evidence may hold any numbers.
    fn add(&mut self, call: &Call) {
        let returned = match call.outcome {
            Outcome::Returned(count) => u64::try_from(count).unwrap_or(0),
            _ => 0,
        };
        match call.op {
            Op::Write(count) if call.outcome.errno().is_some() => {
                self.refused = self.refused.saturating_add(count.into());
            }
            Op::Write(_) | Op::WriteUrgent => {
                self.written = self.written.saturating_add(returned);
            }
            Op::Read(_) => self.read = self.read.saturating_add(returned),
            _ => {}
        }
    }
}

impl Case<'_> {
    /// Checks the outcomes for rule 5: the whole transcript against the whole script.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = Finding> {
        let made = &self.evidence.calls;
        let script = self.scenario.calls().enumerate();
        let scripted = script.filter_map(|(index, (role, op, expect))| match made.get(index) {
            None => Some(Finding::CallNotMade { role, op }),
            Some(call) if (call.role, call.op) != (role, op) => Some(other_call(index, call)),
            Some(call) => {
                (!expect.allows(op, call.outcome)).then_some(Finding::UnexpectedOutcome {
                    call: index,
                    op,
                    expected: expect.outcome(),
                    seen: call.outcome,
                })
            }
        });
        let beyond = made.iter().enumerate().skip(self.scenario.calls().count());
        scripted.chain(beyond.map(|(index, call)| other_call(index, call)))
    }

    /// Checks the bytes for rule 5: exactly the written bytes are on the wire, and all bytes that were read were on the
    /// wire.
    pub(super) fn payload(&self) -> impl Iterator<Item = Finding> {
        Role::BOTH.into_iter().flat_map(|role| {
            let differs = self.payload_differs(role);
            differs.into_iter().chain(self.not_sent(role.peer()))
        })
    }

    /// Checks that exactly the bytes that this end has written are on the wire.
    fn payload_differs(&self, role: Role) -> Option<Finding> {
        let Bytes {
            written, refused, ..
        } = self.bytes[role];
        let sent = self.wire.payload[role];
        if self.is_exempt(Exemption::ForgedData(role)) {
            return None;
        }
        let is_right = if self.defers_syn(role) {
            // A write whose data goes out with the SYN may be sent and fail all the same.
            [written, written.saturating_add(refused)].contains(&sent.into())
        } else if self.is_exempt(Exemption::UnsentData(role)) {
            let may_be_all = self.is_exempt(Exemption::LateLinkLoss(role));
            u64::from(sent) < written || (may_be_all && u64::from(sent) == written)
        } else {
            u64::from(sent) == written
        };
        (!is_right).then_some(Finding::PayloadDiffers {
            role,
            written,
            sent,
        })
    }

    /// Checks that the bytes that this end has read were on the wire.
    fn not_sent(&self, role: Role) -> Option<Finding> {
        let read = self.bytes[role].read;
        let PerEnd { client, server } = self.wire.payload;
        // A socket that is connected to itself reads its own writes.
        let sent = if self.evidence.client == self.evidence.server {
            client.saturating_add(server)
        } else {
            self.wire.payload[role.peer()]
        };
        (read > sent.into()).then_some(Finding::NotSent { role, read, sent })
    }

    /// Checks the order for rule 5: a `read` fails from an RST only after all data that arrived before it was read.
    pub(super) fn reads(&self) -> impl Iterator<Item = Finding> {
        // A `PayloadDiffers` finding already reports bytes on the wire that were never written.
        let is_known = PerEnd::of(|role| {
            !self.is_exempt(Exemption::ForgedData(role)) && self.payload_differs(role).is_none()
        });
        self.attributions
            .iter()
            .filter_map(move |(index, attribution)| {
                let call = self.evidence.calls.get(*index)?;
                let (Op::Read(_), Attribution::Reset(reset)) = (call.op, attribution) else {
                    return None;
                };
                let role = call.role;
                let read = self.bytes[role].read;
                let sent = self.wire.resets[*reset].received_before;
                let is_unread = is_known[role.peer()] && u64::from(sent) > read;
                is_unread.then_some(Finding::NotRead { role, read, sent })
            })
    }

    /// Checks the end of file for rule 5: `read` returns 0 after the other end's FIN, on a socket that an RST or a
    /// timer has closed, and on a socket whose owner has shut down its receiving side.
    pub(super) fn ends_of_file(&self) -> impl Iterator<Item = Finding> {
        let ended = PerEnd::of(|role| self.end_of_data(role));
        let mut is_own_doing = PerEnd::<bool>::default();
        let is_exempt = self.is_exempt(Exemption::EndWithoutFin);
        let calls = self.evidence.calls.iter().enumerate();
        let calls = calls.filter(move |_| !is_exempt);
        calls.filter_map(move |(index, call)| {
            let role = call.role;
            let is_end = matches!(call.op, Op::Read(1..) | Op::Peek(1..))
                && call.outcome == Outcome::Returned(0);
            let is_early = ended[role].is_none_or(|at| at >= call.ended);
            let is_unexplained = is_end && is_early && !is_own_doing[role];
            is_own_doing[role] |= self.stops_receiving(index, call);
            is_unexplained.then_some(Finding::UnexplainedEnd { call: index })
        })
    }

    /// Returns the time at which this end had received the last data: that of the other end's FIN, or of the first RST
    /// that closed the connection.
    fn end_of_data(&self, role: Role) -> Option<Timestamp> {
        let resets = self.wire.resets.iter();
        let closing = resets.filter(|reset| reset.puts_error_on(role).is_some());
        let closed = closing.map(|reset| reset.at).min();
        let fin = self.wire.firsts[role.peer()].fin;
        fin.into_iter().chain(closed).min()
    }

    /// Returns true if later reads of the end return 0 for a reason other than the other end's FIN or RST.
    fn stops_receiving(&self, index: usize, call: &Call) -> bool {
        match self.attribution_of(index) {
            Some(attribution) => attribution.ends_connection(),
            None => matches!(call.op, Op::ShutdownRead | Op::ShutdownBoth),
        }
    }

    /// Returns the cause of the error of this call, if it returned one.
    fn attribution_of(&self, call: usize) -> Option<Attribution> {
        // The attributions are in transcript order, hence sorted by call.
        let found = self.attributions.binary_search_by_key(&call, |(of, _)| *of);
        found.ok().map(|index| self.attributions[index].1)
    }

    /// Checks rules 4, 5 and 7: every error has the cause that the scenario states.
    pub(super) fn causes(&self) -> impl Iterator<Item = Finding> {
        let attributions = self.attributions.iter();
        attributions.filter_map(|&(call, attribution)| self.cause(call, attribution))
    }

    /// Checks the cause of the error of one call.
    fn cause(&self, call: usize, attribution: Attribution) -> Option<Finding> {
        let made = self.evidence.calls.get(call)?;
        match attribution {
            Attribution::WrongErrno { reset, mapped } => Some(Finding::WrongErrno {
                call,
                frame: self.wire.resets[reset].frame,
                state: self.wire.resets[reset].receiver_state,
                expected: mapped,
            }),
            Attribution::ReportedTwice(reset) => Some(Finding::ReportedTwice {
                call,
                frame: self.wire.resets[reset].frame,
            }),
            Attribution::Unexplained => Some(self.unexplained(call, made)),
            Attribution::Reset(_)
            | Attribution::AfterReset(_)
            | Attribution::OwnShutdown(_)
            | Attribution::OwnDisconnect(_)
            | Attribution::OwnReset(_)
            | Attribution::NotConnected
            | Attribution::NotListening(_)
            | Attribution::WouldBlock(_)
            | Attribution::TimedOut(_)
            | Attribution::Unanswered
            | Attribution::Icmp(_)
            | Attribution::Destroyed(_)
            | Attribution::NoRoute
            | Attribution::InUse(_) => {
                let (_, _, expect) = self.scenario.calls().nth(call)?;
                let is_meant = attribution.is(expect.cause()?, &self.matched);
                (!is_meant).then_some(Finding::OtherCause {
                    call,
                    seen: attribution,
                })
            }
        }
    }

    /// Returns the finding for an unexplained error. If an RST would explain the error but arrived too late, the
    /// finding reports that RST.
    fn unexplained(&self, call: usize, made: &Call) -> Finding {
        let is_late = |at: Timestamp| at >= made.ended;
        let mut resets = self.wire.resets.iter();
        let late = resets.find(|it| it.puts_error_on(made.role).is_some() && is_late(it.at));
        match late {
            Some(reset) => Finding::ResetTooLate {
                frame: reset.frame,
                call,
            },
            None => Finding::UnexplainedError { call },
        }
    }
}

/// Returns the finding for a call of the transcript that is not the next call of the script.
fn other_call(index: usize, call: &Call) -> Finding {
    Finding::OtherCall {
        call: index,
        role: call.role,
        op: call.op,
    }
}
