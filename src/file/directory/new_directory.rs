//! Location of a new directory, relative to its open parent, so that only what was created there is given away.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::entries::{DIRECTORY, failed, find};
use crate::error::Error;
use crate::file::owner::Owner;

/// Location of a new directory: the open parent and a name in it.
#[derive(Debug)]
pub(super) struct NewDirectory {
    parent: OwnedFd,
    name: OsString,
}

impl NewDirectory {
    /// Opens the parent directory, which must exist. A link to it is followed now and never again.
    pub(super) fn at(path: &Path) -> nix::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::ENOENT);
        };
        let parent = match parent.as_os_str() {
            empty if empty.is_empty() => Path::new("."),
            _ => parent,
        };
        Ok(Self {
            // `O_PATH` needs no permission to read the directory, only to search it.
            parent: open(parent, OFlag::O_PATH | DIRECTORY, Mode::empty())?,
            name: name.to_owned(),
        })
    }

    pub(super) fn make(&self) -> nix::Result<()> {
        mkdirat(&self.parent, &*self.name, Mode::from_bits_truncate(0o755))
    }

    /// Opens the directory that was created and gives it to `owner`. Fails if it was replaced meanwhile.
    pub(super) fn open_made(&self, path: &Path, owner: Option<Owner>) -> Result<OwnedFd, Error> {
        let flags = OFlag::O_NOFOLLOW | DIRECTORY;
        let fd = match openat(&self.parent, &*self.name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Err(swapped(path)),
            Err(errno) => return Err(failed("open", path, errno)),
        };
        let Some(owner) = owner else { return Ok(fd) };
        if !may_be_given(&fd, owner).map_err(|errno| failed("read", path, errno))? {
            return Err(swapped(path));
        }
        let file = File::from(fd);
        owner.take(&file, path)?;
        Ok(file.into())
    }

    /// Removes the directory if it is empty.
    pub(super) fn remove(&self) {
        let _ = unlinkat(&self.parent, &*self.name, UnlinkatFlags::RemoveDir);
    }
}

/// Returns true if this may be the directory that was just created. It belongs to the effective user, or to the new
/// owner where the file system assigns all files to one user. It is empty, since another directory of root may have
/// been put there.
fn may_be_given(fd: &OwnedFd, owner: Owner) -> nix::Result<bool> {
    let uid = fstat(fd)?.st_uid;
    let is_whose = uid == geteuid().as_raw() || uid == owner.uid;
    Ok(is_whose && find(fd, |_| true)?.is_none())
}

fn swapped(path: &Path) -> Error {
    Error::File {
        action: "create",
        path: path.to_owned(),
        reason: "it was replaced meanwhile; choose a directory that no other user can write to"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;

    use super::*;
    use crate::file::directory::Directory;
    use crate::file::directory::tests::{home, names};

    /// Returns the effective user and group: giving a directory to oneself needs no privilege.
    fn oneself() -> Owner {
        Owner {
            uid: geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        }
    }

    #[test]
    fn a_new_directory_is_created_in_the_parent_that_was_opened() {
        let (home, _, victim) = home();
        let (parent, moved) = (home.path().join("parent"), home.path().join("moved"));
        fs::create_dir(&parent).unwrap();
        fs::create_dir(victim.join("new")).unwrap();
        let path = parent.join("new");
        let location = NewDirectory::at(&path).unwrap();
        fs::rename(&parent, &moved).unwrap();
        symlink(&victim, &parent).unwrap();
        let made = Directory::make(location, &path, Some(oneself())).unwrap();
        made.create_new("a").unwrap();
        assert_eq!(names(&moved.join("new")), ["a"]);
        assert_eq!(names(&victim.join("new")).len(), 0);
        made.remove("a").unwrap();
        made.remove_if_unused();
        assert_eq!(names(&moved).len(), 0);
        assert_eq!(names(&victim), ["new"]);
    }

    #[test]
    fn a_directory_that_replaces_the_new_one_keeps_its_owner() {
        let (_home, path, victim) = home();
        fs::write(victim.join("precious"), "").unwrap();
        let refused = |location: &NewDirectory| {
            let error = location.open_made(&path, Some(oneself())).unwrap_err();
            assert!(error.to_string().contains("was replaced"), "{error}");
        };
        let location = NewDirectory::at(&path).unwrap();
        refused(&location);
        symlink(&victim, &path).unwrap();
        refused(&location);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        refused(&location);
        fs::remove_file(&path).unwrap();
        // A directory that the same user created earlier.
        fs::rename(&victim, &path).unwrap();
        refused(&location);
        fs::remove_file(path.join("precious")).unwrap();
        location.open_made(&path, Some(oneself())).unwrap();
    }

    #[test]
    fn only_directories_of_this_user_change_their_owner() {
        // A directory of root for ordinary users; root gives one to another user first.
        let (_home, _, theirs) = home();
        let nobody = Owner {
            uid: 65534,
            gid: 65534,
        };
        let theirs = if geteuid().is_root() {
            std::os::unix::fs::chown(&theirs, Some(65533), None).unwrap();
            theirs
        } else {
            PathBuf::from("/proc/1/task")
        };
        let fd = |path: &Path| open(path, DIRECTORY, Mode::empty()).unwrap();
        assert!(!may_be_given(&fd(&theirs), nobody).unwrap());
        let (_home, _, ours) = home();
        assert!(may_be_given(&fd(&ours), nobody).unwrap());
        if geteuid().is_root() {
            // Like on a file system whose files all belong to one user.
            let already = Owner {
                uid: theirs.metadata().unwrap().uid(),
                gid: 65534,
            };
            assert!(may_be_given(&fd(&theirs), already).unwrap());
        }
    }
}
