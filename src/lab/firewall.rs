//! The firewall of a worker's network namespace: one rule a port, there from beginning to end.
//!
//! The rules are loaded once, by `nft`, before privileges are given up; they belong to the namespace and end with it. Which
//! of them a trial meets is a matter of the port that its server has.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::ports::firewalled_port;
use crate::error::Error;
use rstproof_core::scenario::Rule;

/// How long loading them may take. A bound on failure, not a pace.
const BOUND: Duration = Duration::from_secs(20);

/// The program that loads them.
const NFT: &str = "nft";

/// Where administrators' programs are, which are not on every user's PATH.
const ADMINISTRATORS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Whether a segment has data: all that is sent here is pushed.
const DATA: &str = "tcp flags & (psh | rst) == psh";

/// The rules for servers whose first port is this one, as `nft -f` takes them. All hosts get all of them: a rule of `forward`
/// counts where something is forwarded.
fn rules(port: u16) -> String {
    let mut chains = [const { String::new() }; 3];
    for rule in Rule::ALL {
        let port = firewalled_port(port, rule);
        let (chain, rule) = match rule {
            Rule::DropInput => (0, format!("tcp dport {port} drop")),
            Rule::RejectWithReset => (0, format!("tcp dport {port} reject with tcp reset")),
            Rule::RejectWithIcmp => (
                0,
                format!("tcp dport {port} reject with icmpx port-unreachable"),
            ),
            Rule::RejectData => (0, format!("tcp dport {port} {DATA} reject with tcp reset")),
            Rule::DropOutput => (1, format!("tcp dport {port} drop")),
            Rule::DropResets => (1, format!("tcp sport {port} tcp flags & rst == rst drop")),
            Rule::RejectForwarded => (2, format!("tcp dport {port} {DATA} reject with tcp reset")),
            Rule::DropForwardedAborts => (
                2,
                format!("tcp sport {port} tcp flags & (rst | ack) == rst | ack drop"),
            ),
            Rule::DropForwardedData => (2, format!("tcp sport {port} {DATA} drop")),
        };
        let _ = writeln!(chains[chain], "    {rule}");
    }
    let hooks = ["input", "output", "forward"].into_iter().zip(chains);
    let chains = hooks.map(|(hook, rules)| {
        format!("  chain {hook} {{\n    type filter hook {hook} priority 0\n{rules}  }}\n")
    });
    format!("table inet rstproof {{\n{}}}\n", chains.collect::<String>())
}

/// Where `nft` is: on PATH, or where it is installed for root.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ADMINISTRATORS.map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|directory| directory.join(NFT))
        .find(|program| program.is_file())
}

/// Loads the rules into this thread's network namespace. Or why there are none: it costs the scenarios that need them, and
/// no others.
pub(super) fn load(port: u16) -> Result<Result<(), String>, Error> {
    let Some(program) = program() else {
        return Ok(Err(
            "nft is not installed (`rstproof doctor` names the package)".to_owned(),
        ));
    };
    let failed = |error: io::Error| Error::start("load firewall rules with nft", &error);
    let mut nft = match Command::new(&program)
        .args(["-f", "-"])
        .env_clear()
        .stdin(Stdio::piped())
        // It says nothing there; /dev/null need not be there for that.
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(nft) => nft,
        Err(error) => {
            let error = failed(error);
            if error.is_limit() {
                return Err(error);
            }
            // It cannot be executed.
            return Ok(Err(format!("{error} ({})", program.display())));
        }
    };
    if let Some(mut input) = nft.stdin.take() {
        // One that does not read says why.
        let _ = input.write_all(rules(port).as_bytes());
    }
    let mut said = Vec::new();
    if let Some(mut errors) = nft.stderr.take() {
        // It closes its end when it ends.
        let deadline = Instant::now() + BOUND;
        while comes_before(&errors, deadline).map_err(failed)? {
            let mut some = [0; 4096];
            match errors.read(&mut some).map_err(failed)? {
                0 => break,
                len => said.extend(some.iter().take(len)),
            }
        }
        if Instant::now() >= deadline {
            let _ = nft.kill();
            let _ = nft.wait();
            return Ok(Err(format!(
                "nft did not load rules within {} s",
                BOUND.as_secs()
            )));
        }
    }
    if nft.wait().map_err(failed)?.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&said);
    let first = said.lines().next().unwrap_or("it does not say why").trim();
    Ok(Err(format!("nft cannot load rules here: {first}")))
}

/// Waits until there is something to read, or the other end is closed; `false` if that did not happen before the deadline.
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
