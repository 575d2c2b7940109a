//! Diagnostic payload of drafts before draft-boucadair-tcpm-rst-diagnostic-payload-13: a CBOR Sequence (RFC 8742) of a
//! magic number and a map with the reason.
//!
//! Only the forms that the drafts' CDDL allows are accepted, so this decoder supports only the numbers, texts and maps
//! of CBOR (RFC 8949).

use super::{Diagnostic, malformed};
use crate::printable::printable;

/// Magic number, encoded as a 16-bit integer: a placeholder for the number of the future RFC.
const MAGIC: [u8; 3] = [0x19, 0x30, 0x39];

/// Head of an array of two elements. One reading of the CDDL puts number and map into an array; the examples do not.
const ARRAY_OF_TWO: u8 = 0x82;

/// Maximum length of a description that the drafts recommend, in bytes.
const MAX_TEXT_BYTES: usize = 255;

/// Returns the bytes after the magic number, if the payload begins with it.
pub(super) fn strip_magic(payload: &[u8]) -> Option<&[u8]> {
    let sequence = payload.strip_prefix(&[ARRAY_OF_TWO]).unwrap_or(payload);
    sequence.strip_prefix(&MAGIC)
}

/// Returns the reason in this map.
pub(super) fn reason(map: &[u8]) -> Diagnostic {
    read(map).unwrap_or_else(|problem| malformed("diagnostic-payload", problem))
}

// Major types (RFC 8949, 3.1).
const UNSIGNED: u8 = 0;
const TEXT: u8 = 3;
const MAP: u8 = 5;

fn read(mut rest: &[u8]) -> Result<Diagnostic, &'static str> {
    let (mut code, mut pen, mut description) = (None, None, None);
    let entries = expect(MAP, &mut rest).ok_or("no map")?;
    // Three keys exist, and none may occur twice (RFC 8949, 5.6).
    if entries > 3 {
        return Err("more entries than there are keys");
    }
    for _ in 0..entries {
        let key = expect(UNSIGNED, &mut rest).ok_or("a key that is no number")?;
        let is_new = match key {
            1 => code
                .replace(expect(UNSIGNED, &mut rest).ok_or("no reason code")?)
                .is_none(),
            2 => pen
                .replace(expect(UNSIGNED, &mut rest).ok_or("no enterprise number")?)
                .is_none(),
            3 => description
                .replace(text(&mut rest).ok_or("no description")?)
                .is_none(),
            _ => return Err("an unknown key"),
        };
        if !is_new {
            return Err("a key twice");
        }
    }
    if !rest.is_empty() {
        return Err("something behind it");
    }
    if code.is_none() && description.is_none() {
        return Err("neither reason code nor description");
    }
    Ok(Diagnostic::Reason {
        code,
        pen: pen.unwrap_or(0),
        description,
    })
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(expect(TEXT, rest)?).ok()?;
    let text = rest.split_off(..len)?;
    (len <= MAX_TEXT_BYTES).then(|| std::str::from_utf8(text).ok().map(printable))?
}

/// Returns the argument of the next item's head, if the item has this major type (RFC 8949, 3).
fn expect(major: u8, rest: &mut &[u8]) -> Option<u64> {
    let first = *rest.split_off_first()?;
    if first >> 5 != major {
        return None;
    }
    // Values 24 to 27 announce an argument of 1, 2, 4 or 8 bytes.
    let more = match first & 0x1f {
        small @ 0..=23 => return Some(small.into()),
        size @ 24..=27 => 1_usize << (size - 24),
        _ => return None, // of indefinite length, or reserved
    };
    Some(super::number(rest.split_off(..more)?))
}
