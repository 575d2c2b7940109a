//! The firewall of a worker's network namespace: one rule a port, there from beginning to end.
//!
//! The rules are loaded once, by `nft`, before privileges are given up; they belong to the namespace and end with it. Which
//! of them a trial meets is a matter of the port that its server has.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::ports::firewalled_port;
use crate::error::Error;
use crate::scenario::Rule;

/// The program that loads them.
const NFT: &str = "nft";

/// Where administrators' programs are, which are not on every user's PATH.
const ADMINISTRATORS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The rules for servers whose first port is this one, as `nft -f` takes them.
fn rules(port: u16) -> String {
    let mut text = [String::new(), String::new()];
    for rule in Rule::ALL {
        let (chain, verdict) = match rule {
            Rule::DropInput => (0, "drop"),
            Rule::DropOutput => (1, "drop"),
            Rule::RejectWithReset => (0, "reject with tcp reset"),
            Rule::RejectWithIcmp => (0, "reject with icmpx port-unreachable"),
        };
        let port = firewalled_port(port, rule);
        let _ = writeln!(text[chain], "    tcp dport {port} {verdict}");
    }
    let [input, output] = text;
    format!(
        "table inet rstproof {{\n\
         \x20 chain input {{\n    type filter hook input priority 0\n{input}  }}\n\
         \x20 chain output {{\n    type filter hook output priority 0\n{output}  }}\n\
         }}\n"
    )
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
    let failed = |error: io::Error| Error::lab("load firewall rules with nft", &error);
    let mut nft = Command::new(program)
        .args(["-f", "-"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = nft.stdin.take() {
        // One that does not read says why.
        let _ = input.write_all(rules(port).as_bytes());
    }
    let output = nft.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("it does not say why").trim();
    Ok(Err(format!("nft cannot load rules here: {first}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_a_port_of_its_own() {
        for port in [8080, 1024, 65_535, 65_530] {
            let text = rules(port);
            for rule in Rule::ALL {
                let port = format!("tcp dport {} ", firewalled_port(port, rule));
                assert_eq!(text.matches(&port).count(), 1, "{text}");
            }
        }
    }
}
