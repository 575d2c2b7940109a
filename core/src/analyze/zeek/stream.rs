//! Holes in the data of an end, and data that waits ahead of them (`TCP_Reassembler`).

use super::Zeek;
use super::end::{State, is_after, low};
use super::history::Letter;

/// Rare state of a connection: missing, repeated or inconsistent data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Number of bytes that were acknowledged but not captured.
    pub(super) missed: u64,
    /// Number of occurrences of `T`, `W` and `G`, for each side.
    counts: [[u32; 3]; 2],
    /// Number of each side's latest SYN, relative to its first.
    pub(super) syn: [u32; 2],
    /// Data that each side has sent ahead of a hole: disjoint blocks in order.
    waiting: [Vec<DataRange>; 2],
    /// Letters for which the history had no room.
    pub(super) letters: Vec<u8>,
}

/// Range of relative sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DataRange {
    start: u32,
    /// Number after the last one.
    end: u32,
}

/// Maximum number of letters beyond those that fit into the history.
const MAX_LETTERS: usize = 256;
/// Maximum number of blocks that wait on one side. Zeek has no such bound, but a capture may be hostile.
const MAX_BLOCKS: usize = 1024;
/// Zeek's `tcp_max_above_hole_bytes_without_any_acks`, in bytes.
const MAX_BYTES_BEFORE_ANY_ACK: u32 = 16_384;
/// Zeek's `tcp_excessive_data_without_further_acks`, in bytes.
pub(super) const MAX_UNACKNOWLEDGED_BYTES: u32 = 10 << 20;

impl Trouble {
    pub(super) fn append(&mut self, code: u8) {
        if self.letters.len() < MAX_LETTERS {
            self.letters.push(code);
        }
    }
}

#[cfg(test)]
impl Trouble {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.iter().all(|blocks| blocks.capacity() == 0)
    }

    pub(super) fn is_bounded(&self) -> bool {
        let is_bounded = |blocks: &Vec<DataRange>| blocks.capacity() <= 2 * MAX_BLOCKS;
        self.waiting.iter().all(is_bounded) && self.letters.capacity() <= MAX_LETTERS
    }

    pub(super) fn waits(&self) -> [bool; 2] {
        self.waiting.each_ref().map(|blocks| !blocks.is_empty())
    }
}

impl Zeek {
    pub(super) fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }

    /// Counts an occurrence of a letter, and records the first, the tenth, the hundredth and so on.
    pub(super) fn count(&mut self, side: usize, letter: Letter) {
        let nth = match letter {
            Letter::Retransmission => 0,
            Letter::ZeroWindow => 1,
            _ => 2,
        };
        let count = &mut self.trouble().counts[side][nth];
        *count = count.saturating_add(1);
        let count = *count;
        // True for powers of ten.
        if 10_u32.pow(count.ilog10()) == count {
            self.write(side, letter);
        }
    }

    /// Handles data of an end (`DataSent()`).
    pub(super) fn deliver(&mut self, side: usize, start: u32, len: u32) {
        let end = &mut self.ends[side];
        let block = DataRange {
            start,
            end: start.wrapping_add(len),
        };
        if end.gave_up || !is_after(block.end, end.delivered) {
            return;
        }
        if is_after(block.start, end.delivered) {
            end.has_hole = true;
            let delivered = end.delivered;
            insert(&mut self.trouble().waiting[side], block, delivered);
        } else {
            end.delivered = block.end;
            self.deliver_waiting(side);
        }
        if self.exceeds_limits(side) {
            self.ends[side].gave_up = true;
            self.clear_waiting(side);
        }
    }

    /// Returns true if so much data waits that Zeek gives up on this end.
    fn exceeds_limits(&self, side: usize) -> bool {
        let end = &self.ends[side];
        let blocks = match &self.trouble {
            Some(trouble) if end.has_hole => &trouble.waiting[side][..],
            _ => &[],
        };
        let above = blocks.iter().fold(0_u32, |sum, block| {
            sum.saturating_add(block.end.wrapping_sub(block.start))
        });
        let limit = low(end.acked).wrapping_add(MAX_UNACKNOWLEDGED_BYTES);
        above > MAX_BYTES_BEFORE_ANY_ACK && !end.has_been_acknowledged()
            || above > MAX_UNACKNOWLEDGED_BYTES
            || is_after(end.delivered.wrapping_add(above), limit)
            || blocks.len() > MAX_BLOCKS
    }

    /// Handles an acknowledgment of an end's data up to `number`: data before it that is missing is given up
    /// (`AckReceived()`).
    pub(super) fn acknowledge(&mut self, side: usize, number: i64) {
        let end = &self.ends[side];
        let mut up_to = low(number);
        // The number of the FIN itself is no data.
        if end.has_fin && !is_after(end.after_fin, up_to) {
            up_to = end.after_fin.wrapping_sub(1);
        }
        let is_news = !end.gave_up && is_after(up_to, end.delivered);
        // The start of a connection captured mid-stream is a guess, and nothing before it counts as missing.
        if !is_news || self.is_partial && number <= 2 {
            return;
        }
        // Each round closes one hole, or its acknowledged part, and takes over the blocks that it reaches.
        while is_after(up_to, self.ends[side].delivered) {
            let delivered = self.ends[side].delivered;
            let next = self.next_waiting(side);
            let hole_end = next.filter(|next| is_after(up_to, *next)).unwrap_or(up_to);
            self.count_hole(side, hole_end.wrapping_sub(delivered));
            self.ends[side].delivered = hole_end;
            self.deliver_waiting(side);
        }
    }

    /// Returns the start of the first block ahead of a hole.
    fn next_waiting(&self, side: usize) -> Option<u32> {
        let trouble = self.trouble.as_ref()?;
        trouble.waiting[side].first().map(|block| block.start)
    }

    /// Counts a hole, if both ends are established, or were so before they closed. Otherwise the hole probably has
    /// another cause.
    fn count_hole(&mut self, side: usize, bytes: u32) {
        let is_clean = self.ends.iter().all(|end| {
            let state = if end.state == State::Closed {
                end.before
            } else {
                end.state
            };
            state == State::Established
        });
        if is_clean {
            let trouble = self.trouble();
            trouble.missed = trouble.missed.saturating_add(bytes.into());
            self.count(side, Letter::Gap);
        }
    }

    fn deliver_waiting(&mut self, side: usize) {
        let end = &mut self.ends[side];
        let Some(trouble) = self.trouble.as_mut().filter(|_| end.has_hole) else {
            return;
        };
        let waiting = &mut trouble.waiting[side];
        let reached = waiting
            .iter()
            .take_while(|block| {
                let is_reached = !is_after(block.start, end.delivered);
                if is_reached && is_after(block.end, end.delivered) {
                    end.delivered = block.end;
                }
                is_reached
            })
            .count();
        waiting.drain(..reached);
        if waiting.is_empty() {
            self.clear_waiting(side);
        }
    }

    fn clear_waiting(&mut self, side: usize) {
        self.ends[side].has_hole = false;
        if let Some(trouble) = &mut self.trouble {
            // A new vector frees the memory, which `clear()` would keep.
            trouble.waiting[side] = Vec::new();
        }
    }
}

/// Inserts a block in order, and merges it with the blocks that it touches. All blocks lie ahead of `base`.
fn insert(blocks: &mut Vec<DataRange>, block: DataRange, base: u32) {
    // Distances from `base` are in order even where the numbers wrap around.
    let ahead = |number: u32| number.wrapping_sub(base);
    let first = blocks.partition_point(|other| ahead(other.end) < ahead(block.start));
    let touched = blocks[first..]
        .iter()
        .take_while(|other| ahead(other.start) <= ahead(block.end))
        .count();
    let mut all = block;
    for other in &blocks[first..first + touched] {
        if ahead(other.start) < ahead(all.start) {
            all.start = other.start;
        }
        if ahead(other.end) > ahead(all.end) {
            all.end = other.end;
        }
    }
    if touched == 1 {
        blocks[first] = all; // the common case: a block grows
    } else {
        blocks.splice(first..first + touched, [all]);
    }
}
