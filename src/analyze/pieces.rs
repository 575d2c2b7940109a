//! A capture in pieces that threads read side by side, and take in one after the other.
//!
//! Reading a file and looking at each header is most of the work, and no piece needs another one for it, but for where its
//! first block begins. That is guessed; when all before the piece is taken in it is known, and a wrong guess costs reading
//! the piece once more. So whatever is taken in, is in the order of the file and by one thread at a time, and the answer does
//! not depend on how many there are.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::batch::{Batch, Look, Wanted};
use crate::file::{Block, Malformed, Problem, Reader};

/// Length of a piece, in bytes: it and what was seen in it stay in a core's own cache.
pub const PIECE: usize = 512 << 10;

/// More than it takes to say how long a block is, or what a file is. No piece is shorter.
const SOME: usize = 64;

/// No block is longer. What one says of itself may be a lie, and until it is whole it is kept.
const LONGEST_BLOCK: u64 = 64 << 20;

/// Where pieces come from.
pub enum Source<'a> {
    /// A file of this length, which can be read anywhere.
    File(&'a File, u64),
    /// What can only be read from front to back.
    Stream(Mutex<&'a mut (dyn Read + Send)>),
}

/// What takes in what was seen, in the order of the file.
pub trait Taker: Send {
    /// Takes in what was seen in these bytes.
    fn take(&mut self, batch: &mut Batch, bytes: &[u8]);

    /// So many bytes of the capture have been taken in. Whether to go on.
    fn progress(&mut self, position: u64) -> ControlFlow<()>;
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

/// What is handed from the piece before to the next one.
struct Turn<'t, T> {
    /// Number of the piece whose turn it is.
    piece: u64,
    /// Reads what follows; `None` before the beginning of the file.
    reader: Option<Reader<'static>>,
    /// The block that has begun and goes on in the next piece.
    carry: Vec<u8>,
    /// Where that begins, or else the next piece.
    position: u64,
    taker: &'t mut T,
    stopped: Option<Stopped>,
}

struct Shared<'s, 'f, 't, T> {
    source: &'s Source<'f>,
    /// Length of a piece, in bytes.
    length: usize,
    next: AtomicU64,
    turn: Mutex<Turn<'t, T>>,
    passed: Condvar,
    /// The same number as in the turn, to be looked at without it.
    whose: AtomicU64,
    /// What the blocks of an ordinary piece are read by, as soon as that is known.
    reader: Mutex<Option<Reader<'static>>>,
    is_over: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panics takes the others along: there is no half of an answer.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a capture to its end with so many threads, in pieces of so many bytes; usually of [`PIECE`]. Everything before the
/// place where it stopped has been taken in.
pub fn read_all<T: Taker>(
    source: &Source<'_>,
    threads: usize,
    piece: usize,
    wanted: &Wanted,
    taker: &mut T,
) -> Result<u64, Stopped> {
    let shared = Shared {
        source,
        length: piece.max(SOME),
        next: AtomicU64::new(0),
        turn: Mutex::new(Turn {
            piece: 0,
            reader: None,
            carry: Vec::new(),
            position: 0,
            taker,
            stopped: None,
        }),
        passed: Condvar::new(),
        whose: AtomicU64::new(0),
        reader: Mutex::new(None),
        is_over: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| work(&shared, &mut Look::new(wanted)));
        }
        work(&shared, &mut Look::new(wanted));
    });
    let turn = shared
        .turn
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let position = finish(turn)?;
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
fn finish<T: Taker>(turn: Turn<'_, T>) -> Result<u64, Stopped> {
    if let Some(stopped) = turn.stopped {
        return Err(stopped);
    }
    let offset = turn.position;
    let malformed = |problem| Err(Stopped::Malformed(Malformed { offset, problem }));
    match &turn.reader {
        // It ended before it could be recognised.
        None => match Reader::new(&turn.carry) {
            Ok(_) => Ok(offset + turn.carry.len() as u64),
            Err(error) => Err(Stopped::Malformed(error)),
        },
        Some(_) if turn.carry.is_empty() => Ok(offset),
        Some(reader) => match reader.go_on(&turn.carry).next() {
            Some(Err(error)) => malformed(error.problem),
            _ => malformed(Problem::Begun),
        },
    }
}

fn work<T: Taker>(shared: &Shared<'_, '_, '_, T>, look: &mut Look<'_>) {
    let mut bytes = vec![0; shared.length];
    let mut batch = Batch::default();
    while !shared.is_over.load(Ordering::Relaxed) {
        let (piece, read) = shared.fetch(&mut bytes);
        let length = match &read {
            Ok(length) => *length,
            Err(_) => 0,
        };
        let bytes = &bytes[..length];
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
        shared.wait_a_little(piece);
        let mut turn = lock(&shared.turn);
        while turn.piece != piece && !shared.is_over.load(Ordering::Relaxed) {
            turn = shared
                .passed
                .wait(turn)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if shared.is_over.load(Ordering::Relaxed) {
            return;
        }
        match read {
            Ok(0) => shared.is_over.store(true, Ordering::Relaxed),
            Ok(_) => {
                take_in(shared, &mut turn, bytes, guessed, &mut batch, look);
                if turn.stopped.is_some() {
                    shared.is_over.store(true, Ordering::Relaxed);
                }
            }
            Err(error) => {
                let position = turn.position + turn.carry.len() as u64;
                turn.stopped = Some(Stopped::Io(error, position));
                shared.is_over.store(true, Ordering::Relaxed);
            }
        }
        turn.piece += 1;
        shared.whose.store(turn.piece, Ordering::Release);
        drop(turn);
        shared.passed.notify_all();
    }
}

impl<T> Shared<'_, '_, '_, T> {
    /// The turn comes soon, as a rule, and to be woken takes longer than that. It is no more than a saving: who has waited in
    /// vain here goes to sleep.
    fn wait_a_little(&self, piece: u64) {
        const LOOKS: u32 = 20_000;
        for _ in 0..LOOKS {
            let is_due = self.whose.load(Ordering::Acquire) == piece;
            if is_due || self.is_over.load(Ordering::Relaxed) {
                return;
            }
            std::hint::spin_loop();
        }
    }

    /// The next piece, its number, and how long it is; nothing at the end.
    fn fetch(&self, bytes: &mut [u8]) -> (u64, io::Result<usize>) {
        match self.source {
            Source::File(file, length) => {
                let piece = self.next.fetch_add(1, Ordering::Relaxed);
                let start = piece.saturating_mul(self.length as u64);
                let left = length.saturating_sub(start).min(self.length as u64);
                let wanted = usize::try_from(left).unwrap_or(self.length);
                (piece, read_at(file, &mut bytes[..wanted], start))
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
fn read_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<usize> {
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

/// Takes in a piece when all before it is.
fn take_in<T: Taker>(
    shared: &Shared<'_, '_, '_, T>,
    turn: &mut Turn<'_, T>,
    bytes: &[u8],
    guessed: Option<(usize, u64, End)>,
    batch: &mut Batch,
    look: &mut Look<'_>,
) {
    let Some(start) = complete(shared, turn, bytes, look) else {
        return;
    };
    let Some(reader) = &turn.reader else {
        return;
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
    turn.taker.take(batch, &bytes[start..]);
    turn.carry.clear();
    turn.carry.extend_from_slice(&bytes[start + end.offset..]);
    turn.position += end.offset as u64;
    stop_if_broken(turn, end.problem);
    if turn.reader.as_ref().map(Reader::changes) != Some(end.reader.changes()) {
        *lock(&shared.reader) = Some(end.reader.clone());
    }
    turn.reader = Some(end.reader);
    if turn.taker.progress(turn.position).is_break() && turn.stopped.is_none() {
        turn.stopped = Some(Stopped::Unwanted(turn.position));
    }
}

/// A block that ends behind its piece is no broken one, unless it is too long for anything.
fn stop_if_broken<T>(turn: &mut Turn<'_, T>, problem: Option<Problem>) {
    let is_cut = match problem {
        None | Some(Problem::Begun) => true,
        Some(Problem::Cut { length, .. }) => length <= LONGEST_BLOCK,
        Some(_) => false,
    };
    if let Some(problem) = problem.filter(|_| !is_cut) {
        let problem = match problem {
            Problem::Cut { length, .. } => Problem::TooLong { length },
            other => other,
        };
        turn.stopped = Some(Stopped::Malformed(Malformed {
            offset: turn.position,
            problem,
        }));
    }
}

/// Completes the block that has begun in an earlier piece, or the beginning of the file. Where in this piece the next block
/// begins; `None` if it is not in it, or there is none.
fn complete<T: Taker>(
    shared: &Shared<'_, '_, '_, T>,
    turn: &mut Turn<'_, T>,
    bytes: &[u8],
    look: &mut Look<'_>,
) -> Option<usize> {
    let before = turn.carry.len();
    if turn.reader.is_none() {
        turn.carry
            .extend_from_slice(&bytes[..bytes.len().min(SOME)]);
        match Reader::new(&turn.carry) {
            Ok(reader) => {
                let header = reader.offset();
                let reader = reader.go_on(&[]).without_comments();
                *lock(&shared.reader) = Some(reader.clone());
                turn.reader = Some(reader);
                turn.carry.clear();
                turn.position += header as u64;
                // The header of a classic pcap is in the piece that it begins in, since a piece has room for it.
                return Some(header - before.min(header));
            }
            Err(error) => {
                let may_become_one = turn.carry.len() < SOME
                    && matches!(error.problem, Problem::Cut { .. } | Problem::Empty);
                if !may_become_one {
                    turn.stopped = Some(Stopped::Malformed(error));
                }
                return None;
            }
        }
    }
    if before == 0 {
        return Some(0);
    }
    let reader = turn.reader.clone()?;
    let mut taken = 0;
    let mut wanted = SOME;
    loop {
        let more = bytes.len().min(wanted.max(taken));
        turn.carry.extend_from_slice(&bytes[taken..more]);
        taken = more;
        let carry = std::mem::take(&mut turn.carry);
        let mut batch = Batch::default();
        // Only the first block: those behind it are in the piece.
        let (first, end) = first_block(&reader, &carry, &mut batch, look);
        match first {
            Ok(length) if length > before => {
                turn.taker.take(&mut batch, &carry[..length]);
                turn.position += length as u64;
                // What is behind it is taken from the piece.
                turn.reader = Some(end);
                return Some(length - before);
            }
            Ok(_) => {
                turn.carry = carry;
                stop_if_broken(turn, Some(Problem::Fields));
                return None;
            }
            Err(problem) => {
                turn.carry = carry;
                stop_if_broken(turn, Some(problem));
                if turn.stopped.is_some() || taken == bytes.len() {
                    return None;
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
