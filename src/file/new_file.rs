//! Files that appear whole or not at all, and never go where they should not.
//!
//! A [`NewFile`] is written without a name where the file system can do that, else under one of its own, and takes its
//! real one when it is complete: whatever goes wrong leaves no half-written file behind. [`write_whole`] is for the
//! many small files of a run: it makes a file under its real name at once, which costs half as much. Neither goes over an
//! existing file unless told to, and neither goes through a symbolic link.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::geteuid;

use super::directory::Directory;
use crate::error::{Error, reason};

/// Of a file: everybody may read it, its owner may write it, less what the umask takes away.
pub(super) const MODE: Mode = Mode::from_bits_truncate(0o644);

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
    pub(super) uid: u32,
    pub(super) gid: u32,
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

    pub(super) fn take(self, file: &File, path: &Path) -> Result<(), Error> {
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

/// Makes a file that holds this. Only a process that is killed in between leaves less than that behind.
pub fn write_whole(
    directory: &Directory,
    name: &str,
    bytes: &[u8],
    manner: Manner,
) -> Result<(), Error> {
    let path = || directory.path_of(name);
    let mut file = match directory.create_new(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && manner.replace => {
            let mut file = NewFile::create(directory, name, manner)?;
            file.write_all(bytes).map_err(|error| file.failed(&error))?;
            return file.commit();
        }
        result => result.map_err(|error| Error::file("create", &path(), &error))?,
    };
    file.write_all(bytes)
        .map_err(|error| Error::file("write", &path(), &error))
        .and_then(|()| match manner.owner {
            Some(owner) => owner.take(&file, &path()),
            None => Ok(()),
        })
        .inspect_err(|_| drop(directory.remove(name)))
}

/// A file in the making. Dropped before [`NewFile::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    directory: Directory,
    file: Option<File>,
    /// The name that it has meanwhile, if it has one.
    temporary: Option<String>,
    name: String,
    manner: Manner,
}

impl NewFile {
    /// Begins a file of this name in the directory, with mode 0644 or less.
    pub fn create(directory: &Directory, name: &str, manner: Manner) -> Result<Self, Error> {
        let mut this = Self {
            directory: directory.clone(),
            file: None,
            temporary: None,
            name: name.to_owned(),
            manner,
        };
        if !manner.replace {
            // Only who may write a file may give it a name, so it is given away last.
            this.file = directory.create_unnamed();
        }
        if this.file.is_none() {
            let temporary = format!(".{name}.{}.partial", std::process::id());
            let file = directory.create_new(&temporary);
            let file = file.map_err(|error| Error::file("create", &this.path(), &error))?;
            this.file = Some(file);
            this.temporary = Some(temporary);
            // One that may take the place of another is given away first: by then nothing must be able to go wrong.
            if let (Some(file), Some(owner)) = (&this.file, manner.owner) {
                owner.take(file, &this.path())?;
            }
        }
        Ok(this)
    }

    /// The file is complete: gives it its name and its owner.
    pub fn commit(mut self) -> Result<(), Error> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let (directory, name) = (&self.directory, &*self.name);
        let named = match &self.temporary {
            None => directory.link(&file, name),
            Some(temporary) => directory
                .rename(temporary, name, self.manner.replace)
                .inspect_err(|_| drop(directory.remove(temporary))),
        };
        named.map_err(|error| Error::file("create", &self.path(), &error))?;
        match (&self.temporary, self.manner.owner) {
            (None, Some(owner)) => owner
                .take(&file, &self.path())
                .inspect_err(|_| drop(directory.remove(name))),
            _ => Ok(()),
        }
    }

    /// An error in writing it.
    #[must_use]
    pub fn failed(&self, error: &io::Error) -> Error {
        Error::file("write", &self.path(), error)
    }

    fn path(&self) -> PathBuf {
        self.directory.path_of(&self.name)
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
            let _ = self.directory.remove(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn directory(dir: &tempfile::TempDir) -> Directory {
        Directory::open_or_make(dir.path(), None).unwrap()
    }

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
        let mut file = NewFile::create(&directory(&dir), "a", KEEP).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_abandoned_file_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        drop(NewFile::create(&directory(&dir), "a", KEEP).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_existing_file_is_replaced_only_when_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old").unwrap();
        let mut file = NewFile::create(&directory(&dir), "a", KEEP).unwrap();
        file.write_all(b"new").unwrap();
        assert!(file.commit().unwrap_err().to_string().contains("EEXIST"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mut file = NewFile::create(&directory(&dir), "a", REPLACE).unwrap();
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
        let mut file = NewFile::create(&directory(&dir), "link", REPLACE).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        assert_eq!(fs::read(&link).unwrap(), b"new");
    }

    #[test]
    fn a_small_file_is_whole_and_goes_over_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_whole(&directory(&dir), "a", b"old", KEEP).unwrap();
        let refused = write_whole(&directory(&dir), "a", b"new", KEEP).unwrap_err();
        assert!(refused.to_string().contains("EEXIST"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_whole(&directory(&dir), "a", b"new", REPLACE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(write_whole(&directory(&dir), "link", b"new", KEEP).is_err());
        assert!(
            NewFile::create(&directory(&dir), "link", KEEP)
                .unwrap()
                .commit()
                .is_err()
        );
        assert!(!target.exists());
        write_whole(&directory(&dir), "link", b"new", REPLACE).unwrap();
        assert!(!target.exists());
        assert_eq!(fs::read(&link).unwrap(), b"new");
    }

    #[test]
    fn nobody_else_may_write() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        write_whole(&directory(&dir), "small", b"", KEEP).unwrap();
        NewFile::create(&directory(&dir), "new", KEEP)
            .unwrap()
            .commit()
            .unwrap();
        NewFile::create(&directory(&dir), "put", REPLACE)
            .unwrap()
            .commit()
            .unwrap();
        for (name, most) in [("small", 0o644), ("new", 0o644), ("put", 0o644)] {
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
