//! The directory that a run saves its files in, held open.
//!
//! All files are made, renamed and removed relative to the open directory, never by its path again: whoever owns the
//! directory above may put another one, or a link, in its place while root is saving.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, linkat, unlinkat};

use super::new_file::{MODE, Owner};
use crate::error::Error;

/// An open directory.
#[derive(Clone, Debug)]
pub struct Directory {
    fd: Arc<OwnedFd>,
    path: PathBuf,
}

/// As long as this lives, no other run saves in the directory.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] Option<Flock<OwnedFd>>); // held, never looked at

impl Directory {
    /// Opens one that is there; what was typed may be a link to it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::with_flags(path, OFlag::empty()).map_err(|error| Error::file("open", path, &error))
    }

    /// Makes one, which everybody may read and its owner may write to, and gives it away.
    pub fn make(path: &Path, owner: Option<Owner>) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::file("create", path, &error);
        DirBuilder::new().mode(0o755).create(path).map_err(failed)?;
        let made = Self::with_flags(path, OFlag::O_NOFOLLOW).map_err(failed)?;
        let Some(owner) = owner else { return Ok(made) };
        let file = File::from(made.fd.try_clone().map_err(failed)?);
        // Somebody may have put something else there meanwhile.
        if file.metadata().map_err(failed)?.uid() != geteuid().as_raw() {
            return Err(failed(Errno::EPERM.into()));
        }
        owner
            .take(&file, path)
            .inspect_err(|_| drop(fs::remove_dir(path)))?;
        Ok(made)
    }

    fn with_flags(path: &Path, flags: OFlag) -> io::Result<Self> {
        let flags = flags | OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        Ok(Self {
            fd: Arc::new(open(path, flags, Mode::empty())?),
            path: path.to_owned(),
        })
    }

    /// Keeps other runs from saving here, until this one has ended.
    pub fn lock(&self) -> Result<Lock, Error> {
        let fd = self.fd.try_clone();
        let fd = fd.map_err(|error| Error::file("open", &self.path, &error))?;
        match Flock::lock(fd, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Lock(Some(lock))),
            Err((_, Errno::EWOULDBLOCK)) => Err(Error::File {
                action: "save in",
                path: self.path.clone(),
                reason: "another run is saving there; wait for it, or choose another directory"
                    .to_owned(),
            }),
            // Not every file system has locks, and then there is none to be had.
            Err(_) => Ok(Lock(None)),
        }
    }

    /// Where it was when it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What people call this file in it.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether there is anything of this name, be it a link that leads nowhere.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        fstatat(&*self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        unlinkat(&*self.fd, name, UnlinkatFlags::NoRemoveDir).map_err(io::Error::from)
    }

    /// With `O_EXCL` no link is followed, not even one that leads nowhere.
    pub(super) fn create_new(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        Ok(openat(&*self.fd, name, flags, MODE)?.into())
    }

    /// A file without a name (`O_TMPFILE`), where there is such a thing: not even a process that is killed leaves it
    /// behind. It cannot be given a name that another file has.
    pub(super) fn create_unnamed(&self) -> Option<File> {
        if !Path::new("/proc/self/fd").exists() {
            return None;
        }
        let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        Some(openat(&*self.fd, ".", flags, MODE).ok()?.into())
    }

    /// Gives an unnamed file its name (`open(2)` shows this way, which needs no privilege).
    pub(super) fn link(&self, file: &File, name: &str) -> io::Result<()> {
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        let follow = AtFlags::AT_SYMLINK_FOLLOW;
        linkat(AT_FDCWD, unnamed.as_str(), &*self.fd, name, follow).map_err(io::Error::from)
    }

    pub(super) fn rename(&self, from: &str, to: &str, replace: bool) -> io::Result<()> {
        let flags = if replace {
            RenameFlags::empty()
        } else {
            RenameFlags::RENAME_NOREPLACE
        };
        match renameat2(&*self.fd, from, &*self.fd, to, flags) {
            // NFS and some others know no flags. A second link is as exclusive.
            Err(Errno::EINVAL) if !replace => {
                linkat(&*self.fd, from, &*self.fd, to, AtFlags::empty())?;
                self.remove(from)
            }
            other => other.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_takes_the_place_of_the_directory_gets_no_files() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("evidence"), dir.path().join("victim"));
        fs::create_dir(&victim).unwrap();
        let made = Directory::make(&path, None).unwrap();
        fs::rename(&path, dir.path().join("moved")).unwrap();
        symlink(&victim, &path).unwrap();
        made.create_new("a").unwrap();
        made.rename("a", "b", false).unwrap();
        assert!(made.holds("b") && !made.holds("a"));
        assert!(dir.path().join("moved/b").exists());
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
        made.remove("b").unwrap();
        assert_eq!(fs::read_dir(dir.path().join("moved")).unwrap().count(), 0);
    }

    #[test]
    fn one_that_is_there_may_be_reached_by_a_link_and_a_new_one_may_not() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink(dir.path(), &link).unwrap();
        Directory::open(&link).unwrap().create_new("a").unwrap();
        assert!(dir.path().join("a").exists());
        assert!(Directory::make(&link, None).is_err());
    }

    #[test]
    fn nobody_else_may_write_to_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evidence");
        Directory::make(&path, None).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777 & !0o755, 0, "{mode:o}");
    }

    #[test]
    fn one_run_at_a_time_saves_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = [(); 2]
            .map(|()| Directory::open(dir.path()).unwrap())
            .into();
        let lock = one.lock().unwrap();
        assert!(
            other
                .lock()
                .unwrap_err()
                .to_string()
                .contains("another run")
        );
        drop(lock);
        other.lock().unwrap();
    }
}
