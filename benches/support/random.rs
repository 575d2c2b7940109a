//! Random numbers that are the same on every machine and in every release: `SplitMix64` (Steele, Lea, Flood: "Fast
//! splittable pseudorandom number generators", 2014).

/// Random number generator.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 32) as u32
    }

    /// Returns a number less than `bound`, or 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(bound)) >> 32) as u32
    }

    /// Returns a number in this range, both ends included.
    pub(crate) fn among(&mut self, (least, most): (u32, u32)) -> u32 {
        least + self.below(most - least + 1)
    }

    /// Returns true in `share` of a thousand calls on average.
    pub(crate) fn per_mille(&mut self, share: u32) -> bool {
        self.below(1_000) < share
    }
}
