//! Errors that keep the tool from doing its work.
//!
//! An error returned by a socket under test is never one of these: it is data, an
//! [`Outcome`](rstproof_core::transcript::Outcome). These errors are for users: one line that says what failed, on
//! what, and how to fix it.

use std::path::{Path, PathBuf};

use caps::Capability;
use nix::errno::Errno;
use rstproof_core::errno::{Errno as Known, MORE_PROCESSES};
use thiserror::Error as ThisError;

use crate::confinement;

/// Error that keeps the tool from doing its work. Every text is one line, lower-case, without a full stop.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The command line is invalid.
    #[error("{0}")]
    Usage(String),
    /// A system call of the tool itself failed.
    #[error("cannot {action}: {}", describe(*.errno))]
    System {
        /// Attempted action, as a verb phrase.
        action: String,
        /// Error that the call returned.
        errno: Errno,
    },
    /// A libpcap call failed.
    #[error("cannot {action} on {interface}: {reason}")]
    Capture {
        /// Attempted action, as a verb phrase.
        action: String,
        /// Name of the interface.
        interface: String,
        /// Text from libpcap, with the fix if known.
        reason: String,
    },
    /// A privilege is missing.
    #[error("{missing}; {remedy}")]
    Privilege {
        /// Action that is not permitted.
        missing: String,
        /// Command that grants the privilege.
        remedy: String,
    },
    /// The setup of a trial failed, or did not last.
    #[error("cannot {action}: {reason}")]
    Lab {
        /// Attempted action, as a verb phrase.
        action: String,
        /// Cause, with the fix if known.
        reason: String,
    },
    /// A file or directory could not be used.
    #[error("cannot {action} {}: {reason}", .path.display())]
    File {
        /// Attempted action, as a verb.
        action: &'static str,
        /// Path of the file or directory.
        path: PathBuf,
        /// Cause, with the fix if known.
        reason: String,
    },
    /// Standard output was closed by its reader. Not a failure.
    #[error("standard output is closed")]
    OutputClosed,
    /// Standard output cannot be written to.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}

impl Error {
    /// Returns the error for a failed system call of the tool itself; `action` is what it attempted.
    pub fn system(action: impl Into<String>, errno: Errno) -> Self {
        Self::System {
            action: action.into(),
            errno,
        }
    }

    /// Returns the error for failed input or output of the tool itself; `action` is what it attempted.
    pub fn io(action: impl Into<String>, error: &std::io::Error) -> Self {
        Self::Lab {
            action: action.into(),
            reason: reason(error),
        }
    }

    /// Returns the error for a thread or process that could not be started; `action` is what was attempted.
    pub fn start(action: impl Into<String>, error: &std::io::Error) -> Self {
        let mut reason = reason(error);
        // clone(2) fails with EAGAIN at these limits only; for other calls it has other meanings.
        if error.raw_os_error() == Some(Errno::EAGAIN as i32) {
            reason.push_str("; ");
            reason.push_str(MORE_PROCESSES);
        }
        Self::Lab {
            action: action.into(),
            reason,
        }
    }

    /// Returns the error for a trial setup that failed; `action` is what was attempted.
    pub fn lab(action: impl Into<String>, reason: &dyn std::fmt::Display) -> Self {
        Self::Lab {
            action: action.into(),
            reason: reason.to_string(),
        }
    }

    /// Returns the error for a missing capture privilege, with what grants it to this binary.
    #[must_use]
    pub fn may_not_capture(interface: &str) -> Self {
        let program = program();
        Self::Privilege {
            missing: format!("capturing on {interface} needs CAP_NET_RAW"),
            remedy: if confinement::can_gain(Capability::CAP_NET_RAW) {
                format!(
                    "run `sudo {program} …`, or give it the right once with `sudo setcap cap_net_raw=ep {program}`"
                )
            } else {
                confinement::CAPTURING.to_owned()
            },
        }
    }

    /// Returns the error for a file or directory that could not be used for `action`.
    #[must_use]
    pub fn file(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            reason: reason(error),
        }
    }

    /// Returns true if a limit of this process or of the host was reached: the text then has the fix, and the next
    /// attempt may succeed.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        let text = self.to_string();
        let fixes = Known::LIMITS.into_iter().filter_map(Known::fix);
        fixes.chain([MORE_PROCESSES]).any(|fix| text.contains(fix))
    }

    /// Returns true if a part of a trial's setup failed: a socket, a network, a capture.
    #[must_use]
    pub fn is_of_lab(&self) -> bool {
        matches!(
            self,
            Self::System { .. } | Self::Lab { .. } | Self::Capture { .. }
        )
    }

    /// Returns the error for a failed write to standard output; a closed pipe is distinguished from other errors.
    #[must_use]
    pub fn output(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Output(error)
        }
    }
}

/// Returns the path of this binary, for commands that a user can paste.
pub(crate) fn program() -> String {
    std::env::current_exe().map_or_else(
        |_| "rstproof".to_owned(),
        |path| path.to_string_lossy().into_owned(),
    )
}

/// Returns the cause of an input or output error, with its fix if known.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => match Errno::from_raw(number) {
            Errno::UnknownErrno => format!("error number {number}"),
            errno => describe(errno),
        },
        None => error.to_string(),
    }
}

/// Largest error number that a system call can return (`MAX_ERRNO`, linux/err.h).
const MAX_ERRNO: i32 = 4095;

/// Converts an error number of this host to that of evidence. Mapped by name, because architectures of Linux number
/// some errors differently.
pub(crate) fn known(errno: Errno) -> Known {
    Known::of_name(&format!("{errno:?}")).unwrap_or(Known(errno as i32))
}

/// Converts a raw error number of this host to that of evidence.
pub(crate) fn known_number(number: i32) -> Known {
    match Errno::from_raw(number) {
        Errno::UnknownErrno => Known(number),
        errno => known(errno),
    }
}

/// Returns the error number of evidence for a failed call; 0 if the error has no number.
pub(crate) fn known_of(error: &std::io::Error) -> Known {
    error.raw_os_error().map_or(Known(0), known_number)
}

/// Adds the fix to the error text of a C library, if the text ends with an error that reports a limit.
pub(crate) fn with_fix(words: String) -> String {
    // libpcap's text for a failed malloc(3): no call returned an error.
    let no_memory = words.ends_with("out of memory");
    let reached = (1..=MAX_ERRNO)
        .filter(|number| words.ends_with(&words_of(*number)))
        .map(|number| known(Errno::from_raw(number)))
        .find(|errno| errno.is_exhaustion());
    let reached = reached.or(no_memory.then_some(Known::ENOMEM));
    match reached.and_then(Known::fix) {
        Some(fix) => format!("{words}; {fix}"),
        None => words,
    }
}

/// Returns the C library's text for an error number.
fn words_of(number: i32) -> String {
    let text = std::io::Error::from_raw_os_error(number).to_string();
    // The standard library adds the number: `Cannot allocate memory (os error 12)`.
    let (words, _) = text.rsplit_once(" (").unwrap_or((&text, ""));
    words.to_owned()
}

/// Describes an error number: the text, then the name, and the fix if it depends on nothing else.
pub(crate) fn describe(errno: Errno) -> String {
    let mut text = errno.desc().to_owned();
    // Acronyms keep their case, as in "I/O error".
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
        // As from libpcap 1.10: its own text, then that of strerror(3).
        let words = with_fix("socket: Too many open files".to_owned());
        assert!(
            words.contains("; ") && words.contains("`ulimit -n "),
            "{words}"
        );
        for words in [
            "can't mmap rx ring: Cannot allocate memory",
            "out of memory",
        ] {
            let words = with_fix(words.to_owned());
            assert!(words.contains("`ulimit -v "), "{words}");
        }
        let words = "socket: Protocol not supported";
        assert_eq!(with_fix(words.to_owned()), words);
    }

    #[test]
    fn an_error_without_a_name_keeps_its_number() {
        let error = std::io::Error::from_raw_os_error(4000);
        assert_eq!(reason(&error), "error number 4000");
        assert_eq!(known_of(&error), Known(4000));
    }

    /// Names agree with the C library's where this host numbers its errors as the table of the core does.
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

    /// EAGAIN means a process limit only from calls that start a thread or process.
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
