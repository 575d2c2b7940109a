//! What a guest sends over its second serial line: a greeting as soon as it runs, and at the end a parcel of files.
//!
//! The line is a stream of bytes on which anything may stand before, such as what firmware writes. The greeting and the
//! parcel's label are lines of text; the label says how long the parcel is and what its SHA-256 is.

use std::io::{self, Read as _, Write};
use std::ops::Range;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::cpio;
use crate::archive::sha256;

/// Says that this program runs as the first process.
const GREETING: &str = "rstproof: guest is up";

/// Begins the label of the parcel; its length and hash follow.
const LABEL: &str = "rstproof: parcel ";

/// Says why there is none.
const COMPLAINT: &str = "rstproof: guest cannot ";

/// What comes over the line is no longer than this, packed and unpacked: some 100 times the whole catalogue.
pub(super) const LONGEST_PACKED: u64 = 64 << 20;
const LONGEST: u64 = 128 << 20;

/// Tells that the guest is up.
pub(super) fn greet(line: &mut impl Write) -> io::Result<()> {
    writeln!(line, "{GREETING}")?;
    line.flush()
}

/// Tells why nothing else will come. `what` continues "cannot".
pub(super) fn complain(line: &mut impl Write, what: &str) -> io::Result<()> {
    let what = what.replace('\n', " ");
    writeln!(line, "{COMPLAINT}{what}")?;
    line.flush()
}

/// Packs files, each with its path, and sends them. More than is taken at the other end is an error.
pub(super) fn send(line: &mut impl Write, files: &[(String, Vec<u8>)]) -> io::Result<()> {
    let mut archive = cpio::Writer::default();
    for (path, content) in files {
        archive.file(path, 0o644, content);
    }
    // A slow line behind a slow processor: little effort for most of the gain.
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let archive = archive.finish();
    packed.write_all(&archive)?;
    let packed = packed.finish()?;
    if archive.len() as u64 > LONGEST || packed.len() as u64 > LONGEST_PACKED {
        let most = LONGEST >> 20;
        return Err(io::Error::other(format!(
            "the evidence is more than {most} MiB; name fewer scenarios, or repeat them less often"
        )));
    }
    writeln!(line, "{LABEL}{} {}", packed.len(), sha256(&packed))?;
    line.write_all(&packed)?;
    line.flush()
}

/// What has come over the line so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Not even the greeting.
    Nothing,
    /// The guest is up.
    Up,
    /// It is up and sends; so many bytes are still to come.
    Sending(usize),
    /// The guest has given up: what it could not do.
    GaveUp(String),
    /// All of it: where it lies in the stream, and its hash by the label.
    Whole(Range<usize>, String),
    /// A label that nothing can come of.
    Damaged,
}

/// The files of a parcel, each with its name: not copied, for they may be large.
#[derive(Debug, Default)]
pub struct Files {
    archive: Vec<u8>,
    places: Vec<(String, Range<usize>)>,
}

impl Files {
    /// Unpacks a parcel with this hash. `None` if it is not what its label says.
    pub(super) fn unpack(packed: &[u8], hash: &str) -> Option<Self> {
        if sha256(packed) != hash {
            return None;
        }
        let mut archive = Vec::new();
        ZlibDecoder::new(packed)
            .take(LONGEST)
            .read_to_end(&mut archive)
            .ok()?;
        let own = |(path, place): (&str, _)| (path.to_owned(), place);
        let places = cpio::places(&archive)?.into_iter().map(own).collect();
        Some(Self { archive, places })
    }

    /// Each of them, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let content = |place: &Range<usize>| &self.archive[place.clone()];
        self.places
            .iter()
            .map(move |(name, place)| (name.as_str(), content(place)))
    }

    /// The one of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(it, _)| *it == name).map(|it| it.1)
    }
}

/// Looks at what has come over the line.
pub(super) fn look(stream: &[u8]) -> Received {
    let Some(greeted) = after(stream, GREETING.as_bytes()) else {
        return Received::Nothing;
    };
    let Some(label) = after(greeted, LABEL.as_bytes()) else {
        // Not looked for in a parcel, which may hold anything.
        let what = after(greeted, COMPLAINT.as_bytes());
        let line = what.and_then(|what| {
            what.split(|byte| *byte == b'\n')
                .next()
                .filter(|it| it.len() < what.len())
        });
        return line.map_or(Received::Up, |what| {
            Received::GaveUp(String::from_utf8_lossy(what).trim().to_owned())
        });
    };
    let Some(end) = label.iter().position(|byte| *byte == b'\n') else {
        return Received::Up;
    };
    let text = String::from_utf8_lossy(&label[..end]);
    let parts = text.trim().split_once(' ');
    let Some((Ok(length), hash)) = parts.map(|(length, hash)| (length.parse::<u64>(), hash)) else {
        return Received::Damaged;
    };
    if length > LONGEST_PACKED {
        return Received::Damaged;
    }
    let body = &label[end + 1..];
    let Ok(length) = usize::try_from(length) else {
        return Received::Damaged;
    };
    if let Some(missing) = length.checked_sub(body.len()).filter(|it| *it > 0) {
        return Received::Sending(missing);
    }
    let start = stream.len() - body.len();
    Received::Whole(start..start + length, hash.to_owned())
}

/// What follows the first place at which these bytes stand.
fn after<'a>(stream: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let place = memchr::memmem::find(stream, wanted)?;
    Some(&stream[place + wanted.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<(String, Vec<u8>)> {
        vec![
            ("report.json".to_owned(), b"{}".to_vec()),
            ("a.ipv4.pcapng".to_owned(), vec![9; 100_000]),
        ]
    }

    #[test]
    fn what_was_sent_is_received_whatever_stood_before() {
        let mut line = b"SeaBIOS\r\n\x00\xff".to_vec();
        assert_eq!(look(&line), Received::Nothing);
        greet(&mut line).unwrap();
        assert_eq!(look(&line), Received::Up);
        send(&mut line, &files()).unwrap();
        assert_eq!(received(&line), Some(files()));
        line.extend_from_slice(b"reboot: Power down");
        assert_eq!(received(&line), Some(files()));
    }

    /// What comes of a parcel that is whole.
    fn received(line: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
        let Received::Whole(place, hash) = look(line) else {
            panic!("{:?}", look(line));
        };
        let files = Files::unpack(&line[place], &hash)?;
        let own = |(name, content): (&str, &[u8])| (name.to_owned(), content.to_vec());
        Some(files.iter().map(own).collect())
    }

    /// A parcel that is cut is not here yet, one in which any byte is another is damaged, and neither is a parcel.
    #[test]
    fn a_parcel_is_whole_or_none() {
        let mut line = Vec::new();
        greet(&mut line).unwrap();
        let start = line.len();
        send(&mut line, &files()).unwrap();
        let body = start
            + line[start..]
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap()
            + 1;
        for length in start..line.len() {
            let seen = look(&line[..length]);
            assert!(
                matches!(seen, Received::Up | Received::Sending(_)),
                "{length}"
            );
        }
        for place in body..line.len() {
            let mut altered = line.clone();
            altered[place] ^= 1;
            assert_eq!(received(&altered), None, "{place}");
        }
    }

    /// A megabyte may stand for a gigabyte of zeros.
    #[test]
    fn a_parcel_takes_no_more_memory_than_it_may() {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
        io::copy(&mut io::repeat(0).take(LONGEST + 1), &mut packed).unwrap();
        let packed = packed.finish().unwrap();
        assert!(packed.len() < 1 << 20);
        assert!(Files::unpack(&packed, &sha256(&packed)).is_none());
        let too_much = vec![0; usize::try_from(LONGEST).unwrap()];
        let mut line = Vec::new();
        let error = send(&mut line, &[("report.json".to_owned(), too_much)]).unwrap_err();
        assert!(error.to_string().contains("more than 128 MiB"), "{error}");
        assert!(line.is_empty());
    }

    #[test]
    fn a_length_that_lies_is_no_reason_to_wait() {
        let mut line = Vec::new();
        greet(&mut line).unwrap();
        line.extend_from_slice(format!("{LABEL}99999999999 00\n").as_bytes());
        assert_eq!(look(&line), Received::Damaged);
    }

    #[test]
    fn a_guest_may_say_why_it_gives_up() {
        let mut line = Vec::new();
        greet(&mut line).unwrap();
        complain(&mut line, "mount /proc: no such device").unwrap();
        let told = Received::GaveUp("mount /proc: no such device".to_owned());
        assert_eq!(look(&line), told);
    }
}
