//! Pipeline that reads a capture in chunks, in parallel threads.
//!
//! A thread can decode the headers of a chunk without any other chunk, except for the offset of its first block. The
//! thread guesses this offset; when all earlier chunks are done the offset is known, and after a wrong guess the chunk
//! is read once more. Then [fragments](super::reassembly) are put together, the halves of connections on both sides of a
//! [NAT](super::nat) are joined, one [table](super::connections) after the other takes in the segments of the chunk, and the
//! sink receives the output of the tables. The chunks pass each of these stages one by one, in the order of the
//! file, so the result does not depend on the number of threads. While one chunk is at a stage, the next one can be at
//! the stage before.

mod ingest;
mod stage;

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use self::ingest::{complete_packets, decode_blocks, ingest_chunk};
use self::stage::OrderedStage;
use super::Analysis;
use super::connections::{ConnectionObserver, Progress, Sink, Table, Tick, Totals};
use super::decode::{Batch, FrameDecoder, SHARDS};
use super::forgery::Hosts;
use super::missing::HiddenPlain;
use super::nat::NatTable;
use super::reassembly::Reassembler;
use crate::file::{Malformed, Problem, ReadAt, Reader, Skipped};
use crate::time::Timestamp;

/// Length of a chunk in bytes. The chunk and its decoded segments fit into a core's own cache.
pub(super) const CHUNK_LEN: usize = 512 << 10;

/// Number of bytes that suffice to read the length of a block or to recognize a file format. No chunk is shorter.
const MIN_CHUNK_LEN: usize = 64;

/// Source of the chunks.
pub enum Source<'a> {
    /// File with random access, and its length in bytes.
    File(&'a dyn ReadAt, u64),
    /// Stream that can only be read from front to back.
    Stream(Mutex<&'a mut (dyn Read + Send)>),
    /// Stream of a capture under way. What has been read is analyzed at once, and RSTs and failures are reported while their
    /// connections go on.
    Live(Mutex<&'a mut (dyn LiveSource + Send)>),
}

/// Stream of a capture under way, and the clock by which it is read.
pub trait LiveSource {
    /// Reads some bytes, at most as many as there is room for. Waits for the first ones for a fraction of a second only: as long
    /// as nothing comes it returns a read without bytes, so that the silence can be analyzed.
    fn read(&mut self, into: &mut [u8]) -> io::Result<LiveRead>;
}

/// Result of reading from a [`LiveSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveRead {
    /// Part of the capture.
    Part {
        /// Number of bytes, 0 if none has arrived.
        length: usize,
        /// Time since the reading began.
        elapsed: Duration,
        /// Time since the last bytes arrived.
        silent: Duration,
    },
    /// End of the capture.
    End,
}

/// Reason why a capture was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Malformed capture, with the offset and the problem.
    #[error(transparent)]
    Malformed(Malformed),
    /// I/O error, and the offset at which reading stopped.
    #[error("byte {1}: {0}")]
    Io(io::Error, u64),
    /// Request of the sink to stop, and the offset up to which the capture was read.
    #[error("stopped at byte {0}, as requested")]
    Unwanted(u64),
}

/// Result of reading a capture.
#[derive(Debug)]
pub struct Ended<L> {
    /// Length of the capture in bytes, or the reason why it was not read to its end.
    pub read: Result<u64, Stopped>,
    /// Offset up to which the capture was read.
    pub position: u64,
    /// Totals of the part that was read.
    pub totals: Totals,
    /// Observers, one for each shard of the connections.
    pub observers: Vec<L>,
}

/// State of the first stage, which finds the boundaries of blocks.
#[derive(Default)]
struct Ingest {
    /// Reader of the blocks that follow; `None` until the file header has been read.
    reader: Option<Reader<'static>>,
    /// Bytes of the block that continues in the next chunk.
    carry: Vec<u8>,
    /// Block of a skipped kind that continues in the next chunk. Its bytes are not kept.
    skipped: Option<Skipped>,
    /// Offset of the unfinished block, or of the next chunk if no block is unfinished.
    position: u64,
    /// Number of frames in all earlier chunks.
    frames: u32,
    /// Counters of the hosts, which do not depend on the shards.
    hosts: Hosts,
    stopped: Option<Stopped>,
}

/// State of the last stage, which passes output to the sink.
struct Emit<'a, A> {
    sink: &'a mut A,
    totals: Totals,
    /// Offset at which the sink asked to stop.
    unwanted: Option<u64>,
}

// `Relaxed` suffices for the atomics here: the mutexes of the stages order all access to shared data, and a thread that
// reads an old value of `is_over` only reads a chunk too many.
struct Pipeline<'s, 'f, 'a, L, A> {
    source: &'s Source<'f>,
    /// Length of a chunk, in bytes.
    length: usize,
    next: AtomicU64,
    ingest: OrderedStage<Ingest>,
    reassembly: OrderedStage<(Reassembler, NatTable, HiddenPlain)>,
    tables: [OrderedStage<Table<L>>; SHARDS],
    emit: OrderedStage<Emit<'a, A>>,
    /// Reader of the blocks in chunks whose predecessors are not done, once the file header is known. It serves for
    /// guesses.
    reader: Mutex<Option<Reader<'static>>>,
    /// Time of the latest segment of a live capture, in nanoseconds since the Unix epoch.
    latest: AtomicI64,
    /// True once no further chunk is read.
    is_over: AtomicBool,
}

/// Read of the next chunk.
struct ChunkRead {
    /// Number of bytes; `None` at the end of the capture.
    length: Option<usize>,
    /// Time since the reading began, and since the last bytes arrived, if the capture is read live.
    times: Option<(Duration, Duration)>,
}

impl ChunkRead {
    fn of_length(length: usize) -> Self {
        Self {
            length: Some(length).filter(|length| *length > 0),
            times: None,
        }
    }
}

/// Block that began in an earlier chunk and ends in this one.
struct CarriedBlock {
    bytes: Vec<u8>,
    batch: Batch,
}

/// Result of the first stage for one chunk.
struct IngestedChunk {
    head: Option<CarriedBlock>,
    /// Offset in the chunk at which its first block begins.
    start: usize,
    /// Number of frames before that offset, including those of `head`.
    frames: u32,
    /// Offset in the capture up to which blocks have been read, including this chunk.
    position: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a capture to its end, or up to the first error. All connections before that point are reported to the
/// observers, one for each shard of the connections, and the sink receives the observers' output.
pub(super) fn read_all<L: ConnectionObserver, A: Sink<L::Output>>(
    source: &Source<'_>,
    analysis: &Analysis,
    observer: impl Fn() -> L,
    sink: &mut A,
) -> Ended<L> {
    let most = (analysis.max_connections / SHARDS).max(1);
    let pipeline = Pipeline {
        source,
        length: analysis.chunk_len.max(MIN_CHUNK_LEN),
        next: AtomicU64::new(0),
        ingest: OrderedStage::new(Ingest::default()),
        reassembly: OrderedStage::new(Default::default()),
        tables: std::array::from_fn(|_| OrderedStage::new(Table::new(observer(), most))),
        emit: OrderedStage::new(Emit {
            sink,
            totals: Totals::default(),
            unwanted: None,
        }),
        reader: Mutex::new(None),
        latest: AtomicI64::new(i64::MIN),
        is_over: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        for _ in 1..analysis.threads {
            let more = || run_worker(&pipeline, &mut FrameDecoder::new(&analysis.wanted));
            if thread::Builder::new().spawn_scoped(scope, more).is_err() {
                break; // a system limit is reached; one thread is enough
            }
        }
        run_worker(&pipeline, &mut FrameDecoder::new(&analysis.wanted));
    });
    let Emit {
        sink,
        totals,
        unwanted,
    } = pipeline.emit.into_inner();
    let read = match unwanted {
        Some(position) => Err(Stopped::Unwanted(position)),
        None => finish(pipeline.ingest.into_inner()).and_then(|position| whole(source, position)),
    };
    let mut tables = pipeline.tables.map(OrderedStage::into_inner);
    let position = match &read {
        Ok(position) | Err(Stopped::Io(_, position) | Stopped::Unwanted(position)) => *position,
        Err(Stopped::Malformed(malformed)) => malformed.offset,
    };
    report_open_connections(&mut tables, |outputs| {
        let through = u32::MAX;
        let totals = &totals;
        sink.accept(
            outputs,
            &Progress {
                position,
                through,
                totals,
            },
        )
    });
    Ended {
        read,
        position,
        totals,
        observers: tables.map(Table::into_listener).into(),
    }
}

/// Reports the connections that last to the end of the capture, ordered by first frame.
fn report_open_connections<L: ConnectionObserver>(
    tables: &mut [Table<L>],
    mut emit: impl FnMut(Vec<L::Output>) -> ControlFlow<()>,
) {
    /// Number of connections reported between two calls of `emit`. Their output is kept in memory meanwhile.
    const CONNECTIONS_PER_OUTPUT: usize = 1_000;
    /// Distance of the prefetch, in connections.
    const AHEAD: usize = 8;
    let open = end_tables(tables);
    // First the RSTs, which precede all these connections.
    let take_outputs = |tables: &mut [Table<L>]| {
        let outputs = tables.iter_mut().map(|table| table.take_output().0);
        outputs.collect()
    };
    if emit(take_outputs(tables)).is_break() {
        return;
    }
    let mut some = open.chunks(CONNECTIONS_PER_OUTPUT);
    loop {
        let chunk = some.next();
        let connections = chunk.unwrap_or_default();
        for (nth, (_, shard, index)) in connections.iter().enumerate() {
            if let Some((_, shard, index)) = connections.get(nth + AHEAD) {
                tables[usize::from(*shard)].prefetch_slot(*index);
            }
            tables[usize::from(*shard)].finish(*index);
        }
        // Runs at least once, because an observer may have output without an open connection.
        if emit(take_outputs(tables)).is_break() || chunk.is_none() {
            return;
        }
    }
}

/// Ends all tables. Returns the connections that are still open, ordered by first frame: that frame, the table and the
/// index of the connection in it.
fn end_tables<L: ConnectionObserver>(tables: &mut [Table<L>]) -> Vec<(u32, u8, u32)> {
    // What a connection lacks at the end is judged by the end of the capture, not by that of its shard.
    let ended = tables.iter().map(Table::now).max();
    let ended = ended.unwrap_or(Timestamp(i64::MIN));
    let of_tables: Vec<_> = tables.iter_mut().map(|table| table.end(ended)).collect();
    let mut open = Vec::with_capacity(of_tables.iter().map(Vec::len).sum());
    for (shard, of_table) in of_tables.into_iter().enumerate() {
        let shard = u8::try_from(shard).unwrap_or(0);
        let of_table = of_table.into_iter();
        open.extend(of_table.map(|(first, index)| (first, shard, index)));
    }
    sort_by_first(&mut open);
    open
}

/// Sorts connections by their first frame, of which no two are equal. There may be a million of them, which a sort digit by digit puts
/// in order much faster than one by comparisons.
fn sort_by_first(all: &mut Vec<(u32, u8, u32)>) {
    /// Number of connections up to which comparisons are faster.
    const FEW: usize = 2_048;
    const BITS: u32 = 11;
    const BUCKETS: usize = 1 << BITS;
    if all.len() <= FEW {
        all.sort_unstable();
        return;
    }
    let digit = |first: u32, shift: u32| (first >> shift) as usize % BUCKETS;
    let most = all.iter().map(|it| it.0).max().unwrap_or(0);
    let mut sorted = all.clone();
    let mut shift = 0;
    while shift < u32::BITS && most >> shift > 0 {
        let mut starts = [0_usize; BUCKETS];
        for (first, ..) in &*all {
            starts[digit(*first, shift)] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        for it in &*all {
            let start = &mut starts[digit(it.0, shift)];
            sorted[*start] = *it;
            *start += 1;
        }
        std::mem::swap(all, &mut sorted);
        shift += BITS;
    }
}

/// Checks that a file is still as long as it was when it was opened. Fails with `UnexpectedEof` if it became shorter.
fn whole(source: &Source<'_>, position: u64) -> Result<u64, Stopped> {
    match source {
        Source::File(_, length) if position < *length => {
            let shrunk = "the file became shorter while it was read";
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, shrunk);
            Err(Stopped::Io(error, position))
        }
        _ => Ok(position),
    }
}

/// Returns the length of the capture after the last chunk, or the reason why the capture was not read to its end.
fn finish(ingest: Ingest) -> Result<u64, Stopped> {
    if let Some(stopped) = ingest.stopped {
        return Err(stopped);
    }
    let offset = ingest.position;
    let malformed = |problem| Err(Stopped::Malformed(Malformed { offset, problem }));
    if let Some(block) = &ingest.skipped {
        return malformed(block.cut());
    }
    match &ingest.reader {
        // The capture ended before its format was recognized.
        None => match Reader::new(&ingest.carry) {
            Ok(_) => Ok(offset + ingest.carry.len() as u64),
            Err(error) => Err(Stopped::Malformed(error)),
        },
        Some(_) if ingest.carry.is_empty() => Ok(offset),
        Some(reader) => match reader.resume(&ingest.carry).next() {
            Some(Err(error)) => malformed(error.problem),
            _ => malformed(Problem::Begun(reader.part())),
        },
    }
}

fn run_worker<L: ConnectionObserver, A: Sink<L::Output>>(
    pipeline: &Pipeline<'_, '_, '_, L, A>,
    decoder: &mut FrameDecoder<'_>,
) {
    let mut buffer = vec![0; pipeline.length];
    let mut batch = Batch::default();
    while !pipeline.is_over.load(Ordering::Relaxed) {
        let (chunk, read) = pipeline.read_chunk(&mut buffer);
        let times = read.as_ref().ok().and_then(|read| read.times);
        let length = read.as_ref().ok().and_then(|read| read.length).unwrap_or(0);
        let bytes = &buffer[..length];
        // Decodes the chunk before its turn, from a guessed offset.
        batch.clear();
        let known = lock(&pipeline.reader).clone();
        let guessed = known.and_then(|reader| {
            let start = if chunk == 0 {
                None
            } else {
                reader.guess(bytes)
            }?;
            // The number of changes is kept, because a later section or interface makes the guess worthless.
            let end = decode_blocks(&reader, &bytes[start..], &mut batch, decoder);
            Some((start, reader.changes(), end))
        });
        let ingested = pipeline.ingest.pass(chunk, &pipeline.is_over, |ingest| {
            if pipeline.is_over.load(Ordering::Relaxed) {
                return None; // later stages would wait for the chunk before, which never comes
            }
            let ingested = match read {
                Ok(ChunkRead { length: None, .. }) => None,
                Ok(_) => Some(ingest_chunk(
                    ingest,
                    &pipeline.reader,
                    bytes,
                    guessed,
                    &mut batch,
                    decoder,
                )),
                Err(error) => {
                    let position = ingest.position + ingest.carry.len() as u64;
                    ingest.stopped = Some(Stopped::Io(error, position));
                    None
                }
            };
            if ingested.is_none() || ingest.stopped.is_some() {
                pipeline.is_over.store(true, Ordering::Relaxed);
            }
            ingested
        });
        let Some(Some(mut ingested)) = ingested else {
            return;
        };
        let batches = (&mut ingested, &mut batch);
        let has_grown = pipeline.reassemble(chunk, batches, (&mut buffer, length), decoder);
        let end = if has_grown { buffer.len() } else { length };
        pipeline.follow(chunk, ingested, (&mut batch, &buffer[..end]), times);
        // Packets that were put together may have been appended.
        buffer.resize(pipeline.length, 0);
    }
}

impl<L: ConnectionObserver, A: Sink<L::Output>> Pipeline<'_, '_, '_, L, A> {
    /// Puts the fragments of a chunk together with those before it, adds the segments of the complete packets to the
    /// batches, and joins connections on both sides of a NAT. The packets are appended to the bytes of their batch; returns true if any is appended to the buffer,
    /// behind its first `length` bytes.
    fn reassemble(
        &self,
        chunk: u64,
        (ingested, batch): (&mut IngestedChunk, &mut Batch),
        (buffer, length): (&mut Vec<u8>, usize),
        decoder: &FrameDecoder<'_>,
    ) -> bool {
        let (start, frames) = (ingested.start, ingested.frames);
        let never = AtomicBool::new(false);
        let reassembled = (self.reassembly).pass(chunk, &never, |(reassembler, nat, plain)| {
            if let Some(CarriedBlock { bytes, batch }) = &mut ingested.head {
                complete_packets(reassembler, batch, (bytes, 0), decoder);
                let before = frames.saturating_sub(batch.frames);
                plain.take(batch, before);
                nat.take(batch, before);
            }
            let has_fragments = !batch.fragments.is_empty();
            if has_fragments {
                buffer.truncate(length);
                complete_packets(reassembler, batch, (buffer, start), decoder);
            }
            plain.take(batch, frames);
            nat.take(batch, frames);
            has_fragments
        });
        reassembled.unwrap_or(false)
    }

    /// Takes a chunk through all stages after the second. Its turn always comes there, because no earlier chunk stops.
    /// `times` are those of the read, if the capture is read live.
    fn follow(
        &self,
        chunk: u64,
        ingested: IngestedChunk,
        (batch, bytes): (&mut Batch, &[u8]),
        times: Option<(Duration, Duration)>,
    ) {
        let never = AtomicBool::new(false);
        let mut head = ingested.head;
        let last = ingested.frames.saturating_add(batch.frames);
        let mut through = last;
        let stages = self.tables.iter().enumerate();
        let handed_over = stages.filter_map(|(shard, stage)| {
            stage.pass(chunk, &never, |table| {
                if let Some(CarriedBlock { bytes, batch }) = &mut head {
                    let before = ingested.frames.saturating_sub(batch.frames);
                    table.take(batch, shard, bytes, before);
                }
                table.take(batch, shard, &bytes[ingested.start..], ingested.frames);
                if let Some(times) = times {
                    table.report_live(&self.tick(last, table.now(), times));
                }
                through = through.min(table.reported_through(last));
                table.take_output()
            })
        });
        let (outputs, counts): (Vec<_>, Vec<_>) = handed_over.unzip();
        self.emit.pass(chunk, &never, |emit| {
            if emit.unwanted.is_some() {
                return;
            }
            for batch in head.iter().map(|it| &it.batch).chain([&*batch]) {
                emit.totals.add(batch);
            }
            for counts in &counts {
                emit.totals.count(counts);
            }
            let progress = Progress {
                position: ingested.position,
                through,
                totals: &emit.totals,
            };
            if emit.sink.accept(outputs, &progress).is_break() {
                emit.unwanted = Some(ingested.position);
                self.is_over.store(true, Ordering::Relaxed);
            }
        });
    }
}

impl<L, A> Pipeline<'_, '_, '_, L, A> {
    /// Returns the state of a live capture, given the last frame and the time of the latest segment of a table.
    fn tick(&self, frame: u32, now: Timestamp, (elapsed, silent): (Duration, Duration)) -> Tick {
        let latest = self.latest.fetch_max(now.0, Ordering::Relaxed).max(now.0);
        Tick {
            frame,
            latest: Timestamp(latest),
            elapsed,
            silent,
        }
    }

    /// Reads the next chunk. Returns its number as well.
    fn read_chunk(&self, bytes: &mut [u8]) -> (u64, io::Result<ChunkRead>) {
        match self.source {
            Source::File(file, length) => {
                let chunk = self.next.fetch_add(1, Ordering::Relaxed);
                let start = chunk.saturating_mul(self.length as u64);
                let left = length.saturating_sub(start).min(self.length as u64);
                let wanted = usize::try_from(left).unwrap_or(self.length);
                let read = read_at(*file, &mut bytes[..wanted], start);
                (chunk, read.map(ChunkRead::of_length))
            }
            Source::Stream(stream) => {
                // The lock is taken before the number, so that chunks are numbered in the order in which they are read.
                let mut stream = lock(stream);
                let chunk = self.next.fetch_add(1, Ordering::Relaxed);
                (chunk, fill(&mut **stream, bytes).map(ChunkRead::of_length))
            }
            Source::Live(stream) => {
                let mut stream = lock(stream);
                let chunk = self.next.fetch_add(1, Ordering::Relaxed);
                let read = stream.read(bytes).map(|read| match read {
                    LiveRead::End => ChunkRead::of_length(0),
                    LiveRead::Part {
                        length,
                        elapsed,
                        silent,
                    } => ChunkRead {
                        length: Some(length.min(bytes.len())),
                        times: Some((elapsed, silent)),
                    },
                });
                (chunk, read)
            }
        }
    }
}

/// Reads at an offset until the buffer is full or the file ends. Returns the number of bytes read.
fn read_at(file: &dyn ReadAt, bytes: &mut [u8], start: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], start + length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn fill(stream: &mut dyn Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match stream.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The bytes read so far are analyzed first. The next read fails again.
            Err(_) if length > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
