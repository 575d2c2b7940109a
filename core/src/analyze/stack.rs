//! Likely stack of each end of a connection, by its SYN or SYN-ACK, and the errors that other systems than Linux report.
//!
//! A stack shows in the order of its TCP options, its initial window and its initial TTL. The table holds a few stacks,
//! each with its source; a stack is named only if all of this fits. A device that rewrites the handshake (a proxy, a load
//! balancer) shows its own stack. That an end is not Linux is no cause of anything: it decides which properties of an RST
//! are ordinary.
//!
//! Sources: the option order of Linux is that of `tcp_options_write()` (`net/ipv4/tcp_output.c`), that of FreeBSD
//! `tcp_addoptions()` (`sys/netinet/tcp_output.c`). Signatures of the others are in p0f 3.09b (`p0f.fp`, Michal
//! Zalewski). The window of Cisco IOS is the default of `ip tcp window-size`, 4128 bytes (IOS IP Application Services
//! Command Reference).

use std::fmt;

use serde::{Serialize, Serializer};

use super::forgery::IpFeatures;
use crate::flow::State;
use crate::packet::Flags;
use crate::packet::ip::{Ip, plain_tcp};
use crate::packet::wire::{LinuxSyn, TCP, TcpHeader};
use crate::transcript::Errno;

/// TCP/IP stack, or a group of stacks that behave alike here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stack {
    /// Linux 2.4 and newer, Android.
    Linux,
    /// Windows Vista and newer, and the servers of its time.
    Windows,
    /// Windows 2000, XP and Server 2003.
    WindowsXp,
    /// macOS and iOS.
    Macos,
    /// FreeBSD, and systems derived from it.
    Freebsd,
    /// OpenBSD.
    Openbsd,
    /// Solaris 10.
    Solaris,
    /// HP-UX 11.
    HpUx,
    /// Cisco IOS.
    CiscoIos,
}

impl Stack {
    /// All stacks.
    pub const ALL: [Self; 9] = [
        Self::Linux,
        Self::Windows,
        Self::WindowsXp,
        Self::Macos,
        Self::Freebsd,
        Self::Openbsd,
        Self::Solaris,
        Self::HpUx,
        Self::CiscoIos,
    ];

    /// Returns the stable id, in kebab-case.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Windows => "windows",
            Self::WindowsXp => "windows-xp",
            Self::Macos => "macos",
            Self::Freebsd => "freebsd",
            Self::Openbsd => "openbsd",
            Self::Solaris => "solaris",
            Self::HpUx => "hp-ux",
            Self::CiscoIos => "cisco-ios",
        }
    }

    /// Returns the name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Windows => "Windows",
            Self::WindowsXp => "Windows XP",
            Self::Macos => "macOS or iOS",
            Self::Freebsd => "FreeBSD",
            Self::Openbsd => "OpenBSD",
            Self::Solaris => "Solaris",
            Self::HpUx => "HP-UX",
            Self::CiscoIos => "Cisco IOS",
        }
    }

    /// Returns the stack that sends such a SYN or SYN-ACK, given the packet from its IP header on. `None` if no stack
    /// of the table fits, or if the packet is no SYN.
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        Handshake::of(packet)?.stack()
    }

    /// Returns the system whose errors this stack reports; `None` for Linux, and where they are not known.
    fn system(self) -> Option<System> {
        match self {
            Self::Windows | Self::WindowsXp => Some(System::Windows),
            Self::Macos => Some(System::Macos),
            Self::Freebsd | Self::Openbsd => Some(System::Bsd),
            Self::Linux | Self::Solaris | Self::HpUx | Self::CiscoIos => None,
        }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Stack {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// Maximum number of options in a header: 40 bytes of NOPs.
const MAX_OPTIONS: usize = 40;

// Kinds of options (IANA, "TCP Option Kind Numbers").
const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const TIMESTAMPS: u8 = 8;
const MPTCP: u8 = 30;
const FAST_OPEN: u8 = 34;

/// Properties of a SYN or SYN-ACK that depend on the stack.
struct Handshake {
    /// Letters of the options in their order: M(SS), N(OP), W(indow scale), S(ACK permitted), T(imestamps), E(nd), or `?`.
    letters: [u8; MAX_OPTIONS],
    count: usize,
    mss: Option<u16>,
    scale: Option<u8>,
    window: u16,
    /// Likely TTL at the sender: 64, 128 or 255.
    initial_ttl: u8,
}

impl Handshake {
    fn of(packet: &[u8]) -> Option<Self> {
        let payload = || Some(Ip::of(packet).filter(|ip| ip.protocol == TCP)?.payload);
        let tcp = TcpHeader::new(plain_tcp(packet).or_else(payload)?)?;
        if !tcp.flags().has(Flags::SYN) || tcp.flags().has(Flags::RST) {
            return None;
        }
        let mut this = Self {
            letters: [0; MAX_OPTIONS],
            count: 0,
            mss: None,
            scale: None,
            window: tcp.window(),
            // No packet passes more than some 30 routers.
            initial_ttl: match IpFeatures::of(packet)?.ttl {
                0 => return None,
                1..=64 => 64,
                65..=128 => 128,
                129.. => 255,
            },
        };
        this.read(tcp.options()?.bytes())?;
        Some(this)
    }

    /// Reads the options. Returns `None` if they are malformed.
    fn read(&mut self, mut options: &[u8]) -> Option<()> {
        // The layout of most SYNs.
        if let Some(syn) = LinuxSyn::of(options) {
            (self.mss, self.scale) = (Some(syn.mss), Some(syn.scale));
            let letters = b"MSTNW";
            self.letters[..letters.len()].copy_from_slice(letters);
            self.count = letters.len();
            return Some(());
        }
        while let [kind, rest @ ..] = options {
            let (letter, next) = match (*kind, rest) {
                // Stacks put these behind all the others.
                (MPTCP | FAST_OPEN, _) => break,
                (END, _) => (b'E', [].as_slice()),
                (NOP, rest) => (b'N', rest),
                (kind, [len, ..]) => {
                    let value = options.get(2..usize::from(*len))?;
                    let next = options.get(usize::from(*len)..)?;
                    (self.read_option(kind, value), next)
                }
                _ => return None,
            };
            *self.letters.get_mut(self.count)? = letter;
            self.count += 1;
            options = next;
        }
        Some(())
    }

    /// Reads an option with a value. Returns its letter.
    fn read_option(&mut self, kind: u8, value: &[u8]) -> u8 {
        match (kind, value) {
            (MSS, [high, low]) => {
                self.mss = Some(u16::from_be_bytes([*high, *low]));
                b'M'
            }
            (SCALE, [scale]) => {
                self.scale = Some(*scale);
                b'W'
            }
            (SACK_PERMITTED, []) => b'S',
            (TIMESTAMPS, [_, _, _, _, _, _, _, _]) => b'T',
            _ => b'?',
        }
    }

    fn stack(&self) -> Option<Stack> {
        let layout = self.letters.get(..self.count)?;
        // NOPs before an option that is not read.
        let (window, scale) = (self.window, self.scale);
        match (self.initial_ttl, layout) {
            (64, b"MSTNW" | b"MSTNWN" | b"MSTNWNN") => Some(Stack::Linux),
            // Without timestamps; OpenBSD has this order as well, but its own window.
            (64, b"MNNSNW" | b"MNNSNWN" | b"MNNSNWNN") if window != 16384 => Some(Stack::Linux),
            (64, b"MNNTNW") if window != 16384 && window != u16::MAX => Some(Stack::Linux),
            (64, b"MNWNNTSE") if window == u16::MAX => Some(Stack::Macos),
            (64, b"MNWST") if window == u16::MAX => Some(Stack::Freebsd),
            (64, b"MNNSNWNNT") if window == 16384 => Some(Stack::Openbsd),
            (64, b"MNWNNS" | b"NNTMNWNNS") if self.is_window_of([34, 37]) => Some(Stack::Solaris),
            (64, b"MNNSWNNNT") if window == 32768 => Some(Stack::HpUx),
            (128, b"MNWNNS" | b"MNWST") if scale >= Some(3) || window == 8192 => {
                Some(Stack::Windows)
            }
            (128, b"MNWNNS") if window == 16384 || window == u16::MAX => Some(Stack::WindowsXp),
            (128, b"MNNS") if window == 8192 => Some(Stack::Windows),
            (128, b"MNNS") if matches!(window, 16384 | 64240 | u16::MAX) => Some(Stack::WindowsXp),
            (255, b"M") if window == 4128 => Some(Stack::CiscoIos),
            _ => None,
        }
    }

    /// Returns true if the window is one of these multiples of the MSS.
    fn is_window_of(&self, multiples: [u32; 2]) -> bool {
        let mss = u32::from(self.mss.unwrap_or(0));
        multiples.map(|it| it * mss).contains(&self.window.into())
    }
}

/// System that names or numbers its errors differently than Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Windows Sockets.
    Windows,
    /// FreeBSD and OpenBSD.
    Bsd,
    /// macOS and iOS.
    Macos,
}

/// Error that another system than Linux reports in the same situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ErrnoElsewhere {
    /// System.
    pub system: System,
    /// Name of the error.
    pub errno: &'static str,
    /// Number of the error on that system.
    pub number: u16,
}

impl ErrnoElsewhere {
    const fn new(system: System, errno: &'static str, number: u16) -> Self {
        Self {
            system,
            errno,
            number,
        }
    }
}

// Windows: "Windows Sockets Error Codes" (Microsoft). BSD: the last cases of `tcp_do_segment()` for RST in
// `sys/netinet/tcp_input.c` of FreeBSD, which sets ECONNREFUSED in SYN-SENT and SYN-RECEIVED, and ECONNRESET in all later
// states with a socket, CLOSE-WAIT included; numbers from `sys/sys/errno.h`. macOS: `tcp_input()` of xnu is the same.
const CONNECTION_REFUSED: [ErrnoElsewhere; 1] = [ErrnoElsewhere::new(
    System::Windows,
    "WSAECONNREFUSED",
    10061,
)];
const CONNECTION_RESET: [ErrnoElsewhere; 1] =
    [ErrnoElsewhere::new(System::Windows, "WSAECONNRESET", 10054)];
const RESET_IN_SYN_RECEIVED: [ErrnoElsewhere; 3] = [
    ErrnoElsewhere::new(System::Windows, "WSAECONNRESET", 10054),
    ErrnoElsewhere::new(System::Bsd, "ECONNREFUSED", 61),
    ErrnoElsewhere::new(System::Macos, "ECONNREFUSED", 61),
];
const RESET_AFTER_FIN: [ErrnoElsewhere; 4] = [
    ErrnoElsewhere::new(System::Windows, "WSAECONNRESET", 10054),
    ErrnoElsewhere::new(System::Windows, "WSAECONNABORTED", 10053),
    ErrnoElsewhere::new(System::Bsd, "ECONNRESET", 54),
    ErrnoElsewhere::new(System::Macos, "ECONNRESET", 54),
];

/// Returns the errors of other systems where Linux reports `errno` after an RST that found its receiver in `state`. Where
/// a system has the same name for it, it is left out. Of two errors of one system, either may be reported.
#[must_use]
pub fn errno_elsewhere(errno: Option<Errno>, state: State) -> &'static [ErrnoElsewhere] {
    match (errno, state) {
        (Some(Errno::ECONNREFUSED), _) => &CONNECTION_REFUSED,
        (Some(Errno::ECONNRESET), State::SynReceived) => &RESET_IN_SYN_RECEIVED,
        (Some(Errno::ECONNRESET), _) => &CONNECTION_RESET,
        (Some(Errno::EPIPE), _) => &RESET_AFTER_FIN,
        _ => &[],
    }
}

/// Returns those of these errors that a stack reports.
pub fn errno_on(
    stack: Option<Stack>,
    elsewhere: &[ErrnoElsewhere],
) -> impl Iterator<Item = &ErrnoElsewhere> {
    let system = stack.and_then(Stack::system);
    elsewhere.iter().filter(move |it| Some(it.system) == system)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packet of IPv4 with a SYN.
    fn syn(ttl: u8, flags: u8, window: u16, options: &[u8]) -> Vec<u8> {
        let total = u8::try_from(40 + options.len()).unwrap();
        let mut packet = vec![0x45, 0, 0, total, 0, 1, 0x40, 0, ttl, 6, 0, 0];
        packet.extend([192, 0, 2, 1, 192, 0, 2, 2, 0x9c, 0x40, 0, 80]);
        packet.extend([0; 8]);
        let offset = u8::try_from(5 + options.len() / 4).unwrap() << 4;
        packet.extend([offset, flags]);
        packet.extend(window.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(options);
        packet
    }

    const MSS_1460: [u8; 4] = [2, 4, 5, 0xb4];
    const STAMPS: [u8; 10] = [8, 10, 0, 0, 0, 1, 0, 0, 0, 0];

    fn options(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    /// Signatures of p0f 3.09b (`p0f.fp`), of `tcp_options_write()` in Linux, and of the Cisco default.
    #[test]
    fn stacks_are_known_by_their_syn() {
        let scale = |by: u8| [1, 3, 3, by];
        let sack = [4, 2];
        let nops = [1, 1];
        let linux = options(&[&MSS_1460, &sack, &STAMPS, &scale(7)]);
        let bare_linux = options(&[&MSS_1460, &nops, &sack, &scale(7)]);
        let windows = options(&[&MSS_1460, &scale(8), &nops, &sack]);
        let macos = options(&[&MSS_1460, &scale(6), &nops, &STAMPS, &sack, &[0, 0]]);
        let freebsd = options(&[&MSS_1460, &scale(6), &sack, &STAMPS]);
        let openbsd = options(&[&MSS_1460, &nops, &sack, &scale(6), &nops, &STAMPS]);
        let old_windows = options(&[&MSS_1460, &nops, &sack]);
        let solaris = options(&[&MSS_1460, &scale(0), &nops, &sack]);
        let fast_open = options(&[&MSS_1460, &sack, &STAMPS, &scale(7), &[34, 2], &nops]);
        for (ttl, window, options, expected) in [
            (64, 64240, &linux, Some(Stack::Linux)),
            (50, 29200, &linux, Some(Stack::Linux)),
            (64, 64240, &bare_linux, Some(Stack::Linux)),
            (57, 64240, &fast_open, Some(Stack::Linux)),
            (128, 64240, &windows, Some(Stack::Windows)),
            (116, 8192, &windows, Some(Stack::Windows)),
            (128, 65535, &windows, Some(Stack::Windows)),
            (118, 65535, &old_windows, Some(Stack::WindowsXp)),
            (64, 65535, &macos, Some(Stack::Macos)),
            (52, 65535, &freebsd, Some(Stack::Freebsd)),
            (64, 16384, &openbsd, Some(Stack::Openbsd)),
            (64, 34 * 1460, &solaris, Some(Stack::Solaris)),
            (255, 4128, &MSS_1460.to_vec(), Some(Stack::CiscoIos)),
            // Nothing that fits in part is named.
            (128, 64240, &linux, None),
            (64, 64240, &windows, None),
            (64, 1024, &MSS_1460.to_vec(), None),
            (64, 64240, &vec![], None),
            (64, 64240, &vec![2, 1, 0, 0], None),
        ] {
            for flags in [2, 0x12] {
                let packet = syn(ttl, flags, window, options);
                assert_eq!(Stack::of(&packet), expected, "{ttl} {window} {options:?}");
            }
            assert_eq!(Stack::of(&syn(ttl, 0x10, window, options)), None, "no SYN");
        }
    }

    #[test]
    fn errors_of_other_systems_stand_beside_those_of_linux() {
        let names = |errno, state, stack| -> Vec<(&str, u16)> {
            errno_on(stack, errno_elsewhere(errno, state))
                .map(|it| (it.errno, it.number))
                .collect()
        };
        let (reset, pipe) = (Some(Errno::ECONNRESET), Some(Errno::EPIPE));
        let windows = Some(Stack::Windows);
        assert_eq!(
            names(reset, State::Established, windows),
            [("WSAECONNRESET", 10054)]
        );
        assert_eq!(
            names(pipe, State::CloseWait, windows),
            [("WSAECONNRESET", 10054), ("WSAECONNABORTED", 10053)]
        );
        assert_eq!(
            names(pipe, State::CloseWait, Some(Stack::Freebsd)),
            [("ECONNRESET", 54)]
        );
        assert_eq!(names(reset, State::Established, Some(Stack::Macos)), []);
        assert_eq!(names(reset, State::Established, Some(Stack::Linux)), []);
        assert_eq!(names(reset, State::Established, None), []);
        assert_eq!(names(None, State::TimeWait, windows), []);
    }
}
