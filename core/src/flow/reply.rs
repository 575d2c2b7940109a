//! Form of an RST from any stack, and the segment that it replies to.
//!
//! The form that [`Form::of`] finds is Linux's. Other stacks fill other fields, so there the segments before the RST show
//! what it is.

use super::Form;
use super::endpoint::Endpoint;
use crate::packet::{Flags, Header, SeqNum};

/// Returns the form of an RST from any stack, and the frame that triggered it: the form is what the segment does.
///
/// The acknowledgment number of a segment without ACK means nothing (RFC 9293, 3.1), and the window of an RST neither.
pub(super) fn form_of_any_stack(
    sender: &Endpoint,
    receiver: &Endpoint,
    header: &Header,
) -> (Option<Form>, Option<u32>) {
    if !header.flags.has(Flags::ACK) {
        return form_without_ack(sender, receiver, header);
    }
    if header.seq == SeqNum(0)
        && let Some(frame) = receiver.triggered_by(Form::PassiveAck, header)
    {
        return (Some(Form::PassiveAck), Some(frame));
    }
    (Form::of(header), None)
}

fn form_without_ack(
    sender: &Endpoint,
    receiver: &Endpoint,
    header: &Header,
) -> (Option<Form>, Option<u32>) {
    let linux = Form::of(header);
    // RFC 9293, 3.10.7.1: the SEQ of a reply is the ACK of the segment. Without the look of a Linux reply, only the
    // latest segment counts.
    let trigger = receiver
        .triggered_by(Form::Passive, header)
        .filter(|_| linux.is_some() || receiver.has_just_acknowledged(header.seq));
    let form = if trigger.is_some() {
        Some(Form::Passive)
    } else if linux.is_none() && sender.snd_nxt() == Some(header.seq) {
        Some(Form::Active)
    } else {
        linux
    };
    (form, trigger)
}
