//! Files that appear whole or not at all.
//!
//! A [`NewFile`] is written under a name of its own and takes its real one when it is complete, so that whatever goes
//! wrong leaves no half-written capture behind. It never goes over an existing file unless told to, and never through
//! a symbolic link.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::error::Error;

/// A file in the making. Dropped before [`NewFile::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    file: Option<File>,
    temporary: PathBuf,
    path: PathBuf,
    replace: bool,
}

impl NewFile {
    /// Begins a file that will be called `path`, with mode 0644 or less. With `replace` it may take the place of
    /// another one.
    pub fn create(path: &Path, replace: bool) -> Result<Self, Error> {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&temporary)
            .map_err(|error| Error::file("create", path, &error))?;
        Ok(Self {
            file: Some(file),
            temporary,
            path: path.to_owned(),
            replace,
        })
    }

    /// The file is complete: gives it its name.
    pub fn commit(mut self) -> Result<(), Error> {
        self.file = None;
        let flags = if self.replace {
            RenameFlags::empty()
        } else {
            RenameFlags::RENAME_NOREPLACE
        };
        let renamed = renameat2(
            AT_FDCWD,
            self.temporary.as_path(),
            AT_FDCWD,
            self.path.as_path(),
            flags,
        );
        let renamed = match renamed {
            // NFS and some others know no flags. A second link is as exclusive.
            Err(Errno::EINVAL) if !self.replace => fs::hard_link(&self.temporary, &self.path)
                .and_then(|()| fs::remove_file(&self.temporary)),
            other => other.map_err(io::Error::from),
        };
        renamed.map_err(|error| {
            let _ = fs::remove_file(&self.temporary);
            Error::file("create", &self.path, &error)
        })
    }

    /// An error in writing it.
    #[must_use]
    pub fn failed(&self, error: &io::Error) -> Error {
        Error::file("write", &self.path, error)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file
            .as_mut()
            .map_or(Err(io::ErrorKind::NotConnected.into()), |file| {
                file.write(bytes)
            })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_only_once_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut file = NewFile::create(&path, false).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_abandoned_file_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        drop(NewFile::create(&dir.path().join("a"), false).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_existing_file_is_replaced_only_when_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old").unwrap();
        let mut file = NewFile::create(&path, false).unwrap();
        file.write_all(b"new").unwrap();
        assert!(file.commit().unwrap_err().to_string().contains("EEXIST"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mut file = NewFile::create(&path, true).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, "precious").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut file = NewFile::create(&link, true).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        assert_eq!(fs::read(&link).unwrap(), b"new");
    }
}
