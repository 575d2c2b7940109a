//! The directory that a run saves its files in, held open.
//!
//! All files are made, renamed and removed relative to the open directory, never by its path again: whoever owns the
//! directory above may put another one, or a link, in its place while root is saving. A new directory is made relative
//! to the open one above it, for the same reason.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::new_file::{MODE, Owner};
use super::place::Place;
use crate::error::Error;

/// How every directory is opened.
pub(super) const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);

/// An open directory.
#[derive(Clone, Debug)]
pub struct Directory {
    fd: Arc<OwnedFd>,
    path: PathBuf,
    /// Where it was made, if it was not there before.
    made: Option<Arc<Place>>,
}

/// As long as this lives, no other run saves in the directory.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] Option<Flock<OwnedFd>>); // held, never looked at

impl Directory {
    /// Opens the one that is there; what was typed may be a link to it. If there is none, makes one, which everybody
    /// may read and its owner may write to, and gives it away.
    pub fn open_or_make(path: &Path, owner: Option<Owner>) -> Result<Self, Error> {
        match Self::opened(path) {
            Err(Errno::ENOENT) => {
                let place = Place::of(path).map_err(|errno| failed("create", path, errno))?;
                Self::make(place, path, owner)
            }
            opened => opened.map_err(|errno| failed("open", path, errno)),
        }
    }

    /// Opens the one that is there; what was typed may be a link to it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::opened(path).map_err(|errno| failed("open", path, errno))
    }

    fn opened(path: &Path) -> nix::Result<Self> {
        Ok(Self {
            fd: Arc::new(open(path, DIRECTORY, Mode::empty())?),
            path: path.to_owned(),
            made: None,
        })
    }

    pub(super) fn make(place: Place, path: &Path, owner: Option<Owner>) -> Result<Self, Error> {
        place
            .make()
            .map_err(|errno| failed("create", path, errno))?;
        let fd = place
            .open_made(path, owner)
            .inspect_err(|_| place.remove())?;
        Ok(Self {
            fd: Arc::new(fd),
            path: path.to_owned(),
            made: Some(Arc::new(place)),
        })
    }

    /// Removes the directory if it is empty and was not there before.
    pub fn remove_if_unused(&self) {
        if let Some(place) = &self.made {
            place.remove();
        }
    }

    /// The name of something in it for which this holds.
    pub fn find(&self, wanted: impl Fn(&OsStr) -> bool) -> Result<Option<OsString>, Error> {
        find(&self.fd, wanted).map_err(|errno| failed("read", &self.path, errno))
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

/// The name of something in a directory for which this holds.
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

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::file::{Manner, NewFile, write_whole};

    /// A directory with `evidence` to be made and a `victim` that is not to be touched.
    pub(in crate::file) fn home() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = |name| home.path().join(name);
        let (evidence, victim) = (path("evidence"), path("victim"));
        fs::create_dir(&victim).unwrap();
        (home, evidence, victim)
    }

    fn make(path: &Path) -> Directory {
        Directory::open_or_make(path, None).unwrap()
    }

    pub(in crate::file) fn names(path: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_takes_the_place_of_the_directory_gets_no_files() {
        let (home, path, victim) = home();
        let moved = home.path().join("moved");
        let directory = make(&path);
        fs::rename(&path, &moved).unwrap();
        symlink(&victim, &path).unwrap();
        let mut all = vec![OsString::from("small")];
        write_whole(&directory, "small", b"", Manner::default()).unwrap();
        for replace in [false, true] {
            let manner = Manner {
                replace,
                owner: None,
            };
            let name = format!("replace-{replace}");
            let mut file = NewFile::create(&directory, &name, manner).unwrap();
            file.write_all(b"whole").unwrap();
            file.commit().unwrap();
            all.push(name.into());
        }
        all.sort();
        assert_eq!(names(&moved), all);
        directory.rename("small", "renamed", false).unwrap();
        assert!(directory.holds("renamed") && !directory.holds("small"));
        let found = directory.find(|name| name == "renamed").unwrap();
        assert_eq!(found, Some("renamed".into()));
        for name in names(&moved) {
            directory.remove(name.to_str().unwrap()).unwrap();
        }
        assert_eq!(directory.find(|_| true).unwrap(), None);
        assert_eq!(names(&moved).len() + names(&victim).len(), 0);
        // What is there now is a link, which is none of a run's.
        directory.remove_if_unused();
        assert!(path.is_symlink() && moved.exists() && victim.exists());
    }

    #[test]
    fn one_that_is_there_may_be_reached_by_a_link_and_stays() {
        let (_home, link, victim) = home();
        symlink(&victim, &link).unwrap();
        let directory = make(&link);
        directory.create_new("a").unwrap();
        assert_eq!(names(&victim), ["a"]);
        directory.remove("a").unwrap();
        directory.remove_if_unused();
        assert!(victim.exists());
    }

    #[test]
    fn a_new_one_is_not_made_where_a_link_leads() {
        let (home, link, _) = home();
        let nowhere = home.path().join("nowhere");
        symlink(&nowhere, &link).unwrap();
        let refused = Directory::open_or_make(&link, None).unwrap_err();
        assert!(refused.to_string().contains("EEXIST"), "{refused}");
        assert!(!nowhere.exists() && link.is_symlink());
    }

    #[test]
    fn the_last_part_of_the_path_is_what_is_made() {
        let (home, _, _) = home();
        for (typed, made) in [("a", "a"), ("b/", "b"), ("victim/../c", "c")] {
            make(&home.path().join(typed)).remove_if_unused();
            let directory = make(&home.path().join(typed));
            assert!(home.path().join(made).is_dir(), "{typed}");
            directory.remove_if_unused();
            assert!(!home.path().join(made).exists(), "{typed}");
        }
        for typed in ["missing/..", "missing/a"] {
            let path = home.path().join(typed);
            let refused = Directory::open_or_make(&path, None).unwrap_err();
            assert!(refused.to_string().contains("ENOENT"), "{refused}");
        }
        assert_eq!(names(home.path()), ["victim"]);
    }

    #[test]
    fn nobody_else_may_write_to_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evidence");
        make(&path);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777 & !0o755, 0, "{mode:o}");
    }

    #[test]
    fn one_run_at_a_time_saves_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = [(); 2].map(|()| make(dir.path())).into();
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
