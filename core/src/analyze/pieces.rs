//! A capture in pieces that threads read side by side.
//!
//! Reading a piece and looking at each header needs no other piece, but for where its first block begins. That is guessed; when
//! it is the turn of the piece it is known, and a wrong guess costs reading it once more. Then its segments are taken in by one
//! [table](super::table) after the other, and at last what these had to say is heard. At each of these stages the pieces pass one
//! by one and in the order of the file, so the answer does not depend on how many threads there are; and while one piece is at
//! one stage the next may be at that before.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::batch::{Batch, Look, SHARES, Wanted};
use super::table::{Audience, Listener, Table, Totals};
use crate::file::{Block, LONGEST_BLOCK, Malformed, Problem, ReadAt, Reader, Skipped};

/// Length of a piece, in bytes: it and what was seen in it stay in a core's own cache.
pub const PIECE: usize = 512 << 10;

/// More than it takes to say how long a block is, or what a file is. No piece is shorter.
const SOME: usize = 64;

/// Where pieces come from.
pub enum Source<'a> {
    /// A file of this length in bytes, which can be read anywhere.
    File(&'a dyn ReadAt, u64),
    /// What can only be read from front to back.
    Stream(Mutex<&'a mut (dyn Read + Send)>),
}

/// Why a capture was not read to its end.
#[derive(Debug)]
pub enum Stopped {
    /// What it says is wrong.
    Malformed(Malformed),
    /// It could not be read any further than this.
    Io(io::Error, u64),
    /// Nothing behind this was wanted.
    Unwanted(u64),
}

/// What reading a capture came to.
#[derive(Debug)]
pub struct Ended<L> {
    /// How many bytes it has, or why it was not read to its end.
    pub read: Result<u64, Stopped>,
    /// Up to which byte it was read.
    pub position: u64,
    /// What it amounts to, as far as it was read.
    pub totals: Totals,
    /// Who was told of its connections: one of each share of them.
    pub listeners: Vec<L>,
}

/// Where pieces pass one by one, in the order of the file.
struct Stage<T> {
    turn: Mutex<Turn<T>>,
    passed: Condvar,
    /// The same number as in the turn, to be looked at without it.
    whose: AtomicU64,
}

struct Turn<T> {
    /// Number of the piece whose turn it is.
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

    /// Does this when it is the turn of this piece, and passes the turn on. `None` if that does not come, since all is over.
    fn pass<R>(
        &self,
        piece: u64,
        is_over: &AtomicBool,
        what: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        self.wait_a_little(piece, is_over);
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
        drop(turn);
        self.passed.notify_all();
        Some(result)
    }

    /// The turn comes soon, as a rule, and to be woken takes longer than that. It is no more than a saving: who has waited in
    /// vain here lets others have the processor, and then goes to sleep.
    fn wait_a_little(&self, piece: u64, is_over: &AtomicBool) {
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

/// The first stage: where blocks begin.
#[derive(Default)]
struct Front {
    /// Reads what follows; `None` before the beginning of the file.
    reader: Option<Reader<'static>>,
    /// The block that has begun and goes on in the next piece.
    carry: Vec<u8>,
    /// A block of a kind that is skipped; its bytes are not kept.
    skipped: Option<Skipped>,
    /// Where that begins, or else the next piece.
    position: u64,
    /// How many frames came before.
    frames: u32,
    stopped: Option<Stopped>,
}

/// The last one: what is told is heard.
struct Back<'a, A> {
    audience: &'a mut A,
    totals: Totals,
    /// Up to where it was heard, if nothing more is wanted.
    unwanted: Option<u64>,
}

struct Shared<'s, 'f, 'a, L, A> {
    source: &'s Source<'f>,
    /// Length of a piece, in bytes.
    length: usize,
    next: AtomicU64,
    front: Stage<Front>,
    tables: [Stage<Table<L>>; SHARES],
    back: Stage<Back<'a, A>>,
    /// What the blocks of an ordinary piece are read by, as soon as that is known.
    reader: Mutex<Option<Reader<'static>>>,
    /// No other piece is begun with.
    is_over: AtomicBool,
}

/// The block that began in an earlier piece and ends in this one.
struct Head {
    bytes: Vec<u8>,
    batch: Batch,
}

/// What the first stage makes of a piece.
struct Begun {
    head: Option<Head>,
    /// Where the first block that begins in it does.
    start: usize,
    /// How many frames came before, its head included.
    frames: u32,
    /// What of the capture has been taken in with this.
    position: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a capture is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'w> {
    /// By how many threads, or as many of them as can be started; the caller's is one.
    pub threads: usize,
    /// In pieces of so many bytes; usually [`PIECE`].
    pub piece: usize,
    /// What is to be seen in it.
    pub wanted: &'w Wanted,
    /// How many connections may live at the same time; usually [`MOST_CONNECTIONS`](super::table::MOST_CONNECTIONS).
    pub most: usize,
}

/// Reads a capture to its end. Everything before the place where it stopped has been taken in; the listeners, one of each share of
/// the connections, are told of these, and the audience hears what they say.
pub fn read_all<L: Listener, A: Audience<L::Said>>(
    source: &Source<'_>,
    manner: Manner<'_>,
    listener: impl Fn() -> L,
    audience: &mut A,
) -> Ended<L> {
    let most = (manner.most / SHARES).max(1);
    let shared = Shared {
        source,
        length: manner.piece.max(SOME),
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
        for _ in 1..manner.threads {
            let more = || work(&shared, &mut Look::new(manner.wanted));
            if thread::Builder::new().spawn_scoped(scope, more).is_err() {
                break; // a limit is reached, and those that are there are enough: one is
            }
        }
        work(&shared, &mut Look::new(manner.wanted));
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
    tell_the_rest(&mut tables, |said| audience.hear(said, position, &totals));
    Ended {
        read,
        position,
        totals,
        listeners: tables.map(Table::into_listener).into(),
    }
}

/// Tells of what still lives when a capture is at its end, in the order of the first frames.
fn tell_the_rest<L: Listener>(
    tables: &mut [Table<L>],
    mut hear: impl FnMut(Vec<L::Said>) -> ControlFlow<()>,
) {
    /// So many are told of before it is heard: it takes memory.
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
        // Once at least: a listener may have something to say without one.
        let said = tables.iter_mut().map(|table| table.hand_over().0).collect();
        if hear(said).is_break() || chunk.is_none() {
            return;
        }
    }
}

/// A file has to be as long as it was when it was opened.
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

/// What there is to say when all pieces have been taken in.
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
        // It ended before it could be recognised.
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

fn work<L: Listener, A: Audience<L::Said>>(shared: &Shared<'_, '_, '_, L, A>, look: &mut Look<'_>) {
    let mut bytes = vec![0; shared.length];
    let mut batch = Batch::default();
    while !shared.is_over.load(Ordering::Relaxed) {
        let (piece, read) = shared.fetch(&mut bytes);
        let bytes = &bytes[..*read.as_ref().unwrap_or(&0)];
        // Before its turn, by a guess.
        batch.clear();
        let known = lock(&shared.reader).clone();
        let guessed = known.and_then(|reader| {
            let start = if piece == 0 {
                None
            } else {
                reader.guess(bytes)
            }?;
            let end = walk(&reader, &bytes[start..], &mut batch, look);
            Some((start, reader.changes(), end))
        });
        let begun = shared.front.pass(piece, &shared.is_over, |front| {
            if shared.is_over.load(Ordering::Relaxed) {
                return None; // the piece before it has not gone on, and it would wait for that
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

impl<L: Listener, A: Audience<L::Said>> Shared<'_, '_, '_, L, A> {
    /// Takes a piece through the stages behind the first. Its turn comes at each of them, since no piece before it stops.
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
                table.hand_over()
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
            if (back.audience.hear(said, begun.position, &back.totals)).is_break() {
                back.unwanted = Some(begun.position);
                self.is_over.store(true, Ordering::Relaxed);
            }
        });
    }
}

impl<L, A> Shared<'_, '_, '_, L, A> {
    /// The next piece, its number, and how long it is; nothing at the end.
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
                let mut stream = lock(stream);
                let piece = self.next.fetch_add(1, Ordering::Relaxed);
                (piece, fill(&mut **stream, bytes))
            }
        }
    }
}

/// As much as there is.
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
            // What came before it is taken in first; the next read fails again.
            Err(_) if length > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// How far a walk came, and what it would go on with.
struct End {
    /// Where the next block begins.
    offset: usize,
    reader: Reader<'static>,
    problem: Option<Problem>,
}

/// Looks at every frame of these bytes, at whose beginning a block begins.
fn walk(reader: &Reader<'_>, bytes: &[u8], batch: &mut Batch, look: &mut Look<'_>) -> End {
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

/// Finds out what begins in a piece, when that is known of all before it.
fn begin(
    front: &mut Front,
    ordinary: &Mutex<Option<Reader<'static>>>,
    bytes: &[u8],
    guessed: Option<(usize, u64, End)>,
    batch: &mut Batch,
    look: &mut Look<'_>,
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
    // By what is read behind it, for there may be another byte order.
    front.reader = Some(end.reader);
    stop_if_broken(front, end.problem);
    (begun.start, begun.position) = (start, front.position);
    begun
}

/// A block that ends behind its piece is no broken one: it is skipped if it is of no kind that is read, and else kept, unless
/// it is too long for that.
fn stop_if_broken(front: &mut Front, problem: Option<Problem>) {
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

/// Skips the block that has begun, if it is of a kind that is skipped.
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

/// Goes on skipping in a piece, from here on. Where in it the next block begins, if it does.
fn go_on_skipping(front: &mut Front, bytes: &[u8], from: usize) -> Option<usize> {
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

/// Completes the block that has begun in an earlier piece, or the beginning of the file. Where in this piece the next block
/// begins; `None` if it is not in it, or there is none.
fn complete(
    front: &mut Front,
    ordinary: &Mutex<Option<Reader<'static>>>,
    bytes: &[u8],
    look: &mut Look<'_>,
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
                // The header of a classic pcap is in the piece that it begins in, since a piece has room for it.
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
        return (None, go_on_skipping(front, bytes, 0));
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
        // Only the first block: those behind it are in the piece.
        let (first, end) = first_block(&reader, &carry, &mut batch, look);
        match first {
            Ok(length) if length > before => {
                front.position += length as u64;
                // What is behind it is taken from the piece.
                front.reader = Some(end);
                let head = Head {
                    bytes: carry,
                    batch,
                };
                return (Some(head), Some(length - before));
            }
            Ok(_) => {
                front.carry = carry;
                stop_if_broken(front, Some(Problem::Fields));
                return (None, None);
            }
            Err(problem) => {
                front.carry = carry;
                stop_if_broken(front, Some(problem));
                if front.skipped.is_some() {
                    return (None, go_on_skipping(front, bytes, taken));
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

/// Looks at the first block of these bytes: how long it is, and what reads what follows.
fn first_block(
    reader: &Reader<'_>,
    bytes: &[u8],
    batch: &mut Batch,
    look: &mut Look<'_>,
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
