//! Evidence from the IP header of an RST, compared with its sender's other packets.

use super::hosts::{SMALL_ADVANCE, Scope};
use super::sender_profile::{DSCP, IpIds};
use super::{Case, Indicator, TtlScope, Ttls, Weight};
use crate::analyze::stack::Stack;

/// Number of packets with the same value that establish a habit.
const MANY: u8 = 3;

impl Case<'_> {
    /// Compares the TTL or hop limit.
    ///
    /// Each router decrements it, so a packet from another host arrives with another value unless the injector adjusts
    /// it. This was the first sign that exposed injected RSTs (Clayton et al.). A socket may have set its own value
    /// (`IP_TTL`), which replies that are sent without the socket do not use.
    pub(super) fn hops(&self) -> Option<Indicator> {
        /// Smallest difference that no change of the route explains.
        const MIN_DISTANCE: u8 = 3;
        let ttl = self.reset.ttl;
        let name = if self.reset.flow_label.is_some() {
            "hop limit"
        } else {
            "TTL"
        };
        let (near, far) = match self.context.ttls {
            TtlScope::Sender => (self.sender.ttls(), None),
            TtlScope::Point(ttls) => (ttls, None),
            TtlScope::Either([leaving, arriving]) => (leaving, Some(arriving)),
            TtlScope::Unknown => return None,
        };
        // 0 does not travel: the capture was anonymized.
        if near.packets() == 0 || ttl == 0 && near.least() == 0 {
            return None;
        }
        let is_steady = near.is_steady() && far.is_none_or(Ttls::is_steady);
        if is_steady && near.covers(ttl) {
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
        let by = far.map_or(u8::MAX, |far| far.distance(ttl));
        let by = near.distance(ttl).min(by);
        if by == 0 {
            return None;
        }
        // If the sender's own values differ, one more value proves little.
        let weight = if !is_steady {
            Weight::Weak
        } else if near.packets() >= MANY && by >= MIN_DISTANCE && !self.is_answer() {
            Weight::Strong
        } else {
            Weight::Moderate
        };
        let others = far.map_or_else(
            || near.to_string(),
            |far| format!("{near} where they leave, {far} where they arrive"),
        );
        let message =
            format!("{name} {ttl}, {by} different from the sender's other packets ({others})");
        Some(Indicator::against("ttl-differs", weight, message))
    }

    /// Compares the TTL with those of two senders that share the address: a device that made the handshake, such as a
    /// load balancer, and the host that sends the data through it.
    pub(super) fn two_senders(&self) -> Option<Indicator> {
        let is_at_one_point = self.context.ttls == TtlScope::Sender;
        let (front, host) = self.sender.two_senders().filter(|_| is_at_one_point)?;
        (self.reset.ttl == front.ttl).then(|| {
            let message = format!(
                "two senders use this address: data came with TTL {} and window {}, the handshake with TTL {} and window {}, \
                 as this RST (TTL {}, window {}): a device in front of the host sent it, such as a load balancer",
                host.ttl, host.window, front.ttl, front.window, self.reset.ttl, self.header.window
            );
            Indicator::against("two-senders", Weight::Moderate, message)
        })
    }

    /// Compares the IP ID.
    ///
    /// Where the host is known to use one counter for all its packets, its latest packet counts, whatever connection
    /// it belongs to. A Linux socket counts its own packets (`ip_select_ident_segs()`), including an abort. Packets
    /// that are sent without a socket have the IP ID 0, or before Linux 4.19 a number from another counter.
    pub(super) fn ip_id(&self) -> Option<Indicator> {
        let id = self.reset.ip_id?;
        if let Some(found) = self.host_continues(id) {
            return Some(found);
        }
        // Two senders have two counters.
        if self.sender.two_senders().is_some() {
            return None;
        }
        if let Some(found) = self.is_copied(id) {
            return Some(found);
        }
        match self.sender.ip_ids() {
            IpIds::Unknown => self.leaves_host_counter(id),
            IpIds::Zero if id == 0 => Some(Indicator::supports(
                "ip-id-zero",
                Weight::Weak,
                "IP ID 0, same as the sender's other packets".into(),
            )),
            IpIds::Zero => Some(Indicator::against(
                "ip-id-set",
                // A single packet may have been sent before the socket counted.
                match self.sender.ttls().packets() {
                    MANY.. => self.lighter_for_an_answer(),
                    _ => Weight::Weak,
                },
                format!("IP ID {id}, but the sender's other packets have 0"),
            )),
            IpIds::One { last } => {
                continues(id, last, 1, Weight::Moderate).or_else(|| self.leaves_host_counter(id))
            }
            IpIds::Counter { last, step } => {
                continues(id, last, step, Weight::Strong).or_else(|| {
                    match self.context.host.scope() {
                        Scope::Host => self.leaves_host_counter(id),
                        scope => self.leaves_counter(id, last, step, scope),
                    }
                })
            }
        }
    }

    /// Compares the IP ID with the host's latest packet, of any connection.
    fn host_continues(&self, id: u16) -> Option<Indicator> {
        /// Largest advance if it is unknown whether the host has one counter.
        const NEAR: u16 = 16;
        let host = self.context.host;
        let (last, age) = host.last()?;
        let (most, weight) = match host.scope() {
            Scope::Host => (SMALL_ADVANCE, Weight::Strong),
            Scope::Unknown => (NEAR, Weight::Moderate),
            Scope::Connection => return None,
        };
        (id != 0 && (1..=most).contains(&host.advance(id))).then(|| {
            let message = format!(
                "IP ID {id} follows that of the latest packet of this host, {last}, {age} ms before"
            );
            Indicator::supports("ip-id-continues", weight, message)
        })
    }

    /// Compares the IP ID with the counter of a host that has one for all its packets.
    fn leaves_host_counter(&self, id: u16) -> Option<Indicator> {
        let host = self.context.host;
        let (last, age) = host.last().filter(|_| host.scope() == Scope::Host)?;
        let advance = host.advance(id);
        let is_possible = advance < possible_advance(age, SMALL_ADVANCE) || is_reordered(advance);
        (id != 0 && !is_possible).then(|| {
            let message = format!(
                "IP ID {id}, but the counter of this host was at {last} {age} ms before, over all its connections"
            );
            Indicator::against("ip-id-jumps", self.lighter_for_an_answer(), message)
        })
    }

    fn leaves_counter(&self, id: u16, last: u16, step: u16, scope: Scope) -> Option<Indicator> {
        if id == 0 {
            // Replies of Linux have 0.
            return (!self.is_answer()).then(|| {
                let message = format!("IP ID 0, but the sender's counter was at {last}");
                Indicator::against("ip-id-zero", Weight::Moderate, message)
            });
        }
        let advance = id.wrapping_sub(last);
        // The counter of this connection does not move while the connection is silent; any other one may.
        let idle_ms = match scope {
            Scope::Connection => 0,
            _ => self.context.idle_ns? / 1_000_000,
        };
        if advance != 0 && advance < possible_advance(idle_ms, step) || is_reordered(advance) {
            return None;
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

    /// Compares DF. Linux sets DF in all TCP packets, including replies; other stacks may not.
    pub(super) fn fragmentation(&self) -> Option<Indicator> {
        let (this, usual) = (self.reset.dont_fragment?, self.sender.dont_fragment()?);
        let names = |set: bool| if set { "set" } else { "not set" };
        (this != usual).then(|| {
            let message = format!(
                "DF is {}, but in the sender's other packets it is {}",
                names(this),
                names(usual)
            );
            let weight = if self.context.stack == Some(Stack::Linux) {
                self.lighter_for_an_answer()
            } else {
                Weight::Weak
            };
            Indicator::against("df-differs", weight, message)
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
    /// triggered them (`tcp_v6_send_reset()`), but a label they have (`ip6_make_flowlabel()`, `net.ipv6.auto_flowlabels`).
    /// A packet filter writes none (`nf_reject_ip6hdr_put()`), nor does a program that does not care.
    pub(super) fn flow_label(&self) -> Option<Indicator> {
        let (label, usual) = (self.reset.flow_label?, self.sender.flow_label()?);
        if label == usual {
            // 0 means that there is no label.
            (label != 0).then(|| {
                let message =
                    format!("flow label {label:#07x}, same as the sender's other packets");
                Indicator::supports("flow-label-same", Weight::Moderate, message)
            })
        } else if label == 0 && self.context.stack == Some(Stack::Linux) {
            let message = format!(
                "flow label 0, but the sender's other packets have {usual:#07x}, and Linux labels RSTs as well"
            );
            Some(Indicator::against(
                "flow-label-zero",
                Weight::Moderate,
                message,
            ))
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

/// Returns the advance of a counter that packets to other hosts may explain, given the time since its latest packet:
/// up to 16,000 packets a second.
fn possible_advance(elapsed_ms: i64, step: u16) -> u16 {
    const PER_MS: i64 = 16;
    const ALWAYS: i64 = 1024;
    let most = elapsed_ms.max(0).saturating_mul(PER_MS) + ALWAYS + 8 * i64::from(step);
    u16::try_from(most).unwrap_or(u16::MAX)
}

/// Returns true if a packet with this advance may have been overtaken.
fn is_reordered(advance: u16) -> bool {
    advance > u16::MAX - SMALL_ADVANCE
}
