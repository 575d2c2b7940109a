//! Sender of an RST, as far as the indicators support a conclusion.

use serde::{Serialize, Serializer};

use super::{Indicator, Supports, Weight};

/// Conclusion about the sender of an RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SenderVerdict {
    /// The end whose address the RST carries probably sent it.
    LikelyEndpoint,
    /// A third party probably sent it in the name of that end.
    Doubtful,
    /// The evidence supports neither.
    Unknown,
}

impl SenderVerdict {
    /// All conclusions.
    pub const ALL: [Self; 3] = [Self::LikelyEndpoint, Self::Doubtful, Self::Unknown];

    /// Returns the stable id, in kebab-case.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::LikelyEndpoint => "likely-endpoint",
            Self::Doubtful => "doubtful",
            Self::Unknown => "unknown",
        }
    }

    /// Weighs the indicators, by the rules of [`Sender::of`].
    fn of(indicators: &[Indicator]) -> Self {
        let count = |supports: Supports, weight: Weight| {
            let all = indicators.iter();
            all.filter(|it| it.supports == supports && it.weight == weight)
                .count()
        };
        let against = [Weight::Moderate, Weight::Strong].map(|it| count(Supports::Injection, it));
        let supporting = [Weight::Moderate, Weight::Strong].map(|it| count(Supports::Endpoint, it));
        let is_decided = indicators
            .iter()
            .any(|it| it.indicates_injection(Weight::Strong) && DECISIVE.contains(&it.id));
        match (against, supporting) {
            _ if is_decided => Self::Doubtful,
            ([0, 0], [0, 0]) => Self::Unknown,
            ([0, 0], _) => Self::LikelyEndpoint,
            ([1, 0], [0, 0]) => Self::Doubtful,
            ([1, 0], _) => Self::Unknown,
            (_, [_, 0]) => Self::Doubtful,
            _ => Self::Unknown,
        }
    }
}

impl Serialize for SenderVerdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// Conclusion with its strongest indicator.
///
/// Serialised as `{"verdict", "indicator"}`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sender<'a> {
    /// Conclusion.
    pub verdict: SenderVerdict,
    /// Strongest indicator for the conclusion; without a conclusion, the strongest of all that is not weak.
    pub indicator: Option<&'a Indicator>,
}

/// Indicators that show that an end did not send an RST, whatever else supports that it did: an end cannot acknowledge
/// what it has not received, and does not continue a connection that it has reset.
const DECISIVE: [&str; 4] = ["too-fast", "went-on-data", "went-on-accept", "reset-both"];

impl<'a> Sender<'a> {
    /// Concludes from all indicators of an RST.
    ///
    /// Doubtful: a strong indicator of injection, or several moderate ones, unless a strong one supports the end; or a
    /// single moderate one, unless a moderate one supports the end. Likely: an indicator that is at least moderate
    /// supports the end, and none of that weight is against it. Weak indicators are common for forged RSTs as well, so
    /// they support no conclusion.
    #[must_use]
    pub fn of(indicators: &'a [Indicator]) -> Self {
        let verdict = SenderVerdict::of(indicators);
        let wanted = match verdict {
            SenderVerdict::LikelyEndpoint => Some(Supports::Endpoint),
            SenderVerdict::Doubtful => Some(Supports::Injection),
            SenderVerdict::Unknown => None,
        };
        let grounds = indicators.iter().filter(|it| {
            it.weight > Weight::Weak && wanted.is_none_or(|wanted| it.supports == wanted)
        });
        // Of equal ones the first: they are in the order of their meaning.
        let indicator = grounds.reduce(|best, it| if it.weight > best.weight { it } else { best });
        Self { verdict, indicator }
    }

    /// Returns true if a third party probably sent the RST.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.verdict == SenderVerdict::Doubtful
    }
}

/// Returns the evidence on one of two RSTs, one to each end, whose TTLs are foreign to both ends: devices that cut a
/// connection reset both ends at once (Weaver et al.). `other` is the frame of the other RST, `apart` the time between
/// them in nanoseconds.
#[must_use]
pub(crate) fn reset_both(
    one: &[Indicator],
    two: &[Indicator],
    other: u32,
    apart: i64,
) -> Option<Indicator> {
    /// Longest time between the two, in nanoseconds.
    const TOGETHER_NS: i64 = 100_000_000;
    let is_foreign = |all: &[Indicator]| {
        all.iter()
            .any(|it| it.id == "ttl-differs" && it.indicates_injection(Weight::Moderate))
    };
    let is_pair = (0..TOGETHER_NS).contains(&apart) && is_foreign(one) && is_foreign(two);
    is_pair.then(|| {
        let message = format!(
            "frame {other} resets the other end, {} apart, and neither RST has the TTL of its sender: a device in between reset both ends",
            super::milliseconds(apart)
        );
        Indicator::against("reset-both", Weight::Strong, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn against(id: &'static str, weight: Weight) -> Indicator {
        Indicator::against(id, weight, String::new())
    }

    fn supports(id: &'static str, weight: Weight) -> Indicator {
        Indicator::supports(id, weight, String::new())
    }

    #[test]
    fn the_conclusion_follows_from_the_weights() {
        use SenderVerdict::{Doubtful, LikelyEndpoint, Unknown};
        use Weight::{Moderate, Strong, Weak};
        for (indicators, verdict, ground) in [
            (vec![], Unknown, None),
            (vec![supports("a", Weak), against("b", Weak)], Unknown, None),
            (vec![supports("a", Moderate)], LikelyEndpoint, Some("a")),
            (
                vec![
                    supports("a", Moderate),
                    supports("b", Strong),
                    against("c", Weak),
                ],
                LikelyEndpoint,
                Some("b"),
            ),
            (vec![against("a", Moderate)], Doubtful, Some("a")),
            (
                vec![against("a", Moderate), supports("b", Weak)],
                Doubtful,
                Some("a"),
            ),
            (
                vec![against("a", Moderate), supports("b", Moderate)],
                Unknown,
                Some("a"),
            ),
            (
                vec![
                    against("a", Moderate),
                    against("b", Moderate),
                    supports("c", Moderate),
                ],
                Doubtful,
                Some("a"),
            ),
            (
                vec![against("a", Strong), supports("b", Moderate)],
                Doubtful,
                Some("a"),
            ),
            (
                vec![against("a", Strong), supports("b", Strong)],
                Unknown,
                Some("a"),
            ),
            // A forger can copy all of the header, but not stop the end from sending more.
            (
                vec![
                    against("a", Moderate),
                    against("went-on-data", Strong),
                    supports("b", Strong),
                ],
                Doubtful,
                Some("went-on-data"),
            ),
        ] {
            let sender = Sender::of(&indicators);
            let found = (sender.verdict, sender.indicator.map(|it| it.id));
            assert_eq!(found, (verdict, ground), "{indicators:?}");
        }
    }

    #[test]
    fn two_resets_are_a_pair_only_if_both_are_foreign_and_close() {
        let foreign = [against("ttl-differs", Weight::Moderate)];
        let own = [supports("ttl-same", Weight::Moderate)];
        let pair =
            |one: &[Indicator], two: &[Indicator], apart| reset_both(one, two, 7, apart).is_some();
        assert!(pair(&foreign, &foreign, 1_000_000));
        assert!(!pair(&foreign, &own, 1_000_000));
        assert!(!pair(&own, &foreign, 1_000_000));
        assert!(!pair(&foreign, &foreign, 1_000_000_000));
        assert!(!pair(&foreign, &foreign, -1));
    }
}
