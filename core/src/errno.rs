//! Error numbers of system calls, with the names and numbers of Linux.
//!
//! A verdict must not depend on the host that computes it, and hosts number their errors differently. The numbers
//! here are those of `include/uapi/asm-generic/errno-base.h` and `errno.h`, which most architectures of Linux share;
//! evidence holds names. A recorder on a host with other numbers maps them by name ([`Errno::of_name`]).

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Error number of a system call; shown and stored by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// Broken pipe.
    pub const EPIPE: Self = Self(32);
    /// Connection reset by peer.
    pub const ECONNRESET: Self = Self(104);
    /// Connection refused.
    pub const ECONNREFUSED: Self = Self(111);
    /// Transport endpoint is not connected.
    pub const ENOTCONN: Self = Self(107);
    /// Resource temporarily unavailable: a time-out set by the caller expired.
    pub const EAGAIN: Self = Self(11);
    /// Device or resource busy.
    pub const EBUSY: Self = Self(16);
    /// No such file or directory.
    pub const ENOENT: Self = Self(2);
    /// Permission denied.
    pub const EACCES: Self = Self(13);
    /// Too many symbolic links, or a symbolic link where none is allowed.
    pub const ELOOP: Self = Self(40);
    /// Interrupted system call.
    pub const EINTR: Self = Self(4);
    /// Connection timed out.
    pub const ETIMEDOUT: Self = Self(110);
    /// Software caused connection abort.
    pub const ECONNABORTED: Self = Self(103);
    /// Operation in progress: the connection is being set up, and the call does not block.
    pub const EINPROGRESS: Self = Self(115);
    /// Operation already in progress: the connection is being set up already.
    pub const EALREADY: Self = Self(114);
    /// Invalid argument; also `accept` on a socket that does not listen.
    pub const EINVAL: Self = Self(22);
    /// Network is unreachable.
    pub const ENETUNREACH: Self = Self(101);
    /// No route to host.
    pub const EHOSTUNREACH: Self = Self(113);
    /// Host is down.
    pub const EHOSTDOWN: Self = Self(112);
    /// Machine is not on the network.
    pub const ENONET: Self = Self(64);
    /// Protocol not available.
    pub const ENOPROTOOPT: Self = Self(92);
    /// Operation not supported.
    pub const EOPNOTSUPP: Self = Self(95);
    /// Protocol error.
    pub const EPROTO: Self = Self(71);
    /// Cannot assign requested address.
    pub const EADDRNOTAVAIL: Self = Self(99);
    /// Too many open files: the limit of this process is reached.
    pub const EMFILE: Self = Self(24);
    /// Too many open files in system.
    pub const ENFILE: Self = Self(23);
    /// Cannot allocate memory.
    pub const ENOMEM: Self = Self(12);
    /// No buffer space available.
    pub const ENOBUFS: Self = Self(105);
}

/// Names of all error numbers that Linux returns to programs, in the order of the numbers.
const NAMES: [(i32, &str); 131] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (3, "ESRCH"),
    (4, "EINTR"),
    (5, "EIO"),
    (6, "ENXIO"),
    (7, "E2BIG"),
    (8, "ENOEXEC"),
    (9, "EBADF"),
    (10, "ECHILD"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (15, "ENOTBLK"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (19, "ENODEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (25, "ENOTTY"),
    (26, "ETXTBSY"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (29, "ESPIPE"),
    (30, "EROFS"),
    (31, "EMLINK"),
    (32, "EPIPE"),
    (33, "EDOM"),
    (34, "ERANGE"),
    (35, "EDEADLK"),
    (36, "ENAMETOOLONG"),
    (37, "ENOLCK"),
    (38, "ENOSYS"),
    (39, "ENOTEMPTY"),
    (40, "ELOOP"),
    // 41 is unused: EWOULDBLOCK has the number of EAGAIN.
    (42, "ENOMSG"),
    (43, "EIDRM"),
    (44, "ECHRNG"),
    (45, "EL2NSYNC"),
    (46, "EL3HLT"),
    (47, "EL3RST"),
    (48, "ELNRNG"),
    (49, "EUNATCH"),
    (50, "ENOCSI"),
    (51, "EL2HLT"),
    (52, "EBADE"),
    (53, "EBADR"),
    (54, "EXFULL"),
    (55, "ENOANO"),
    (56, "EBADRQC"),
    (57, "EBADSLT"),
    // 58 is unused: EDEADLOCK has the number of EDEADLK.
    (59, "EBFONT"),
    (60, "ENOSTR"),
    (61, "ENODATA"),
    (62, "ETIME"),
    (63, "ENOSR"),
    (64, "ENONET"),
    (65, "ENOPKG"),
    (66, "EREMOTE"),
    (67, "ENOLINK"),
    (68, "EADV"),
    (69, "ESRMNT"),
    (70, "ECOMM"),
    (71, "EPROTO"),
    (72, "EMULTIHOP"),
    (73, "EDOTDOT"),
    (74, "EBADMSG"),
    (75, "EOVERFLOW"),
    (76, "ENOTUNIQ"),
    (77, "EBADFD"),
    (78, "EREMCHG"),
    (79, "ELIBACC"),
    (80, "ELIBBAD"),
    (81, "ELIBSCN"),
    (82, "ELIBMAX"),
    (83, "ELIBEXEC"),
    (84, "EILSEQ"),
    (85, "ERESTART"),
    (86, "ESTRPIPE"),
    (87, "EUSERS"),
    (88, "ENOTSOCK"),
    (89, "EDESTADDRREQ"),
    (90, "EMSGSIZE"),
    (91, "EPROTOTYPE"),
    (92, "ENOPROTOOPT"),
    (93, "EPROTONOSUPPORT"),
    (94, "ESOCKTNOSUPPORT"),
    (95, "EOPNOTSUPP"),
    (96, "EPFNOSUPPORT"),
    (97, "EAFNOSUPPORT"),
    (98, "EADDRINUSE"),
    (99, "EADDRNOTAVAIL"),
    (100, "ENETDOWN"),
    (101, "ENETUNREACH"),
    (102, "ENETRESET"),
    (103, "ECONNABORTED"),
    (104, "ECONNRESET"),
    (105, "ENOBUFS"),
    (106, "EISCONN"),
    (107, "ENOTCONN"),
    (108, "ESHUTDOWN"),
    (109, "ETOOMANYREFS"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (112, "EHOSTDOWN"),
    (113, "EHOSTUNREACH"),
    (114, "EALREADY"),
    (115, "EINPROGRESS"),
    (116, "ESTALE"),
    (117, "EUCLEAN"),
    (118, "ENOTNAM"),
    (119, "ENAVAIL"),
    (120, "EISNAM"),
    (121, "EREMOTEIO"),
    (122, "EDQUOT"),
    (123, "ENOMEDIUM"),
    (124, "EMEDIUMTYPE"),
    (125, "ECANCELED"),
    (126, "ENOKEY"),
    (127, "EKEYEXPIRED"),
    (128, "EKEYREVOKED"),
    (129, "EKEYREJECTED"),
    (130, "EOWNERDEAD"),
    (131, "ENOTRECOVERABLE"),
    (132, "ERFKILL"),
    (133, "EHWPOISON"),
];

/// Instruction to raise the limit on threads and processes.
pub const MORE_PROCESSES: &str =
    "raise the limit on processes (`ulimit -u 4096`, or the pids limit of the container)";

impl Errno {
    /// Errors that report a limit of the process or of the host, whatever call fails with them.
    pub const LIMITS: [Self; 4] = [Self::EMFILE, Self::ENFILE, Self::ENOMEM, Self::ENOBUFS];

    /// Returns true if the error reports that a limit of the process or of the host is reached, which is not
    /// behaviour of TCP.
    #[must_use]
    pub fn is_exhaustion(self) -> bool {
        Self::LIMITS.contains(&self)
    }

    /// Returns the instruction to raise the limit that the error reports, if it reports one.
    #[must_use]
    pub fn fix(self) -> Option<&'static str> {
        Some(match self {
            Self::EMFILE => {
                "raise the limit on open files with `ulimit -n 4096` (the hard limit as root, or with LimitNOFILE= or `docker run --ulimit nofile=4096`)"
            }
            Self::ENFILE => {
                "raise the limit on open files of the whole system with `sudo sysctl fs.file-max=1000000`"
            }
            Self::ENOMEM => {
                "free memory, or raise the limit on it (`ulimit -v unlimited`, or the memory limit of the container)"
            }
            Self::ENOBUFS => "free memory, or raise the memory limit of the container",
            _ => return None,
        })
    }

    /// Returns the instruction to raise the limit that the error reports when a thread or process is started.
    /// `EAGAIN` reports a limit there (clone(2)), and only there.
    #[must_use]
    pub(crate) fn fix_of_start(self) -> Option<&'static str> {
        match self {
            Self::EAGAIN => Some(MORE_PROCESSES),
            other => other.fix(),
        }
    }

    /// Returns the error of this name, as [`Display`](fmt::Display) writes it.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        if let Some((number, _)) = NAMES.iter().find(|(_, known)| *known == name) {
            return Some(Self(*number));
        }
        let number = name.strip_prefix("errno ")?.parse().ok()?;
        // One number has one name only: `errno 104` and `errno +104` are not names.
        (Self(number).to_string() == name).then_some(Self(number))
    }
}

impl fmt::Display for Errno {
    /// Writes the name, such as `ECONNRESET`; `errno 4000` for a number without one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.binary_search_by_key(&self.0, |(number, _)| *number) {
            Ok(at) => f.write_str(NAMES[at].1),
            Err(_) => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Errno {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Errno {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        Self::of_name(&name)
            .ok_or_else(|| de::Error::custom(format_args!("there is no error number '{name}'")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        assert!(NAMES.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn an_error_number_is_shown_by_its_name() {
        for (name, errno) in [
            ("EPIPE", Errno::EPIPE),
            ("ECONNRESET", Errno::ECONNRESET),
            ("EAGAIN", Errno::EAGAIN),
            ("EBUSY", Errno::EBUSY),
            ("errno 524", Errno(524)),
        ] {
            assert_eq!(Errno::of_name(name), Some(errno));
            assert_eq!(errno.to_string(), name);
        }
        for name in ["", "EPIPEX", "UnknownErrno", "32", "errno 32", "errno x"] {
            assert_eq!(Errno::of_name(name), None, "{name}");
        }
    }
}
