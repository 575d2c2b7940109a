//! Files that appear complete or not at all, and never outside their directory.
//!
//! A [`NewFile`] is written without a name where the file system supports that, or else under a temporary name, and
//! gets its real name when it is complete: no failure leaves a partial file behind. A killed process may leave a file
//! with a temporary name, which [`Directory::remove_abandoned`] removes. [`write_whole`] is for the many small files of
//! a run: it creates a file under its real name at once, which costs half as much. Neither replaces an existing file
//! unless requested, and neither follows a symbolic link.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::directory::Directory;
use super::owner::Owner;
use crate::error::Error;

/// Options for creating files.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// True if an existing file may be replaced.
    pub replace: bool,
    /// New owner of the files, if not the effective user.
    pub owner: Option<Owner>,
}

/// Creates a file with this content. Only a process that is killed meanwhile leaves a partial file behind.
pub fn write_whole(
    directory: &Directory,
    name: &str,
    bytes: &[u8],
    options: WriteOptions,
) -> Result<(), Error> {
    let path = || directory.path_of(name);
    let mut file = match directory.create_new(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && options.replace => {
            let mut file = NewFile::create(directory, name, options)?;
            file.write_all(bytes).map_err(|error| file.failed(&error))?;
            return file.commit();
        }
        result => result.map_err(|error| Error::file("create", &path(), &error))?,
    };
    file.write_all(bytes)
        .map_err(|error| Error::file("write", &path(), &error))
        .and_then(|()| match options.owner {
            Some(owner) => owner.take(&file, &path()),
            None => Ok(()),
        })
        .inspect_err(|_| drop(directory.remove(name)))
}

/// File being written. If dropped before [`NewFile::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    directory: Directory,
    file: Option<File>,
    /// Temporary name of the file, if it has one.
    temporary: Option<String>,
    name: String,
    options: WriteOptions,
}

impl NewFile {
    /// Creates a file that will get this name in the directory, with mode 0644 less the umask.
    pub fn create(directory: &Directory, name: &str, options: WriteOptions) -> Result<Self, Error> {
        // A file that replaces another gets its owner first: nothing may fail once the other file is gone. An unnamed
        // file gets its owner last, since only a user who may write a file may link it.
        let is_given_away_first = options.replace && options.owner.is_some();
        let this = Self {
            directory: directory.clone(),
            file: (!is_given_away_first)
                .then(|| directory.create_unnamed())
                .flatten(),
            temporary: None,
            name: name.to_owned(),
            options,
        };
        match this.file {
            Some(_) => Ok(this),
            None => this.under_a_temporary_name(),
        }
    }

    /// Creates the file under a temporary name, where unnamed files are not supported, and gives it to its owner at
    /// once.
    fn under_a_temporary_name(mut self) -> Result<Self, Error> {
        let created = self.directory.create_temporary();
        let (file, name) = created.map_err(|error| Error::file("create", &self.path(), &error))?;
        let given_away = self.give_away(&file);
        self.file = Some(file);
        self.temporary = Some(name);
        given_away.map(|()| self)
    }

    fn give_away(&self, file: &File) -> Result<(), Error> {
        match self.options.owner {
            Some(owner) => owner.take(file, &self.path()),
            None => Ok(()),
        }
    }

    /// Completes the file: gives it its name and its owner.
    pub fn commit(mut self) -> Result<(), Error> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let (directory, name) = (&self.directory, &*self.name);
        let failed = |error: io::Error| Error::file("create", &self.path(), &error);
        let temporary = match &self.temporary {
            Some(temporary) => temporary.clone(),
            // Linking cannot replace a file, renaming can. No owner to set here: replacing with one begins under a
            // temporary name.
            None if self.options.replace => directory.link_temporary(&file).map_err(failed)?,
            None => {
                directory.link(&file, name).map_err(failed)?;
                return self
                    .give_away(&file)
                    .inspect_err(|_| drop(directory.remove(name)));
            }
        };
        directory
            .rename(&temporary, name, self.options.replace)
            .map_err(failed)
            .inspect_err(|_| drop(directory.remove(&temporary)))
    }

    /// Converts an error from writing the file.
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

    const KEEP: WriteOptions = WriteOptions {
        replace: false,
        owner: None,
    };
    const REPLACE: WriteOptions = WriteOptions {
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
    fn an_existing_file_is_replaced_only_on_request() {
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

    /// Begins a file like on a file system without unnamed files.
    fn with_a_temporary_name(directory: &Directory, name: &str, options: WriteOptions) -> NewFile {
        let file = NewFile {
            directory: directory.clone(),
            file: None,
            temporary: None,
            name: name.to_owned(),
            options,
        };
        file.under_a_temporary_name().unwrap()
    }

    fn names(dir: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_with_a_temporary_name_takes_its_real_one_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let begin = |options| with_a_temporary_name(&directory(&dir), "a", options);
        for (options, text) in [(KEEP, "first"), (REPLACE, "second")] {
            let mut file = begin(options);
            file.write_all(text.as_bytes()).unwrap();
            assert_eq!(
                names(&dir)
                    .iter()
                    .filter(|it| it.ends_with(".partial"))
                    .count(),
                1
            );
            file.commit().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(names(&dir), ["a"]);
        }
        assert!(
            begin(KEEP)
                .commit()
                .unwrap_err()
                .to_string()
                .contains("EEXIST")
        );
        drop(begin(REPLACE));
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(&dir), ["a"]);
    }

    /// Process ids do not make temporary names unique: in a container every process may have the same one.
    #[test]
    fn two_new_files_of_one_name_and_process_do_not_conflict() {
        let dir = tempfile::tempdir().unwrap();
        let begin = || with_a_temporary_name(&directory(&dir), "a", REPLACE);
        let (one, mut other) = (begin(), begin());
        // Temporary name in an older format, left behind by a killed process.
        let old = format!(".a.{}.partial", std::process::id());
        fs::write(dir.path().join(&old), "").unwrap();
        other.write_all(b"other").unwrap();
        one.commit().unwrap();
        other.commit().unwrap();
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"other");
        assert_eq!(names(&dir), [old, "a".to_owned()]);
    }

    #[test]
    fn a_file_in_the_making_is_not_abandoned() {
        let dir = tempfile::tempdir().unwrap();
        let directory = directory(&dir);
        for options in [KEEP, REPLACE] {
            let files = [
                with_a_temporary_name(&directory, "named", options),
                NewFile::create(&directory, "unnamed", options).unwrap(),
            ];
            directory.remove_abandoned(None);
            for file in files {
                file.commit().unwrap();
            }
            assert_eq!(names(&dir), ["named", "unnamed"]);
        }
    }

    /// A concurrent cleanup sees files at every step of their creation.
    #[test]
    fn a_concurrent_clean_up_removes_no_file_in_use() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let directory = directory(&dir);
                while !is_over.load(Ordering::Relaxed) {
                    directory.remove_abandoned(None);
                }
            });
            let directory = directory(&dir);
            for nth in 0..2_000 {
                let (name, other) = (format!("named-{nth}"), format!("unnamed-{nth}"));
                let file = NewFile::create(&directory, &other, REPLACE).unwrap();
                let made = with_a_temporary_name(&directory, &name, KEEP).commit();
                let made = made.and_then(|()| file.commit());
                if made.is_err() || !directory.holds(&name) || !directory.holds(&other) {
                    is_over.store(true, Ordering::Relaxed);
                    panic!("{nth}: {made:?}");
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(names(&dir).len(), 4_000);
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
    fn a_small_file_is_complete_and_replaces_no_other() {
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
}
