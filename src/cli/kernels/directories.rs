//! Directories that the evidence of each kernel is saved in.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::CONSOLE;
use super::work::Work;
use crate::cli::KernelsArgs;
use crate::cli::run::refuse_evidence;
use crate::error::Error;
use crate::file::{Directory, WriteOptions};

/// Directories that the evidence of each kernel is saved in.
pub(super) struct Directories {
    /// Directory given by `--write`, which contains the others.
    pub(super) above: Option<Directory>,
    /// Directory of each image; `None` without `--write`.
    pub(super) images: Vec<Option<Directory>>,
    /// Directory of the running kernel. A path, because a child process saves there.
    pub(super) running: Option<PathBuf>,
}

impl Directories {
    /// Creates a directory for each kernel, named by its release. Fails, before anything is booted, if one of them
    /// holds evidence that may not be overwritten.
    pub(super) fn make(
        args: &KernelsArgs,
        work: &Work,
        options: WriteOptions,
    ) -> Result<Self, Error> {
        let mut directories = Self {
            above: None,
            images: Vec::new(),
            running: None,
        };
        let Some(path) = &args.write else {
            directories.images.resize_with(work.images.len(), || None);
            return Ok(directories);
        };
        let above = Directory::open_or_make(path, options.owner)?;
        above.remove_abandoned(options.owner);
        directories.above = Some(above);
        // Images of the same release get numbers: `6.12.0`, `6.12.0-2` ...
        let mut taken = BTreeSet::new();
        let mut name = |release: &str| {
            let numbers = std::iter::once(String::new()).chain((2..).map(|it| format!("-{it}")));
            let mut names = numbers.map(|number| format!("{}{number}", file_name(release)));
            let free = names.find(|name| taken.insert(name.clone()));
            path.join(free.unwrap_or_default())
        };
        for image in &work.images {
            let directory = Directory::open_or_make(&name(&image.release), options.owner)?;
            directory.remove_abandoned(options.owner);
            let refused = refuse(&directory, options);
            // Added even if refused: dropping `directories` removes a directory that was created here.
            directories.images.push(Some(directory));
            refused?;
        }
        directories.running = work.running.as_deref().map(name);
        if let Some(path) = directories.running.as_deref().filter(|path| path.exists()) {
            // A missing directory is created by the run that saves there.
            refuse(&Directory::open_or_make(path, options.owner)?, options)?;
        }
        Ok(directories)
    }
}

/// Fails if the directory holds evidence or console output that may not be overwritten.
fn refuse(directory: &Directory, options: WriteOptions) -> Result<(), Error> {
    if options.replace {
        return Ok(());
    }
    refuse_evidence(directory)?;
    match directory.find(|name| name == CONSOLE)? {
        None => Ok(()),
        Some(_) => Err(Error::Usage(format!(
            "{} contains the console output of an earlier run ({CONSOLE}); choose another directory, or overwrite it with --force",
            directory.path().display()
        ))),
    }
}

impl Drop for Directories {
    /// Removes the directories that were created but not used.
    fn drop(&mut self) {
        for directory in self.images.iter().chain([&self.above]).flatten() {
            directory.remove_if_unused();
        }
    }
}

/// Returns the characters of a release that are safe in a file name. An image may claim any release, so the name
/// neither leads to another directory nor is hidden.
fn file_name(release: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "+-._~".contains(it);
    let plain: String = release.chars().filter(|it| is_plain(*it)).collect();
    plain.trim_start_matches('.').to_owned()
}
