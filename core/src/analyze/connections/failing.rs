//! Failure of a connection: the first event that ended it, or the state in which it stopped.

use super::super::exchange::Exchange;
use super::super::failure::{Attempt, Failure, FailureKind, Reconnect, Repeated, Stop};
use super::super::history::ConnectionHistory;
use super::super::icmp::{Effect, IcmpRecord};
use super::super::idle_timeouts::{self, IdleTimeouts};
use super::super::last_words::Protocol;
use super::super::related;
use super::{Entry, ResetRecord};
use crate::flow::{Flow, State};
use crate::time::Timestamp;
use crate::transcript::{Errno, PerEnd, Role};

/// What the RSTs and ICMP errors of a connection have brought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// First failure, with the errors that later events brought to the other end.
    failure: Option<Failure>,
    /// Latest error that ICMP has recorded for each end (`sk_err_soft`).
    soft: PerEnd<Option<Errno>>,
    /// True for each end that an ICMP error was sent to whose effect is not known.
    may_have_error: PerEnd<bool>,
    /// True if the failure was reported while the connection was not over.
    pub(super) was_reported: bool,
}

impl Outcome {
    /// Returns true if no failure is known, and none was reported.
    pub(super) fn is_open(&self) -> bool {
        self.failure.is_none() && !self.was_reported
    }

    fn add(&mut self, later: Failure) {
        match &mut self.failure {
            Some(failure) => failure.add(&later),
            None => self.failure = Some(later),
        }
    }

    /// Takes in ICMP errors that are reported.
    pub(super) fn take_errors(&mut self, errors: &[IcmpRecord]) {
        for record in errors {
            self.may_have_error[record.to] |= record.effect == Effect::Unknown;
            if record.effect == Effect::Recorded {
                self.soft[record.to] = record.errno.or(self.soft[record.to]);
            }
            if let Some(failure) = Failure::of_icmp(record) {
                self.add(failure);
            }
        }
    }

    /// Takes in an RST that is reported. The flow is that of the capture point at which the RST was judged.
    pub(super) fn take_reset(
        &mut self,
        record: &mut ResetRecord,
        (exchange, flow): (&Exchange, &Flow),
        protocol: Option<Protocol>,
    ) {
        record.related = related::of_reset(record);
        let (reset, explanation) = (&record.reset, &record.explanation);
        // It belongs to another connection between the same ends, or may have had no effect.
        if record.earlier.is_some() || record.is_unjudged {
            return;
        }
        // Its receiver waits for an answer, or does not get all of one.
        let is_outstanding = flow.snd_nxt(reset.from) != flow.snd_una(reset.from);
        let receiver = reset.from.peer();
        let cuts_off =
            exchange.has_last_word(receiver) || is_outstanding || flow.has_closed_window(receiver);
        // Without its point it is not known what came before it.
        let silence = record.view.map(|_| record.silence);
        let Some(mut failure) = Failure::of_reset(reset, explanation, silence, cuts_off) else {
            return;
        };
        failure.related = record.related;
        failure.closed_after = match failure.kind {
            FailureKind::Aborted if !exchange.has_closed() => {
                exchange.quiet(reset.from, Some(reset.at))
            }
            // The server had closed before.
            FailureKind::Aborted | FailureKind::DataAfterClose => exchange.quiet(reset.from, None),
            _ => None,
        };
        failure.name_timeouts(protocol);
        if failure.idle_timeouts == IdleTimeouts::default() && reset.triggered_by.is_none() {
            failure.idle_timeouts = idle_timeouts::of_reset(record.quiet);
        }
        record.failure = Some(failure.kind);
        record.closed_after = failure.closed_after;
        record.idle_timeouts = failure.idle_timeouts;
        self.add(failure);
    }

    /// Returns the latest error that ICMP has recorded for an end.
    pub(super) fn soft(&self, role: Role) -> Option<Errno> {
        self.soft[role]
    }

    /// Returns the failure of a connection that has stopped like this, if nothing followed until `ended`.
    pub(super) fn failure(&self, stop: Option<&Stop>, ended: Timestamp) -> Option<Failure> {
        // An ICMP error with an unknown effect may have ended the attempts before.
        let stop = stop.filter(|stop| !stop.from().is_some_and(|from| self.may_have_error[from]));
        let stopped = || stop.and_then(|stop| stop.failure(ended));
        self.failure.clone().or_else(stopped)
    }
}

/// Returns the state of a client whose SYN got no reply: its first frame, the number of its SYNs, and the times of the first and
/// the last one.
pub(super) fn without_reply(
    attempt: Attempt,
    frame: u32,
    count: u8,
    (since, last): (Timestamp, Timestamp),
    soft: Option<Errno>,
) -> Stop {
    Stop::Repeated(Repeated {
        attempt,
        from: Role::Client,
        count: count.into(),
        frame,
        at: since,
        heard: 0,
        since,
        last,
        asked: None,
        soft,
        has_closed: false,
    })
}

impl Entry {
    /// Returns the state in which the connection has stopped; `None` if that state may be one of a connection that goes on or was
    /// closed in order.
    pub(super) fn stop(&self) -> Option<Stop> {
        let [client, server] = [Role::Client, Role::Server].map(|it| self.has_sent[self.end(it)]);
        // A socket connected to itself has no other end.
        if self.ends.is_self_connection() || !client {
            return None;
        }
        let soft = |role| self.rare.as_ref()?.outcome.soft(role);
        if let Some((earlier, history)) = self.reconnecting() {
            let resets = self.rare.as_ref().map(|rare| &rare.frames);
            let attempt = Attempt::Reconnect(Reconnect {
                earlier,
                reset: resets.and_then(|it| it.last().copied()),
                has_replied: server,
            });
            let times = (self.zeek_summary().began(), self.last);
            let count = history.of(Role::Client).packets;
            let soft = soft(Role::Client);
            return Some(without_reply(attempt, self.span.0, count, times, soft));
        }
        // The flow is that of an earlier connection.
        if self.renewed().is_some() {
            return None;
        }
        if !server {
            let is_connecting = !self.gaps.begins_midstream
                && self.flow.state(Role::Client) == State::SynSent
                && !self.history.holds_plain_segments();
            let times = (self.zeek_summary().began(), self.last);
            let count = self.history.of(Role::Client).packets;
            return is_connecting.then(|| {
                without_reply(
                    Attempt::Connect,
                    self.span.0,
                    count,
                    times,
                    soft(Role::Client),
                )
            });
        }
        if let Some(unanswered) = self.exchange.unanswered() {
            return Some(Stop::Closed(unanswered));
        }
        let waiting = [Role::Client, Role::Server].map(|role| {
            let attempt = attempt(role, &self.flow, &self.history, &self.exchange);
            attempt.map(|it| (it, role))
        });
        // If the path is broken in both directions, both ends try: the one that has tried more often is named.
        let ((attempt, count), from) =
            (waiting.into_iter().flatten()).max_by_key(|((_, count), _)| *count)?;
        let latest = self.history.of(from).latest()?;
        let heard = self.history.of(from.peer()).latest();
        let waits = matches!(attempt, Attempt::Send | Attempt::SendLarge);
        let asked = self.exchange.asked(from).filter(|_| waits);
        Some(Stop::Repeated(Repeated {
            attempt,
            from,
            count,
            frame: asked.map_or(latest.frame, |it| it.frame),
            at: asked.map_or(latest.at, |it| it.at),
            heard: heard.map_or(0, |it| it.frame),
            since: asked.map_or(heard.map_or(latest.at, |it| it.at), |it| it.at),
            asked,
            last: self.last,
            soft: soft(from),
            has_closed: self.history.of(from).fin(),
        }))
    }

    /// Returns the number of an earlier connection that the server has, or had until an RST of the client, if the client's SYN is not
    /// accepted yet, with the packets since the SYN.
    pub(super) fn reconnecting(&self) -> Option<(u32, &ConnectionHistory)> {
        if let Some(it) = self.renewed() {
            return (it.from == Role::Client).then_some((it.earlier, &it.history));
        }
        let is_connecting = self.flow.state(Role::Client) == State::SynSent;
        let had_earlier = self.depends_from != self.span.0;
        (is_connecting && had_earlier).then_some((self.depends_from, &self.history))
    }

    /// Returns the state in which the connection has stopped, now or before it was dormant.
    pub(super) fn latest_stop(&self) -> Option<Stop> {
        // Late copies and probes wake a connection that had stopped before.
        self.stop().or_else(|| self.rare.as_ref()?.stop)
    }

    /// Returns true if no failure was reported, and none waits to be.
    pub(super) fn may_fail_unreported(&self) -> bool {
        let outcome = self.rare.as_ref().map(|rare| &rare.outcome);
        outcome.is_none_or(Outcome::is_open) && self.buffered() == 0
    }

    /// Returns the failure of the connection, given the time at which the capture ends or another connection begins.
    pub(super) fn failure(&self, ended: Timestamp) -> Option<Failure> {
        let (stop, ended) = if self.has_views() {
            // Each capture has a clock of its own, and when it ended is not known.
            let found = self.stop_of_views();
            found.map_or((None, ended), |(stop, last)| (Some(stop), last))
        } else {
            (self.latest_stop(), ended)
        };
        match &self.rare {
            Some(rare) => rare.outcome.failure(stop.as_ref(), ended),
            None => stop?.failure(ended),
        }
    }
}

/// Returns what an end tries in vain, and how often; `None` if all that it has sent was acknowledged or may still be.
fn attempt(
    from: Role,
    flow: &Flow,
    history: &ConnectionHistory,
    exchange: &Exchange,
) -> Option<(Attempt, u32)> {
    let end = history.of(from);
    let (una, next) = (flow.snd_una(from)?, flow.snd_nxt(from)?);
    let is_outstanding = next.is_after(una);
    if flow.state(from) == State::SynReceived && is_outstanding {
        let repeats = history.of(from.peer()).packets > 1;
        let is_silent = !history.holds_plain_segments();
        return is_silent.then(|| (Attempt::Accept(repeats), u32::from(end.packets)));
    }
    let repeated = flow.unanswered(from);
    if flow.has_closed_window(from.peer()) {
        // The other end still answers, or it does not: then nothing is known of its window any more.
        let is_answered = end.probes < 2;
        let attempt = if is_answered {
            Attempt::ProbeWindow
        } else {
            Attempt::Probe
        };
        return Some((attempt, repeated.max(end.probes.into())));
    }
    if !is_outstanding {
        return (end.probes > 1).then(|| (Attempt::Probe, end.probes.into()));
    }
    let had_small = flow.relative(from, una).is_some_and(|una| una > 1);
    let attempt = if had_small && exchange.lacks_large(from, una) {
        Attempt::SendLarge
    } else {
        Attempt::Send
    };
    (repeated > 0).then_some((attempt, repeated))
}
