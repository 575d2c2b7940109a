//! The letters of a history, twelve of them in eight bytes.

/// What a packet is worth a letter for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Letter {
    /// `S`
    Syn = 1,
    /// `H`
    SynAck,
    /// `F`
    Fin,
    /// `R`
    Reset,
    /// `I`: both FIN and RST.
    FinReset,
    /// `Q`: another mix of SYN, FIN and RST.
    Mixed,
    /// `D`: payload.
    Data,
    /// `A`: nothing but ACK.
    Ack,
    /// `T`: payload that is nothing new.
    Retransmission,
    /// `W`
    ZeroWindow,
    /// `G`: acknowledged, but not captured.
    Gap,
}

impl Letter {
    /// Which five bits it is, for the originator (role 0) or the responder.
    pub(super) fn code(self, role: usize) -> u8 {
        self as u8 + if role == 0 { 0 } else { RESPONDER }
    }
}

/// Letters of one class are put down once for each direction.
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

/// What the codes stand for.
const LETTERS: &[u8; 24] = b" SHFRIQDATWG^shfriqdatwg";
const RESPONDER: u8 = 12;
const BITS: u32 = 5;

/// The first twelve letters, each of five bits, the last one lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct History(u64);

impl History {
    /// The code of `^`.
    pub(super) const FLIP: u8 = 12;
    /// Nothing but `H`.
    pub(super) const SYN_ACK_OF_ORIGINATOR: Self = Self(Letter::SynAck as u64);

    /// Whether there was room.
    pub(super) fn push(&mut self, code: u8) -> bool {
        let has_room = self.0 >> (11 * BITS) == 0;
        if has_room {
            self.0 = self.0 << BITS | u64::from(code);
        }
        has_room
    }

    /// As Zeek writes it, with those that there was no room for.
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
