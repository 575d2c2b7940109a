//! Correlation of the RSTs that the kernel sent, by its trace, with the captured ones.
//!
//! Trace events are correlated with the connection's frames by their addresses and order, never by the interrupted
//! process. An abort is traced after its RST was sent and an answer before, so neither time bounds the other.

use crate::evidence::Evidence;
use crate::flow::{Form, Reset};
use crate::kernel::event::{Event, EventKind, Trace};
use crate::kernel::reason::NOT_SPECIFIED;
use crate::scenario::{ExpectedReset, Sender};
use crate::time::Timestamp;
use crate::transcript::Role;

/// Sender of an RST and its reason, as the kernel trace reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetOrigin {
    /// Sender of the RST.
    pub sender: Sender,
    /// Name of the `sk_rst_reason`; `None` if there is no trace or the trace gives no reason.
    pub reason: Option<String>,
}

impl ResetOrigin {
    /// Origin of an RST that no trace covers, or that the trace does not determine.
    const UNKNOWN: Self = Self {
        sender: Sender::Unknown,
        reason: None,
    };
}

/// RSTs of the connection, correlated with the kernel trace.
pub(super) struct Correlated {
    /// Origin of each RST, in capture order.
    pub(super) origins: Vec<ResetOrigin>,
    /// RSTs that the kernel sent and that match no captured RST: the sending end and the reason.
    pub(super) uncaptured: Vec<(Role, Option<String>)>,
    /// Flag: the trace covers sent RSTs.
    covers_sent: bool,
}

impl Correlated {
    /// Correlates the RSTs that the kernel sent with the captured ones.
    pub(super) fn new(evidence: &Evidence, resets: &[Reset]) -> Self {
        let mut correlated = Self {
            origins: vec![ResetOrigin::UNKNOWN; resets.len()],
            uncaptured: Vec::new(),
            covers_sent: false,
        };
        let Some(trace) = &evidence.trace else {
            return correlated;
        };
        correlated.covers_sent = trace.coverage.tcp_send_reset;
        for role in Role::BOTH {
            correlated.add_sent(evidence, trace, resets, role);
        }
        let coverage = trace.coverage;
        // Only a complete trace proves that the kernel did not send an RST.
        if coverage.tcp_send_reset && coverage.resets_without_socket && !coverage.overrun {
            for (origin, reset) in correlated.origins.iter_mut().zip(resets) {
                if origin.sender == Sender::Unknown {
                    origin.sender = sender_outside_kernel(reset);
                }
            }
        }
        correlated
    }

    /// Adds the RSTs that this end sent, by the trace.
    fn add_sent(&mut self, evidence: &Evidence, trace: &Trace, resets: &[Reset], role: Role) {
        let sent = sent_by(evidence, trace, role);
        let frame_of = frames_of(&sent, resets, role);
        for ((event, origin), frame) in sent.into_iter().zip(frame_of) {
            match frame {
                Some(index) => self.origins[index] = origin,
                // The answer of a listener carries no other end's address: it may belong to another connection.
                None if evidence.are_its_ends(event.source, event.destination) => {
                    self.uncaptured.push((role, origin.reason));
                }
                None => {}
            }
        }
    }

    /// Returns true if the trace has an RST that was sent as expected and not captured, or if it does not cover sent
    /// RSTs.
    pub(super) fn shows(&self, expected: &ExpectedReset) -> bool {
        !self.covers_sent || self.uncaptured.iter().any(|sent| fits(sent, expected))
    }
}

/// Returns true if an RST of the trace, by its sending end and reason, is the expected one.
pub(super) fn fits((role, reason): &(Role, Option<String>), expected: &ExpectedReset) -> bool {
    let is_reason = |reason: &String| reason == expected.reason || reason == NOT_SPECIFIED;
    *role == expected.from && reason.as_ref().is_none_or(is_reason)
}

/// Predicate that selects RSTs.
type Are = fn(&Reset) -> bool;

/// Returns, for each RST that this end sent by the trace, the index of the captured RST.
///
/// Events that only an answer can cause are matched with answers first, because an abort is traced only after
/// everything that its RST caused at once. An RST in a form that no kernel sends is never matched.
fn frames_of(sent: &[(&Event, ResetOrigin)], resets: &[Reset], role: Role) -> Vec<Option<usize>> {
    let mut frame_of = vec![None; sent.len()];
    let mut is_taken = vec![false; resets.len()];
    let answers: Are = |reset| reset.form.is_some_and(Form::is_answer);
    let kernels: Are = |reset| reset.form.is_some();
    for (only_answers, are_they) in [(true, answers), (false, kernels)] {
        let is_it = |event: &Event| !only_answers || is_answer(event);
        let events = (0..sent.len()).filter(|nth| frame_of[*nth].is_none() && is_it(sent[*nth].0));
        let events: Vec<usize> = events.collect();
        let free = (0..resets.len()).filter(|index| {
            let reset = &resets[*index];
            reset.from == role && are_they(reset) && !is_taken[*index]
        });
        let free: Vec<usize> = free.collect();
        let frame_times: Vec<Timestamp> = free.iter().map(|index| resets[*index].at).collect();
        let event_times: Vec<Timestamp> = events.iter().map(|nth| sent[*nth].0.at).collect();
        for (frame, event) in pair(&frame_times, &event_times) {
            frame_of[events[event]] = Some(free[frame]);
            is_taken[free[frame]] = true;
        }
    }
    frame_of
}

/// Returns true if the event belongs to an answer: only answers are sent without a socket, or by a socket without a
/// peer.
fn is_answer(event: &Event) -> bool {
    event.socket.is_none() || event.destination.port() == 0
}

/// Returns the sender of an RST that the kernel of the stated end did not send. A firewall answers the segment that it
/// rejects, in the form that the kernel would use.
fn sender_outside_kernel(reset: &Reset) -> Sender {
    if reset.form.is_some_and(Form::is_answer) && reset.triggered_by.is_some() {
        Sender::Firewall
    } else {
        Sender::Injected
    }
}

/// Returns the RSTs that this end sent, by the trace.
fn sent_by<'a>(evidence: &Evidence, trace: &'a Trace, role: Role) -> Vec<(&'a Event, ResetOrigin)> {
    let events = trace.events.iter().filter_map(|event| {
        let EventKind::SendReset { state, reason } = &event.kind else {
            return None;
        };
        let is_its = event.source == evidence.address(role)
            && (evidence.are_its_ends(event.source, event.destination)
                || event.destination.port() == 0);
        // In TIME-WAIT no socket is left that a process could own.
        let is_socket = event.socket.is_some() && state.as_deref() != Some("TCP_TIME_WAIT");
        let sender = if is_socket {
            Sender::Socket
        } else {
            Sender::Kernel
        };
        is_its.then(|| {
            let reason = reason.clone();
            (event, ResetOrigin { sender, reason })
        })
    });
    events.collect()
}

/// Pairs the shorter of the two lists with the longer, in order. Each element is paired with the nearest in time that
/// leaves enough for the remaining ones. Returns pairs of indices into `frames` and `events`.
fn pair(frames: &[Timestamp], events: &[Timestamp]) -> Vec<(usize, usize)> {
    let swapped = events.len() < frames.len();
    let (few, many) = if swapped {
        (events, frames)
    } else {
        (frames, events)
    };
    let spare = many.len() - few.len();
    let mut next = 0;
    let pairs = few.iter().enumerate().map(|(place, at)| {
        // Leave one element of `many` for each remaining element of `few`.
        let open = &many[next..=place + spare];
        // If all are earlier, the last one is the nearest: hence the bound, and abs() below.
        let after = open.partition_point(|it| it < at).min(open.len() - 1);
        let nearest = match after.checked_sub(1) {
            Some(before) if at.since(open[before]) < open[after].since(*at).abs() => before,
            _ => after,
        };
        let found = next + nearest;
        next = found + 1;
        if swapped {
            (found, place)
        } else {
            (place, found)
        }
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(frames: &[i64], events: &[i64]) -> Vec<(usize, usize)> {
        let times = |times: &[i64]| times.iter().map(|at| Timestamp(*at)).collect::<Vec<_>>();
        pair(&times(frames), &times(events))
    }

    #[test]
    fn as_many_of_both_are_paired_in_order_however_late_one_is() {
        assert_eq!(pairs(&[10, 20], &[19, 500]), [(0, 0), (1, 1)]);
        assert_eq!(pairs(&[], &[]), []);
    }

    /// An RST forged just before the real one, and one just after it.
    #[test]
    fn of_two_frames_the_one_nearer_to_the_event_is_its() {
        assert_eq!(pairs(&[10, 50], &[49]), [(1, 0)]);
        assert_eq!(pairs(&[50, 90], &[51]), [(0, 0)]);
        assert_eq!(pairs(&[10, 50, 90], &[11, 92]), [(0, 0), (2, 1)]);
        assert_eq!(pairs(&[50], &[10, 49, 90]), [(0, 1)]);
        assert_eq!(pairs(&[], &[10]), []);
        assert_eq!(pairs(&[10], &[]), []);
    }

    /// The first two are nearest to the same event, but each is paired with an event of its own.
    #[test]
    fn none_is_paired_twice_and_times_out_of_order_are_survived() {
        assert_eq!(pairs(&[50, 51], &[10, 50, 90]), [(0, 1), (1, 2)]);
        assert_eq!(pairs(&[90, 91], &[10, 50, 60]), [(0, 1), (1, 2)]);
        assert_eq!(pairs(&[9, 1], &[8, 3, 7]).len(), 2);
    }
}
