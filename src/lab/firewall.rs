//! Firewall rules of a worker's network namespace: one rule per port, loaded for the lifetime of the namespace.
//!
//! `nft` loads the rules once, before privileges are dropped; they belong to the namespace and end with it. The port
//! of its server decides which rule a trial meets.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::geteuid;

use super::ports::firewalled_port;
use crate::error::Error;
use rstproof_core::scenario::Rule;

/// Maximum time for `nft` to load the rules. A bound on failure, not a pace.
const LOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Name of the program that loads the rules.
const NFT: &str = "nft";

/// Directories of administrators' programs, which are not on every user's PATH.
const ADMINISTRATORS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Match for segments with data: every data segment of a trial has PSH set.
const DATA: &str = "tcp flags & (psh | rst) == psh";

/// Returns the rules for servers whose first port is `port`, in the syntax of `nft -f`. All hosts get all rules: a
/// rule of `forward` has an effect only on a host that forwards.
fn rules(port: u16) -> String {
    let chains = ["input", "output", "forward"].map(|hook| {
        let mut rules = String::new();
        for rule in Rule::ALL.into_iter().filter(|rule| hook_of(*rule) == hook) {
            let statement = statement(rule, firewalled_port(port, rule));
            let _ = writeln!(rules, "    {statement}");
        }
        format!("  chain {hook} {{\n    type filter hook {hook} priority 0\n{rules}  }}\n")
    });
    format!("table inet rstproof {{\n{}}}\n", chains.concat())
}

/// Returns the netfilter hook at which a rule is applied.
fn hook_of(rule: Rule) -> &'static str {
    match rule {
        Rule::DropInput | Rule::RejectWithReset | Rule::RejectWithIcmp | Rule::RejectData => {
            "input"
        }
        Rule::DropOutput | Rule::DropResets => "output",
        Rule::RejectForwarded | Rule::DropForwardedAborts | Rule::DropForwardedData => "forward",
    }
}

/// Returns the match and the verdict of a rule for this port.
fn statement(rule: Rule, port: u16) -> String {
    match rule {
        Rule::DropInput | Rule::DropOutput => format!("tcp dport {port} drop"),
        Rule::RejectWithReset => format!("tcp dport {port} reject with tcp reset"),
        // icmpx stands for ICMP or ICMPv6, whichever the packet needs.
        Rule::RejectWithIcmp => format!("tcp dport {port} reject with icmpx port-unreachable"),
        Rule::RejectData | Rule::RejectForwarded => {
            format!("tcp dport {port} {DATA} reject with tcp reset")
        }
        Rule::DropResets => format!("tcp sport {port} tcp flags & rst == rst drop"),
        // RST with ACK is an abort. An RST without ACK replies to a segment, and has to pass.
        Rule::DropForwardedAborts => {
            format!("tcp sport {port} tcp flags & (rst | ack) == rst | ack drop")
        }
        Rule::DropForwardedData => format!("tcp sport {port} {DATA} drop"),
    }
}

/// Returns the path of `nft`: on PATH, or in a directory of administrators' programs.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ADMINISTRATORS.map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|directory| directory.join(NFT))
        .find(|program| program.is_file())
}

/// Loads the rules into this thread's network namespace. The inner error is the reason why there are none: only the
/// scenarios that need them are skipped. The outer one is a limit of this host, or a failure to read `nft`'s output.
pub(super) fn load(port: u16) -> Result<Result<(), String>, Error> {
    let Some(program) = program() else {
        return Ok(Err(
            "nft is not installed (`rstproof doctor` names the package)".to_owned(),
        ));
    };
    let failed = |error: io::Error| Error::start("load firewall rules with nft", &error);
    let mut command = Command::new(&program);
    command
        .args(["-f", "-"])
        .env_clear()
        .stdin(Stdio::piped())
        // nft prints nothing on stdout, but a pipe, unlike Stdio::null(), works without /dev/null.
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut nft = match passing_on_privilege(|| command.spawn()) {
        Ok(nft) => nft,
        Err(error) => {
            let error = failed(error);
            if error.is_limit() {
                return Err(error);
            }
            // The program cannot be executed.
            return Ok(Err(format!("{error} ({})", program.display())));
        }
    };
    if let Some(mut input) = nft.stdin.take() {
        // An nft that exits without reading reports the reason on stderr, so EPIPE adds nothing.
        let _ = input.write_all(rules(port).as_bytes());
    }
    let mut text = Vec::new();
    if let Some(mut errors) = nft.stderr.take() {
        // EOF comes when nft exits.
        let deadline = Instant::now() + LOAD_TIMEOUT;
        while comes_before(&errors, deadline).map_err(failed)? {
            let mut some = [0; 4096];
            match errors.read(&mut some).map_err(failed)? {
                0 => break,
                len => text.extend(some.iter().take(len)),
            }
        }
        if Instant::now() >= deadline {
            let _ = nft.kill();
            let _ = nft.wait();
            return Ok(Err(format!(
                "nft did not load rules within {} s",
                LOAD_TIMEOUT.as_secs()
            )));
        }
    }
    if nft.wait().map_err(failed)?.success() {
        return Ok(Ok(()));
    }
    let text = String::from_utf8_lossy(&text);
    // nft prints its message first, then the rule and a marker below it.
    let first = text.lines().next().unwrap_or("it gives no reason").trim();
    Ok(Err(format!("nft cannot load rules: {first}")))
}

/// Starts a program that inherits `CAP_NET_ADMIN` from this thread. A program of an ordinary user has only the ambient
/// capabilities of the thread that executes it, even if that has more from its file (capabilities(7)).
fn passing_on_privilege<T>(start: impl FnOnce() -> T) -> T {
    const SETS: [CapSet; 2] = [CapSet::Inheritable, CapSet::Ambient];
    if geteuid().is_root() {
        return start();
    }
    for set in SETS {
        // A failure shows when nft fails.
        let _ = caps::raise(None, set, Capability::CAP_NET_ADMIN);
    }
    let started = start();
    for set in SETS.into_iter().rev() {
        let _ = caps::drop(None, set, Capability::CAP_NET_ADMIN);
    }
    started
}

/// Waits until the pipe is readable or its other end is closed. Returns false if neither happened before the
/// deadline.
pub(crate) fn comes_before(pipe: &impl AsFd, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], left) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_a_port_of_its_own() {
        for port in [8080, 1024, 65_535, 65_530] {
            let text = rules(port);
            for rule in Rule::ALL {
                let port = format!("port {} ", firewalled_port(port, rule));
                assert_eq!(text.matches(&port).count(), 1, "{text}");
            }
        }
    }
}
