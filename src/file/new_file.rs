//! Files that appear whole or not at all, and never go where they should not.
//!
//! A [`NewFile`] is written without a name where the file system can do that, else under one of its own, and takes its
//! real one when it is complete: whatever goes wrong leaves no half-written file behind. [`write_whole`] is for the
//! many small files of a run: it makes a file under its real name at once, which costs half as much. Neither goes over an
//! existing file unless told to, and neither goes through a symbolic link.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, RenameFlags, renameat2};
use nix::unistd::{geteuid, linkat};

use crate::error::{Error, reason};

/// Of a file: everybody may read it, its owner may write it, less what the umask takes away.
const MODE: u32 = 0o644;

/// How files are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Whether a file may take the place of another one.
    pub replace: bool,
    /// To whom they are given, if not to whoever runs this.
    pub owner: Option<Owner>,
}

/// Whom files are given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// The user who became root with `sudo`, if that is how this runs.
    #[must_use]
    pub fn behind_sudo() -> Option<Self> {
        // Anybody can set the variables, but only root can give files away.
        if !geteuid().is_root() {
            return None;
        }
        let number = |name| std::env::var(name).ok()?.parse().ok();
        Self::of_numbers(number("SUDO_UID"), number("SUDO_GID"))
    }

    fn of_numbers(uid: Option<u32>, gid: Option<u32>) -> Option<Self> {
        // `(uid_t) -1` means "leave it as it is".
        let (uid, gid) = (uid?, gid?);
        (uid != 0 && uid != u32::MAX && gid != u32::MAX).then_some(Self { uid, gid })
    }

    fn take(self, file: &File, path: &Path) -> Result<(), Error> {
        fchown(file, Some(self.uid), Some(self.gid)).map_err(|error| self.refused(path, &error))
    }

    fn refused(self, path: &Path, error: &io::Error) -> Error {
        Error::File {
            action: "give away",
            path: path.to_owned(),
            reason: format!(
                "{}; it would belong to user {} of SUDO_UID, unset that to keep it as root's",
                reason(error),
                self.uid
            ),
        }
    }
}

/// Makes a directory, which everybody may read and its owner may write to.
pub fn make_directory(path: &Path, owner: Option<Owner>) -> Result<(), Error> {
    DirBuilder::new()
        .mode(0o755)
        .create(path)
        .map_err(|error| Error::file("create", path, &error))?;
    let Some(owner) = owner else { return Ok(()) };
    chown(path, Some(owner.uid), Some(owner.gid)).map_err(|error| {
        let _ = fs::remove_dir(path);
        owner.refused(path, &error)
    })
}

/// Makes a file that holds this. Only a process that is killed in between leaves less than that behind.
pub fn write_whole(path: &Path, bytes: &[u8], manner: Manner) -> Result<(), Error> {
    let mut file = match create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && manner.replace => {
            let mut file = NewFile::create(path, manner)?;
            file.write_all(bytes).map_err(|error| file.failed(&error))?;
            return file.commit();
        }
        result => result.map_err(|error| Error::file("create", path, &error))?,
    };
    file.write_all(bytes)
        .map_err(|error| Error::file("write", path, &error))
        .and_then(|()| manner.owner.map_or(Ok(()), |owner| owner.take(&file, path)))
        .inspect_err(|_| {
            let _ = fs::remove_file(path);
        })
}

/// With `O_EXCL` no link is followed, not even one that leads nowhere.
fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)
}

/// A file in the making. Dropped before [`NewFile::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    file: Option<File>,
    /// The name that it has meanwhile, if it has one.
    temporary: Option<PathBuf>,
    path: PathBuf,
    manner: Manner,
}

impl NewFile {
    /// Begins a file that will be called `path`, with mode 0644 or less.
    pub fn create(path: &Path, manner: Manner) -> Result<Self, Error> {
        let begun = |file, temporary| Self {
            file: Some(file),
            temporary,
            path: path.to_owned(),
            manner,
        };
        if let Some(file) = unnamed(path, manner) {
            // Only who may write a file may give it a name, so it is given away last.
            return Ok(begun(file, None));
        }
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = create_new(&temporary).map_err(|error| Error::file("create", path, &error))?;
        let this = begun(file, Some(temporary));
        // One that may take the place of another is given away first: by then nothing must be able to go wrong.
        if let (Some(file), Some(owner)) = (&this.file, manner.owner) {
            owner.take(file, path)?;
        }
        Ok(this)
    }

    /// The file is complete: gives it its name and its owner.
    pub fn commit(mut self) -> Result<(), Error> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let named = match &self.temporary {
            None => link(&file, &self.path),
            Some(temporary) => rename(temporary, &self.path, self.manner.replace)
                .inspect_err(|_| drop(fs::remove_file(temporary))),
        };
        named.map_err(|error| Error::file("create", &self.path, &error))?;
        match (&self.temporary, self.manner.owner) {
            (None, Some(owner)) => owner
                .take(&file, &self.path)
                .inspect_err(|_| drop(fs::remove_file(&self.path))),
            _ => Ok(()),
        }
    }

    /// An error in writing it.
    #[must_use]
    pub fn failed(&self, error: &io::Error) -> Error {
        Error::file("write", &self.path, error)
    }
}

/// A file without a name in the directory of `path` (`O_TMPFILE`), where there is such a thing: not even a process that
/// is killed leaves it behind. It cannot be given a name that another file has.
fn unnamed(path: &Path, manner: Manner) -> Option<File> {
    if manner.replace || !Path::new("/proc/self/fd").exists() {
        return None;
    }
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return None,
    };
    OpenOptions::new()
        .write(true)
        .mode(MODE)
        .custom_flags(libc::O_TMPFILE)
        .open(directory)
        .ok()
}

/// Gives an unnamed file its name (`open(2)` shows this way, which needs no privilege).
fn link(file: &File, path: &Path) -> io::Result<()> {
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(
        AT_FDCWD,
        unnamed.as_str(),
        AT_FDCWD,
        path,
        AtFlags::AT_SYMLINK_FOLLOW,
    )
    .map_err(io::Error::from)
}

fn rename(from: &Path, to: &Path, replace: bool) -> io::Result<()> {
    let flags = if replace {
        RenameFlags::empty()
    } else {
        RenameFlags::RENAME_NOREPLACE
    };
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, flags) {
        // NFS and some others know no flags. A second link is as exclusive.
        Err(Errno::EINVAL) if !replace => {
            fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
        }
        other => other.map_err(io::Error::from),
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
        if let (Some(_), Some(temporary)) = (self.file.take(), &self.temporary) {
            let _ = fs::remove_file(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Manner = Manner {
        replace: false,
        owner: None,
    };
    const REPLACE: Manner = Manner {
        replace: true,
        owner: None,
    };

    #[test]
    fn a_file_is_there_only_once_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut file = NewFile::create(&path, KEEP).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_abandoned_file_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        drop(NewFile::create(&dir.path().join("a"), KEEP).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_existing_file_is_replaced_only_when_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old").unwrap();
        let mut file = NewFile::create(&path, KEEP).unwrap();
        file.write_all(b"new").unwrap();
        assert!(file.commit().unwrap_err().to_string().contains("EEXIST"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mut file = NewFile::create(&path, REPLACE).unwrap();
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
        let mut file = NewFile::create(&link, REPLACE).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        assert_eq!(fs::read(&link).unwrap(), b"new");
    }

    #[test]
    fn a_small_file_is_whole_and_goes_over_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_whole(&path, b"old", KEEP).unwrap();
        let refused = write_whole(&path, b"new", KEEP).unwrap_err();
        assert!(refused.to_string().contains("EEXIST"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_whole(&path, b"new", REPLACE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(write_whole(&link, b"new", KEEP).is_err());
        assert!(NewFile::create(&link, KEEP).unwrap().commit().is_err());
        assert!(!target.exists());
        write_whole(&link, b"new", REPLACE).unwrap();
        assert!(!target.exists());
        assert_eq!(fs::read(&link).unwrap(), b"new");
    }

    #[test]
    fn nobody_else_may_write() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        write_whole(&path("small"), b"", KEEP).unwrap();
        NewFile::create(&path("new"), KEEP)
            .unwrap()
            .commit()
            .unwrap();
        NewFile::create(&path("put"), REPLACE)
            .unwrap()
            .commit()
            .unwrap();
        make_directory(&path("directory"), None).unwrap();
        for (name, most) in [
            ("small", 0o644),
            ("new", 0o644),
            ("put", 0o644),
            ("directory", 0o755),
        ] {
            let mode = path(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777 & !most, 0, "{name}: {mode:o}");
        }
    }

    #[test]
    fn root_and_no_user_at_all_are_nobody_to_give_files_to() {
        let owner = Owner {
            uid: 1000,
            gid: 100,
        };
        assert_eq!(Owner::of_numbers(Some(1000), Some(100)), Some(owner));
        for (uid, gid) in [
            (Some(0), Some(0)),
            (None, Some(100)),
            (Some(1000), None),
            (Some(u32::MAX), Some(100)),
            (Some(1000), Some(u32::MAX)),
        ] {
            assert_eq!(Owner::of_numbers(uid, gid), None);
        }
    }
}
