//! Directory that a run saves its files in, held open.
//!
//! All files are created, renamed and removed relative to the open directory, never by its path again: the owner of the
//! parent directory may replace it, also with a link, while root is saving. A new directory is created relative to its
//! open parent for the same reason.

mod entries;
mod new_directory;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, linkat, unlinkat};
use rustix::fs::{FlockOperation, flock};

pub(crate) use self::entries::names_in;
use self::entries::{DIRECTORY, all, failed, find};
use self::new_directory::NewDirectory;
use super::owner::Owner;
use crate::error::Error;

/// Mode of new files, less the umask: readable by all, writable by the owner.
const MODE: Mode = Mode::from_bits_truncate(0o644);

/// Open directory.
#[derive(Clone, Debug)]
pub struct Directory {
    fd: Arc<OwnedFd>,
    path: PathBuf,
    /// Location at which the directory was created, if it did not exist before.
    made: Option<Arc<NewDirectory>>,
}

/// Lock on a directory. While it exists no other run saves in the directory, unless the file system has no locks.
#[derive(Debug)]
pub struct Lock {
    fd: OwnedFd,
    refusal: Option<io::Error>,
}

impl Lock {
    /// Returns the reason why the directory could not be locked, if it could not.
    #[must_use]
    pub fn refusal(&self) -> Option<&io::Error> {
        self.refusal.as_ref()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Explicit, since the lock lasts until all duplicates of this descriptor are closed. On failure it ends with
        // them.
        let _ = flock(&self.fd, FlockOperation::Unlock);
    }
}

impl Directory {
    /// Opens an existing directory; the path may be a link to it. If there is none, creates one with mode 0755 less the
    /// umask and gives it to `owner`.
    pub fn open_or_make(path: &Path, owner: Option<Owner>) -> Result<Self, Error> {
        match Self::opened(path) {
            Err(Errno::ENOENT) => {
                let location =
                    NewDirectory::at(path).map_err(|errno| failed("create", path, errno))?;
                Self::make(location, path, owner)
            }
            opened => opened.map_err(|errno| failed("open", path, errno)),
        }
    }

    /// Opens an existing directory; the path may be a link to it.
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

    fn make(location: NewDirectory, path: &Path, owner: Option<Owner>) -> Result<Self, Error> {
        location
            .make()
            .map_err(|errno| failed("create", path, errno))?;
        let fd = location
            .open_made(path, owner)
            .inspect_err(|_| location.remove())?;
        Ok(Self {
            fd: Arc::new(fd),
            path: path.to_owned(),
            made: Some(Arc::new(location)),
        })
    }

    /// Removes the directory if it is empty and did not exist before.
    pub fn remove_if_unused(&self) {
        if let Some(location) = &self.made {
            location.remove();
        }
    }

    /// Returns the name of any entry for which the predicate is true.
    pub fn find(&self, wanted: impl Fn(&OsStr) -> bool) -> Result<Option<OsString>, Error> {
        find(&self.fd, wanted).map_err(|errno| failed("read", &self.path, errno))
    }

    /// Locks the directory against other runs until the lock is dropped. Fails if another run holds the lock.
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
            // Not every file system has locks; the run goes on without one.
            Locked::Not(error) => Some(error),
        };
        Ok(Lock { fd, refusal })
    }

    /// Returns the path by which the directory was opened. The directory may have been moved since.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file in the directory, for messages only: the directory may have been moved.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns true if the directory has an entry with this name, even a dangling link.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.status(name.as_ref()).is_ok()
    }

    /// Removes a file or a link from the directory.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        unlinkat(&*self.fd, name, UnlinkatFlags::NoRemoveDir).map_err(io::Error::from)
    }

    /// Creates a file. Fails if the name exists: `O_EXCL` follows no link, not even a dangling one.
    pub(super) fn create_new(&self, name: &str) -> io::Result<File> {
        // Relative to the descriptor: the path may lead to another directory by now.
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        Ok(openat(&*self.fd, name, flags, MODE)?.into())
    }

    /// Creates a file without a name (`O_TMPFILE`), which not even a killed process leaves behind. `None` where that is
    /// not possible. The file cannot replace an existing one, since linking it to a name that is in use fails.
    pub(super) fn create_unnamed(&self) -> Option<File> {
        // `link` needs it to give the file a name.
        if !Path::new("/proc/self/fd").exists() {
            return None;
        }
        let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let file = File::from(openat(&*self.fd, ".", flags, MODE).ok()?);
        // Locked before it has a name under which another run may consider it abandoned.
        let _ = lock(&file);
        Some(file)
    }

    /// Creates a file with a temporary name and returns both. The file is locked, where there are locks, so that other
    /// runs can tell a file in use from an abandoned one.
    pub(super) fn create_temporary(&self) -> io::Result<(File, String)> {
        /// Number of names to try. A name has 64 random bits: refusals come from another process in the directory, not
        /// from chance.
        const MAX_ATTEMPTS: usize = 8;
        for _ in 0..MAX_ATTEMPTS {
            let name = temporary_name()?;
            let file = match self.create_new(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                created => created?,
            };
            // Another run may have considered the file abandoned before it was locked.
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
            "another process locks every file that is created there",
        ))
    }

    /// Removes the files with temporary names that dead processes left behind: regular files of the effective user or
    /// of `owner` on which no process holds a lock. Removes none where there are no locks.
    pub fn remove_abandoned(&self, owner: Option<Owner>) {
        // Best effort: files that remain do no harm.
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
            // A temporary file has one name. A file with several was linked to this name, and is in use elsewhere.
            kind == SFlag::S_IFREG && it.st_nlink == 1 && is_whose
        };
        if !may_be_ours(&self.status(name)?) {
            return Ok(());
        }
        // Opened for writing, as NFS requires for an exclusive lock.
        let flags = OFlag::O_RDWR
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        // The checks are repeated on the open file: the name may be that of another file by now.
        let file = File::from(openat(&*self.fd, name, flags, Mode::empty())?);
        let is_abandoned = may_be_ours(&fstat(&file)?) && matches!(lock(&file), Locked::Now);
        // Its writer may have renamed it to its real name before it was locked here.
        if is_abandoned && is_same(&self.status(name)?, &file) {
            unlinkat(&*self.fd, name, UnlinkatFlags::NoRemoveDir)?;
        }
        Ok(())
    }

    /// Returns the status of the entry with this name, without following a link.
    fn status(&self, name: &OsStr) -> nix::Result<FileStat> {
        fstatat(&*self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// Links an unnamed file to a name, by the way that `open(2)` describes, which needs no privilege.
    pub(super) fn link(&self, file: &File, name: &str) -> io::Result<()> {
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        // `AT_EMPTY_PATH` would need `CAP_DAC_READ_SEARCH`.
        let follow = AtFlags::AT_SYMLINK_FOLLOW;
        linkat(AT_FDCWD, unnamed.as_str(), &*self.fd, name, follow).map_err(io::Error::from)
    }

    /// Links an unnamed file to a temporary name and returns the name.
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
            // NFS and some other file systems support no flags. Creating a second link is just as exclusive.
            Err(Errno::EINVAL) if !replace => {
                linkat(&*self.fd, from, &*self.fd, to, AtFlags::empty())?;
                self.remove(from)
            }
            other => other.map_err(io::Error::from),
        }
    }
}

/// Result of locking a file.
enum Locked {
    Now,
    /// Lock held by another process.
    Elsewhere,
    /// The file cannot be locked.
    Not(io::Error),
}

/// Locks a file without waiting, until all descriptors of this open file description are closed.
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

/// Prefix and suffix of temporary names. Between them are 16 hexadecimal digits.
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

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::file::{NewFile, WriteOptions, write_whole};

    /// Creates a directory, a path `evidence` in it that does not exist, and a directory `victim` that must not be
    /// changed.
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
    fn nothing_is_saved_if_another_directory_takes_its_place() {
        let (home, path, victim) = home();
        let moved = home.path().join("moved");
        let directory = make(&path);
        fs::rename(&path, &moved).unwrap();
        symlink(&victim, &path).unwrap();
        let mut all = vec![OsString::from("small")];
        write_whole(&directory, "small", b"", WriteOptions::default()).unwrap();
        for replace in [false, true] {
            let options = WriteOptions {
                replace,
                owner: None,
            };
            let name = format!("replace-{replace}");
            let mut file = NewFile::create(&directory, &name, options).unwrap();
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
        // The path is a link now, which no run created.
        directory.remove_if_unused();
        assert!(path.is_symlink() && moved.exists() && victim.exists());
    }

    #[test]
    fn an_existing_directory_may_be_reached_by_a_link() {
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
    fn a_new_directory_is_not_created_through_a_dangling_link() {
        let (home, link, _) = home();
        let nowhere = home.path().join("nowhere");
        symlink(&nowhere, &link).unwrap();
        let refused = Directory::open_or_make(&link, None).unwrap_err();
        assert!(refused.to_string().contains("EEXIST"), "{refused}");
        assert!(!nowhere.exists() && link.is_symlink());
    }

    #[test]
    fn only_the_last_component_of_the_path_is_created() {
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
    fn a_new_directory_is_writable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evidence");
        make(&path);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777 & !0o755, 0, "{mode:o}");
    }

    /// Name in the format of temporary names.
    const OURS: &str = ".rstproof-0123456789abcdef.partial";

    #[test]
    fn files_of_dead_processes_are_removed() {
        let (_home, path, _) = home();
        let directory = make(&path);
        fs::write(path.join(OURS), "half").unwrap();
        // Like a killed process: no destructor runs, and the kernel closes the descriptors and with them ends the lock.
        let (file, name) = directory.create_temporary().unwrap();
        assert!(is_temporary_name(name.as_ref()));
        directory.remove_abandoned(None);
        assert_eq!(
            names(&path),
            [OsString::from(&name)],
            "it is still being made"
        );
        // Explicit: a child that another test starts has a copy of the descriptor until it executes its program.
        flock(&file, FlockOperation::Unlock).unwrap();
        drop(file);
        directory.remove_abandoned(None);
        assert_eq!(names(&path).len(), 0);
    }

    #[test]
    fn files_with_other_names_are_left_alone() {
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

    /// Entries with a temporary name that this program did not create are neither followed nor waited for.
    #[test]
    fn links_and_other_kinds_of_files_are_left_alone() {
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
    fn only_one_run_at_a_time_saves_in_a_directory() {
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
