//! IP ID of an RST that is copied from a segment of its receiver.
//!
//! A device that turns the segment it saw into an RST exchanges the addresses and may leave the IP ID as it is: the eBPF
//! data plane of Calico does (`tcp_v4_rst()` in felix/bpf-gpl/tcp4.h). An end takes the ID of its RST from a counter of
//! its own, at random, or sends 0 (RFC 7739, 5). A simple stack may reuse the segment as well, so the match is no strong
//! indicator.
//!
//! Nothing is kept for this beyond the latest IP ID of each end: the earlier ones of a counter lie just below it.

use super::hosts::{SMALL_ADVANCE, Scope};
use super::sender_profile::{IpIds, SenderProfile};
use super::{Case, Indicator, Weight, sort};

/// Id of the indicator.
const ID: &str = "ip-id-copied";

/// IP IDs of the end that an RST is sent to.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::analyze) struct ReceiverIds {
    /// Latest IP ID other than 0.
    last: Option<u16>,
    /// True if the end counts its packets, so that the IP IDs just below are those of its packets before.
    is_counter: bool,
}

impl ReceiverIds {
    /// Returns the IP IDs of the end with this profile.
    pub(in crate::analyze) fn of(receiver: &SenderProfile) -> Self {
        let step = match receiver.ip_ids() {
            IpIds::Counter { step, .. } => Some(step),
            _ => None,
        };
        Self {
            last: receiver.latest_ip_id(),
            is_counter: step.is_some_and(|step| step <= SMALL_ADVANCE),
        }
    }

    /// Creates the IP IDs of an end.
    #[cfg(test)]
    pub(super) fn new(last: u16, is_counter: bool) -> Self {
        let last = Some(last);
        Self { last, is_counter }
    }
}

impl Case<'_> {
    /// Compares the IP ID with those of the receiver.
    ///
    /// Chance gives an RST the latest IP ID of its receiver once in 65,536 times, and one of the 64 before it once in
    /// 1,024 times.
    pub(super) fn is_copied(&self, id: u16) -> Option<Indicator> {
        let last = self.context.receiver_ids.last.filter(|last| *last != 0)?;
        let behind = last.wrapping_sub(id);
        let is_before = self.context.receiver_ids.is_counter && behind <= SMALL_ADVANCE;
        if id == 0 || behind != 0 && !is_before {
            return None;
        }
        let own = self.own_latest(id)?;
        let whose = if behind == 0 {
            "that of the latest segment from the receiver".into()
        } else {
            format!("among the latest from the receiver, {behind} before {last}")
        };
        // Where the sender has a counter, an RST of its socket that leaves it is an indicator in itself.
        let leaves = !self.is_answer() && self.counts_packets();
        let weight = if behind == 0 || leaves {
            Weight::Moderate
        } else {
            Weight::Weak
        };
        let message = format!(
            "IP ID {id} is {whose}, and the sender's latest is {own}: a device that makes its RST from the segment it saw keeps the ID"
        );
        Some(Indicator::against(ID, weight, message))
    }

    /// Returns the sender's latest IP ID if that is known and not near this one.
    fn own_latest(&self, id: u16) -> Option<u16> {
        /// Distance from which two IP IDs are not from one counter. Counters of both ends may run side by side.
        const FAR: u16 = 4096;
        // 0 is from no counter.
        let is_far = |own: u16| own == 0 || (FAR..=u16::MAX - FAR).contains(&id.wrapping_sub(own));
        let host = self.context.host.last().map(|(last, _)| last);
        let own = self.sender.latest_ip_id()?;
        (is_far(own) && host.is_none_or(is_far)).then_some(own)
    }

    /// Returns true if the IP IDs of the sender are known to come from a counter, or to be 0.
    fn counts_packets(&self) -> bool {
        let is_regular = matches!(self.sender.ip_ids(), IpIds::Counter { .. } | IpIds::Zero);
        is_regular || self.context.host.scope() == Scope::Host
    }
}

/// Raises the weight of the indicators of two RSTs from the same address whose different IP IDs are both copied: it is no
/// coincidence.
pub(in crate::analyze) fn copied_twice(one: &mut [Indicator], two: &mut [Indicator]) {
    let is_copied = |all: &[Indicator]| all.iter().any(|it| it.id == ID);
    if !is_copied(one) || !is_copied(two) {
        return;
    }
    for all in [one, two] {
        for it in all.iter_mut().filter(|it| it.id == ID) {
            it.weight = it.weight.max(Weight::Moderate);
        }
        sort(all);
    }
}
