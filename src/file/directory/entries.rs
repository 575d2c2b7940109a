//! Entries of an open directory.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::Error;

/// Flags for opening any directory.
pub(super) const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);

/// Returns the names of all entries of the directory at this path, sorted.
///
/// [`std::fs::read_dir`] panics if the directory cannot be closed, which fails with EIO on some file systems.
pub(crate) fn names_in(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = all(open(path, DIRECTORY, Mode::empty())?, |_| true)?;
    names.sort();
    Ok(names)
}

/// Returns the names of all entries of a directory for which the predicate is true.
pub(super) fn all(fd: impl AsFd, wanted: impl Fn(&OsStr) -> bool) -> nix::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::openat(fd, ".", DIRECTORY, Mode::empty())? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." && wanted(name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Returns the name of any entry of a directory for which the predicate is true.
pub(super) fn find(
    fd: impl AsFd,
    wanted: impl Fn(&OsStr) -> bool,
) -> nix::Result<Option<OsString>> {
    for entry in Dir::openat(fd, ".", DIRECTORY, Mode::empty())? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." && wanted(name) {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

pub(super) fn failed(action: &'static str, path: &Path, errno: Errno) -> Error {
    Error::file(action, path, &errno.into())
}
