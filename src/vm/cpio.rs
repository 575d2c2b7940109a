//! Archives in cpio's "new ASCII" format: the kernel unpacks one into its first filesystem, and a guest sends its files
//! as one.
//!
//! Source: `Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel.

use std::collections::BTreeSet;
use std::ops::Range;

/// Magic bytes at the start of every entry.
const MAGIC: &[u8; 6] = b"070701";

/// Name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// Length of an entry's header in bytes: the magic and thirteen fields of eight hexadecimal digits.
const HEADER: usize = 110;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// Builder of an archive.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<String>,
}

impl Writer {
    /// Adds a file at this path below the root, with these permissions, and the directories above it.
    pub(super) fn file(&mut self, path: &str, permissions: u32, content: &[u8]) {
        let path = path.trim_start_matches('/');
        self.parents(path);
        self.entry(path, FILE | permissions, (0, 0), content);
    }

    /// Adds an empty directory at this path, and the directories above it.
    pub(super) fn directory(&mut self, path: &str) {
        let path = path.trim_start_matches('/');
        self.parents(path);
        if self.directories.insert(path.to_owned()) {
            self.entry(path, DIRECTORY, (0, 0), &[]);
        }
    }

    /// Adds a character device with these major and minor numbers.
    pub(super) fn character_device(&mut self, path: &str, (major, minor): (u32, u32)) {
        let path = path.trim_start_matches('/');
        self.parents(path);
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// Ends the archive and returns its bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, (0, 0), &[]);
        self.bytes
    }

    fn parents(&mut self, path: &str) {
        let ends = path.match_indices('/').map(|(end, _)| end);
        for end in ends {
            let directory = &path[..end];
            if self.directories.insert(directory.to_owned()) {
                self.entry(directory, DIRECTORY, (0, 0), &[]);
            }
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_length = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
        let fields = [
            self.entries, // inode
            mode,
            0, // owner
            0, // group
            1, // links
            0, // modification time
            length,
            0, // device of the file system
            0,
            device.0, // device of the node
            device.1,
            name_length,
            0, // checksum: used by the "070702" format only
        ];
        self.bytes.extend_from_slice(MAGIC);
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Pads with zeros to a multiple of 4 bytes, as the format requires after a name and after a content.
    fn pad(&mut self) {
        let whole = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(whole, 0);
    }
}

/// Returns a field of a header: eight hexadecimal digits, behind the magic number and the fields before it.
fn field(header: &[u8], nth: usize) -> Option<u32> {
    let start = MAGIC.len() + 8 * nth;
    let digits = std::str::from_utf8(header.get(start..start + 8)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// Returns the path of each regular file in an archive and the range of its content. `None` if the bytes are not a
/// complete archive.
pub(super) fn places(bytes: &[u8]) -> Option<Vec<(&str, Range<usize>)>> {
    let mut files = Vec::new();
    let mut at = 0_usize;
    loop {
        let header = bytes.get(at..at.checked_add(HEADER)?)?;
        if !header.starts_with(MAGIC) {
            return None;
        }
        let (mode, length) = (field(header, 1)?, usize::try_from(field(header, 6)?).ok()?);
        let name_length = usize::try_from(field(header, 11)?).ok()?;
        let name_at = at + HEADER;
        let name = bytes.get(name_at..name_at.checked_add(name_length)?)?;
        let name = std::str::from_utf8(name.strip_suffix(&[0])?).ok()?;
        if name == TRAILER {
            return Some(files);
        }
        let content_at = name_at.checked_add(name_length)?.next_multiple_of(4);
        let end = content_at.checked_add(length)?;
        bytes.get(content_at..end)?;
        if mode & 0o170_000 == FILE {
            files.push((name, content_at..end));
        }
        at = end.next_multiple_of(4);
    }
}

/// Returns the path and the content of each regular file in an archive. `None` if the bytes are not a complete archive.
#[cfg(test)]
pub(super) fn files(bytes: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let places = places(bytes)?.into_iter();
    Some(places.map(|(name, place)| (name, &bytes[place])).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn archive() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.file("/init", 0o755, b"program");
        writer.directory("proc");
        writer.file("lib/x/a.so", 0o644, b"");
        writer.file("lib/x/b.so", 0o644, &[7; 4097]);
        writer.character_device("dev/console", (5, 1));
        writer.finish()
    }

    #[test]
    fn a_written_archive_can_be_read() {
        let bytes = archive();
        let files = files(&bytes).unwrap();
        let [init, a, b] = files[..] else {
            panic!("{} files", files.len())
        };
        assert_eq!(init, ("init", &b"program"[..]));
        assert_eq!(a, ("lib/x/a.so", &b""[..]));
        assert_eq!((b.0, b.1.len()), ("lib/x/b.so", 4097));
    }

    #[test]
    fn a_truncated_archive_is_rejected() {
        let bytes = archive();
        let trailer = bytes.len() - (HEADER + TRAILER.len() + 1).next_multiple_of(4);
        for length in 0..trailer + HEADER + TRAILER.len() {
            assert_eq!(files(&bytes[..length]), None, "{length}");
        }
        assert_eq!(files(b"no archive at all, and long enough to hold a header of one if it were: it is not. No, it is none"), None);
    }

    /// Sets each length field in turn to all ones.
    #[test]
    fn invalid_lengths_are_rejected() {
        for field in [6, 11] {
            let mut bytes = archive();
            bytes[6 + 8 * field..14 + 8 * field].copy_from_slice(b"ffffffff");
            assert_eq!(files(&bytes), None, "{field}");
        }
    }

    /// Compares with the listing of the `cpio` program, if it is installed.
    #[test]
    fn cpio_lists_it() {
        let Ok(mut cpio) = Command::new("cpio")
            .arg("-t")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
        else {
            return;
        };
        cpio.stdin.take().unwrap().write_all(&archive()).unwrap();
        let listed = cpio.wait_with_output().unwrap();
        assert!(listed.status.success());
        let listed = String::from_utf8(listed.stdout).unwrap();
        let names: Vec<_> = listed.lines().collect();
        assert_eq!(
            names,
            [
                "init",
                "proc",
                "lib",
                "lib/x",
                "lib/x/a.so",
                "lib/x/b.so",
                "dev",
                "dev/console"
            ]
        );
    }
}
