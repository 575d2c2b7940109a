//! What may be in the way: one line says what it is and what mends it.

use crate::run::{PROGRAM, Run, User, rstproof, unshare, where_user_namespaces_are_forbidden};

#[test]
fn no_such_interface() {
    let run = Run::of(&mut rstproof(&["run", "-i", "nosuch0"]));
    assert!(
        run.complaint().contains("nosuch0: no such interface"),
        "{}",
        run.err
    );
}

#[test]
fn the_loopback_interface_is_down() {
    // As it is in a new namespace.
    let run = Run::of(unshare("--net", PROGRAM).args(["run", "--host"]));
    assert!(
        run.complaint().contains("`sudo ip link set lo up`"),
        "{}",
        run.err
    );
}

#[test]
fn no_right_to_capture_on_the_host() {
    let run = Run::of(&mut User::new().rstproof(&["run", "--host"]));
    let complaint = run.complaint();
    assert!(complaint.contains("needs CAP_NET_RAW"), "{complaint}");
    assert!(
        complaint.contains("`sudo setcap cap_net_raw=ep /"),
        "{complaint}"
    );
}

#[test]
fn user_namespaces_are_forbidden() {
    let mut command = where_user_namespaces_are_forbidden("run");
    let run = Run::of(&mut command);
    assert!(
        run.complaint()
            .contains("`sudo sysctl user.max_user_namespaces="),
        "{}",
        run.err
    );
}
