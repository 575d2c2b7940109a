//! Pipeline that reads a capture in pieces, in parallel threads.
//!
//! A thread can decode the headers of a piece without any other piece, except for the offset of its first block. The
//! thread guesses this offset; when all earlier pieces are done the offset is known, and after a wrong guess the piece
//! is read once more. Then one [table](super::table) after the other takes in the segments of the piece, and the
//! audience receives the output of the tables. The pieces pass each of these stages one by one, in the order of the
//! file, so the result does not depend on the number of threads. While one piece is at a stage, the next one can be at
//! the stage before.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Analysis;
use super::batch::{Batch, FrameDecoder, SHARES};
use super::table::{ConnectionObserver, Sink, Table, Totals};
use crate::file::{Block, LONGEST_BLOCK, Malformed, Problem, ReadAt, Reader, Skipped};

/// Length of a piece in bytes. The piece and its decoded segments fit into a core's own cache.
pub const PIECE: usize = 512 << 10;

/// Number of bytes that suffice to read the length of a block or to recognize a file format. No piece is shorter.
const SOME: usize = 64;

/// Source of the pieces.
pub enum Source<'a> {
    /// File with random access, and its length in bytes.
    File(&'a dyn ReadAt, u64),
    /// Stream that can only be read from front to back.
    Stream(Mutex<&'a mut (dyn Read + Send)>),
}

/// Reason why a capture was not read to its end.
#[derive(Debug)]
pub enum Stopped {
    /// Malformed capture, with the offset and the problem.
    Malformed(Malformed),
    /// I/O error, and the offset at which reading stopped.
    Io(io::Error, u64),
    /// Request of the audience to stop, and the offset up to which the capture was read.
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
    /// Listeners, one for each share of the connections.
    pub listeners: Vec<L>,
}

/// Stage that pieces pass one by one, in the order of the file.
struct Stage<T> {
    turn: Mutex<Turn<T>>,
    passed: Condvar,
    /// Copy of the number in `turn`, readable without the lock.
    whose: AtomicU64,
}

struct Turn<T> {
    /// Number of the piece that may enter the stage next.
    piece: u64,
    what: T,
}

impl<T> Stage<T> {
    fn new(what: T) -> Self {
        Self {
            turn: Mutex::new(Turn { piece: 0, what }),
            passed: Condvar::new(),
            whose: AtomicU64::new(0),
        }
    }

    /// Runs a function once all earlier pieces have passed the stage, and then lets the next piece in. Returns `None`
    /// if reading is over before that.
    fn pass<R>(
        &self,
        piece: u64,
        is_over: &AtomicBool,
        what: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        self.spin_until_turn(piece, is_over);
        let mut turn = lock(&self.turn);
        while turn.piece != piece {
            if is_over.load(Ordering::Relaxed) {
                return None;
            }
            turn = self
                .passed
                .wait(turn)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let result = what(&mut turn.what);
        turn.piece += 1;
        self.whose.store(turn.piece, Ordering::Release);
        // Unlocks before waking, so that the woken thread does not block on the mutex. Each thread waits for another
        // piece, so all are woken.
        drop(turn);
        self.passed.notify_all();
        Some(result)
    }

    /// Spins, then yields, until the stage is free for this piece or a limit is reached.
    ///
    /// The wait is usually shorter than the time to wake a sleeping thread, so this is only an optimization:
    /// [`Self::pass`] sleeps if the turn has not come by then.
    fn spin_until_turn(&self, piece: u64, is_over: &AtomicBool) {
        const LOOKS: u32 = 1_000;
        const YIELDS: u32 = 100;
        for look in 0..LOOKS + YIELDS {
            if self.whose.load(Ordering::Acquire) == piece || is_over.load(Ordering::Relaxed) {
                return;
            }
            if look < LOOKS {
                std::hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }

    fn into_inner(self) -> T {
        let turn = self.turn.into_inner();
        turn.unwrap_or_else(PoisonError::into_inner).what
    }
}

/// State of the first stage, which finds the boundaries of blocks.
#[derive(Default)]
struct Front {
    /// Reader of the blocks that follow; `None` until the file header has been read.
    reader: Option<Reader<'static>>,
    /// Bytes of the block that continues in the next piece.
    carry: Vec<u8>,
    /// Block of a skipped kind that continues in the next piece. Its bytes are not kept.
    skipped: Option<Skipped>,
    /// Offset of the unfinished block, or of the next piece if no block is unfinished.
    position: u64,
    /// Number of frames in all earlier pieces.
    frames: u32,
    stopped: Option<Stopped>,
}

/// State of the last stage, which passes output to the audience.
struct Back<'a, A> {
    audience: &'a mut A,
    totals: Totals,
    /// Offset at which the audience asked to stop.
    unwanted: Option<u64>,
}

// `Relaxed` suffices for the atomics here: the mutexes of the stages order all access to shared data, and a thread that
// reads an old value of `is_over` only reads a piece too many.
struct Shared<'s, 'f, 'a, L, A> {
    source: &'s Source<'f>,
    /// Length of a piece, in bytes.
    length: usize,
    next: AtomicU64,
    front: Stage<Front>,
    tables: [Stage<Table<L>>; SHARES],
    back: Stage<Back<'a, A>>,
    /// Reader of the blocks in pieces whose predecessors are not done, once the file header is known. It serves for
    /// guesses.
    reader: Mutex<Option<Reader<'static>>>,
    /// True once no further piece is read.
    is_over: AtomicBool,
}

/// Block that began in an earlier piece and ends in this one.
struct Head {
    bytes: Vec<u8>,
    batch: Batch,
}

/// Result of the first stage for one piece.
struct Begun {
    head: Option<Head>,
    /// Offset in the piece at which its first block begins.
    start: usize,
    /// Number of frames before that offset, including those of `head`.
    frames: u32,
    /// Offset in the capture up to which blocks have been read, including this piece.
    position: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a capture to its end, or up to the first error. All connections before that point are reported to the
/// listeners, one for each share of the connections, and the audience receives the listeners' output.
pub(super) fn read_all<L: ConnectionObserver, A: Sink<L::Output>>(
    source: &Source<'_>,
    analysis: &Analysis,
    listener: impl Fn() -> L,
    audience: &mut A,
) -> Ended<L> {
    let most = (analysis.max_connections / SHARES).max(1);
    let shared = Shared {
        source,
        length: analysis.piece_len.max(SOME),
        next: AtomicU64::new(0),
        front: Stage::new(Front::default()),
        tables: std::array::from_fn(|_| Stage::new(Table::new(listener(), most))),
        back: Stage::new(Back {
            audience,
            totals: Totals::default(),
            unwanted: None,
        }),
        reader: Mutex::new(None),
        is_over: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        for _ in 1..analysis.threads {
            let more = || work(&shared, &mut FrameDecoder::new(&analysis.wanted));
            if thread::Builder::new().spawn_scoped(scope, more).is_err() {
                break; // a system limit is reached; one thread is enough
            }
        }
        work(&shared, &mut FrameDecoder::new(&analysis.wanted));
    });
    let Back {
        audience,
        totals,
        unwanted,
    } = shared.back.into_inner();
    let read = match unwanted {
        Some(position) => Err(Stopped::Unwanted(position)),
        None => finish(shared.front.into_inner()).and_then(|position| whole(source, position)),
    };
    let mut tables = shared.tables.map(Stage::into_inner);
    let position = match &read {
        Ok(position) | Err(Stopped::Io(_, position) | Stopped::Unwanted(position)) => *position,
        Err(Stopped::Malformed(malformed)) => malformed.offset,
    };
    report_open_connections(&mut tables, |said| audience.accept(said, position, &totals));
    Ended {
        read,
        position,
        totals,
        listeners: tables.map(Table::into_listener).into(),
    }
}

/// Reports the connections still open at the end of the capture, ordered by first frame.
fn report_open_connections<L: ConnectionObserver>(
    tables: &mut [Table<L>],
    mut hear: impl FnMut(Vec<L::Output>) -> ControlFlow<()>,
) {
    /// Number of connections reported between two calls of `hear`. Their output is kept in memory meanwhile.
    const SOME: usize = 1_000;
    let mut left = Vec::new();
    for (share, table) in tables.iter_mut().enumerate() {
        let living = table.end().into_iter();
        left.extend(living.map(|(first, place)| (first, share, place)));
    }
    left.sort_unstable();
    let mut some = left.chunks(SOME);
    loop {
        let chunk = some.next();
        for (_, share, place) in chunk.into_iter().flatten() {
            tables[*share].retire(*place);
        }
        // Runs at least once, because a listener may have output without an open connection.
        let said = tables
            .iter_mut()
            .map(|table| table.take_output().0)
            .collect();
        if hear(said).is_break() || chunk.is_none() {
            return;
        }
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

/// Returns the length of the capture after the last piece, or the reason why the capture was not read to its end.
fn finish(front: Front) -> Result<u64, Stopped> {
    if let Some(stopped) = front.stopped {
        return Err(stopped);
    }
    let offset = front.position;
    let malformed = |problem| Err(Stopped::Malformed(Malformed { offset, problem }));
    if let Some(block) = &front.skipped {
        return malformed(block.cut());
    }
    match &front.reader {
        // The capture ended before its format was recognized.
        None => match Reader::new(&front.carry) {
            Ok(_) => Ok(offset + front.carry.len() as u64),
            Err(error) => Err(Stopped::Malformed(error)),
        },
        Some(_) if front.carry.is_empty() => Ok(offset),
        Some(reader) => match reader.go_on(&front.carry).next() {
            Some(Err(error)) => malformed(error.problem),
            _ => malformed(Problem::Begun(reader.part())),
        },
    }
}

fn work<L: ConnectionObserver, A: Sink<L::Output>>(
    shared: &Shared<'_, '_, '_, L, A>,
    look: &mut FrameDecoder<'_>,
) {
    let mut bytes = vec![0; shared.length];
    let mut batch = Batch::default();
    while !shared.is_over.load(Ordering::Relaxed) {
        let (piece, read) = shared.fetch(&mut bytes);
        let bytes = &bytes[..*read.as_ref().unwrap_or(&0)];
        // Decodes the piece before its turn, from a guessed offset.
        batch.clear();
        let known = lock(&shared.reader).clone();
        let guessed = known.and_then(|reader| {
            let start = if piece == 0 {
                None
            } else {
                reader.guess(bytes)
            }?;
            // The number of changes is kept, because a later section or interface makes the guess worthless.
            let end = walk(&reader, &bytes[start..], &mut batch, look);
            Some((start, reader.changes(), end))
        });
        let begun = shared.front.pass(piece, &shared.is_over, |front| {
            if shared.is_over.load(Ordering::Relaxed) {
                return None; // later stages would wait for the piece before, which never comes
            }
            let begun = match read {
                Ok(0) => None,
                Ok(_) => Some(begin(
                    front,
                    &shared.reader,
                    bytes,
                    guessed,
                    &mut batch,
                    look,
                )),
                Err(error) => {
                    let position = front.position + front.carry.len() as u64;
                    front.stopped = Some(Stopped::Io(error, position));
                    None
                }
            };
            if begun.is_none() || front.stopped.is_some() {
                shared.is_over.store(true, Ordering::Relaxed);
            }
            begun
        });
        let Some(Some(begun)) = begun else { return };
        shared.follow(piece, begun, &mut batch, bytes);
    }
}

impl<L: ConnectionObserver, A: Sink<L::Output>> Shared<'_, '_, '_, L, A> {
    /// Takes a piece through all stages after the first. Its turn always comes there, because no earlier piece stops.
    fn follow(&self, piece: u64, begun: Begun, batch: &mut Batch, bytes: &[u8]) {
        let never = AtomicBool::new(false);
        let mut head = begun.head;
        let stages = self.tables.iter().enumerate();
        let handed_over = stages.filter_map(|(share, stage)| {
            stage.pass(piece, &never, |table| {
                if let Some(Head { bytes, batch }) = &mut head {
                    let before = begun.frames.saturating_sub(batch.frames);
                    table.take(&mut batch.segments[share], bytes, before);
                }
                let (segments, bytes) = (&mut batch.segments[share], &bytes[begun.start..]);
                table.take(segments, bytes, begun.frames);
                table.take_output()
            })
        });
        let (said, counts): (Vec<_>, Vec<_>) = handed_over.unzip();
        self.back.pass(piece, &never, |back| {
            if back.unwanted.is_some() {
                return;
            }
            for batch in head.iter().map(|it| &it.batch).chain([&*batch]) {
                back.totals.add(batch);
            }
            for counts in &counts {
                back.totals.count(counts);
            }
            if (back.audience.accept(said, begun.position, &back.totals)).is_break() {
                back.unwanted = Some(begun.position);
                self.is_over.store(true, Ordering::Relaxed);
            }
        });
    }
}

impl<L, A> Shared<'_, '_, '_, L, A> {
    /// Reads the next piece. Returns its number and its length, which is 0 at the end.
    fn fetch(&self, bytes: &mut [u8]) -> (u64, io::Result<usize>) {
        match self.source {
            Source::File(file, length) => {
                let piece = self.next.fetch_add(1, Ordering::Relaxed);
                let start = piece.saturating_mul(self.length as u64);
                let left = length.saturating_sub(start).min(self.length as u64);
                let wanted = usize::try_from(left).unwrap_or(self.length);
                (piece, read_at(*file, &mut bytes[..wanted], start))
            }
            Source::Stream(stream) => {
                // The lock is taken before the number, so that pieces are numbered in the order in which they are read.
                let mut stream = lock(stream);
                let piece = self.next.fetch_add(1, Ordering::Relaxed);
                (piece, fill(&mut **stream, bytes))
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

/// End of a walk over the blocks of a piece.
struct End {
    /// Offset at which the next block begins.
    offset: usize,
    reader: Reader<'static>,
    problem: Option<Problem>,
}

/// Decodes every frame in these bytes, at whose beginning a block begins.
fn walk(reader: &Reader<'_>, bytes: &[u8], batch: &mut Batch, look: &mut FrameDecoder<'_>) -> End {
    let mut reader = reader.go_on(bytes);
    let mut problem = None;
    loop {
        while let Some(frame) = reader.frame() {
            look.at(batch, &reader, &frame, bytes);
        }
        let Some(block) = reader.next() else { break };
        match block {
            Ok(Block::Frame(frame)) => look.at(batch, &reader, &frame, bytes),
            Ok(Block::Statistics(counted)) => batch.count(&counted),
            // The reader itself keeps track of these.
            Ok(Block::Interface(_) | Block::Section(_)) => {}
            Err(error) => problem = Some(error.problem),
        }
    }
    End {
        offset: reader.offset(),
        reader: reader.go_on(&[]),
        problem,
    }
}

/// Completes the first stage for a piece, once the reader and the unfinished block of all earlier pieces are known.
fn begin(
    front: &mut Front,
    ordinary: &Mutex<Option<Reader<'static>>>,
    bytes: &[u8],
    guessed: Option<(usize, u64, End)>,
    batch: &mut Batch,
    look: &mut FrameDecoder<'_>,
) -> Begun {
    let (head, start) = complete(front, ordinary, bytes, look);
    let in_head = head.as_ref().map_or(0, |it| it.batch.frames);
    let mut begun = Begun {
        head,
        start: bytes.len(),
        frames: front.frames.saturating_add(in_head),
        position: front.position,
    };
    front.frames = begun.frames;
    let (Some(start), Some(reader)) = (start, &front.reader) else {
        batch.clear();
        return begun;
    };
    let is_right = guessed
        .as_ref()
        .is_some_and(|(guess, changes, _)| *guess == start && *changes == reader.changes());
    let end = match guessed {
        Some((_, _, end)) if is_right => end,
        _ => {
            batch.clear();
            walk(reader, &bytes[start..], batch, look)
        }
    };
    front.frames = front.frames.saturating_add(batch.frames);
    front.carry.clear();
    front.carry.extend_from_slice(&bytes[start + end.offset..]);
    front.position += end.offset as u64;
    if front.reader.as_ref().map(Reader::changes) != Some(end.reader.changes()) {
        *lock(ordinary) = Some(end.reader.clone());
    }
    // The reader at the end of the piece continues, because a new section may have changed the byte order.
    front.reader = Some(end.reader);
    record_problem(front, end.problem);
    (begun.start, begun.position) = (start, front.position);
    begun
}

/// Records the problem that ended a walk, unless the block is only unfinished. A block that ends after its piece is
/// skipped if it is of a skipped kind, and else kept, unless it is too long for that.
fn record_problem(front: &mut Front, problem: Option<Problem>) {
    let is_cut = match problem {
        None | Some(Problem::Begun(_)) => true,
        Some(Problem::Cut { length, .. }) => skip(front) || length <= LONGEST_BLOCK,
        Some(_) => false,
    };
    if let Some(problem) = problem.filter(|_| !is_cut) {
        let problem = match problem {
            Problem::Cut { part, length, .. } => Problem::TooLong {
                part,
                length,
                most: LONGEST_BLOCK,
            },
            other => other,
        };
        front.stopped = Some(Stopped::Malformed(Malformed {
            offset: front.position,
            problem,
        }));
    }
}

/// Starts to skip the unfinished block, if it is of a skipped kind. Returns true in this case.
fn skip(front: &mut Front) -> bool {
    let reader = front.reader.as_ref();
    front.skipped = reader.and_then(|reader| reader.skipped(&front.carry));
    let Some(block) = &mut front.skipped else {
        return false;
    };
    block.pass(&front.carry);
    front.carry.clear();
    true
}

/// Continues to skip a block in a piece, from an offset on. Returns the offset at which the next block begins, if it
/// does so in this piece.
fn continue_skipping(front: &mut Front, bytes: &[u8], from: usize) -> Option<usize> {
    let block = front.skipped.as_mut()?;
    let start = from + block.pass(&bytes[from..]);
    match block.end()? {
        Ok(length) => {
            front.position += u64::from(length);
            front.skipped = None;
            Some(start)
        }
        Err(problem) => {
            front.skipped = None;
            front.stopped = Some(Stopped::Malformed(Malformed {
                offset: front.position,
                problem,
            }));
            None
        }
    }
}

/// Completes the block or the file header that began in an earlier piece. Returns the block, and the offset in this
/// piece at which the next block begins; `None` if no block begins in the piece.
fn complete(
    front: &mut Front,
    ordinary: &Mutex<Option<Reader<'static>>>,
    bytes: &[u8],
    look: &mut FrameDecoder<'_>,
) -> (Option<Head>, Option<usize>) {
    let before = front.carry.len();
    if front.reader.is_none() {
        front
            .carry
            .extend_from_slice(&bytes[..bytes.len().min(SOME)]);
        match Reader::new(&front.carry) {
            Ok(reader) => {
                let header = reader.offset();
                let reader = reader.go_on(&[]).without_comments();
                *lock(ordinary) = Some(reader.clone());
                front.reader = Some(reader);
                front.carry.clear();
                front.position += header as u64;
                // The header of a classic pcap lies in the piece that it begins in, because a piece has room for it.
                return (None, Some(header - before.min(header)));
            }
            Err(error) => {
                let may_become_one = front.carry.len() < SOME
                    && matches!(error.problem, Problem::Header { .. } | Problem::Empty);
                if !may_become_one {
                    front.stopped = Some(Stopped::Malformed(error));
                }
                return (None, None);
            }
        }
    }
    if front.skipped.is_some() {
        return (None, continue_skipping(front, bytes, 0));
    }
    if before == 0 {
        return (None, Some(0));
    }
    let Some(reader) = front.reader.clone() else {
        return (None, None);
    };
    let mut taken = 0;
    let mut wanted = SOME;
    loop {
        let more = bytes.len().min(wanted.max(taken));
        front.carry.extend_from_slice(&bytes[taken..more]);
        taken = more;
        let carry = std::mem::take(&mut front.carry);
        let mut batch = Batch::default();
        // Reads only the first block. The blocks after it lie in the piece itself.
        let (first, end) = first_block(&reader, &carry, &mut batch, look);
        match first {
            Ok(length) if length > before => {
                front.position += length as u64;
                // The bytes after the block are read from the piece.
                front.reader = Some(end);
                let head = Head {
                    bytes: carry,
                    batch,
                };
                return (Some(head), Some(length - before));
            }
            Ok(_) => {
                front.carry = carry;
                record_problem(front, Some(Problem::Fields));
                return (None, None);
            }
            Err(problem) => {
                front.carry = carry;
                record_problem(front, Some(problem));
                if front.skipped.is_some() {
                    return (None, continue_skipping(front, bytes, taken));
                }
                if front.stopped.is_some() || taken == bytes.len() {
                    return (None, None);
                }
                wanted = match problem {
                    Problem::Cut { length, .. } => usize::try_from(length)
                        .unwrap_or(usize::MAX)
                        .saturating_sub(before),
                    _ => taken + SOME,
                };
            }
        }
    }
}

/// Decodes the first block of these bytes. Returns its length, and the reader for the bytes after it.
fn first_block(
    reader: &Reader<'_>,
    bytes: &[u8],
    batch: &mut Batch,
    look: &mut FrameDecoder<'_>,
) -> (Result<usize, Problem>, Reader<'static>) {
    let mut reader = reader.go_on(bytes);
    let first = reader.one_block();
    let length = match first {
        Err(problem) => Err(problem),
        Ok(block) => {
            match block {
                Some(Block::Frame(frame)) => look.at(batch, &reader, &frame, bytes),
                Some(Block::Statistics(counted)) => batch.count(&counted),
                _ => {}
            }
            Ok(reader.offset())
        }
    };
    (length, reader.go_on(&[]))
}
