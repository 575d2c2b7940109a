//! Blocks of a capture that is read from front to back, with no more than a piece of the file in memory.

use std::io::{self, Read};
use std::ops::ControlFlow;

use super::{Block, Problem, Reader, Skipped};

/// Number of bytes read at once.
const PIECE: u64 = 256 << 10;

/// Maximum length of a block of a kind that is read, in bytes. A stated length may be false, and a block is kept in
/// memory until it is complete.
pub(crate) const MAX_BLOCK: u64 = 64 << 20;

/// Calls `each` with every block, the reader after the block, and the bytes that contain the block.
///
/// Stops when a block is malformed, or when `each` breaks. Malformed blocks are not reported, because the caller has
/// read the capture before. Fails if `from` cannot be read.
pub(crate) fn each_block<B>(
    from: &mut dyn Read,
    each: impl FnMut(&Reader<'_>, &Block<'_>, &[u8]) -> ControlFlow<B>,
) -> io::Result<ControlFlow<B>> {
    Ok(match walk(from, each)? {
        Walked::Broken(result) => ControlFlow::Break(result),
        Walked::Whole | Walked::Malformed => ControlFlow::Continue(()),
    })
}

/// End of a walk over the blocks of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked<B> {
    /// The caller stopped the iteration.
    Broken(B),
    /// All blocks were read, and nothing follows the last one.
    Whole,
    /// A block is cut or malformed.
    Malformed,
}

/// Like [`each_block`]; also returns whether the capture is whole.
pub(crate) fn walk<B>(
    from: &mut dyn Read,
    mut each: impl FnMut(&Reader<'_>, &Block<'_>, &[u8]) -> ControlFlow<B>,
) -> io::Result<Walked<B>> {
    let mut bytes = Vec::new();
    let mut known: Option<Reader<'static>> = None;
    let mut skipped: Option<Skipped> = None;
    loop {
        let is_at_end = fill(from, &mut bytes)? == 0;
        // An unknown block may be longer than memory, so its bytes are dropped as they come.
        if let Some(block) = &mut skipped {
            bytes.drain(..block.pass(&bytes));
            match block.end() {
                None if is_at_end => return Ok(Walked::Malformed),
                None => continue,
                Some(Err(_)) => return Ok(Walked::Malformed),
                Some(Ok(_)) => skipped = None,
            }
        }
        let reader = match &known {
            Some(reader) => Ok(reader.resume(&bytes)),
            None => Reader::new(&bytes).map(Reader::with_unusable_times),
        };
        let Ok(mut reader) = reader else {
            return Ok(Walked::Malformed);
        };
        while let Some(block) = reader.next() {
            match block {
                Ok(block) => {
                    if let ControlFlow::Break(result) = each(&reader, &block, &bytes) {
                        return Ok(Walked::Broken(result));
                    }
                }
                Err(error) => match error.problem {
                    // The block continues in the next piece.
                    Problem::Begun(_) => {}
                    Problem::Cut { length, .. } => {
                        skipped = reader.skipped(&bytes[reader.offset()..]);
                        if skipped.is_none() && length > MAX_BLOCK {
                            return Ok(Walked::Malformed);
                        }
                    }
                    _ => return Ok(Walked::Malformed),
                },
            }
        }
        if is_at_end {
            let is_whole = skipped.is_none() && reader.offset() == bytes.len();
            return Ok(if is_whole {
                Walked::Whole
            } else {
                Walked::Malformed
            });
        }
        // A reader borrows `bytes`, which are about to change. `next` borrows nothing, and knows the interfaces.
        let (end, next) = (reader.offset(), reader.resume(&[]));
        known = Some(next);
        bytes.drain(..end);
        if let Some(block) = &mut skipped {
            bytes.drain(..block.pass(&bytes));
        }
    }
}

/// Reads one more piece. An error after some bytes is left to the next call.
fn fill(from: &mut dyn Read, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let before = bytes.len();
    // read_to_end() leaves in `bytes` what it has read before an error; the next call meets the error again.
    match from.take(PIECE).read_to_end(bytes) {
        Err(error) if bytes.len() == before => Err(error),
        _ => Ok(bytes.len() - before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::pcapng::PcapNg;
    use crate::file::{Interface, pcap::Pcap};
    use crate::packet::Link;
    use crate::time::Timestamp;

    /// Reader that returns a few bytes at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = into.len().min(7_001);
            self.0.read(&mut into[..most])
        }
    }

    fn lengths(file: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        let end: ControlFlow<()> = each_block(&mut Slow(file), |_, block, _| {
            if let Block::Frame(frame) = block {
                lengths.push(frame.captured.len());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(end.is_continue());
        lengths
    }

    /// Lengths of the frames: all different, one longer than a piece, and together more than a piece.
    fn wanted() -> Vec<usize> {
        (0..600)
            .map(|nth| if nth == 300 { 700_000 } else { 1_000 + nth })
            .collect()
    }

    #[test]
    fn blocks_are_complete_from_a_source_that_returns_pieces() {
        let mut file = PcapNg::begin_anywhere(None, "test", &[]);
        file.interface(&Interface::default(), &[]);
        for length in wanted() {
            file.frame(0, Timestamp(1), 9, &vec![1; length], &[]);
        }
        assert_eq!(lengths(file.bytes()), wanted());
        // A file that is cut off gives the blocks before the cut.
        let cut = &file.bytes()[..file.bytes().len() - 1];
        assert_eq!(lengths(cut), wanted()[..599]);
    }

    #[test]
    fn a_block_of_no_known_kind_is_skipped_however_long_it_is() {
        let mut file = PcapNg::begin_anywhere(None, "test", &[]);
        file.interface(&Interface::default(), &[]);
        let start = file.bytes().len();
        file.frame(0, Timestamp(1), 9, &[1; 60], &[]);
        let (head, frame) = file.bytes().split_at(start);
        for length in [12, 16, PIECE, PIECE + 4, 3 * PIECE, MAX_BLOCK + 4] {
            let stated = u32::try_from(length).unwrap().to_ne_bytes();
            let body = vec![0; usize::try_from(length).unwrap() - 12];
            let block = [&0xbad_u32.to_ne_bytes(), &stated[..], &body, &stated].concat();
            let whole = [head, &block, frame, &block, &block, frame].concat();
            assert_eq!(lengths(&whole), [60, 60], "{length}");
            // A block that is cut off, or whose trailer is wrong, gives the blocks before it.
            let cut = &whole[..whole.len() - frame.len() - 1];
            assert_eq!(lengths(cut), [60], "{length}");
            let wrong = [head, frame, &block[..block.len() - 1], &[9], frame].concat();
            assert_eq!(lengths(&wrong), [60], "{length}");
        }
    }

    #[test]
    fn the_header_of_a_classic_file_is_read_once() {
        let mut file = Pcap::begin(Link::Ethernet, 0);
        for length in wanted() {
            file.frame(Timestamp(1), 9, &vec![1; length]);
        }
        assert_eq!(lengths(&file.into_bytes()), wanted());
    }

    #[test]
    fn reading_stops_when_the_callback_breaks() {
        let mut file = PcapNg::begin_anywhere(None, "test", &[]);
        file.interface(&Interface::default(), &[]);
        let mut blocks = 0;
        let end = each_block(&mut file.bytes(), |_, _, _| {
            blocks += 1;
            ControlFlow::Break(7)
        });
        assert_eq!((end.unwrap(), blocks), (ControlFlow::Break(7), 1));
    }
}
