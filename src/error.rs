//! Why the tool could not do its work.
//!
//! An error that a socket reported is never one of these: that is data, an
//! [`Outcome`](rstproof_core::transcript::Outcome). These are for a person: one line that says what failed, on what, and
//! what mends it.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rstproof_core::errno::{Errno as Known, MORE_PROCESSES};
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
        /// Why not, and what fixes it where that is known.
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

    /// An input or output of the tool's own failed while it tried to `action`.
    pub fn io(action: impl Into<String>, error: &std::io::Error) -> Self {
        Self::Lab {
            action: action.into(),
            reason: reason(error),
        }
    }

    /// No thread or process could be started while it was tried to `action`.
    pub fn start(action: impl Into<String>, error: &std::io::Error) -> Self {
        let mut reason = reason(error);
        // clone(2) fails with EAGAIN at these limits only; other calls mean something else by it.
        if error.raw_os_error() == Some(Errno::EAGAIN as i32) {
            reason.push_str("; ");
            reason.push_str(MORE_PROCESSES);
        }
        Self::Lab {
            action: action.into(),
            reason,
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

    /// Whether a limit of this process or of the host was met: then the text names what raises it, and the next attempt may do
    /// better.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        let text = self.to_string();
        let fixes = Known::LIMITS.into_iter().filter_map(Known::fix);
        fixes.chain([MORE_PROCESSES]).any(|fix| text.contains(fix))
    }

    /// Whether something went wrong that trials are made of: a socket, a network, a capture.
    #[must_use]
    pub fn is_of_lab(&self) -> bool {
        matches!(
            self,
            Self::System { .. } | Self::Lab { .. } | Self::Capture { .. }
        )
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

/// Errors of limits that are met, whatever call fails with them.
const LIMITS: [Errno; 4] = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS];

/// Error number of this host, as evidence has it: architectures of Linux number some errors differently, so they are mapped by name.
pub(crate) fn known(errno: Errno) -> Known {
    Known::of_name(&format!("{errno:?}")).unwrap_or(Known(errno as i32))
}

/// Raw error number of this host, as evidence has it.
pub(crate) fn known_number(number: i32) -> Known {
    match Errno::from_raw(number) {
        Errno::UnknownErrno => Known(number),
        errno => known(errno),
    }
}

/// The words of a C library about an error, with what fixes it where they end with one of these.
pub(crate) fn with_fix(words: String) -> String {
    let reached = LIMITS.into_iter().find(|it| words.ends_with(it.desc()));
    match reached.and_then(|it| known(it).fix()) {
        Some(fix) => format!("{words}; {fix}"),
        None => words,
    }
}

/// The kernel's word as people know it: text, then the name, and what fixes it where that depends on nothing else.
pub(crate) fn describe(errno: Errno) -> String {
    let mut text = errno.desc().to_owned();
    // "I/O error" stays as it is.
    if text
        .chars()
        .nth(1)
        .is_some_and(|second| second.is_lowercase() || second == ' ')
    {
        text[..1].make_ascii_lowercase();
    }
    let fix = known(errno)
        .fix()
        .map_or_else(String::new, |fix| format!("; {fix}"));
    format!("{text} ({errno:?}){fix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_reached_is_shown_with_the_command_that_raises_it() {
        for (errno, fix) in [
            (Errno::EMFILE, "`ulimit -n "),
            (Errno::ENFILE, "fs.file-max"),
            (Errno::ENOMEM, "`ulimit -v "),
            (Errno::ENOBUFS, "memory limit"),
        ] {
            let error = std::io::Error::from(errno);
            for text in [
                Error::system("do it", errno),
                Error::io("do it", &error),
                Error::start("do it", &error),
                Error::file("read", Path::new("/file"), &error),
            ] {
                let text = text.to_string();
                assert!(
                    text.contains(fix) && text.contains(&format!("({errno:?})")),
                    "{text}"
                );
                assert_eq!(text.matches("; ").count(), 1, "{text}");
            }
        }
    }

    #[test]
    fn a_library_that_has_reached_a_limit_is_understood() {
        // As libpcap 1.10 has it: its own words, then those of strerror(3).
        let words = with_fix("socket: Too many open files".to_owned());
        assert!(
            words.contains("; ") && words.contains("`ulimit -n "),
            "{words}"
        );
        let words = "socket: Protocol not supported";
        assert_eq!(with_fix(words.to_owned()), words);
    }

    /// Where this host numbers its errors as the table of the core does, all names agree with the C library's.
    #[test]
    #[cfg(any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    ))]
    fn every_error_number_has_the_name_of_this_host() {
        for number in 0..200 {
            let here = Errno::from_raw(number);
            let name = match here {
                Errno::UnknownErrno => format!("errno {number}"),
                named => format!("{named:?}"),
            };
            assert_eq!(Known(number).to_string(), name);
            assert_eq!(known_number(number), Known(number), "{name}");
            assert_eq!(Known::of_name(&name), Some(Known(number)), "{name}");
        }
    }

    /// EAGAIN is a limit on processes where one is started, and something else anywhere else.
    #[test]
    fn too_many_processes_are_a_limit_only_where_one_is_started() {
        let error = std::io::Error::from(Errno::EAGAIN);
        let started = Error::start("start a worker", &error).to_string();
        assert!(
            started.contains("`ulimit -u ") && started.contains("(EAGAIN)"),
            "{started}"
        );
        let read = Error::io("read it", &error);
        assert!(!read.to_string().contains("ulimit"), "{read}");
        assert!(Error::start("start a worker", &error).is_limit() && !read.is_limit());
    }
}
