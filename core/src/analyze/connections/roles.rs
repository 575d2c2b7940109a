//! Roles of the ends where the first packet shows them, and gaps that a later packet shows.

use super::Entry;
use crate::flow::{Form, Observed};
use crate::packet::{Flags, Header, SeqNum};
use crate::transcript::Role;

/// First of the ports that Linux takes for clients by default (`ip_local_port_range`). IANA's begin later.
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

/// Returns whether the sender of the first packet of a connection is its client, given the ports from which and to which
/// it goes. `None` if neither the packet nor the ports show it.
pub(super) fn sends_as_client(first: &Header, [source, destination]: [u16; 2]) -> Option<bool> {
    if first.flags.has(Flags::SYN) {
        // A SYN-ACK is the server's.
        return (first.flags.has(Flags::ACK)).then_some(false);
    }
    let is_reset = first.flags.has(Flags::RST);
    // Such an RST replies to a segment without ACK, which is a SYN nearly always.
    if is_reset && Form::of(first) == Some(Form::PassiveAck) {
        return Some(false);
    }
    let is_ephemeral = |port: u16| port >= FIRST_EPHEMERAL_PORT;
    match (is_ephemeral(source), is_ephemeral(destination)) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        // Of an RST that comes first both ends are as likely to be its sender.
        _ if is_reset && source != destination => Some(source > destination),
        _ => None,
    }
}

impl Entry {
    /// Returns true if the header acknowledges data of this end that was not captured.
    pub(super) fn has_not_captured(&self, of: Role, header: &Header) -> bool {
        let next = self.flow.snd_nxt(of);
        header.flags.has(Flags::ACK) && next.is_some_and(|next| header.ack.is_after(next))
    }

    /// Notes what a segment shows that the capture lacks: data that it acknowledges, or data before its own. `next` is the
    /// number that was expected.
    pub(super) fn note_gap(&mut self, observed: &Observed, header: &Header, next: Option<SeqNum>) {
        /// Numbers further ahead are not of this connection: no window is larger (RFC 7323, 2.3).
        const MAX_JUMP: u32 = 1 << 30;
        let is_midstream = self.gaps.begins_midstream;
        if observed.acknowledges_unseen {
            if !is_midstream {
                self.gaps.lost.get_or_insert(header.frame);
            }
            // The first segment of an end acknowledges what came before the capture.
            if !is_midstream || self.history.of(observed.from).packets > 0 {
                self.gaps.count_unseen();
            }
        }
        let ahead = next
            .filter(|_| !header.flags.has(Flags::SYN))
            .map(|next| header.seq.relative_to(next));
        if ahead.is_some_and(|ahead| (1..MAX_JUMP).contains(&ahead)) {
            self.gaps.count_unseen();
        }
    }
}
