//! Captures among the files that the user named: each file by itself, or several that continue each other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::join::Points;
use crate::error::Error;
use crate::file::{Input, inputs};
use rstproof_core::analyze::continuation::{FileNames, FileOutline, PCAP_HEADER};
use rstproof_core::printable::printable;

/// Device and inode of a file.
type Identity = (u64, u64);

/// File of a capture in several files.
#[derive(Clone, Debug)]
struct Part {
    path: PathBuf,
    identity: Identity,
    frames: u32,
    bytes: u64,
    is_classic: bool,
}

/// Capture that is stored in several files, in order.
#[derive(Clone, Debug)]
pub(super) struct Parts(Vec<Part>);

impl Parts {
    /// Returns a capture in one file. The numbers of its frames and bytes are left out, because nothing follows it.
    pub(super) fn alone(input: &Input) -> Self {
        Self(vec![Part {
            path: input.path().to_owned(),
            identity: input.identity(),
            frames: 0,
            bytes: input.length().unwrap_or(u64::MAX),
            is_classic: false,
        }])
    }

    /// Returns each file as a capture.
    pub(super) fn single(&self) -> Vec<Self> {
        self.0.iter().map(|it| Self(vec![it.clone()])).collect()
    }

    /// Returns the names of the files, and the number of frames in each.
    pub(super) fn names(&self) -> FileNames {
        self.names_by(name)
    }

    /// Returns the names of the files that a function gives their paths, and the number of frames in each.
    pub(super) fn names_by(&self, name: impl Fn(&Path) -> String) -> FileNames {
        let names: Vec<String> = self.0.iter().map(|it| name(&it.path)).collect();
        let parts = names.iter().map(String::as_str).zip(&self.0);
        FileNames::several(parts.map(|(name, part)| (name, part.frames)))
    }

    /// Returns the name of the capture, given a function that names its files.
    pub(super) fn title(&self, name: impl Fn(&Path) -> String) -> String {
        match &self.0[..] {
            [] => String::new(),
            [only] => name(&only.path),
            [first, .., last] => format!("{} … {}", name(&first.path), name(&last.path)),
        }
    }

    /// Returns the path of the first file.
    pub(super) fn first(&self) -> &Path {
        self.0.first().map_or(Path::new(""), |it| &it.path)
    }

    /// Returns true if the capture is stored in this file, or among others in this file.
    pub(super) fn is_in(&self, file: Identity) -> bool {
        self.0.iter().any(|it| it.identity == file)
    }

    /// Returns the number of bytes of all files, as far as it is known.
    pub(super) fn length(&self) -> u64 {
        let lengths = self.0.iter().map(|it| it.bytes);
        lengths.fold(0, u64::saturating_add)
    }

    /// Returns the path of the last file: only that one may be cut.
    pub(super) fn last(&self) -> &Path {
        self.0.last().map_or(Path::new(""), |it| &it.path)
    }

    /// Returns the number of bytes of all files, decompressed.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|it| it.bytes).sum()
    }

    /// Returns an offset in the last file, given one in the joined files.
    pub(super) fn offset_in_last(&self, position: u64) -> u64 {
        let before = self.0.split_last().map_or(&[][..], |(_, before)| before);
        let before: u64 = before.iter().map(|it| it.bytes).sum();
        (position + self.headers_left_out()).saturating_sub(before)
    }

    /// Returns the number of bytes of the headers that the joined files do not have.
    pub(super) fn headers_left_out(&self) -> u64 {
        let classic = self.0.iter().skip(1).filter(|it| it.is_classic);
        classic.count() as u64 * PCAP_HEADER as u64
    }

    /// Opens the joined files.
    pub(super) fn open(&self) -> Joined {
        Joined {
            left: self.0.clone().into_iter().rev().collect(),
            current: None,
            is_first: true,
        }
    }
}

/// Capture to analyze.
pub(super) enum Capture {
    /// Capture in one file, or a stream.
    Alone(Input),
    /// Capture in several files.
    Several(Parts),
    /// Captures of several points.
    Joined(Points),
}

impl Capture {
    /// Returns the path that errors name: that of the file, or of the last of several, because only that may be cut.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Alone(input) => input.path(),
            Self::Several(parts) => parts.last(),
            Self::Joined(points) => points.path(),
        }
    }

    /// Returns the names of the files.
    pub(super) fn names(&self) -> FileNames {
        match self {
            Self::Alone(input) => FileNames::one(&name(input.path())).of_text(input.text()),
            Self::Several(parts) => parts.names(),
            Self::Joined(points) => points.names(),
        }
    }

    /// Returns the number of bytes to read. `None` for a stream, and for files that are merged: what is read has another
    /// length.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Alone(input) => input.length(),
            Self::Several(parts) => Some(parts.bytes()),
            Self::Joined(_) => None,
        }
    }

    /// Returns true if the capture is stored in this file, or among others in this file.
    pub(super) fn is_in(&self, file: Identity) -> bool {
        match self {
            Self::Alone(input) => input.identity() == file,
            Self::Several(parts) => parts.is_in(file),
            Self::Joined(points) => points.are_in(file),
        }
    }
}

/// Returns a path as it is displayed.
pub(super) fn name(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// Opens a file again. Fails if it is not the file that was read before.
pub(super) fn reopen(path: &PathBuf, identity: Identity) -> io::Result<Input> {
    let changed = || io::Error::other(format!("{} has changed", name(path)));
    let mut found = inputs(std::slice::from_ref(path)).map_err(|_| changed())?;
    match found.next() {
        Some(Ok(input)) if input.identity() == identity => Ok(input),
        _ => Err(changed()),
    }
}

/// Returns true if a path is one of a pipe.
fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.file_type().is_fifo())
}

/// Returns a usage error for inputs that can be read only once, standard input and named pipes, because `option` reads
/// them twice.
pub(super) fn refuse_unrepeatable(file: &Path, option: &str) -> Result<(), Error> {
    let what = if file.as_os_str() == "-" {
        "standard input".to_owned()
    } else if is_pipe(file) {
        format!("{}, a pipe,", name(file))
    } else {
        return Ok(());
    };
    Err(Error::Usage(format!(
        "{what} can be read only once, and {option} reads twice; save the capture to a file first"
    )))
}

/// Reader of several files as one: a pcapng may have any number of sections, and of several classic pcaps only the first
/// one's header is read.
pub(super) struct Joined {
    /// Files that are not open yet, in reverse order.
    left: Vec<Part>,
    current: Option<Input>,
    is_first: bool,
}

impl Joined {
    /// Opens the next file. Fails if it is not the file that was read before.
    fn open_next(&mut self, part: &Part) -> io::Result<()> {
        let mut input = reopen(&part.path, part.identity)?;
        if part.is_classic && !self.is_first {
            input.read_exact(&mut [0; PCAP_HEADER])?;
        }
        self.is_first = false;
        self.current = Some(input);
        Ok(())
    }
}

impl Read for Joined {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(input) = &mut self.current {
                let read = input.read(into)?;
                if read > 0 || into.is_empty() {
                    return Ok(read);
                }
                self.current = None;
            }
            let Some(part) = self.left.pop() else {
                return Ok(0);
            };
            self.open_next(&part)?;
        }
    }
}

/// Captures in several files, by the identity of each file.
#[derive(Debug, Default)]
pub(super) struct Plan {
    captures: Vec<Parts>,
    /// Index of the capture that a file is a part of.
    of: HashMap<Identity, usize>,
    /// Indexes of the captures that were taken.
    taken: HashSet<usize>,
}

impl Plan {
    /// Finds the captures in several files. Reads all files once, if there are several. Standard input and pipes can be
    /// read only once, so each of them is a capture of its own. Files that cannot be read are reported later.
    pub(super) fn of(paths: &[PathBuf]) -> Result<Self, Error> {
        let is_file = |path: &&PathBuf| {
            let kind = fs::metadata(path).map(|it| it.file_type());
            path.as_os_str() != "-" && kind.is_ok_and(|it| !it.is_fifo())
        };
        let paths: Vec<PathBuf> = paths.iter().filter(is_file).cloned().collect();
        let mut files: BTreeMap<Identity, (PathBuf, FileOutline)> = BTreeMap::new();
        if !matches!(&paths[..], [only] if only.is_file()) {
            let is_compared = |input: &Input| input.is_repeatable() && input.text().is_none();
            for mut input in inputs(&paths)?.flatten().filter(is_compared) {
                let (path, identity) = (input.path().to_owned(), input.identity());
                if let Ok(outline) = FileOutline::read(&mut input) {
                    files.insert(identity, (path, outline));
                }
            }
        }
        let mut files: Vec<_> = files.into_iter().collect();
        files.retain(|(_, (_, outline))| outline.begins().is_some());
        files.sort_by(|(_, (path, one)), (_, (other, two))| {
            (one.begins(), path).cmp(&(two.begins(), other))
        });
        Ok(Self::join(files))
    }

    /// Joins files that continue each other, given in the order of their first frames.
    fn join(files: Vec<(Identity, (PathBuf, FileOutline))>) -> Self {
        let mut captures: Vec<Vec<(Part, FileOutline)>> = Vec::new();
        for (identity, (path, outline)) in files {
            let part = Part {
                path,
                identity,
                frames: outline.frames,
                bytes: outline.bytes,
                is_classic: outline.is_classic(),
            };
            // Several rings may have been written at the same time.
            let continued = captures.iter_mut().rev().find(|capture| {
                capture.last().is_some_and(|(last, before)| {
                    let are_of_a_ring = follows(&last.path, &part.path);
                    before.is_continued_by(&outline, are_of_a_ring)
                })
            });
            match continued {
                Some(capture) => capture.push((part, outline)),
                None => captures.push(vec![(part, outline)]),
            }
        }
        let captures = captures.into_iter().filter(|capture| capture.len() > 1);
        let captures: Vec<Parts> = captures
            .map(|capture| Parts(capture.into_iter().map(|(part, _)| part).collect()))
            .collect();
        let of = captures.iter().enumerate().flat_map(|(nth, capture)| {
            let parts = capture.0.iter();
            parts.map(move |part| (part.identity, nth))
        });
        Self {
            of: of.collect(),
            captures,
            taken: HashSet::new(),
        }
    }

    /// Returns the capture that this file belongs to. `None` if it was returned before, for another file.
    pub(super) fn capture(&mut self, input: Input) -> Option<Capture> {
        let Some(capture) = self.of.get(&input.identity()) else {
            return Some(Capture::Alone(input));
        };
        let is_first = self.taken.insert(*capture);
        is_first.then(|| Capture::Several(self.captures[*capture].clone()))
    }
}

/// Returns true if the second file follows the first one in a ring of tcpdump or dumpcap, by their names.
fn follows(one: &Path, other: &Path) -> bool {
    let names =
        [one, other].map(|path| path.file_name().map(|it| it.to_string_lossy().into_owned()));
    let [Some(one_name), Some(other_name)] = names else {
        return false;
    };
    one.parent() == other.parent()
        && (is_next_number(&one_name, &other_name) || is_later_date(&one_name, &other_name))
}

/// Extensions that compression adds.
const COMPRESSIONS: [&str; 4] = [".gz", ".zst", ".lz4", ".Z"];

fn without_compression(name: &str) -> &str {
    let stripped = COMPRESSIONS.iter().find_map(|it| name.strip_suffix(it));
    stripped.unwrap_or(name)
}

/// Returns true for `x.pcap` and `x.pcap1`, `x.pcap1` and `x.pcap2` (tcpdump's `-C`). The numbers of a ring begin again
/// with 0 (`-W`), so a smaller number may follow, too; the times decide.
fn is_next_number(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(without_compression);
    let split = |name: &str| {
        let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let number: Option<u32> = name[stem.len()..].parse().ok();
        (stem.to_owned(), number)
    };
    let ((stem, number), (other_stem, other_number)) = (split(one), split(other));
    let extension = stem.rsplit_once('.').map(|(_, it)| it.to_ascii_lowercase());
    let is_capture = extension.is_some_and(|it| {
        matches!(
            it.as_str(),
            "pcap" | "pcapng" | "cap" | "dmp" | "dump" | "ntar"
        )
    });
    let (number, other_number) = (number.unwrap_or(0), other_number.unwrap_or(0));
    is_capture
        && stem == other_stem
        && (other_number == number + 1 || other_number == 0 && number > 0)
}

/// Returns true for names that differ in their digits only, which have a later date and time (`x_00001_20240131120000`,
/// dumpcap's `-b`; tcpdump's `-G`).
fn is_later_date(one: &str, other: &str) -> bool {
    /// Number of digits of the seconds since the epoch, and at least of a date with minutes.
    const MIN_DIGITS: usize = 10;
    let masked = |name: &str| -> String {
        let letters = name.chars();
        letters
            .map(|it| if it.is_ascii_digit() { '#' } else { it })
            .collect()
    };
    let digits = |name: &str| -> Vec<String> {
        let runs = name.split(|letter: char| !letter.is_ascii_digit());
        runs.filter(|run| !run.is_empty())
            .map(str::to_owned)
            .collect()
    };
    if masked(one) != masked(other) {
        return false;
    }
    // Of all numbers in the names, those that differ say the time, and perhaps count the files. A ring that counts from
    // the start again has a smaller count, but a later time.
    let differing: Vec<(String, String)> = digits(one)
        .into_iter()
        .zip(digits(other))
        .filter(|(one, other)| one != other)
        .collect();
    let date = |pick: fn(&(String, String)) -> &String| -> String {
        let is_count = |run: &&String| run.len() == 5;
        let runs: Vec<&String> = differing.iter().map(pick).collect();
        let dates: Vec<&String> = runs.iter().copied().filter(|run| !is_count(run)).collect();
        let picked = if dates.is_empty() { runs } else { dates };
        picked.into_iter().map(String::as_str).collect()
    };
    let (one_date, other_date) = (date(|it| &it.0), date(|it| &it.1));
    let count: usize = digits(one).iter().map(String::len).sum();
    count >= MIN_DIGITS && one_date < other_date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_ring_follow_each_other() {
        for (one, other) in [
            ("a.pcap", "a.pcap1"),
            ("a.pcap1", "a.pcap2"),
            ("a.pcap09", "a.pcap10"),
            ("a.pcap9", "a.pcap0"),
            ("a.pcap1.gz", "a.pcap2.gz"),
            (
                "r_00001_20240131120000.pcapng",
                "r_00002_20240131120100.pcapng",
            ),
            (
                "r_99999_20240131120000.pcapng",
                "r_00001_20240131120100.pcapng",
            ),
            (
                "eth0-2024-01-31_23:59:00.pcap",
                "eth0-2024-02-01_00:00:00.pcap",
            ),
            ("t-1706745600.pcap", "t-1706749200.pcap"),
        ] {
            assert!(follows(Path::new(one), Path::new(other)), "{one} {other}");
        }
        for (one, other) in [
            ("a.pcap", "b.pcap"),
            ("a.pcap1", "a.pcap3"),
            ("case1.pcap", "case2.pcap"),
            ("x.ipv4.pcapng", "x.ipv6.pcapng"),
            ("x/a.pcap1", "y/a.pcap2"),
            (
                "r_00002_20240131120100.pcapng",
                "r_00001_20240131120000.pcapng",
            ),
            ("a.txt1", "a.txt2"),
        ] {
            assert!(!follows(Path::new(one), Path::new(other)), "{one} {other}");
        }
    }
}
