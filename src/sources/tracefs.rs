//! Access to tracefs, which has the kernel's trace events.
//!
//! If it is not mounted, it is mounted for this process alone: the mount has no place in any directory tree, is
//! invisible to other processes, and ends with the descriptor that holds it.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::format::Format;
use crate::file::names_in;

/// Readable tracefs.
#[derive(Debug)]
pub struct Tracefs {
    root: PathBuf,
    /// Mount of this process; `None` if tracefs was mounted already.
    mount: Option<OwnedFd>,
}

/// Reason why no tracefs is available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTracefs {
    /// The kernel was built without tracefs.
    NotInKernel,
    /// No tracefs is mounted where this process can see it, and it may not be mounted.
    NotMounted(Errno),
    /// The tracefs at this path is not readable for this user.
    Unreadable(PathBuf, Errno),
}

/// Reason why an event's format is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoFormat {
    /// The kernel does not have the event.
    NoSuchEvent,
    /// The `format` file cannot be read.
    Unreadable(Errno),
    /// The `format` file cannot be parsed.
    Unclear,
}

impl NoTracefs {
    /// Returns the reason why mounting tracefs failed with this error: the kernel may lack it.
    fn because(errno: Errno) -> Self {
        let known = fs::read_to_string("/proc/filesystems");
        // Without the list, report the failed mount rather than the kernel.
        if known.map_or(true, |known| has_tracefs(&known)) {
            Self::NotMounted(errno)
        } else {
            Self::NotInKernel
        }
    }
}

impl Tracefs {
    /// Opens the first mounted tracefs in which an instance can be created, or mounts one. Without the privilege to
    /// mount, opens the first readable one. Fails with the reason for the first mounted one if none is readable.
    pub fn open() -> Result<Self, NoTracefs> {
        // There may be several: systemd mounts tracefs, and debugfs mounts it once more at its `tracing` when that is
        // entered.
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let (mut readable, mut why) = (None, None);
        for root in mount_points(&mounts) {
            match names_in(&root.join("events")) {
                Ok(_) if eaccess(&root.join("instances"), AccessFlags::W_OK).is_ok() => {
                    return Ok(Self { root, mount: None });
                }
                Ok(_) => readable = readable.or(Some(Self { root, mount: None })),
                // Another mount hides this one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => why = why.or(Some(NoTracefs::Unreadable(root, errno(&error)))),
            }
        }
        // Formats can be read without an instance, but not events, so a private mount comes before a mount that is
        // merely readable.
        let errno = match Self::mount() {
            Ok(own) => return Ok(own),
            Err(errno) => errno,
        };
        readable.ok_or_else(|| why.unwrap_or_else(|| NoTracefs::because(errno)))
    }

    /// Mounts tracefs in no directory, with fsopen(2) (Linux 5.2).
    fn mount() -> Result<Self, Errno> {
        let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(of_rustix)?;
        fsconfig_create(&context).map_err(of_rustix)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes);
        let mount = mount.map_err(of_rustix)?;
        Ok(Self {
            // A mount that is attached nowhere has no path but this one. It shows the same tracefs as every other
            // mount, because there is one superblock (`mount_single()`, later `get_tree_single()`).
            root: format!("/proc/self/fd/{}", mount.as_raw_fd()).into(),
            mount: Some(mount),
        })
    }

    /// Returns true if this process mounted the tracefs for itself.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.mount.is_some()
    }

    /// Returns the root directory of the tracefs.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the record layout of an event, given its system and name: `tcp`, `tcp_send_reset`.
    pub fn format(&self, system: &str, event: &str) -> Result<Format, NoFormat> {
        let directory = self.root.join("events").join(system).join(event);
        match fs::read_to_string(directory.join("format")) {
            Ok(text) => Format::parse(&text).ok_or(NoFormat::Unclear),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(NoFormat::NoSuchEvent),
            Err(error) => Err(NoFormat::Unreadable(errno(&error))),
        }
    }
}

impl fmt::Display for NoTracefs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInKernel => f.write_str("this kernel was built without tracefs"),
            Self::NotMounted(errno) => {
                write!(
                    f,
                    "tracefs is not mounted and cannot be mounted ({errno:?})"
                )
            }
            Self::Unreadable(root, errno) => {
                write!(
                    f,
                    "cannot read the tracefs on {} ({errno:?})",
                    root.display()
                )
            }
        }
    }
}

fn of_rustix(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Returns the mount points of whole tracefs mounts in `/proc/self/mountinfo`: proc(5), fields 4 (root), 5 (mount
/// point) and, after the hyphen, the type.
fn mount_points(mounts: &str) -> Vec<PathBuf> {
    let whole = mounts.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let whole = root == "/" && file_system.split(' ').next() == Some("tracefs");
        whole.then(|| unescape(point))
    });
    whole.collect()
}

/// Decodes mountinfo's escapes: blanks and the like are a backslash and three octal digits.
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| byte == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// Returns true if `/proc/filesystems` lists tracefs.
fn has_tracefs(known: &str) -> bool {
    known
        .lines()
        .any(|line| line.split('\t').next_back() == Some("tracefs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
23 27 0:22 / /sys rw,relatime shared:7 - sysfs sysfs rw
40 23 0:12 /instances/x /tmp/one rw - tracefs tracefs rw
41 23 0:12 / /sys/kernel/tracing rw,nosuid shared:8 master:1 - tracefs nodev rw
42 23 0:12 / /mnt/a\\040b\\134c rw - tracefs tracefs rw
43 23 0:9 / /sys/kernel/debug rw - debugfs tracefs rw
";

    #[test]
    fn an_incomplete_tracefs_is_rejected() {
        let expected = ["/sys/kernel/tracing", "/mnt/a b\\c"].map(PathBuf::from);
        assert_eq!(mount_points(MOUNTS), expected);
        assert_eq!(mount_points(""), Vec::<PathBuf>::new());
        assert_eq!(
            mount_points("1 2 - tracefs\nno mount\n"),
            Vec::<PathBuf>::new()
        );
    }

    #[test]
    fn a_backslash_that_escapes_nothing_stays() {
        assert_eq!(unescape("/a\\9zz"), PathBuf::from("/a\\9zz"));
        assert_eq!(unescape("/a\\04"), PathBuf::from("/a\\04"));
    }

    #[test]
    fn the_kernel_names_the_file_systems_that_it_has() {
        assert!(has_tracefs("nodev\tproc\nnodev\ttracefs\n\text4\n"));
        assert!(!has_tracefs("nodev\tproc\nnodev\tnottracefs\n"));
    }

    #[test]
    fn an_event_is_read_from_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let event = directory.path().join("events/tcp/tcp_send_reset");
        fs::create_dir_all(&event).unwrap();
        let tracefs = Tracefs {
            root: directory.path().to_owned(),
            mount: None,
        };
        let format = || tracefs.format("tcp", "tcp_send_reset");

        assert_eq!(format(), Err(NoFormat::NoSuchEvent));
        fs::write(event.join("format"), "something else").unwrap();
        assert_eq!(format(), Err(NoFormat::Unclear));
        let text = include_str!("../../tests/formats/tcp_send_reset-6.18");
        fs::write(event.join("format"), text).unwrap();
        assert_eq!(format().unwrap().name, "tcp_send_reset");
        fs::remove_file(event.join("format")).unwrap();
        fs::create_dir(event.join("format")).unwrap();
        assert_eq!(format(), Err(NoFormat::Unreadable(Errno::EISDIR)));
    }
}
