//! What may be in the way: one line says what it is and what mends it.

use std::process::Command;

use crate::run::{PROGRAM, Run, User, rstproof, unshare};

#[test]
fn no_such_interface() {
    let run = Run::of(&mut rstproof(&["run", "-i", "nosuch0"]));
    assert!(
        run.complaint()
            .contains("nosuch0: there is no such interface"),
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
    let script = r#"echo 0 > /proc/sys/user/max_user_namespaces || exit 99
                    exec setpriv --inh-caps=-all --bounding-set=-all "$1" run"#;
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        script,
        "sh",
        PROGRAM,
    ]);
    let run = Run::of(&mut command);
    assert!(
        run.complaint()
            .contains("`sudo sysctl user.max_user_namespaces="),
        "{}",
        run.err
    );
}
