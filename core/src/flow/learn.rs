//! What a segment shows about both ends where the capture may lack earlier ones.
//!
//! Trials are captured whole; any other capture may begin midstream, be filtered, or lack frames. An acknowledgment shows what its
//! sender has received, whether or not it was captured, and numbers that are skipped show that something is missing.

use super::endpoint::{Endpoint, IS_REQUEST};
use super::reset::Form;
use super::state::State;
use crate::packet::{Flags, Header};

/// Acknowledgments this far ahead are ignored: no window is larger (RFC 7323, 2.3).
const MAX_ACK_ADVANCE: u32 = 1 << 30;

/// Infers numbers and states of both ends from a segment, where earlier frames were not captured.
pub(super) fn learn(sender: &mut Endpoint, receiver: &mut Endpoint, header: &Header) {
    let is_syn = header.flags.has(Flags::SYN);
    let has_ack = header.flags.has(Flags::ACK);
    sender.reopen_if_it_goes_on(header);
    if is_syn && has_ack && receiver.iss().is_none() {
        // A SYN-ACK acknowledges ISS + 1 of the client, whose SYN is missing.
        receiver.pick_up(header.ack.plus(u32::MAX), header.ack);
        receiver.state = State::SynSent;
        return;
    }
    if is_syn {
        return;
    }
    sender.note_jump(header);
    if sender.is_request() && (header.payload_len > 0 || header.flags.has(Flags::FIN)) {
        // Only a socket sends them, and it has one once the handshake is complete.
        sender.state = State::Established;
        sender.set(IS_REQUEST, false);
    }
    let is_reply_to_syn = receiver.state == State::SynSent
        && sender.iss().is_none()
        && receiver.iss().is_some_and(|iss| header.ack != iss.plus(1));
    if is_reply_to_syn && has_ack && matches!(sender.state, State::Closed | State::Listen) {
        // RFC 9293, 3.5.1, figure 9: an end that still has an older connection replies to a SYN in this way.
        sender.take_up_older(header);
        return;
    }
    if sender.state == State::SynSent && has_ack {
        // Only an end that has received a SYN sends a segment with ACK, and after SYN-SENT it is synchronized.
        sender.state = State::Established;
    }
    if has_ack && receiver.state == State::Listen && sender.rcv_nxt().is_none() && sender.has_sent()
    {
        // Its SYN-ACK was not captured: an end acknowledges nothing before it.
        receiver.state = State::Established;
    }
    if sender.iss().is_none() {
        // The initial number is unknown here; the number before the first one captured takes its place.
        sender.pick_up(header.seq.plus(u32::MAX), header.seq);
        sender.note_lacking(false);
        if matches!(sender.state, State::Closed | State::Listen) {
            sender.state = State::Established;
        }
    }
    if receiver.rcv_nxt().is_none() {
        receiver.set_rcv_nxt(Some(header.seq));
        receiver.set_irs(Some(header.seq.plus(u32::MAX)));
        if matches!(receiver.state, State::Closed | State::Listen) {
            receiver.state = State::Established;
        }
    }
    if !has_ack {
        return;
    }
    if receiver.iss().is_none() {
        receiver.pick_up(header.ack.plus(u32::MAX), header.ack);
        receiver.note_lacking(false);
    }
    // An end never acknowledges data before it has received them, so an acknowledgment ahead of RCV.NXT shows that
    // frames are missing. One that is very far ahead is not credible.
    let ahead = sender
        .rcv_nxt()
        .map(|rcv_nxt| header.ack.relative_to(rcv_nxt));
    if ahead.is_none_or(|ahead| ahead > 0 && ahead < MAX_ACK_ADVANCE) {
        let is_reply_to_probe = ahead == Some(1) && receiver.may_have_sent_probe();
        if ahead == Some(1)
            && !is_reply_to_probe
            && receiver.snd_nxt() == sender.rcv_nxt()
            && receiver.can_send_fin()
        {
            receiver.infer_fin();
        }
        if ahead.is_some() && !is_reply_to_probe {
            sender.note_unseen();
        }
        sender.learn_received(header.ack);
        // Only an end whose SYN-ACK was acknowledged takes data (RFC 9293, 3.10.7.4, fifth).
        if ahead.is_some() && sender.state == State::SynReceived {
            sender.state = State::Established;
            sender.set(IS_REQUEST, false);
        }
        if ahead.is_some() && receiver.after_fin() == Some(header.ack) {
            // It has received the FIN, and all before it that the capture lacks.
            sender.receive_fin();
        }
        if receiver
            .snd_nxt()
            .is_none_or(|snd_nxt| header.ack.is_after(snd_nxt))
        {
            receiver.set_snd_nxt(Some(header.ack));
            receiver.note_lacking(ahead.is_some());
        }
    }
}

/// Returns true if the receiver of an RST may have sent a FIN that the capture lacks: the other end has acknowledged more than
/// was captured, at the latest in the RST.
pub(super) fn may_have_closed(receiver: &Endpoint, reset: &Header, form: Option<Form>) -> bool {
    let acknowledges_unseen = form == Some(Form::Active)
        && reset.flags.has(Flags::ACK)
        && receiver.snd_nxt().is_some_and(|next| {
            let ahead = reset.ack.relative_to(next);
            ahead > 0 && ahead < MAX_ACK_ADVANCE
        });
    receiver.lacks_acknowledged() || acknowledges_unseen
}
