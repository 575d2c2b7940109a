//! Files of untrusted evidence: bounded reads, and errors with their causes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::unistd::geteuid;

use crate::error::{Error, known_number, reason};
use rstproof_core::evidence::NotRead;
use rstproof_core::transcript::Errno;

/// Maximum size of a trial's capture, and of its own document if compared with a report, in bytes. Genuine ones have
/// some kilobytes.
pub(super) const MAX_CAPTURE: u64 = 16 << 20;

/// Maximum size of a document, in bytes. The report of 10,000 trials has some 30 MB.
pub(super) const MAX_DOCUMENT: u64 = 1 << 30;

/// Policy for symbolic links: a link given on the command line is followed, but one in a directory of evidence is
/// refused, because it leads out of that directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Followed,
    Refused,
}

/// Reads a document given by the user. Follows a symbolic link. Fails if the document is not a regular file or is
/// longer than [`MAX_DOCUMENT`].
pub(crate) fn document_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    read_file(path, MAX_DOCUMENT, Links::Followed).map_err(|why| unreadable(path, why))
}

/// Returns the error for an evidence file that cannot be read, with a hint if the cause is known.
pub(super) fn unreadable(path: &Path, why: NotRead) -> Error {
    let hint = match why {
        NotRead::Refused(Errno::EACCES) if geteuid().is_root() => {
            "; root privileges are dropped before evidence is read, so run this as the user who owns the files"
        }
        NotRead::Refused(Errno::ELOOP) => "; symbolic links to evidence are not followed",
        _ => "",
    };
    let reason = match why {
        NotRead::Refused(errno) => reason(&io::Error::from_raw_os_error(errno.0)),
        other => other.to_string(),
    };
    Error::File {
        action: "read",
        path: path.to_owned(),
        reason: format!("{reason}{hint}"),
    }
}

pub(super) fn not_read(error: &io::Error) -> NotRead {
    NotRead::Refused(known_number(error.raw_os_error().unwrap_or(libc::EIO)))
}

/// Opens a file for reading, whatever kind of file it is.
fn open(path: &Path, links: Links) -> io::Result<File> {
    let no_links = match links {
        Links::Followed => 0,
        Links::Refused => libc::O_NOFOLLOW,
    };
    OpenOptions::new()
        .read(true)
        // Without O_NONBLOCK the open(2) of a FIFO waits for a writer.
        .custom_flags(libc::O_NONBLOCK | no_links)
        .open(path)
}

/// Reads a whole file. Fails if it is not a regular file (a pipe may never end) or has more than `most` bytes.
pub(super) fn read_file(path: &Path, most: u64, links: Links) -> Result<Vec<u8>, NotRead> {
    let not_read = |error: io::Error| not_read(&error);
    let file = open(path, links).map_err(not_read)?;
    let metadata = file.metadata().map_err(not_read)?;
    if !metadata.is_file() {
        return Err(NotRead::NotRegular);
    }
    if metadata.len() > most {
        return Err(NotRead::TooLong(most));
    }
    // The length may be wrong: the file may grow meanwhile, and files in /proc have length 0. So the read is bounded
    // too, and memory is allocated only as bytes arrive.
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(not_read)?;
    if bytes.len() as u64 > most {
        return Err(NotRead::TooLong(most));
    }
    Ok(bytes)
}

/// Returns the error for a document that is refused, with the reason.
pub(crate) fn refused(path: &Path, reason: String) -> Error {
    Error::File {
        action: "read",
        path: path.to_owned(),
        reason,
    }
}
