//! Reasons for a reset that the RST itself carries.
//!
//! Most RSTs carry none. But data in an RST is allowed (RFC 9293, 3.5.3, SHLD-2), and some devices write a text there
//! that states why they reject the connection. A diagnostic payload states the reason as a number
//! (draft-ietf-tcpm-rst-diagnostic-payload), and so do the options of Multipath TCP (RFC 8684). All of them are claims
//! of the sender; who the sender is must be found out from other evidence ([`forgery`]).
//!
//! [`forgery`]: super::forgery

mod cbor;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::packet::Flags;
use crate::packet::ip::{Ip, Part};
use crate::packet::wire::{OptionError, TCP, TcpHeader};
use crate::printable::printable;

/// Reason or other content carried by an RST.
///
/// The JSON form is `{"id", "message"}` plus the fields of the variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnostic {
    /// Text payload.
    Text {
        /// Beginning of the text, with every character that a terminal would interpret escaped.
        text: String,
        /// Length of the payload on the wire, in bytes.
        len: u32,
        /// True if `text` is the complete payload.
        complete: bool,
    },
    /// Binary payload.
    Bytes {
        /// Beginning of the payload, two hexadecimal digits a byte.
        hex: String,
        /// Length of the payload on the wire, in bytes.
        len: u32,
    },
    /// Diagnostic payload.
    Reason {
        /// Reason code: a number of the registry "TCP Failure Causes" if `pen` is 0.
        code: Option<u64>,
        /// Private enterprise number of the owner of another registry; otherwise 0.
        pen: u64,
        /// Description in text, in drafts before draft-boucadair-tcpm-rst-diagnostic-payload-13; printable.
        description: Option<String>,
    },
    /// Option `MP_TCPRST` (RFC 8684, 3.6): reset of one subflow, with its reason.
    SubflowReset {
        /// Flag bits U, V, W and T.
        flags: u8,
        /// Reason code: a number of the registry "MPTCP `MP_TCPRST` Reason Codes".
        code: u8,
    },
    /// Option `MP_FASTCLOSE` (RFC 8684, 3.5): abort of the whole connection, with all its subflows.
    FastClose {
        /// Key of the receiver, which proves that the sender took part in the handshake.
        key: u64,
    },
    /// Option `MP_FAIL` (RFC 8684, 3.7): failed checksum, because a device on the path has changed the data.
    ChecksumFailed {
        /// Data sequence number of the failed data; only its lower half, if it was sent as 32 bits.
        data_seq: u64,
    },
    /// Malformed header, option or diagnostic payload.
    Malformed {
        /// Malformed part: `header`, `options`, `mptcp-option` or `diagnostic-payload`.
        part: &'static str,
        /// Description of the error.
        error: String,
    },
}

impl Diagnostic {
    /// Returns the stable name, in kebab-case.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Text { .. } => "payload-text",
            Self::Bytes { .. } => "payload-bytes",
            Self::Reason { .. } => "payload-reason",
            Self::SubflowReset { .. } => "mptcp-reset",
            Self::FastClose { .. } => "mptcp-fastclose",
            Self::ChecksumFailed { .. } => "mptcp-fail",
            Self::Malformed { .. } => "malformed",
        }
    }

    /// Returns true for an `MP_TCPRST` whose sender expects that the problem is only temporary.
    #[must_use]
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::SubflowReset { flags, .. } if flags & TRANSIENT != 0)
    }
}

/// Flag T (transient) of `MP_TCPRST`.
const TRANSIENT: u8 = 1;

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text {
                text,
                len,
                complete,
            } => {
                let more = if *complete { "" } else { "…" };
                write!(f, "{len} bytes of payload: \"{text}{more}\"")
            }
            Self::Bytes { hex, len } => write!(f, "{len} bytes of payload: {hex}"),
            Self::Reason {
                code,
                pen,
                description,
            } => {
                f.write_str("diagnostic payload:")?;
                if let Some(code) = code {
                    write!(f, " reason {code}")?;
                }
                if *pen != 0 {
                    write!(f, " of enterprise {pen}")?;
                } else if let Some(name) = code.and_then(cause) {
                    write!(f, " ({name})")?;
                }
                match description {
                    Some(description) => write!(f, " \"{description}\""),
                    None => Ok(()),
                }
            }
            Self::SubflowReset { code, .. } => {
                let name = subflow_reason(*code).unwrap_or("not registered");
                let transient = if self.is_transient() {
                    ", transient"
                } else {
                    ""
                };
                write!(f, "MP_TCPRST: reason {code} ({name}){transient}")
            }
            Self::FastClose { key } => write!(f, "MP_FASTCLOSE: key {key:016x}"),
            Self::ChecksumFailed { data_seq } => {
                write!(
                    f,
                    "MP_FAIL: checksum failed at data sequence number {data_seq}"
                )
            }
            Self::Malformed { part, error } => write!(f, "malformed {part}: {error}"),
        }
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", self.id())?;
        map.serialize_entry("message", &self.to_string())?;
        match self {
            Self::Text {
                text,
                len,
                complete,
            } => {
                map.serialize_entry("text", text)?;
                map.serialize_entry("len", len)?;
                map.serialize_entry("complete", complete)?;
            }
            Self::Bytes { hex, len } => {
                map.serialize_entry("hex", hex)?;
                map.serialize_entry("len", len)?;
            }
            Self::Reason {
                code,
                pen,
                description,
            } => {
                map.serialize_entry("code", code)?;
                map.serialize_entry("pen", pen)?;
                let name = code.filter(|_| *pen == 0).and_then(cause);
                map.serialize_entry("name", &name)?;
                map.serialize_entry("description", description)?;
            }
            Self::SubflowReset { flags, code } => {
                map.serialize_entry("code", code)?;
                map.serialize_entry("name", &subflow_reason(*code))?;
                map.serialize_entry("transient", &self.is_transient())?;
                map.serialize_entry("flags", flags)?;
            }
            // Many JSON readers lose the last digits of 64-bit numbers, so these are strings.
            Self::FastClose { key } => map.serialize_entry("key", &format!("{key:016x}"))?,
            Self::ChecksumFailed { data_seq } => {
                map.serialize_entry("data_seq", &data_seq.to_string())?;
            }
            Self::Malformed { part, error } => {
                map.serialize_entry("part", part)?;
                map.serialize_entry("error", error)?;
            }
        }
        map.end()
    }
}

/// Returns the name of a number in the registry "TCP Failure Causes": the initial values, table 2 of
/// draft-ietf-tcpm-rst-diagnostic-payload-02. Numbers 8 to 14 are intended for middleboxes as well.
fn cause(code: u64) -> Option<&'static str> {
    Some(match code {
        1 => "illegal option length",
        2 => "desynchronized state",
        3 => "new data is received after CLOSE is called",
        4 => "ABORT process",
        5 => "unexpected ACK received by non-synchronized state connection",
        6 => "unexpected SYN in the window",
        7 => "unexpected security compartment",
        8 => "malformed message",
        9 => "not authorized",
        10 => "resource exceeded",
        11 => "network failure",
        12 => "reset received from the peer",
        13 => "destination unreachable",
        14 => "connection timeout",
        15 => "too much outstanding data",
        16 => "unacceptable performance",
        17 => "middlebox interference",
        _ => return None,
    })
}

/// Returns the name of a reason code of `MP_TCPRST` (RFC 8684, 3.6).
fn subflow_reason(code: u8) -> Option<&'static str> {
    Some(match code {
        0 => "unspecified error",
        1 => "MPTCP-specific error",
        2 => "lack of resources",
        3 => "administratively prohibited",
        4 => "too much outstanding data",
        5 => "unacceptable performance",
        6 => "middlebox interference",
        _ => return None,
    })
}

fn malformed(part: &'static str, error: impl Into<String>) -> Diagnostic {
    Diagnostic::Malformed {
        part,
        error: error.into(),
    }
}

/// Returns everything that an RST carries, given the packet from the first byte of its IP header on: first its options,
/// then its payload. The result is empty if the packet is no RST, or carries nothing unusual. Bytes that were not
/// captured are ignored.
#[must_use]
pub(super) fn of(packet: &[u8]) -> Vec<Diagnostic> {
    read(packet).unwrap_or_default()
}

fn read(packet: &[u8]) -> Option<Vec<Diagnostic>> {
    let ip = Ip::of(packet)?;
    if ip.protocol != TCP || ip.part == Part::Later {
        return None;
    }
    let tcp = TcpHeader::new(ip.payload)?;
    if !tcp.flags().has(Flags::RST) {
        return None;
    }
    // Without a length in the IP header the captured bytes are the whole segment.
    let captured = u32::try_from(ip.payload.len()).unwrap_or(u32::MAX);
    let len = ip.payload_len.unwrap_or(captured);
    let (Some(_), Some(payload_len)) = (tcp.options_len(), tcp.payload_len(len)) else {
        let problem = format!(
            "data offset {} in a segment of {len} bytes",
            tcp.header_len()
        );
        return Some(vec![malformed("header", problem)]);
    };
    // Options that were truncated by the capture are read as far as they go.
    let is_whole = tcp.options().is_some();
    let options = tcp.captured_options().filter_map(|option| match option {
        Ok(option) => option.mptcp().and_then(mptcp),
        Err(error) => is_whole.then(|| bad_option(error)),
    });
    let mut diagnostics: Vec<Diagnostic> = options.collect();
    diagnostics.extend(read_payload(tcp.payload(), payload_len));
    Some(diagnostics)
}

/// Returns the diagnostic for an option whose length is impossible.
fn bad_option(error: OptionError) -> Diagnostic {
    let problem = match error {
        OptionError::NoLength { kind } => format!("option {kind} has no length"),
        OptionError::TooLong { kind, len } => {
            format!("option {kind} of {len} bytes reaches beyond the header")
        }
    };
    malformed("options", problem)
}

/// Decodes an option of Multipath TCP, if it ends a connection or a subflow or reports an error.
fn mptcp(value: &[u8]) -> Option<Diagnostic> {
    let &[first, ref rest @ ..] = value else {
        return Some(malformed("mptcp-option", "no subtype"));
    };
    let len = value.len() + 2; // with kind and length
    // The upper half of the first byte is the subtype, which the lengths below belong to (RFC 8684, 3).
    Some(match (first >> 4, rest) {
        (6, [_, data_seq @ ..]) if data_seq.len() == 8 => Diagnostic::ChecksumFailed {
            data_seq: number(data_seq),
        },
        (7, [_, key @ ..]) if key.len() == 8 => Diagnostic::FastClose { key: number(key) },
        (8, &[code]) => Diagnostic::SubflowReset {
            flags: first & 0x0f,
            code,
        },
        (6, _) => malformed("mptcp-option", format!("MP_FAIL of {len} bytes")),
        (7, _) => malformed("mptcp-option", format!("MP_FASTCLOSE of {len} bytes")),
        (8, _) => malformed("mptcp-option", format!("MP_TCPRST of {len} bytes")),
        _ => return None,
    })
}

/// Returns the big-endian number in these bytes.
fn number(bytes: &[u8]) -> u64 {
    let digits = bytes.iter();
    digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Decodes the payload, of which `len` bytes were sent.
fn read_payload(captured: &[u8], len: u32) -> Option<Diagnostic> {
    let len_here = usize::try_from(len).unwrap_or(usize::MAX);
    // Further bytes are a trailer of the frame.
    let payload = captured.get(..len_here).unwrap_or(captured);
    let is_cut = payload.len() < len_here;
    if payload.is_empty() {
        return None;
    }
    if let Some(rest) = payload.strip_prefix(&MAGIC) {
        return diagnostic(rest, len, is_cut);
    }
    if let Some(map) = cbor::strip_magic(payload) {
        return (!is_cut).then(|| cbor::reason(map));
    }
    Some(text(payload, len).unwrap_or_else(|| bytes(payload, len)))
}

/// First bytes of a diagnostic payload.
const MAGIC: [u8; 2] = [0x33, 0xaa];

/// Decodes a diagnostic payload after its first bytes: reason and private enterprise number
/// (draft-ietf-tcpm-rst-diagnostic-payload-02, 4.1).
fn diagnostic(rest: &[u8], len: u32, is_cut: bool) -> Option<Diagnostic> {
    // Two bytes of magic, two of reason, four of enterprise number.
    if len != 8 {
        return Some(malformed(
            "diagnostic-payload",
            format!("{len} bytes, where it must be 8"),
        ));
    }
    if is_cut {
        return None;
    }
    let (code, pen) = rest.split_first_chunk::<2>()?;
    Some(match (u16::from_be_bytes(*code), number(pen)) {
        (0, _) => malformed("diagnostic-payload", "reason 0, which is reserved"),
        (code, pen) => Diagnostic::Reason {
            code: Some(code.into()),
            pen,
            description: None,
        },
    })
}

/// Maximum length of a text that is shown, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// Maximum number of bytes of a binary payload that are shown.
const MAX_HEX_BYTES: usize = 32;

/// Returns the payload as text, if it is UTF-8 without control characters other than tabs and line breaks. A text
/// truncated within a character ends before it; a NUL at the end is a C string's terminator and is removed.
fn text(payload: &[u8], len: u32) -> Option<Diagnostic> {
    let is_all = u32::try_from(payload.len()) == Ok(len) && payload.len() <= MAX_TEXT_BYTES;
    let shown = payload.get(..MAX_TEXT_BYTES).unwrap_or(payload);
    let text = match std::str::from_utf8(shown) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && !is_all => {
            std::str::from_utf8(shown.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let text = text.strip_suffix('\0').unwrap_or(text);
    let is_text = |letter: char| !letter.is_control() || matches!(letter, '\t' | '\n' | '\r');
    (!text.is_empty() && text.chars().all(is_text)).then(|| Diagnostic::Text {
        text: printable(text),
        len,
        complete: is_all,
    })
}

fn bytes(payload: &[u8], len: u32) -> Diagnostic {
    let shown = payload.get(..MAX_HEX_BYTES).unwrap_or(payload);
    let mut hex = String::with_capacity(shown.len() * 2);
    for digit in shown.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]) {
        hex.extend(char::from_digit(digit.into(), 16));
    }
    Diagnostic::Bytes { hex, len }
}
