//! Options of a TCP header (RFC 9293, 3.2).

use super::{Options, SackBlocks, SeqNum, TcpTimestamps};

/// Kind of the option that ends the list.
const END: u8 = 0;
/// Kind of the option that is padding.
const NO_OPERATION: u8 = 1;
/// Kind of the maximum segment size (RFC 9293, 3.7.1).
const MSS: u8 = 2;
/// Kind of the permission to acknowledge selectively (RFC 2018, 2).
const SACK_PERMITTED: u8 = 4;
/// Kind of the window scale (RFC 7323, 2.2).
const WINDOW_SCALE: u8 = 3;
/// Kind of the selective acknowledgment (RFC 2018, 3).
const SACK: u8 = 5;
/// Kind of the timestamps (RFC 7323, 3.2).
const TIMESTAMPS: u8 = 8;
/// Kind of the MD5 signature (RFC 2385, 3.0).
const MD5: u8 = 19;
/// Kind of TCP-AO (RFC 5925, 2.2).
const AUTHENTICATION: u8 = 29;
/// Kind of Multipath TCP (RFC 8684, 3).
const MPTCP: u8 = 30;
/// Subtype of Multipath TCP: `MP_FASTCLOSE` (RFC 8684, 3.5).
const FAST_CLOSE: u8 = 7;

/// Iterator over the options of a TCP header that have a length. It ends at the end of the list, and after the first
/// error, since the place of the next option is unknown then.
#[derive(Clone, Debug)]
pub(crate) struct TcpOptions<'a>(&'a [u8]);

/// Option of a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpOption<'a> {
    /// Kind (IANA, "TCP Option Kind Numbers").
    pub(crate) kind: u8,
    /// Bytes after kind and length.
    pub(crate) value: &'a [u8],
}

/// Problem of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionError {
    /// No length, or one that does not even cover kind and length.
    NoLength {
        /// Kind of the option.
        kind: u8,
    },
    /// Length beyond the end of the header, or of its captured part.
    TooLong {
        /// Kind of the option.
        kind: u8,
        /// Length of the option in bytes.
        len: u8,
    },
}

impl<'a> Iterator for TcpOptions<'a> {
    type Item = Result<TcpOption<'a>, OptionError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (kind, len) = match *self.0 {
                [] | [END, ..] => return None,
                [NO_OPERATION, ref rest @ ..] => {
                    self.0 = rest;
                    continue;
                }
                [kind, len @ 2..=u8::MAX, ..] => (kind, len),
                [kind, ..] => {
                    self.0 = &[];
                    return Some(Err(OptionError::NoLength { kind }));
                }
            };
            let split = self.0.split_at_checked(len.into());
            let Some((option, rest)) = split else {
                self.0 = &[];
                return Some(Err(OptionError::TooLong { kind, len }));
            };
            self.0 = rest;
            let value = option.get(2..).unwrap_or_default();
            return Some(Ok(TcpOption { kind, value }));
        }
    }
}

impl<'a> TcpOptions<'a> {
    /// Creates an iterator over the options in these bytes.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the options, padding included.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Returns true if there are no bytes of options left.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the timestamps if the header has the usual layout of two NOPs and timestamps, which Linux, the BSDs and
    /// Windows send after the handshake (RFC 7323, appendix A). This is a fast path for
    /// [`decode`](Self::decode).
    #[inline]
    pub(super) fn only_timestamps(&self) -> Option<TcpTimestamps> {
        match self.0.first_chunk::<12>()? {
            [NO_OPERATION, NO_OPERATION, TIMESTAMPS, 10, value @ ..] if self.0.len() == 12 => {
                Some(timestamps(*value))
            }
            _ => None,
        }
    }

    /// Returns the timestamps and the window scale of a SYN with the options of Linux. This is a fast path for
    /// [`decode`](Self::decode).
    #[inline]
    pub(super) fn of_linux_syn(&self) -> Option<(TcpTimestamps, Options)> {
        let syn = LinuxSyn::of(self.0)?;
        let options = Options::default().with_window_scale(syn.scale);
        Some((syn.timestamps, options))
    }

    /// Returns the timestamps, the selective acknowledgments, and the other options that concern an RST.
    ///
    /// Options are read as `tcp_parse_options()` of the Linux kernel does: unknown options are skipped (RFC 9293,
    /// MUST-6), and reading stops at an option whose length is impossible.
    pub(crate) fn decode(self) -> (Option<TcpTimestamps>, SackBlocks, Options) {
        let (mut timestamps, mut sack) = (None, SackBlocks::default());
        let mut others = Options::default();
        for option in self.map_while(Result::ok) {
            timestamps = option.timestamps().or(timestamps);
            sack = option.sack().unwrap_or(sack);
            others = option.add_to(others);
        }
        (timestamps, sack, others)
    }
}

/// Options of a SYN or SYN-ACK of Linux with timestamps, in the order of `tcp_options_write()`: MSS, SACK permitted, timestamps, NOP
/// and window scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinuxSyn {
    pub(crate) mss: u16,
    timestamps: TcpTimestamps,
    pub(crate) scale: u8,
}

impl LinuxSyn {
    /// Reads the options of a header; `None` if they are others, or in another order.
    #[inline]
    pub(crate) fn of(options: &[u8]) -> Option<Self> {
        match *<&[u8; 20]>::try_from(options).ok()? {
            [
                MSS,
                4,
                high,
                low,
                SACK_PERMITTED,
                2,
                TIMESTAMPS,
                10,
                value @ ..,
                NO_OPERATION,
                WINDOW_SCALE,
                3,
                scale,
            ] => Some(Self {
                mss: u16::from_be_bytes([high, low]),
                timestamps: timestamps(value),
                scale,
            }),
            _ => None,
        }
    }
}

impl<'a> TcpOption<'a> {
    /// Returns the timestamps, if this is the option for them and has the right length (RFC 7323, 3.2).
    pub(crate) fn timestamps(&self) -> Option<TcpTimestamps> {
        let value = self.value.try_into().ok()?;
        (self.kind == TIMESTAMPS).then(|| timestamps(value))
    }

    /// Returns the blocks of a selective acknowledgment, of which one to four fit into a header (RFC 2018, 3).
    pub(crate) fn sack(&self) -> Option<SackBlocks> {
        let (blocks, odd) = self.value.as_chunks::<8>();
        if self.kind != SACK || !odd.is_empty() || !(1..=4).contains(&blocks.len()) {
            return None;
        }
        let edges = |block: &[u8; 8]| (SeqNum(word(*block, 0)), SeqNum(word(*block, 4)));
        Some(SackBlocks(std::array::from_fn(|nth| {
            blocks.get(nth).map(edges)
        })))
    }

    /// Returns these options with this one, if it is one of those that [`Options`] holds.
    fn add_to(&self, options: Options) -> Options {
        match (self.kind, self.value) {
            (WINDOW_SCALE, &[shift]) => options.with_window_scale(shift),
            // The digest has 16 bytes (RFC 2385, 3.0); the code of TCP-AO follows two key ids (RFC 5925, 2.2).
            (MD5, digest) if digest.len() == 16 => options.with_signature(),
            (AUTHENTICATION, [_, _, _, ..]) => options.with_signature(),
            (MPTCP, [subtype, ..]) if subtype >> 4 == FAST_CLOSE => options.with_fast_close(),
            (MPTCP, [_, ..]) => options.with_multipath(),
            _ => options,
        }
    }

    /// Returns the value of an option of Multipath TCP. Its upper four bits are the subtype (RFC 8684, 3).
    pub(crate) fn mptcp(&self) -> Option<&'a [u8]> {
        (self.kind == MPTCP).then_some(self.value)
    }
}

/// Decodes the value of the timestamps option.
#[inline]
fn timestamps(value: [u8; 8]) -> TcpTimestamps {
    TcpTimestamps {
        value: word(value, 0),
        echo: word(value, 4),
    }
}

#[inline]
fn word(bytes: [u8; 8], at: usize) -> u32 {
    super::u32_at(&bytes, at)
}
