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
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, linkat, unlinkat};
use rustix::fs::{FlockOperation, flock};

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

/// As long as this lives, no other run saves in the directory, unless its file system has no locks.
#[derive(Debug)]
pub struct Lock {
    fd: OwnedFd,
    refusal: Option<io::Error>,
}

impl Lock {
    /// Reason why the directory could not be locked, if it could not.
    #[must_use]
    pub fn refusal(&self) -> Option<&io::Error> {
        self.refusal.as_ref()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Another descriptor of the directory may be open longer. What fails here ends with that.
        let _ = flock(&self.fd, FlockOperation::Unlock);
    }
}

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
        let refusal = match lock(&fd) {
            Locked::Now => None,
            Locked::Elsewhere => {
                return Err(Error::File {
                    action: "save in",
                    path: self.path.clone(),
                    reason: "another run is saving there; wait for it, or choose another directory"
                        .to_owned(),
                });
            }
            // Not every file system has locks, and then there is none to be had.
            Locked::Not(error) => Some(error),
        };
        Ok(Lock { fd, refusal })
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
        self.status(name.as_ref()).is_ok()
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
        let file = File::from(openat(&*self.fd, ".", flags, MODE).ok()?);
        // Before it has a name by which somebody might take it for abandoned.
        let _ = lock(&file);
        Some(file)
    }

    /// A file with a temporary name, and that name. The process that has it holds a lock on it, where there are locks: who
    /// finds one of these files can find out whether it was abandoned.
    pub(super) fn create_temporary(&self) -> io::Result<(File, String)> {
        /// Names are 64 random bits, so that one is refused by whoever may write here, and not by chance.
        const ATTEMPTS: usize = 8;
        for _ in 0..ATTEMPTS {
            let name = temporary_name()?;
            let file = match self.create_new(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                created => created?,
            };
            // Between these two steps somebody may have taken it for abandoned.
            let is_ours = !matches!(lock(&file), Locked::Elsewhere)
                && self
                    .status(name.as_ref())
                    .is_ok_and(|it| is_same(&it, &file));
            if is_ours {
                return Ok((file, name));
            }
            let _ = self.remove(&name);
        }
        Err(io::Error::other(
            "whatever is made there is locked by another process at once",
        ))
    }

    /// Removes files with temporary names that dead processes have left behind: regular ones of whoever runs this or of
    /// `owner`, which nobody holds a lock on. Where there are no locks none is removed.
    pub fn remove_abandoned(&self, owner: Option<Owner>) {
        // What cannot be removed is in nobody's way.
        let Ok(names) = all(&self.fd, is_temporary_name) else {
            return;
        };
        for name in names {
            let _ = self.remove_if_abandoned(&name, owner);
        }
    }

    fn remove_if_abandoned(&self, name: &OsStr, owner: Option<Owner>) -> nix::Result<()> {
        let may_be_ours = |it: &FileStat| {
            let is_whose = it.st_uid == geteuid().as_raw()
                || owner.is_some_and(|owner| it.st_uid == owner.uid);
            let kind = SFlag::from_bits_truncate(it.st_mode) & SFlag::S_IFMT;
            kind == SFlag::S_IFREG && it.st_nlink == 1 && is_whose
        };
        if !may_be_ours(&self.status(name)?) {
            return Ok(());
        }
        // For writing, as NFS locks a file exclusively for nobody else.
        let flags = OFlag::O_RDWR
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        let file = File::from(openat(&*self.fd, name, flags, Mode::empty())?);
        let is_abandoned = may_be_ours(&fstat(&file)?) && matches!(lock(&file), Locked::Now);
        // Whoever had it may have given it its real name before it was locked here.
        if is_abandoned && is_same(&self.status(name)?, &file) {
            unlinkat(&*self.fd, name, UnlinkatFlags::NoRemoveDir)?;
        }
        Ok(())
    }

    /// What is of this name, be it a link.
    fn status(&self, name: &OsStr) -> nix::Result<FileStat> {
        fstatat(&*self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// Gives an unnamed file its name (`open(2)` shows this way, which needs no privilege).
    pub(super) fn link(&self, file: &File, name: &str) -> io::Result<()> {
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        let follow = AtFlags::AT_SYMLINK_FOLLOW;
        linkat(AT_FDCWD, unnamed.as_str(), &*self.fd, name, follow).map_err(io::Error::from)
    }

    /// Gives an unnamed file a temporary name.
    pub(super) fn link_temporary(&self, file: &File) -> io::Result<String> {
        let name = temporary_name()?;
        self.link(file, &name)?;
        Ok(name)
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

/// What has come of locking a file.
enum Locked {
    Now,
    /// Another process has locked it.
    Elsewhere,
    /// It cannot be locked.
    Not(io::Error),
}

/// Locks it without waiting, until all descriptors of this one file description are closed.
fn lock(file: impl AsFd) -> Locked {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Locked::Now,
        Err(rustix::io::Errno::WOULDBLOCK) => Locked::Elsewhere,
        Err(errno) => Locked::Not(errno.into()),
    }
}

fn is_same(status: &FileStat, file: &File) -> bool {
    fstat(file).is_ok_and(|it| (it.st_dev, it.st_ino) == (status.st_dev, status.st_ino))
}

/// What temporary names begin and end with. Between them are 16 hexadecimal digits.
const TEMPORARY: (&str, &str) = (".rstproof-", ".partial");

fn temporary_name() -> io::Result<String> {
    let digits = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{}{digits:016x}{}", TEMPORARY.0, TEMPORARY.1))
}

fn is_temporary_name(name: &OsStr) -> bool {
    let digits = name.as_bytes().strip_prefix(TEMPORARY.0.as_bytes());
    let digits = digits.and_then(|it| it.strip_suffix(TEMPORARY.1.as_bytes()));
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    digits.is_some_and(|it| it.len() == 16 && it.iter().all(is_digit))
}

/// The names of all that is in the directory at this path, sorted.
///
/// [`std::fs::read_dir`] panics if the directory cannot be closed, which fails with EIO on some file systems.
pub(crate) fn names_in(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = all(open(path, DIRECTORY, Mode::empty())?, |_| true)?;
    names.sort();
    Ok(names)
}

/// The names of everything in a directory for which this holds.
fn all(fd: impl AsFd, wanted: impl Fn(&OsStr) -> bool) -> nix::Result<Vec<OsString>> {
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

    /// A name that is given to files in the making.
    const OURS: &str = ".rstproof-0123456789abcdef.partial";

    #[test]
    fn what_a_dead_process_has_left_is_removed() {
        let (_home, path, _) = home();
        let directory = make(&path);
        fs::write(path.join(OURS), "half").unwrap();
        // As a process that is killed leaves it: no destructor runs, and the kernel closes its descriptors.
        let (file, name) = directory.create_temporary().unwrap();
        assert!(is_temporary_name(name.as_ref()));
        directory.remove_abandoned(None);
        assert_eq!(
            names(&path),
            [OsString::from(&name)],
            "it is still being made"
        );
        drop(file);
        directory.remove_abandoned(None);
        assert_eq!(names(&path).len(), 0);
    }

    #[test]
    fn what_is_called_otherwise_is_no_file_of_ours() {
        let (_home, path, _) = home();
        let directory = make(&path);
        let others = [
            ".rstproof-0123456789ABCDEF.partial",
            ".rstproof-0123456789abcde.partial",
            ".rstproof-0123456789abcdef0.partial",
            ".rstproof-0123456789abcdeg.partial",
            ".rstproof-.partial",
            "rstproof-0123456789abcdef.partial",
            ".rstproof-0123456789abcdef.partial~",
            ".report.json.1.partial",
            "report.json",
        ];
        for name in others {
            fs::write(path.join(name), "").unwrap();
        }
        directory.remove_abandoned(None);
        assert_eq!(names(&path).len(), others.len());
    }

    /// Entries with the name of a temporary file that this program did not make. None is followed, and none is waited for.
    #[test]
    fn what_is_of_another_kind_is_no_file_of_ours() {
        let (_home, path, victim) = home();
        let directory = make(&path);
        let (at, precious) = (path.join(OURS), victim.join("precious"));
        fs::write(&precious, "precious").unwrap();
        let stays = |what: &str| {
            directory.remove_abandoned(None);
            assert!(at.symlink_metadata().is_ok(), "{what}");
            assert_eq!(fs::read(&precious).unwrap(), b"precious", "{what}");
        };
        symlink(&precious, &at).unwrap();
        stays("a link");
        fs::remove_file(&at).unwrap();
        fs::hard_link(&precious, &at).unwrap();
        stays("another name of a file");
        fs::remove_file(&at).unwrap();
        fs::create_dir(&at).unwrap();
        stays("a directory");
        fs::remove_dir(&at).unwrap();
        nix::unistd::mkfifo(&at, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        stays("a pipe");
        fs::remove_file(&at).unwrap();
        if geteuid().is_root() {
            fs::write(&at, "").unwrap();
            std::os::unix::fs::chown(&at, Some(1234), None).unwrap();
            stays("somebody else's");
            let owner = |uid| Some(Owner { uid, gid: 0 });
            directory.remove_abandoned(owner(1235));
            assert!(at.exists());
            directory.remove_abandoned(owner(1234));
            assert!(!at.exists(), "it was to be given to this user");
        }
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
