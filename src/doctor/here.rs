//! User and system of this process: the form that a command needs to work here.

use std::path::Path;

use caps::Capability;
use nix::unistd::{AccessFlags, eaccess, geteuid};

use super::distribution::Distribution;
use crate::confinement;
use crate::error::program;
use crate::lab;

/// User, privileges and system of this process.
pub(super) struct Here {
    pub(super) uid: u32,
    /// True with `CAP_SYS_ADMIN` in the initial user namespace, not only in a child of it.
    pub(super) administrates: bool,
    /// True if network namespaces can be created without a user namespace.
    pub(super) makes_namespaces: bool,
    /// True with `CAP_NET_ADMIN`, which can bring interfaces up.
    pub(super) sets_links: bool,
    /// True if `sudo` can give this user the privileges of the host's root.
    pub(super) gains_privileges: bool,
    /// True in a user namespace other than the initial one: root here is not the host's root.
    pub(super) contained: bool,
    /// Path of this binary, quoted for a shell.
    pub(super) program: String,
    pub(super) distribution: Distribution,
    /// Machine, as `uname -m` prints it.
    pub(super) machine: String,
}

impl Here {
    pub(super) fn look(machine: &str) -> Self {
        // The file is missing only in kernels without user namespaces.
        let contained =
            std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !maps_everybody(&map));
        Self {
            uid: geteuid().as_raw(),
            administrates: lab::has(Capability::CAP_SYS_ADMIN) && !contained,
            makes_namespaces: lab::makes_namespaces(),
            sets_links: lab::has(Capability::CAP_NET_ADMIN),
            gains_privileges: confinement::can_gain(Capability::CAP_SYS_ADMIN),
            contained,
            program: quoted(&program()),
            distribution: Distribution::here(),
            machine: machine.to_owned(),
        }
    }

    pub(super) fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Returns the command as it is for root, and with `sudo` for other users.
    pub(super) fn as_root(&self, command: &str) -> String {
        if self.is_root() {
            command.to_owned()
        } else {
            format!("sudo {command}")
        }
    }

    /// Returns the command to run as the host's root. `None` in a user namespace other than the initial one, and without
    /// `CAP_SYS_ADMIN` for root, or in the bounding set of others: there no user can become the host's root.
    pub(super) fn as_real_root(&self, command: &str) -> Option<String> {
        (self.administrates || self.gains_privileges && !self.contained)
            .then(|| self.as_root(command))
    }

    /// Returns the command that changes a kernel setting; `None` if this process is root and may not write it either.
    pub(super) fn set(&self, setting: &str) -> Option<String> {
        let name = setting.split('=').next().unwrap_or(setting);
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        // Root may lack write access, for instance in a container with /proc/sys mounted read-only.
        let may = !self.is_root() || eaccess(Path::new(&file), AccessFlags::W_OK).is_ok();
        may.then(|| self.as_root(&format!("sysctl {setting}")))
    }

    /// Returns the first complete command in backquotes in the text of an error, in the form that works here; `None` if
    /// there is none or it cannot work. Skips incomplete commands such as `sudo … run …`.
    pub(super) fn named_in(&self, text: &str) -> Option<String> {
        let command = text
            .split('`')
            // Every second piece is between backquotes.
            .skip(1)
            .step_by(2)
            .find(|text| !text.contains('…') && is_command(text))?;
        let command = command.strip_prefix("sudo ").unwrap_or(command);
        match command.split_once(' ')? {
            ("sysctl", setting) => self.set(setting),
            // A limit of the user's shell: under `sudo` it would be that of another process.
            ("ulimit", _) => Some(command.to_owned()),
            ("ip", _) if self.is_root() && !self.sets_links => None,
            _ => Some(self.as_root(command)),
        }
    }
}

/// Returns true if this `/proc/self/uid_map` is that of the initial user namespace, as in `user_namespaces(7)`.
fn maps_everybody(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Returns false for options and settings of a container runtime: `--cap-add X`, `procMount: Unmasked`.
fn is_command(text: &str) -> bool {
    !text.starts_with('-') && !text.contains(": ")
}

/// Quotes a path for a shell, if needed.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
impl Here {
    /// Returns root with all privileges, or an ordinary user with none, on an unknown distribution.
    pub(super) fn of(uid: u32) -> Self {
        Self {
            uid,
            administrates: uid == 0,
            makes_namespaces: uid == 0,
            sets_links: uid == 0,
            gains_privileges: uid != 0,
            contained: false,
            program: "/opt/rstproof".to_owned(),
            distribution: Distribution::default(),
            machine: "x86_64".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_needs_no_sudo() {
        assert_eq!(Here::of(0).as_root("x"), "x");
        assert_eq!(Here::of(1000).as_root("x"), "sudo x");
    }

    /// Root in a container may lack the privileges of the host's root, and `sudo` does not add them.
    #[test]
    fn a_container_has_nobody_who_could_do_what_takes_the_hosts_root() {
        assert_eq!(Here::of(0).as_real_root("x").unwrap(), "x");
        assert_eq!(Here::of(1000).as_real_root("x").unwrap(), "sudo x");
        let powerless = Here {
            administrates: false,
            ..Here::of(0)
        };
        assert_eq!(powerless.as_real_root("x"), None);
        for uid in [0, 1000] {
            let contained = Here {
                contained: true,
                administrates: false,
                ..Here::of(uid)
            };
            assert_eq!(contained.as_real_root("x"), None);
        }
        let bounded = Here {
            gains_privileges: false,
            ..Here::of(1000)
        };
        assert_eq!(bounded.as_real_root("x"), None);
    }

    #[test]
    fn the_command_of_an_error_is_taken_over_if_it_is_complete() {
        let text = "run `sudo /x …`, or once `sudo setcap cap_net_raw=ep /x`";
        assert_eq!(
            Here::of(0).named_in(text).unwrap(),
            "setcap cap_net_raw=ep /x"
        );
        assert_eq!(
            Here::of(7).named_in(text).unwrap(),
            "sudo setcap cap_net_raw=ep /x"
        );
        assert_eq!(Here::of(7).named_in("run `sudo /x …`"), None);
        assert_eq!(Here::of(7).named_in("no command"), None);
        for start in [
            "start it with `--cap-add X`",
            "start it with `procMount: Unmasked`",
        ] {
            assert_eq!(Here::of(7).named_in(start), None);
        }
        let setting = "allow it with `sudo sysctl a.b=1`";
        assert_eq!(Here::of(7).named_in(setting).unwrap(), "sudo sysctl a.b=1");
        let limit = "raise the limit with `ulimit -n 4096`";
        assert_eq!(Here::of(7).named_in(limit).unwrap(), "ulimit -n 4096");
        let link = "bring it up with `sudo ip link set lo up`";
        assert_eq!(Here::of(0).named_in(link).unwrap(), "ip link set lo up");
        let powerless = Here {
            sets_links: false,
            ..Here::of(0)
        };
        assert_eq!(powerless.named_in(link), None);
        // There is no such setting, so not even root can set it.
        assert_eq!(Here::of(0).named_in(setting), None);
    }

    #[test]
    fn the_first_user_namespace_maps_everybody() {
        assert!(maps_everybody("         0          0 4294967295\n"));
        assert!(!maps_everybody("         0       1000          1\n"));
        assert!(!maps_everybody("0 0 4294967295\n1 1 1\n"));
        assert!(!maps_everybody(""));
    }

    #[test]
    fn a_path_is_quoted_if_a_shell_would_take_it_apart() {
        assert_eq!(quoted("/usr/bin/rst-proof_1.0"), "/usr/bin/rst-proof_1.0");
        assert_eq!(quoted("/my programs/x"), "'/my programs/x'");
        assert_eq!(quoted("/it's"), r"'/it'\''s'");
    }
}
