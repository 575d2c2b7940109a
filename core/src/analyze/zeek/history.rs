//! Compact form of history letters: twelve of them in eight bytes.

/// History letter, in the form for the originator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Letter {
    /// `S`: SYN.
    Syn = 1,
    /// `H`: SYN-ACK.
    SynAck,
    /// `F`: FIN.
    Fin,
    /// `R`: RST.
    Reset,
    /// `I`: both FIN and RST.
    FinReset,
    /// `Q`: another combination of SYN, FIN and RST.
    Mixed,
    /// `D`: payload.
    Data,
    /// `A`: pure ACK.
    Ack,
    /// `T`: retransmitted payload.
    Retransmission,
    /// `W`: window of 0.
    ZeroWindow,
    /// `G`: gap, that is, data acknowledged but not captured.
    Gap,
}

impl Letter {
    /// Returns the five-bit code of the letter for the originator (role 0) or the responder.
    pub(super) fn code(self, role: usize) -> u8 {
        self as u8 + if role == 0 { 0 } else { RESPONDER }
    }
}

/// Class of letters that are recorded once for each direction.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Class {
    Syn,
    Fin,
    Reset,
    FinReset,
    Mixed,
    Data,
    Ack,
}

impl Class {
    #[inline]
    pub(super) fn bit(self, role: usize) -> u16 {
        1 << (self as usize * 2 + role)
    }
}

/// Letters by code. Code 0 is an empty position.
const LETTERS: &[u8; 24] = b" SHFRIQDATWG^shfriqdatwg";
// Distance between the codes of the originator and those of the responder. The code of `^` lies between them.
const RESPONDER: u8 = 12;
const BITS: u32 = 5;

/// First twelve letters of a history, five bits each, the last one lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct History(u64);

impl History {
    /// Code of `^`.
    pub(super) const FLIP: u8 = 12;
    /// History that consists of `H`.
    pub(super) const SYN_ACK_OF_ORIGINATOR: Self = Self(Letter::SynAck as u64);

    /// Appends a letter. Returns false if there is no room.
    pub(super) fn push(&mut self, code: u8) -> bool {
        // The position of the first of twelve letters is still empty.
        let has_room = self.0 >> (11 * BITS) == 0;
        if has_room {
            self.0 = self.0 << BITS | u64::from(code);
        }
        has_room
    }

    /// Returns the letters as Zeek writes them, followed by those for which there was no room.
    pub(super) fn text(self, more: &[u8]) -> String {
        let inline = (0..12).rev().map(|place| self.0 >> (place * BITS) & 31);
        inline
            .filter(|code| *code != 0)
            .chain(more.iter().map(|code| u64::from(*code)))
            .filter_map(|code| LETTERS.get(usize::try_from(code).ok()?))
            .map(|letter| char::from(*letter))
            .collect()
    }
}
