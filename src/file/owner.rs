//! User and group that files are given to.

use std::fs::File;
use std::io;
use std::os::unix::fs::fchown;
use std::path::Path;

use nix::unistd::geteuid;

use crate::error::{Error, reason};

/// User and group that files are given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Owner {
    /// Returns the user who became root with `sudo`. `None` if the effective user is not root or the variables of
    /// `sudo` name no other user.
    #[must_use]
    pub fn behind_sudo() -> Option<Self> {
        // Any user can set the variables, but only root can give files away.
        if !geteuid().is_root() {
            return None;
        }
        let number = |name| std::env::var(name).ok()?.parse().ok();
        Self::of_numbers(number("SUDO_UID"), number("SUDO_GID"))
    }

    fn of_numbers(uid: Option<u32>, gid: Option<u32>) -> Option<Self> {
        // To fchown(2), `(uid_t) -1` means "leave unchanged".
        let (uid, gid) = (uid?, gid?);
        (uid != 0 && uid != u32::MAX && gid != u32::MAX).then_some(Self { uid, gid })
    }

    pub(super) fn take(self, file: &File, path: &Path) -> Result<(), Error> {
        fchown(file, Some(self.uid), Some(self.gid)).map_err(|error| self.refused(path, &error))
    }

    fn refused(self, path: &Path, error: &io::Error) -> Error {
        Error::File {
            action: "change the owner of",
            path: path.to_owned(),
            reason: format!(
                "{}; it would belong to user {} (SUDO_UID); unset SUDO_UID to keep root as its owner",
                reason(error),
                self.uid
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_not_given_to_root_or_an_unknown_user() {
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
