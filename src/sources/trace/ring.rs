//! Pages of the kernel's trace ring, as read from `trace_pipe_raw`.
//!
//! A page has a header (`events/header_page`: a timestamp, and a word with flags and the length of the records) and
//! records. A record begins with a word of 5 bits of type and 27 of time since the previous one
//! (`include/linux/ring_buffer.h`): types up to 28 are data of that many words, 0 is data whose length is in the next
//! word, 29 padding, 30 more bits of time, 31 a whole timestamp. Everything is in the byte order of the running
//! kernel.

/// Layout of a page, from `events/header_page`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Offset of the word with the length, in bytes.
    pub commit: usize,
    /// Size of that word, in bytes.
    pub commit_size: usize,
    /// Offset of the first record, in bytes.
    pub data: usize,
}

/// Page of the ring: an iterator over its records.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    records: &'a [u8],
    at: u64,
    /// True if records before this page were lost.
    pub missed: bool,
}

/// `RB_MISSED_EVENTS`: set in the length of a page before which some were lost.
const MISSED: u64 = 1 << 31;
/// Mask of the length itself; the bits above are flags.
const LENGTH: u64 = (1 << 28) - 1;

impl<'a> Page<'a> {
    /// Parses the header of a page; `None` if it is invalid or the page is cut short.
    #[must_use]
    pub fn new(bytes: &'a [u8], head: Head) -> Option<Self> {
        // The timestamp is the first field of `struct buffer_data_page` in every kernel.
        let at = u64::from_ne_bytes(*bytes.first_chunk()?);
        let commit = bytes.get(head.commit..head.commit + head.commit_size)?;
        // `commit` is a `local_t`, which is as wide as a machine word.
        let commit = match head.commit_size {
            4 => u64::from(u32::from_ne_bytes(*commit.first_chunk()?)),
            8 => u64::from_ne_bytes(*commit.first_chunk()?),
            _ => return None,
        };
        let length = usize::try_from(commit & LENGTH).ok()?;
        Some(Self {
            records: bytes.get(head.data..head.data.checked_add(length)?)?,
            at,
            missed: commit & MISSED != 0,
        })
    }
}

impl<'a> Iterator for Page<'a> {
    /// Time in nanoseconds of the ring's clock, and the record's data.
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const PADDING: u32 = 29;
        const TIME_EXTEND: u32 = 30;
        const TIME_STAMP: u32 = 31;
        const WORD: usize = 4;
        loop {
            let word = take(&mut self.records, WORD).and_then(word)?;
            let (kind, delta) = (word & 31, u64::from(word >> 5));
            let length = match kind {
                PADDING => {
                    // Padding without time fills the rest of the page.
                    let length = take(&mut self.records, WORD).and_then(self::word)?;
                    if delta == 0 {
                        return None;
                    }
                    self.at = self.at.wrapping_add(delta);
                    let rest = usize::try_from(length).ok()?.checked_sub(WORD)?;
                    take(&mut self.records, rest)?;
                    continue;
                }
                TIME_EXTEND | TIME_STAMP => {
                    let high = take(&mut self.records, WORD).and_then(self::word)?;
                    let time = (u64::from(high) << 27) + delta;
                    self.at = if kind == TIME_EXTEND {
                        self.at.wrapping_add(time)
                    } else {
                        // A timestamp has 59 bits; the higher ones are those of the page.
                        (self.at & !((1 << 59) - 1)) | time
                    };
                    continue;
                }
                0 => {
                    let length = take(&mut self.records, WORD).and_then(self::word)?;
                    usize::try_from(length).ok()?.checked_sub(WORD)?
                }
                words => usize::try_from(words).ok()? * WORD,
            };
            self.at = self.at.wrapping_add(delta);
            return Some((self.at, take(&mut self.records, length)?));
        }
    }
}

/// Takes `count` bytes from the front; `None` if there are fewer.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(front)
}

fn word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.first_chunk()?))
}

/// Parses `events/header_page`; `None` if its form is unknown.
#[must_use]
pub fn head(text: &str) -> Option<Head> {
    let number = |field: &str, label: &str| {
        let line = text.lines().find(|line| line.contains(field))?;
        let part = line
            .split(';')
            .find_map(|part| part.trim().strip_prefix(label))?;
        part.parse::<usize>().ok()
    };
    Some(Head {
        commit: number(" commit;", "offset:")?,
        commit_size: number(" commit;", "size:")?,
        data: number(" data;", "offset:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header of 64-bit kernels.
    const HEADER_PAGE: &str = "\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;
";

    const HEAD: Head = Head {
        commit: 8,
        commit_size: 8,
        data: 16,
    };

    /// Returns a page with these words, which begins at 1000 ns.
    fn page(flags: u64, words: &[u32]) -> Vec<u8> {
        let mut bytes = 1000_u64.to_ne_bytes().to_vec();
        bytes.extend(((words.len() as u64 * 4) | flags).to_ne_bytes());
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.resize(4096, 0xff);
        bytes
    }

    fn records(words: &[u32]) -> Vec<(u64, Vec<u8>)> {
        let bytes = page(0, words);
        let records = Page::new(&bytes, HEAD).unwrap();
        records.map(|(at, data)| (at, data.to_vec())).collect()
    }

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn the_head_is_at_the_offset_that_the_kernel_states() {
        assert_eq!(head(HEADER_PAGE), Some(HEAD));
        let narrow = HEADER_PAGE
            .replace("offset:8;\tsize:8;", "offset:8;\tsize:4;")
            .replace("offset:16;", "offset:12;");
        let expected = Head {
            commit: 8,
            commit_size: 4,
            data: 12,
        };
        assert_eq!(head(&narrow), Some(expected));
        assert_eq!(head(""), None);
    }

    #[test]
    fn data_has_the_length_of_its_type_or_of_its_first_word() {
        let expected = vec![(1007, bytes(&[11, 12])), (1010, bytes(&[13]))];
        assert_eq!(records(&[2 | (7 << 5), 11, 12, 3 << 5, 8, 13]), expected);
    }

    #[test]
    fn times_are_relative_to_the_last_record_or_absolute() {
        // 5 + (2 << 27) more nanoseconds, then one; then the time 9 + (3 << 27).
        let extended = 1000 + 5 + (2 << 27) + 1;
        let stamped = 9 + (3 << 27) + 4;
        assert_eq!(
            records(&[
                0x1e | (5 << 5),
                2,
                1 | (1 << 5),
                21,
                0x1f | (9 << 5),
                3,
                1 | (4 << 5),
                22
            ]),
            [(extended, bytes(&[21])), (stamped, bytes(&[22]))]
        );
    }

    #[test]
    fn padding_is_passed_over_and_without_time_ends_the_page() {
        // A discarded record: 8 bytes after the word with its length.
        assert_eq!(
            records(&[0x1d | (2 << 5), 12, 0, 0, 1 | (1 << 5), 31]),
            [(1003, bytes(&[31]))]
        );
        assert_eq!(records(&[29, 4, 1 | (1 << 5), 31]), []);
    }

    #[test]
    fn lost_records_are_reported() {
        for (flags, missed) in [(0, false), (MISSED, true), (MISSED | 1 << 30, true)] {
            let bytes = page(flags, &[1, 41]);
            let mut page = Page::new(&bytes, HEAD).unwrap();
            assert_eq!(page.missed, missed);
            assert_eq!(page.next().unwrap().1, 41_u32.to_ne_bytes());
        }
    }

    #[test]
    fn what_is_no_page_or_cut_short_gives_what_it_can() {
        for length in 0..16 {
            assert!(Page::new(&page(0, &[])[..length], HEAD).is_none());
        }
        let longer_than_it_is = page(0, &[1, 41]);
        assert!(Page::new(&longer_than_it_is[..20], HEAD).is_none());
        for words in [
            &[5_u32, 1][..],
            &[0, 2],
            &[0],
            &[0x1d | (1 << 5), 3],
            &[0x1d | (1 << 5)],
            &[30],
        ] {
            assert_eq!(records(words), [], "{words:?}");
        }
    }
}
