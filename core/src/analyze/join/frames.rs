//! Frames of a joined capture: the file that each of them is from, and whether other files can be compared with it.

use std::sync::{PoisonError, RwLock};

/// Maximum number of files that are joined.
pub(super) const MAX_FILES: usize = 16;

/// Number of frames between two rows of counts.
const BLOCK: usize = 4_096;

/// What the capture points of other files mean for a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::analyze) enum Compared {
    /// The capture is not joined.
    #[default]
    Single,
    /// The frame is compared with those of the other points.
    All,
    /// The other points say nothing about it.
    Alone,
    /// The frame is a copy between two other points that have it as well: only the outer ones count.
    Between,
}

impl Compared {
    const ALONE: u8 = 0x80;
    const BETWEEN: u8 = 0x40;

    fn bits(self) -> u8 {
        match self {
            Self::Single | Self::All => 0,
            Self::Alone => Self::ALONE,
            Self::Between => Self::BETWEEN,
        }
    }

    fn of(entry: u8) -> Self {
        match entry & (Self::ALONE | Self::BETWEEN) {
            0 => Self::All,
            Self::ALONE => Self::Alone,
            _ => Self::Between,
        }
    }
}

/// Bits of a frame's entry that number its file.
const FILE: u8 = 0x0f;

/// Files of the frames of a joined capture, in the order in which the frames were merged.
///
/// One byte per frame: with many frames in turn from two files, a list of ranges would be longer. The frames are added
/// while the capture is read, before the frames themselves are handed out.
#[derive(Debug, Default)]
pub struct FrameMap(RwLock<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// File of each frame, and the bits of [`Compared`].
    files: Vec<u8>,
    /// Number of frames of each file before each block of frames.
    before: Vec<[u32; MAX_FILES]>,
    /// Number of frames of each file so far.
    counts: [u32; MAX_FILES],
}

impl FrameMap {
    /// Adds frames, each with its file and with what the other files mean for it.
    pub(super) fn add(&self, frames: impl IntoIterator<Item = (usize, Compared)>) {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (file, compared) in frames {
            if entries.files.len().is_multiple_of(BLOCK) {
                let counts = entries.counts;
                entries.before.push(counts);
            }
            let file = file.min(MAX_FILES - 1);
            let number = u8::try_from(file).unwrap_or(0);
            entries.files.push(number | compared.bits());
            entries.counts[file] = entries.counts[file].saturating_add(1);
        }
    }

    /// Removes all frames: the capture is read again.
    pub(super) fn clear(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Entries::default();
    }

    /// Returns the file of a frame and its number there, from 1; `None` if there is no such frame.
    #[must_use]
    pub(in crate::analyze) fn locate(&self, frame: u32) -> Option<(usize, u32)> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let index = (frame as usize).checked_sub(1)?;
        let file = entries.files.get(index)? & FILE;
        let block = index / BLOCK;
        let same = entries.files.get(block * BLOCK..=index)?.iter();
        let same = same.filter(|it| **it & FILE == file).count();
        let before = entries.before.get(block)?.get(usize::from(file))?;
        let same = u32::try_from(same).unwrap_or(0);
        Some((file.into(), before.saturating_add(same)))
    }

    /// Calls a function with another one, which returns what the other files mean for a frame. Frames count from 1.
    pub(in crate::analyze) fn with_compared<R>(
        &self,
        each: impl FnOnce(&dyn Fn(u32) -> Compared) -> R,
    ) -> R {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        each(&|frame| {
            let index = (frame as usize).checked_sub(1);
            let entry = index.and_then(|index| entries.files.get(index));
            entry.map_or(Compared::Alone, |entry| Compared::of(*entry))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_numbered_in_their_files() {
        let map = FrameMap::default();
        // Two frames of the first file, then one of the second, beyond several blocks.
        let all = 3 * BLOCK + 7;
        let kinds = [Compared::All, Compared::Alone, Compared::Between];
        map.add((0..all).map(|nth| (usize::from(nth % 3 == 2), kinds[nth % 3])));
        let mut counts = [0_u32; 2];
        for nth in 0..all {
            let file = usize::from(nth % 3 == 2);
            counts[file] += 1;
            let frame = u32::try_from(nth).unwrap() + 1;
            assert_eq!(map.locate(frame), Some((file, counts[file])));
        }
        assert_eq!(map.locate(0), None);
        assert_eq!(map.locate(u32::try_from(all).unwrap() + 1), None);
        map.with_compared(|compared| assert_eq!([1, 2, 3].map(compared), kinds));
        map.clear();
        assert_eq!(map.locate(1), None);
    }
}
