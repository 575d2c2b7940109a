//! Evidence from the IP header of an RST, compared with its sender's other packets.

use super::sender_profile::{DSCP, IpIds};
use super::{Case, Indicator, Weight};

impl Case<'_> {
    /// Compares the TTL or hop limit.
    ///
    /// Each router decrements it, so a packet from another host arrives with another value unless the injector adjusts
    /// it. This was the first sign that exposed injected RSTs (Clayton et al.). A socket may have set its own value
    /// (`IP_TTL`), which replies that are sent without the socket do not use.
    pub(super) fn hops(&self) -> Option<Indicator> {
        /// Number of packets with the same value that establish a habit.
        const MANY: u8 = 3;
        let ttl = self.reset.ttl;
        let name = if self.reset.flow_label.is_some() {
            "hop limit"
        } else {
            "TTL"
        };
        let (packets, fewest, most) = self.sender.ttl()?;
        if fewest == most && ttl == most {
            // Initial values of stacks: no router lies in between, and any host as near has the same value.
            let is_whole = matches!(ttl, 32 | 64 | 128 | 255);
            let (weight, but) = if is_whole {
                (Weight::Weak, ", as any host on this link would have")
            } else {
                (Weight::Moderate, "")
            };
            let message = format!("{name} {ttl}, same as the sender's other packets{but}");
            return Some(Indicator::supports("ttl-same", weight, message));
        }
        if (fewest..=most).contains(&ttl) {
            return None;
        }
        let others = if fewest == most {
            most.to_string()
        } else {
            format!("{fewest} to {most}")
        };
        // Only one of the two differences is not 0.
        let by = fewest.saturating_sub(ttl).max(ttl.saturating_sub(most));
        // If the sender's own values differ, one more value proves little.
        let weight = if fewest != most {
            Weight::Weak
        } else if packets >= MANY && !self.is_answer() {
            Weight::Strong
        } else {
            Weight::Moderate
        };
        let message =
            format!("{name} {ttl}, {by} different from the sender's other packets ({others})");
        Some(Indicator::against("ttl-differs", weight, message))
    }

    /// Compares the IP ID.
    ///
    /// A Linux socket counts its packets (`ip_select_ident_segs()`), including an abort. Packets that are sent without
    /// a socket have the IP ID 0, or before Linux 4.19 a number from another counter.
    pub(super) fn ip_id(&self) -> Option<Indicator> {
        let id = self.reset.ip_id?;
        match self.sender.ip_ids() {
            IpIds::Unknown => None,
            IpIds::Zero if id == 0 => Some(Indicator::supports(
                "ip-id-zero",
                Weight::Weak,
                "IP ID 0, same as the sender's other packets".into(),
            )),
            IpIds::Zero => Some(Indicator::against(
                "ip-id-set",
                self.lighter_for_an_answer(),
                format!("IP ID {id}, but the sender's other packets have 0"),
            )),
            IpIds::One { last } => continues(id, last, 1, Weight::Moderate),
            IpIds::Counter { last, step } => {
                continues(id, last, step, Weight::Strong).or_else(|| self.leaves_counter(id, last))
            }
        }
    }

    fn leaves_counter(&self, id: u16, last: u16) -> Option<Indicator> {
        if id == 0 {
            // Replies of Linux have 0.
            return (!self.is_answer()).then(|| {
                let message = format!("IP ID 0, but the sender's counter was at {last}");
                Indicator::against("ip-id-zero", Weight::Moderate, message)
            });
        }
        let message = format!("IP ID {id}, but the sender's counter was at {last}");
        let weight = self.lighter_for_an_answer();
        Some(Indicator::against("ip-id-jumps", weight, message))
    }

    fn lighter_for_an_answer(&self) -> Weight {
        if self.is_answer() {
            Weight::Weak
        } else {
            Weight::Moderate
        }
    }

    /// Compares DF. Linux sets DF in all TCP packets, including replies.
    pub(super) fn fragmentation(&self) -> Option<Indicator> {
        let (this, usual) = (self.reset.dont_fragment?, self.sender.dont_fragment()?);
        let names = |set: bool| if set { "set" } else { "not set" };
        (this != usual).then(|| {
            let message = format!(
                "DF is {}, but in the sender's other packets it is {}",
                names(this),
                names(usual)
            );
            Indicator::against("df-differs", self.lighter_for_an_answer(), message)
        })
    }

    /// Compares the DSCP. A reply takes its DSCP from the segment that triggered it (`tcp_v4_send_reset()`), so it is
    /// no evidence.
    pub(super) fn traffic_class(&self) -> Option<Indicator> {
        let usual = self.sender.dscp()?;
        let dscp = (self.reset.traffic_class & DSCP) >> 2;
        if self.is_answer() {
            None
        } else if dscp != usual {
            let message = format!("DSCP {dscp}, but the sender's other packets have {usual}");
            Some(Indicator::against("dscp-differs", Weight::Weak, message))
        } else {
            // 0 is the default, and so is no evidence.
            (usual != 0).then(|| {
                let message = format!("DSCP {dscp}, same as the sender's other packets");
                Indicator::supports("dscp-same", Weight::Weak, message)
            })
        }
    }

    /// Compares the flow label.
    ///
    /// A Linux socket chooses these twenty bits at random (RFC 6437, 3) and keeps them until it suspects the path
    /// (`sk_rethink_txhash()`). Packets that are sent without a socket have others, or those of the segment that
    /// triggered them (`tcp_v6_send_reset()`).
    pub(super) fn flow_label(&self) -> Option<Indicator> {
        let (label, usual) = (self.reset.flow_label?, self.sender.flow_label()?);
        if label == usual {
            // 0 means that there is no label.
            (label != 0).then(|| {
                let message =
                    format!("flow label {label:#07x}, same as the sender's other packets");
                Indicator::supports("flow-label-same", Weight::Moderate, message)
            })
        } else {
            (!self.is_answer()).then(|| {
                let message = format!(
                    "flow label {label:#07x}, but the sender's other packets have {usual:#07x}"
                );
                Indicator::against("flow-label-differs", Weight::Weak, message)
            })
        }
    }
}

fn continues(id: u16, last: u16, step: u16, weight: Weight) -> Option<Indicator> {
    /// Minimum of the largest step: the capture may have missed packets, and earlier steps may have been smaller.
    const SLACK: u16 = 16;
    let further = id.wrapping_sub(last);
    (id != 0 && (1..=step.max(SLACK)).contains(&further)).then(|| {
        let message = format!("IP ID {id} follows its previous packet's {last}");
        Indicator::supports("ip-id-continues", weight, message)
    })
}
