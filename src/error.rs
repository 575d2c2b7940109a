//! Why the tool could not do its work.
//!
//! An error that a socket reported is never one of these: that is data, an
//! [`Outcome`](crate::transcript::Outcome). These are for a person: one line that says what failed, on what, and
//! what mends it.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use thiserror::Error as ThisError;

/// The tool could not do its work. Every text is one line, lower-case, without a full stop.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The command line asks for something that cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// A system call that the tool itself needed failed.
    #[error("cannot {action}: {}", describe(*.errno))]
    System {
        /// What was being done, as a verb phrase.
        action: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// libpcap refused.
    #[error("cannot {action} on {interface}: {reason}")]
    Capture {
        /// What was being done, as a verb phrase.
        action: String,
        /// The interface it was done on.
        interface: String,
        /// libpcap's own words, and what mends it where that is known.
        reason: String,
    },
    /// The privilege to do something is missing.
    #[error("{missing}; {remedy}")]
    Privilege {
        /// What is not permitted.
        missing: String,
        /// The exact command that mends it.
        remedy: String,
    },
    /// Something that trials need could not be set up, or did not hold.
    #[error("cannot {action}: {reason}")]
    Lab {
        /// What was being done, as a verb phrase.
        action: String,
        /// Netlink's answer.
        reason: String,
    },
    /// A file or directory could not be used.
    #[error("cannot {action} {}: {reason}", .path.display())]
    File {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not, and what mends it where that is known.
        reason: String,
    },
    /// Standard output is closed: whoever reads it has seen enough. Not a failure.
    #[error("standard output is closed")]
    OutputClosed,
    /// Standard output cannot be written to.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}

impl Error {
    /// A system call of the tool's own failed while it tried to `action`.
    pub fn system(action: impl Into<String>, errno: Errno) -> Self {
        Self::System {
            action: action.into(),
            errno,
        }
    }

    /// Something that trials need could not be set up while it was tried to `action`.
    pub fn lab(action: impl Into<String>, reason: &dyn std::fmt::Display) -> Self {
        Self::Lab {
            action: action.into(),
            reason: reason.to_string(),
        }
    }

    /// The right to capture is missing; with the commands that give it to this binary.
    #[must_use]
    pub fn may_not_capture(interface: &str) -> Self {
        let program = program();
        Self::Privilege {
            missing: format!("capturing on {interface} needs CAP_NET_RAW"),
            remedy: format!(
                "run `sudo {program} …`, or give it the right once with `sudo setcap cap_net_raw=ep {program}`"
            ),
        }
    }

    /// `path` could not be used for `action`.
    #[must_use]
    pub fn file(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            reason: reason(error),
        }
    }

    /// Standard output could not be written to: closed is one thing, broken another.
    #[must_use]
    pub fn output(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Output(error)
        }
    }
}

/// The path of this binary, for commands that a person can paste.
pub(crate) fn program() -> String {
    std::env::current_exe().map_or_else(
        |_| "rstproof".to_owned(),
        |path| path.to_string_lossy().into_owned(),
    )
}

/// Why an input or output failed, as people know it.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => describe(Errno::from_raw(code)),
        None => error.to_string(),
    }
}

/// The kernel's word as people know it: text, then the name.
fn describe(errno: Errno) -> String {
    let mut text = errno.desc().to_owned();
    // "I/O error" stays as it is.
    if text
        .chars()
        .nth(1)
        .is_some_and(|second| second.is_lowercase() || second == ' ')
    {
        text[..1].make_ascii_lowercase();
    }
    format!("{text} ({errno:?})")
}
