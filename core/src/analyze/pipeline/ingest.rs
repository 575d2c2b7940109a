//! Reading of a capture chunk by chunk: blocks, and those that a chunk boundary cuts.

use std::sync::Mutex;

use super::super::decode::{Batch, FrameDecoder, MAX_FRAME_COMMENTS};
use super::super::reassembly::Reassembler;
use super::{CarriedBlock, Ingest, IngestedChunk, MIN_CHUNK_LEN, Stopped, lock};
use crate::file::{Block, MAX_BLOCK, Malformed, Problem, Reader};

/// End of a walk over the blocks of a chunk.
pub(super) struct WalkEnd {
    /// Offset at which the next block begins.
    offset: usize,
    reader: Reader<'static>,
    problem: Option<Problem>,
}

/// Puts the fragments of a batch together. A complete packet is appended to the bytes, and its segment added to the
/// batch, whose bytes begin at `start`.
pub(super) fn complete_packets(
    reassembler: &mut Reassembler,
    batch: &mut Batch,
    (bytes, start): (&mut Vec<u8>, usize),
    decoder: &FrameDecoder<'_>,
) {
    let fragments = std::mem::take(&mut batch.fragments);
    for fragment in &fragments {
        let packet = fragment.packet(&bytes[start..]);
        let (interface, at) = (fragment.interface, fragment.at);
        let whole = reassembler.take(packet, interface, at, &mut batch.reassembled);
        if let Some(packet) = whole {
            decoder.add_reassembled(batch, fragment, &packet, bytes.len() - start);
            bytes.extend(packet);
        }
    }
    batch.fragments = fragments;
}

/// Decodes every frame in these bytes, at whose beginning a block begins.
pub(super) fn decode_blocks(
    reader: &Reader<'_>,
    bytes: &[u8],
    batch: &mut Batch,
    decoder: &mut FrameDecoder<'_>,
) -> WalkEnd {
    let mut reader = reader.resume(bytes);
    let mut problem = None;
    loop {
        while let Some(frame) = reader.frame() {
            decoder.decode(batch, &reader, &frame, bytes);
        }
        let Some(block) = reader.next() else { break };
        match block {
            Ok(Block::Frame(frame)) => decoder.decode(batch, &reader, &frame, bytes),
            Ok(Block::Statistics(counted)) => batch.dropped.take(&counted),
            // The reader itself keeps track of these.
            Ok(Block::Interface(_) | Block::Section(_)) => {}
            Err(error) => problem = Some(error.problem),
        }
    }
    WalkEnd {
        offset: reader.offset(),
        reader: reader.resume(&[]),
        problem,
    }
}

/// Completes the first stage for a chunk, once the reader and the unfinished block of all earlier chunks are known.
pub(super) fn ingest_chunk(
    ingest: &mut Ingest,
    guess_reader: &Mutex<Option<Reader<'static>>>,
    bytes: &[u8],
    guessed: Option<(usize, u64, WalkEnd)>,
    batch: &mut Batch,
    decoder: &mut FrameDecoder<'_>,
) -> IngestedChunk {
    let (mut head, start) = complete_carried(ingest, guess_reader, bytes, decoder);
    if let Some(head) = &mut head {
        head.batch.identify_hosts(&mut ingest.hosts);
        decoder.mark_compared(&mut head.batch, ingest.frames);
    }
    let in_head = head.as_ref().map_or(0, |it| it.batch.frames);
    let mut ingested = IngestedChunk {
        head,
        start: bytes.len(),
        frames: ingest.frames.saturating_add(in_head),
        position: ingest.position,
    };
    ingest.frames = ingested.frames;
    let (Some(start), Some(reader)) = (start, &ingest.reader) else {
        batch.clear();
        return ingested;
    };
    let is_right = guessed
        .as_ref()
        .is_some_and(|(guess, changes, _)| *guess == start && *changes == reader.changes());
    let end = match guessed {
        Some((_, _, end)) if is_right => end,
        _ => {
            batch.clear();
            decode_blocks(reader, &bytes[start..], batch, decoder)
        }
    };
    batch.identify_hosts(&mut ingest.hosts);
    decoder.mark_compared(batch, ingest.frames);
    ingest.frames = ingest.frames.saturating_add(batch.frames);
    ingest.carry.clear();
    ingest.carry.extend_from_slice(&bytes[start + end.offset..]);
    ingest.position += end.offset as u64;
    if ingest.reader.as_ref().map(Reader::changes) != Some(end.reader.changes()) {
        *lock(guess_reader) = Some(end.reader.clone());
    }
    // The reader at the end of the chunk continues, because a new section may have changed the byte order.
    ingest.reader = Some(end.reader);
    record_problem(ingest, end.problem);
    (ingested.start, ingested.position) = (start, ingest.position);
    ingested
}

/// Records the problem that ended a walk, unless the block is only unfinished. A block that ends after its chunk is
/// skipped if it is of a skipped kind, and else kept, unless it is too long for that.
pub(super) fn record_problem(ingest: &mut Ingest, problem: Option<Problem>) {
    let is_cut = match problem {
        None | Some(Problem::Begun(_)) => true,
        Some(Problem::Cut { length, .. }) => skip(ingest) || length <= MAX_BLOCK,
        Some(_) => false,
    };
    if let Some(problem) = problem.filter(|_| !is_cut) {
        let problem = match problem {
            Problem::Cut { part, length, .. } => Problem::TooLong {
                part,
                length,
                most: MAX_BLOCK,
            },
            other => other,
        };
        ingest.stopped = Some(Stopped::Malformed(Malformed {
            offset: ingest.position,
            problem,
        }));
    }
}

/// Starts to skip the unfinished block, if it is of a skipped kind. Returns true in this case.
pub(super) fn skip(ingest: &mut Ingest) -> bool {
    let reader = ingest.reader.as_ref();
    ingest.skipped = reader.and_then(|reader| reader.skipped(&ingest.carry));
    let Some(block) = &mut ingest.skipped else {
        return false;
    };
    block.pass(&ingest.carry);
    ingest.carry.clear();
    true
}

/// Continues to skip a block in a chunk, from an offset on. Returns the offset at which the next block begins, if it
/// does so in this chunk.
pub(super) fn continue_skipping(ingest: &mut Ingest, bytes: &[u8], from: usize) -> Option<usize> {
    let block = ingest.skipped.as_mut()?;
    let start = from + block.pass(&bytes[from..]);
    match block.end()? {
        Ok(length) => {
            ingest.position += u64::from(length);
            ingest.skipped = None;
            Some(start)
        }
        Err(problem) => {
            ingest.skipped = None;
            ingest.stopped = Some(Stopped::Malformed(Malformed {
                offset: ingest.position,
                problem,
            }));
            None
        }
    }
}

/// Completes the block or the file header that began in an earlier chunk. Returns the block, and the offset in this
/// chunk at which the next block begins; `None` if no block begins in the chunk.
pub(super) fn complete_carried(
    ingest: &mut Ingest,
    guess_reader: &Mutex<Option<Reader<'static>>>,
    bytes: &[u8],
    decoder: &mut FrameDecoder<'_>,
) -> (Option<CarriedBlock>, Option<usize>) {
    let before = ingest.carry.len();
    if ingest.reader.is_none() {
        ingest
            .carry
            .extend_from_slice(&bytes[..bytes.len().min(MIN_CHUNK_LEN)]);
        match Reader::new(&ingest.carry) {
            Ok(reader) => {
                let header = reader.offset();
                let reader = reader.resume(&[]).with_comments(MAX_FRAME_COMMENTS);
                let reader = reader.with_unusable_times();
                *lock(guess_reader) = Some(reader.clone());
                ingest.reader = Some(reader);
                ingest.carry.clear();
                ingest.position += header as u64;
                // The header of a classic pcap lies in the chunk that it begins in, because a chunk has room for it.
                return (None, Some(header - before.min(header)));
            }
            Err(error) => {
                let may_become_one = ingest.carry.len() < MIN_CHUNK_LEN
                    && matches!(error.problem, Problem::Header { .. } | Problem::Empty);
                if !may_become_one {
                    ingest.stopped = Some(Stopped::Malformed(error));
                }
                return (None, None);
            }
        }
    }
    if ingest.skipped.is_some() {
        return (None, continue_skipping(ingest, bytes, 0));
    }
    if before == 0 {
        return (None, Some(0));
    }
    let Some(reader) = ingest.reader.clone() else {
        return (None, None);
    };
    let mut taken = 0;
    let mut wanted = MIN_CHUNK_LEN;
    loop {
        let more = bytes.len().min(wanted.max(taken));
        ingest.carry.extend_from_slice(&bytes[taken..more]);
        taken = more;
        let carry = std::mem::take(&mut ingest.carry);
        let mut batch = Batch::default();
        // Reads only the first block. The blocks after it lie in the chunk itself.
        let (first, end) = first_block(&reader, &carry, &mut batch, decoder);
        match first {
            Ok(length) if length > before => {
                ingest.position += length as u64;
                // The bytes after the block are read from the chunk.
                ingest.reader = Some(end);
                let head = CarriedBlock {
                    bytes: carry,
                    batch,
                };
                return (Some(head), Some(length - before));
            }
            Ok(_) => {
                ingest.carry = carry;
                record_problem(ingest, Some(Problem::Fields));
                return (None, None);
            }
            Err(problem) => {
                ingest.carry = carry;
                record_problem(ingest, Some(problem));
                if ingest.skipped.is_some() {
                    return (None, continue_skipping(ingest, bytes, taken));
                }
                if ingest.stopped.is_some() || taken == bytes.len() {
                    return (None, None);
                }
                wanted = match problem {
                    Problem::Cut { length, .. } => usize::try_from(length)
                        .unwrap_or(usize::MAX)
                        .saturating_sub(before),
                    _ => taken + MIN_CHUNK_LEN,
                };
            }
        }
    }
}

/// Decodes the first block of these bytes. Returns its length, and the reader for the bytes after it.
pub(super) fn first_block(
    reader: &Reader<'_>,
    bytes: &[u8],
    batch: &mut Batch,
    decoder: &mut FrameDecoder<'_>,
) -> (Result<usize, Problem>, Reader<'static>) {
    let mut reader = reader.resume(bytes);
    let first = reader.one_block();
    let length = match first {
        Err(problem) => Err(problem),
        Ok(block) => {
            match block {
                Some(Block::Frame(frame)) => decoder.decode(batch, &reader, &frame, bytes),
                Some(Block::Statistics(counted)) => batch.dropped.take(&counted),
                _ => {}
            }
            Ok(reader.offset())
        }
    };
    (length, reader.resume(&[]))
}
