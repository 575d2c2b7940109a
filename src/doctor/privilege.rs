//! Privileges of the process: to create user namespaces, and to capture on the host's own loopback.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use caps::Capability;
use socket2::{Domain, Socket, Type};

use super::here::Here;
use super::{Check, Group, Status};
use crate::capture::{CaptureSession, Config};
use crate::confinement;
use crate::error::{Error, reason};
use crate::lab;

pub(super) const USER_NAMESPACES: &str = "user-namespaces";
const RAW_SOCKET: &str = "cap-net-raw";

/// Purpose of user namespaces.
const PRIVATE_TRIALS: &str = "trials in a private namespace, unless root runs them";

/// Purpose of the privilege to capture on the host: in a private namespace every user has it.
const ON_HOST: &str = "`run --host`, for systems without private namespaces";

/// Checks if user namespaces are allowed; `entered` is the result of entering one, if one was needed.
pub(super) fn user_namespaces(here: &Here, entered: &Result<(), Error>) -> Check {
    let check =
        |detail: String| Check::ok(Group::Trials, USER_NAMESPACES, "user namespaces", detail);
    let setting = lab::forbidding_setting();
    // `name=value`, with the value that allows them.
    let name = setting.map(|setting| setting.split('=').next().unwrap_or(setting));
    match (entered, setting, name) {
        (Err(error), ..) => {
            let (what, fix) = no_user_namespace(here, error, name);
            check(what).less(Status::Missing, PRIVATE_TRIALS, fix)
        }
        (Ok(()), ..) if !here.makes_namespaces => check("allowed: one was entered".to_owned()),
        (Ok(()), Some(setting), Some(name)) => check(format!(
            "root does not need them, but {name} forbids them to other users"
        ))
        .less(
            Status::Limited,
            "ordinary users need `sudo` for trials in a private namespace",
            here.set(setting),
        ),
        (Ok(()), ..) => check("allowed; root does not need them".to_owned()),
    }
}

/// Returns the reason why no user namespace can be entered, and the command that fixes it. `setting` is the name of the
/// setting that forbids them.
fn no_user_namespace(
    here: &Here,
    error: &Error,
    setting: Option<&str>,
) -> (String, Option<String>) {
    let (what, remedy) = told(error);
    let what = setting.map_or(what, |name| format!("{name} forbids them"));
    let fix = here.named_in(&remedy);
    // Where `sudo` gives nothing, only a setting or another start could help.
    if let (None, Some(start)) = (&fix, confinement::remedy()) {
        return (format!("{what}; {start}"), None);
    }
    let sudo = || here.as_real_root(&format!("{} run", here.program));
    (what, fix.or_else(sudo))
}

/// Returns the message of an error and its suggested fix; the fix is empty if there is none.
fn told(error: &Error) -> (String, String) {
    if let Error::Privilege { missing, remedy } = error {
        return (missing.clone(), remedy.clone());
    }
    let text = error.to_string();
    // By convention an error that has a fix ends with `; ` and a command in backquotes.
    match text.rsplit_once("; ") {
        Some((what, remedy)) if remedy.contains('`') => (what.to_owned(), remedy.to_owned()),
        _ => (text, String::new()),
    }
}

/// Returns the detail of a check that failed with this error, and the command that fixes it. If there is no command, the
/// detail includes the instruction.
pub(super) fn explained(here: &Here, error: &Error) -> (String, Option<String>) {
    let (what, remedy) = told(error);
    match here.named_in(&remedy) {
        None if !remedy.is_empty() => (format!("{what}; {remedy}"), None),
        fix => (what, fix),
    }
}

/// Checks if packet sockets can be opened in this network namespace. Opens one, because a capability in the wrong user
/// namespace has no effect.
pub(super) fn raw_socket(here: &Here) -> Check {
    // Protocol 0: the socket receives no packets.
    let error = Socket::new(Domain::PACKET, Type::RAW, None).err();
    let check = |detail: &str| Check::ok(Group::Host, RAW_SOCKET, "CAP_NET_RAW", detail);
    let missing = |detail: &str, fix| check(detail).less(Status::Missing, ON_HOST, fix);
    let refused = "not permitted to open packet sockets";
    match error {
        None => check("packet sockets can be opened in this namespace"),
        Some(error) if !is_forbidden(&error) => missing(
            &format!("packet sockets cannot be opened: {}", reason(&error)),
            None,
        ),
        Some(_) if !confinement::can_gain(Capability::CAP_NET_RAW) => {
            missing(&format!("{refused}; {}", confinement::CAPTURING), None)
        }
        Some(_) => {
            let setcap = format!("setcap cap_net_raw=ep {}", here.program);
            missing(refused, here.as_real_root(&setcap))
        }
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

/// Opens a capture on the loopback of the namespace that the tool was started in.
fn capture_on_loopback() -> Result<CaptureSession, Error> {
    CaptureSession::open(&Config {
        interface: "lo".to_owned(),
        filter: None,
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        ports: 8080..=8082,
        // No frame is read from this capture.
        small_ring: true,
        tap: rstproof_core::packet::Tap::Both,
        crossing: Vec::new(),
    })
}

/// Checks if trials can use the loopback of the namespace that the tool was started in: opens a capture on it.
pub(super) fn on_host(here: &Here, raw_socket: Status) -> Check {
    let check = |detail: String| Check::ok(Group::Host, "host-capture", "capture on lo", detail);
    if raw_socket != Status::Ok {
        return check("capturing on lo needs CAP_NET_RAW".to_owned()).blocked(RAW_SOCKET, ON_HOST);
    }
    if let Err(error) = capture_on_loopback() {
        let (what, fix) = explained(here, &error);
        return check(what).less(Status::Missing, ON_HOST, fix);
    }
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => check("opened; this namespace has IPv4 and IPv6".to_owned()),
        Err(error) => check(format!(
            "opened; this namespace has no ::1: {}",
            reason(&error)
        ))
        .less(
            Status::Limited,
            "trials over IPv6 with `run --host` are skipped",
            None,
        ),
    }
}
