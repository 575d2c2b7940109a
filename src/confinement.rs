//! Limits that root cannot lift from inside: a seccomp filter, and capabilities that no program of this process can gain.
//!
//! Container runtimes set both. Docker's default profile refuses unshare(2), setns(2) and mount(2) with `EPERM` unless
//! the container has `CAP_SYS_ADMIN`. There `sudo` and `setcap` are of no use, and an option of the runtime is.

use std::fs;

use caps::{CapSet, Capability};
use nix::unistd::geteuid;

/// Instruction to start a container in which trials may create namespaces, if a seccomp filter refuses them.
const UNFILTERED: &str = "in a container, start that with `--security-opt seccomp=unconfined` or `--cap-add SYS_ADMIN --cap-add NET_ADMIN` (Kubernetes: `seccompProfile: Unconfined`)";

/// Instruction to start a container with the capabilities to create namespaces.
const PRIVILEGED: &str =
    "in a container, start that with `--cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add NET_RAW`";

/// Instruction to start a container with the capability to capture.
pub(crate) const CAPTURING: &str = "in a container, start that with `--cap-add NET_RAW`";

/// Instruction to start a container with the capabilities to mount tracefs and to create namespaces without a user
/// namespace, from which tracefs is out of reach.
pub(crate) const TRACING: &str =
    "in a container, start that with `--cap-add SYS_ADMIN --cap-add NET_ADMIN`";

/// Returns true if a seccomp filter restricts this process: it cannot be removed, and programs inherit it.
pub(crate) fn is_filtered() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| has_filter(&status))
}

/// Returns true if `/proc/self/status` shows a filter: proc(5), `SECCOMP_MODE_FILTER`.
fn has_filter(status: &str) -> bool {
    let mut lines = status.lines();
    let mode = lines.find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() == "2")
}

/// Returns true if this user's programs can gain a capability from `sudo` or from their files. Root cannot: it lacks what
/// was taken from it. The capability must be in the bounding set; otherwise setcap(8) would even make the program
/// unusable, because execve(2) then fails with `EPERM`.
pub(crate) fn can_gain(capability: Capability) -> bool {
    !geteuid().is_root() && caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(true)
}

/// Returns the instruction that makes network namespaces possible where `sudo` does not; `None` where it does.
pub(crate) fn remedy() -> Option<&'static str> {
    if is_filtered() {
        Some(UNFILTERED)
    } else if can_gain(Capability::CAP_SYS_ADMIN) {
        None
    } else {
        Some(PRIVILEGED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_shows_in_the_status_of_the_process() {
        assert!(has_filter("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        // No filter; strict mode, in which this would not run; a kernel without seccomp.
        assert!(!has_filter("Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t0\n"));
        assert!(!has_filter("Seccomp:\t1\n"));
        assert!(!has_filter("Name:\tx\n"));
    }
}
