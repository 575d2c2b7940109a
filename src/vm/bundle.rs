//! Protocol of a guest's second serial line: a ready line as soon as the guest runs, and a bundle of files at the end.
//!
//! The line is a stream of bytes in which anything may precede the protocol, such as firmware output. The ready line
//! and the bundle's header are lines of text; the header gives the length of the bundle and its SHA-256.

use std::io::{self, Read as _, Write};
use std::ops::Range;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::cpio;
use crate::archive::sha256;

/// Greeting: this program runs as the first process.
const READY: &str = "rstproof: guest is up";

/// Start of the bundle's header; the length and the hash follow.
const HEADER: &str = "rstproof: bundle ";

/// Start of the line that reports why there is no bundle.
const FAILURE: &str = "rstproof: guest cannot ";

/// Maximum length of a bundle on the line, compressed, in bytes: some 100 times that of the whole catalogue.
pub(super) const MAX_COMPRESSED_BYTES: u64 = 64 << 20;
/// Maximum length of a bundle, decompressed, in bytes: some 100 times that of the whole catalogue.
const MAX_BUNDLE_BYTES: u64 = 128 << 20;

/// Sends the ready line: the guest is up.
pub(super) fn send_ready(line: &mut impl Write) -> io::Result<()> {
    writeln!(line, "{READY}")?;
    line.flush()
}

/// Sends the reason why no bundle will come. `what` continues "cannot".
pub(super) fn send_failure(line: &mut impl Write, what: &str) -> io::Result<()> {
    // The protocol has one line for a failure.
    let what = what.replace('\n', " ");
    writeln!(line, "{FAILURE}{what}")?;
    line.flush()
}

/// Compresses files, each with its path, and sends them. Fails if they exceed what the receiver accepts.
pub(super) fn send_bundle(line: &mut impl Write, files: &[(String, Vec<u8>)]) -> io::Result<()> {
    let mut archive = cpio::Writer::default();
    for (path, content) in files {
        archive.file(path, 0o644, content);
    }
    // The fastest level: processor and line are slow in an emulated guest, and more effort gains little.
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let archive = archive.finish();
    packed.write_all(&archive)?;
    let packed = packed.finish()?;
    if archive.len() as u64 > MAX_BUNDLE_BYTES || packed.len() as u64 > MAX_COMPRESSED_BYTES {
        let most = MAX_BUNDLE_BYTES >> 20;
        return Err(io::Error::other(format!(
            "the evidence is larger than {most} MiB; run fewer scenarios or repetitions"
        )));
    }
    writeln!(line, "{HEADER}{} {}", packed.len(), sha256(&packed))?;
    line.write_all(&packed)?;
    line.flush()
}

/// State of the protocol, from the bytes received so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// No ready line yet.
    Nothing,
    /// The guest is up.
    Up,
    /// The bundle is incomplete: number of bytes still missing.
    Sending(usize),
    /// The guest gave up: description of what it could not do.
    Failed(String),
    /// The bundle is complete: its range in the stream and the hash from its header.
    Complete(Range<usize>, String),
    /// The header is malformed or exceeds the maximum length.
    Damaged,
}

/// Files of a bundle, each with its name. The contents are ranges of the archive and not copied, since they may be
/// large.
#[derive(Debug, Default)]
pub struct Files {
    archive: Vec<u8>,
    entries: Vec<(String, Range<usize>)>,
}

impl Files {
    /// Decompresses a bundle with this hash. `None` if the hash differs or the content is not a complete archive.
    pub(super) fn unpack(packed: &[u8], hash: &str) -> Option<Self> {
        if sha256(packed) != hash {
            return None;
        }
        let mut archive = Vec::new();
        // An archive that expands to more is cut here, and `entries` rejects it as incomplete.
        ZlibDecoder::new(packed)
            .take(MAX_BUNDLE_BYTES)
            .read_to_end(&mut archive)
            .ok()?;
        let own = |(path, range): (&str, _)| (path.to_owned(), range);
        let entries = cpio::places(&archive)?.into_iter().map(own).collect();
        Some(Self { archive, entries })
    }

    /// Iterates over the files' names and contents, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let content = |range: &Range<usize>| &self.archive[range.clone()];
        self.entries
            .iter()
            .map(move |(name, range)| (name.as_str(), content(range)))
    }

    /// Returns the content of the file with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(it, _)| *it == name).map(|it| it.1)
    }
}

/// Parses the bytes received so far.
pub(super) fn parse(stream: &[u8]) -> Received {
    let Some(after_ready) = after(stream, READY.as_bytes()) else {
        return Received::Nothing;
    };
    let Some(header) = after(after_ready, HEADER.as_bytes()) else {
        // Only searched without a header: a bundle may contain any bytes, including these.
        // A reason counts once its newline has arrived: a shorter one may be cut.
        let what = after(after_ready, FAILURE.as_bytes());
        let line = what.and_then(|what| {
            what.split(|byte| *byte == b'\n')
                .next()
                .filter(|it| it.len() < what.len())
        });
        return line.map_or(Received::Up, |what| {
            Received::Failed(String::from_utf8_lossy(what).trim().to_owned())
        });
    };
    let Some(end) = header.iter().position(|byte| *byte == b'\n') else {
        return Received::Up;
    };
    let text = String::from_utf8_lossy(&header[..end]);
    let parts = text.trim().split_once(' ');
    let Some((Ok(length), hash)) = parts.map(|(length, hash)| (length.parse::<u64>(), hash)) else {
        return Received::Damaged;
    };
    if length > MAX_COMPRESSED_BYTES {
        return Received::Damaged;
    }
    let body = &header[end + 1..];
    let Ok(length) = usize::try_from(length) else {
        return Received::Damaged;
    };
    if let Some(missing) = length.checked_sub(body.len()).filter(|it| *it > 0) {
        return Received::Sending(missing);
    }
    let start = stream.len() - body.len();
    Received::Complete(start..start + length, hash.to_owned())
}

/// Returns the bytes after the first occurrence of `wanted`.
fn after<'a>(stream: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let start = memchr::memmem::find(stream, wanted)?;
    Some(&stream[start + wanted.len()..])
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
    fn a_bundle_is_received_after_other_console_output() {
        let mut line = b"SeaBIOS\r\n\x00\xff".to_vec();
        assert_eq!(parse(&line), Received::Nothing);
        send_ready(&mut line).unwrap();
        assert_eq!(parse(&line), Received::Up);
        send_bundle(&mut line, &files()).unwrap();
        assert_eq!(received(&line), Some(files()));
        line.extend_from_slice(b"reboot: Power down");
        assert_eq!(received(&line), Some(files()));
    }

    /// Decodes a complete bundle.
    fn received(line: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
        let Received::Complete(range, hash) = parse(line) else {
            panic!("{:?}", parse(line));
        };
        let files = Files::unpack(&line[range], &hash)?;
        let own = |(name, content): (&str, &[u8])| (name.to_owned(), content.to_vec());
        Some(files.iter().map(own).collect())
    }

    /// A truncated bundle is incomplete, a bundle with any byte altered is damaged, and neither is unpacked.
    #[test]
    fn a_truncated_bundle_is_rejected() {
        let mut line = Vec::new();
        send_ready(&mut line).unwrap();
        let start = line.len();
        send_bundle(&mut line, &files()).unwrap();
        let body = start
            + line[start..]
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap()
            + 1;
        for length in start..line.len() {
            let seen = parse(&line[..length]);
            assert!(
                matches!(seen, Received::Up | Received::Sending(_)),
                "{length}"
            );
        }
        for at in body..line.len() {
            let mut altered = line.clone();
            altered[at] ^= 1;
            assert_eq!(received(&altered), None, "{at}");
        }
    }

    /// A bundle below one megabyte can expand to more than the maximum.
    #[test]
    fn the_memory_for_a_received_file_is_bounded() {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
        io::copy(&mut io::repeat(0).take(MAX_BUNDLE_BYTES + 1), &mut packed).unwrap();
        let packed = packed.finish().unwrap();
        assert!(packed.len() < 1 << 20);
        assert!(Files::unpack(&packed, &sha256(&packed)).is_none());
        let too_much = vec![0; usize::try_from(MAX_BUNDLE_BYTES).unwrap()];
        let mut line = Vec::new();
        let error = send_bundle(&mut line, &[("report.json".to_owned(), too_much)]).unwrap_err();
        assert!(error.to_string().contains("larger than 128 MiB"), "{error}");
        assert!(line.is_empty());
    }

    #[test]
    fn an_invalid_length_ends_the_transfer() {
        let mut line = Vec::new();
        send_ready(&mut line).unwrap();
        line.extend_from_slice(format!("{HEADER}99999999999 00\n").as_bytes());
        assert_eq!(parse(&line), Received::Damaged);
    }

    #[test]
    fn a_guest_can_report_why_it_failed() {
        let mut line = Vec::new();
        send_ready(&mut line).unwrap();
        send_failure(&mut line, "mount /proc: no such device").unwrap();
        let expected = Received::Failed("mount /proc: no such device".to_owned());
        assert_eq!(parse(&line), expected);
    }
}
