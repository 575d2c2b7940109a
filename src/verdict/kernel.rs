//! Rule 6: what the kernel says must be what the wire shows.
//!
//! Counters belong to the namespace, so they speak of all that happened in it during the trial: of connections that only
//! fill a queue, too. A counter or an event that this kernel does not have counts neither way.

use super::Finding;
use crate::evidence::Evidence;
use crate::kernel::counters::WATCHED;
use crate::packet::{Flags, Packet};
use crate::scenario::Scenario;

/// Each counter against what the scenario says of it, and `OutRsts` against the RSTs that were captured, whoever sent
/// them.
pub(super) fn compare_counters(
    scenario: &Scenario,
    evidence: &Evidence,
    findings: &mut Vec<Finding>,
) {
    let Some(counters) = &evidence.counters else {
        return;
    };
    let captured = resets_captured(evidence);
    if let Some(sent) = counters.get(OUT_RSTS).filter(|sent| *sent != captured) {
        findings.push(Finding::ResetsSent { sent, captured });
    }
    for name in WATCHED {
        let stated = scenario.counters.iter().find(|(stated, _)| *stated == name);
        let expected = stated.map_or(0, |(_, by)| *by);
        if let Some(seen) = counters.get(name).filter(|seen| *seen != expected)
            && name != OUT_RSTS
        {
            findings.push(Finding::CounterDiffers {
                name,
                expected,
                seen,
            });
        }
    }
}

/// RFC 4022: segments sent that contain the RST flag.
const OUT_RSTS: &str = "OutRsts";

fn resets_captured(evidence: &Evidence) -> u64 {
    let packets = evidence.packets.iter();
    let resets = packets.filter(|packet| {
        matches!(packet, Packet::Tcp(segment)
            if segment.flags.has(Flags::RST) && segment.at >= evidence.began)
    });
    resets.count() as u64
}
