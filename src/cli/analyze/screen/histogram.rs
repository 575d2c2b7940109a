//! Histogram of failures over time, of bounded size whatever the times are.

use rstproof_core::time::Timestamp;

/// Number of bins.
const BINS: usize = 128;

/// Width of a bin at first, in nanoseconds.
const FIRST_WIDTH: i128 = 1_000_000;

/// Counts in bins of equal width. If a time lies outside of all bins, their width is doubled.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    /// Time at which the first bin begins; `None` without a count. In 128 bits, because the bins may reach beyond all times.
    origin: Option<i128>,
    width: i128,
    bins: [u64; BINS],
}

/// Histogram as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chart {
    /// One character for each column.
    pub(super) bars: String,
    /// Nanoseconds that a column stands for.
    pub(super) column_ns: i64,
    /// Largest count of a column.
    pub(super) peak: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self {
            origin: None,
            width: FIRST_WIDTH,
            bins: [0; BINS],
        }
    }

    pub(super) fn add(&mut self, at: Timestamp) {
        let at = i128::from(at.0);
        let mut origin = *self.origin.get_or_insert(at - at.rem_euclid(FIRST_WIDTH));
        // Each turn doubles what the bins span, so a few dozen turns reach any time.
        while at < origin {
            // The bins so far become the upper half.
            origin -= self.width * BINS as i128;
            let pairs = self.merged();
            self.bins = [0; BINS];
            self.bins[BINS / 2..].copy_from_slice(&pairs);
        }
        while at >= origin + self.width * BINS as i128 {
            // And here the lower half: the origin stays.
            let pairs = self.merged();
            self.bins = [0; BINS];
            self.bins[..BINS / 2].copy_from_slice(&pairs);
        }
        self.origin = Some(origin);
        let bin = usize::try_from((at - origin) / self.width).unwrap_or(0);
        self.bins[bin.min(BINS - 1)] += 1;
    }

    /// Doubles the width of the bins and returns the counts of each two.
    fn merged(&mut self) -> [u64; BINS / 2] {
        self.width *= 2;
        std::array::from_fn(|nth| self.bins[2 * nth] + self.bins[2 * nth + 1])
    }

    /// Returns the chart of the bins from the first count to the last, in at most `columns` columns. `None` if all counts are
    /// in one bin.
    pub(super) fn chart(&self, columns: usize) -> Option<Chart> {
        const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let first = self.bins.iter().position(|count| *count > 0)?;
        let last = self.bins.iter().rposition(|count| *count > 0)?;
        if first == last {
            return None;
        }
        let used = &self.bins[first..=last];
        // A column stands for a whole number of bins. Otherwise equal rates would have bars of different heights.
        let each = used.len().div_ceil(columns.max(1));
        let columns: Vec<u64> = used.chunks(each).map(|it| it.iter().sum()).collect();
        let peak = columns.iter().copied().max().unwrap_or(0).max(1);
        // Any count has a bar, however small it is beside the largest one.
        let bar = |count: &u64| {
            let height = (u128::from(*count) * 8).div_ceil(u128::from(peak));
            BARS[usize::try_from(height).unwrap_or(8).min(8)]
        };
        let column_ns = self.width.saturating_mul(each as i128);
        Some(Chart {
            bars: columns.iter().map(bar).collect(),
            column_ns: i64::try_from(column_ns).unwrap_or(i64::MAX),
            peak,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(times: impl IntoIterator<Item = i64>) -> Histogram {
        let mut histogram = Histogram::new();
        for at in times {
            histogram.add(Timestamp(at));
        }
        histogram
    }

    #[test]
    fn no_count_is_lost_whatever_the_times() {
        let times = [0, -1, i64::MIN, i64::MAX, 5, 1 << 40, -(1 << 50)];
        let histogram = histogram(times);
        assert_eq!(histogram.bins.iter().sum::<u64>(), 7);
        let chart = histogram.chart(50).unwrap();
        assert!(chart.bars.chars().count() <= 50, "{chart:?}");
    }

    #[test]
    fn the_order_of_times_changes_at_most_the_borders() {
        let forward = histogram((0..1_000).map(|it| it * 10_000_000));
        let backward = histogram((0..1_000).rev().map(|it| it * 10_000_000));
        for histogram in [forward, backward] {
            assert_eq!(histogram.bins.iter().sum::<u64>(), 1_000);
            // 10 s in 128 bins: 2^7 ms are the least width with which they fit.
            assert_eq!(histogram.width, 128_000_000);
        }
    }

    #[test]
    fn a_column_is_as_high_as_its_count() {
        // 1, 8 and 4 counts in three bins of a millisecond.
        let times = [&[0][..], &[1_000_000; 8], &[2_000_000; 4]].concat();
        let chart = histogram(times).chart(10).unwrap();
        let expected = Chart {
            bars: "▁█▄".to_owned(),
            column_ns: 1_000_000,
            peak: 8,
        };
        assert_eq!(chart, expected);
        assert_eq!(histogram([7, 7]).chart(10), None);
        // Two bins in each column.
        let chart = histogram([0, 3_000_000]).chart(2).unwrap();
        assert_eq!((chart.bars.as_str(), chart.column_ns), ("██", 2_000_000));
    }
}
