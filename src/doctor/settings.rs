//! Check that scenarios can change the kernel settings that they need in a private namespace.

use super::{Check, Group, Status};
use crate::lab::sysctl::Obstacle;
use rstproof_core::scenario::ALL;

/// Returns the check for this obstacle, if there is one. The user does not matter: a private namespace belongs to the
/// user who creates it.
pub(super) fn check(obstacle: Option<Obstacle>) -> Check {
    let check =
        |detail: String| Check::ok(Group::Trials, "kernel-settings", "kernel settings", detail);
    let Some(obstacle) = obstacle else {
        return check("/proc/sys is writable for a namespace's own administrator".to_owned());
    };
    let detail = format!("{}; {}", obstacle.found(), obstacle.fix());
    if obstacle == Obstacle::NoProc {
        return check(detail).less(Status::Missing, "all trials", None);
    }
    let changing = ALL.iter().filter(|it| !it.sysctls.is_empty()).count();
    let costs = format!(
        "most of the {changing} scenarios that change a setting, and IPv6 through a router: they are skipped"
    );
    check(detail).less(Status::Limited, costs, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obstacles_are_listed_with_their_effect() {
        assert_eq!(check(None).status, Status::Ok);
        for (obstacle, status) in [
            (Obstacle::NoProc, Status::Missing),
            (Obstacle::Hidden, Status::Limited),
            (Obstacle::ReadOnly, Status::Limited),
        ] {
            let check = check(Some(obstacle));
            assert_eq!(check.status, status);
            assert!(check.detail.contains("/proc"), "{}", check.detail);
            assert!(check.without_it.is_some());
        }
    }
}
