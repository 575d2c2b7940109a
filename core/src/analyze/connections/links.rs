//! Events of a connection that another one may have followed from: its client waits in vain, or its server closes instead of answering.
//!
//! They are reported at once. The row of the connection comes when it is over, and the failure of a proxy's client long before that.

use super::super::decode::SegmentRecord;
use super::super::failure::{Attempt, FailureKind, Repeated, Stop};
use super::super::preceded::{Ended, Link};
use super::light::Light;
use super::{ConnectionObserver, Entry, Table};
use crate::packet::Flags;
use crate::time::Timestamp;
use crate::transcript::Role;

/// Number of attempts, the first one included for SYNs, from which on a client waits in vain: a single retransmission happens in
/// every lossy network.
const MIN_ATTEMPTS: u32 = 2;

impl Entry {
    /// Returns the number of retransmissions and probes of the client without acknowledgment of new data.
    #[inline]
    pub(super) fn client_attempts(&self) -> u32 {
        self.flow.unanswered(Role::Client)
    }

    fn ended(&self, failure: FailureKind, at: Timestamp, frame: u32) -> Ended {
        let socket = |role| self.ends.socket(self.end(role));
        Ended {
            connection: self.span.0,
            client: socket(Role::Client),
            server: socket(Role::Server),
            began: self.zeek_summary().began(),
            at,
            frame,
            failure,
            is_of_client: false,
            is_by_server: false,
        }
    }

    /// Returns the link of a client whose attempts have had no reply; `None` if one more may be usual.
    fn waits(&self) -> Option<Link> {
        let Some(Stop::Repeated(repeated)) = self.stop() else {
            return None;
        };
        let Repeated {
            attempt,
            from,
            count,
            frame,
            at,
            last,
            asked,
            ..
        } = repeated;
        let failure = match attempt {
            Attempt::Connect => FailureKind::NoReply,
            // Without its first segment it is not known since when it waits.
            Attempt::Send | Attempt::SendLarge if asked.is_some() => FailureKind::TimedOut,
            _ => return None,
        };
        let is_long = from == Role::Client && count >= MIN_ATTEMPTS;
        is_long.then(|| Link::Waits(self.ended(failure, at, frame), last))
    }

    /// Returns the link of a server that has closed instead of answering, if this frame holds its FIN.
    fn closes(&self, frame: u32) -> Option<Link> {
        let Some(Stop::Closed(unanswered)) = self.stop() else {
            return None;
        };
        let fin = unanswered.fin;
        let ended = self.ended(FailureKind::ClosedBeforeResponse, fin.at, fin.frame);
        (fin.frame == frame).then_some(Link::Ended(Ended {
            is_of_client: true,
            is_by_server: true,
            ..ended
        }))
    }
}

impl<L: ConnectionObserver> Table<L> {
    /// Reports that the client of a connection waits in vain, or that it has its reply. `waited` is the number of its attempts before
    /// this segment; `None` if it is not known, because the connection was dormant.
    // Out of line: few segments are retransmissions.
    #[inline(never)]
    pub(super) fn note_waiting(
        &mut self,
        index: u32,
        waited: Option<u32>,
        segment: &SegmentRecord,
    ) {
        let Some(entry) = self.entries.get(index).filter(|it| !it.has_views()) else {
            return;
        };
        let link = if entry.role(segment.sender) == Role::Client {
            entry.waits()
        } else {
            let is_first = entry.history.of(Role::Server).packets == 1;
            let has_waited = waited.is_none_or(|it| it >= MIN_ATTEMPTS || is_first);
            has_waited.then_some(Link::Answered(entry.span.0))
        };
        if let Some(link) = link {
            self.observer.link(segment.header.frame, link);
        }
    }

    /// Keeps the last messages of a connection in which this segment, if it is a FIN or an RST, took the place of an answer, and reports
    /// that the server has just closed.
    #[inline]
    pub(super) fn note_closed(&mut self, index: u32, segment: &SegmentRecord) {
        if segment.header.flags.0 & (Flags::FIN.0 | Flags::RST.0) != 0 {
            self.note_end(index, segment.header.frame);
        }
    }

    fn note_end(&mut self, index: u32, frame: u32) {
        let is_unanswered = self.light_at(index).is_some_and(Light::is_unanswered);
        let index = if is_unanswered {
            self.expand(index)
        } else {
            index
        };
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if entry.exchange.unanswered().is_none() {
            return;
        }
        entry.note_words(&self.words);
        if !entry.has_views()
            && let Some(link) = entry.closes(frame)
        {
            self.observer.link(frame, link);
        }
    }
}
