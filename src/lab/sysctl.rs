//! Kernel settings of this thread's network namespace: read, changed where they differ, and restored when no longer
//! needed.
//!
//! In containers `/proc/sys` is usually read-only or hidden. Only settings that differ are written, and a setting
//! that cannot be written is a reason to skip trials, never an error.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, reason};

/// Settings that were changed, with their previous values; dropping it restores them in reverse order.
#[derive(Debug, Default)]
pub(crate) struct Changed(Vec<(PathBuf, String)>);

/// Returns the full name of a setting below `net.ipv4`.
fn below_ipv4(name: &str) -> String {
    format!("net.ipv4.{name}")
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/sys/{}", name.replace('.', "/")))
}

/// Returns the value of a setting in this namespace, with words separated by one space.
pub(crate) fn read(name: &str) -> io::Result<String> {
    let text = fs::read_to_string(path(name))?;
    Ok(words(&text))
}

/// Sets a setting to a value.
pub(crate) fn write(name: &str, value: &str) -> io::Result<()> {
    fs::write(path(name), value)
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reason why settings cannot be read or changed on this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// `/proc` is not mounted.
    NoProc,
    /// `/proc` is mounted, but `/proc/sys/net` is missing from it.
    Hidden,
    /// `/proc/sys` is mounted read-only.
    ReadOnly,
}

impl Obstacle {
    /// Returns the obstacle that applies to all settings; `None` if there is none.
    pub(crate) fn here() -> Option<Self> {
        Self::seen(Path::new("/proc"), Path::exists, is_read_only)
    }

    fn seen(
        proc: &Path,
        exists: impl Fn(&Path) -> bool,
        is_read_only: impl Fn(&Path) -> bool,
    ) -> Option<Self> {
        if !exists(&proc.join("self")) {
            Some(Self::NoProc)
        // Container runtimes hide directories below /proc by mounting an empty file system over them.
        } else if !exists(&proc.join("sys/net/ipv4")) {
            Some(Self::Hidden)
        } else if is_read_only(&proc.join("sys/net/ipv4")) {
            Some(Self::ReadOnly)
        } else {
            None
        }
    }

    /// Returns the description of the obstacle.
    pub(crate) fn found(self) -> &'static str {
        match self {
            Self::NoProc => "/proc is not mounted",
            Self::Hidden => "/proc/sys is hidden",
            Self::ReadOnly => "/proc/sys is read-only",
        }
    }

    /// Returns the instruction that removes the obstacle.
    pub(crate) fn fix(self) -> &'static str {
        match self {
            Self::NoProc => "mount it with `mount -t proc proc /proc`",
            Self::Hidden | Self::ReadOnly => {
                "in a container, start that with `--security-opt systempaths=unconfined` (Podman: `unmask=ALL`; Kubernetes: `procMount: Unmasked`)"
            }
        }
    }
}

/// Returns true if the path is on a file system that is mounted read-only.
fn is_read_only(path: &Path) -> bool {
    use nix::sys::statvfs::{FsFlags, statvfs};
    statvfs(path).is_ok_and(|it| it.flags().contains(FsFlags::ST_RDONLY))
}

/// Returns the reason why this setting below `net.ipv4` cannot have this value here; `None` if it can.
pub(crate) fn missing(name: &str, value: &str) -> Option<String> {
    let name = below_ipv4(name);
    let seen = read(&name);
    if seen.as_ref().is_ok_and(|seen| seen == value) {
        return None;
    }
    // Opening the file for writing checks permissions without changing the value.
    let opened = fs::OpenOptions::new().write(true).open(path(&name));
    let error = opened.err()?;
    let now = seen.map_or_else(|_| String::new(), |seen| format!(" (now {seen})"));
    Some(match Obstacle::here() {
        Some(obstacle) => format!(
            "it needs {name}={value}{now}, but {}; {}",
            obstacle.found(),
            obstacle.fix()
        ),
        None if error.kind() == io::ErrorKind::NotFound => {
            format!("this kernel has no setting {name}")
        }
        None => format!(
            "it needs {name}={value}, which cannot be set: {}",
            reason(&error)
        ),
    })
}

impl Changed {
    /// Applies these settings below `net.ipv4`, in order; skips those that already have their value.
    pub(crate) fn make(settings: &[(&str, &str)]) -> Result<Self, Error> {
        let mut changed = Self::default();
        for (name, value) in settings {
            let path = path(&below_ipv4(name));
            let failed = |error: io::Error| Error::file("change", &path, &error);
            let before = fs::read_to_string(&path).map_err(failed)?;
            if words(&before) == *value {
                continue;
            }
            fs::write(&path, value).map_err(failed)?;
            changed.0.push((path, before));
        }
        Ok(changed)
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        for (path, before) in self.0.drain(..).rev() {
            // Restoring can fail only if permissions changed meanwhile; the namespace ends with its thread anyway.
            let _ = fs::write(path, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Successive states of `/proc`, as containers and chroots have them.
    #[test]
    fn each_obstacle_is_recognized() {
        let seen = |present: &[&str], read_only: bool| {
            Obstacle::seen(
                Path::new("/proc"),
                |path| present.iter().any(|it| Path::new(it) == path),
                |_| read_only,
            )
        };
        let all = ["/proc/self", "/proc/sys/net/ipv4"];
        assert_eq!(seen(&[], false), Some(Obstacle::NoProc));
        assert_eq!(seen(&all[..1], false), Some(Obstacle::Hidden));
        assert_eq!(seen(&all, true), Some(Obstacle::ReadOnly));
        assert_eq!(seen(&all, false), None);
    }

    #[test]
    fn a_setting_that_no_kernel_has_is_missing_for_that_reason() {
        if Obstacle::here().is_some() {
            eprintln!("skipped: /proc/sys cannot be written here");
            return;
        }
        assert_eq!(
            missing("tcp_no_such_setting", "1").unwrap(),
            "this kernel has no setting net.ipv4.tcp_no_such_setting"
        );
    }

    /// A setting that already has its value needs no permission.
    #[test]
    fn a_setting_that_has_its_value_is_not_missing() {
        let value = read("net.ipv4.tcp_retries2").unwrap();
        assert_eq!(missing("tcp_retries2", &value), None);
    }
}
