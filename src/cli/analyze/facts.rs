//! Facts of one event that the output selects, sorts and counts by.

use std::net::{IpAddr, SocketAddr};

use rstproof_core::analyze::icmp::{Effect, IcmpRecord};
use rstproof_core::analyze::{
    Cause, Connection, ErrnoCondition, Event, FailureKind, RequiredAction, ResetRecord, ResetSource,
};
use rstproof_core::flow::Form;
use rstproof_core::packet::icmp::IcmpKind;
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::{Errno, Role};

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EventKind {
    Connection,
    Reset,
    Icmp,
}

/// Failure that an event shows, as it is named and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    /// RST with this cause.
    Reset(Option<Cause>),
    /// ICMP error.
    Icmp(IcmpKind),
    /// Connection that failed in this way.
    Failed(FailureKind),
    /// Connection that goes on, or was closed in order.
    None,
}

/// Id of an RST whose cause the capture does not show.
pub(super) const UNKNOWN: &str = "unknown";

impl Label {
    /// Returns the name: the id of the cause or of the failure, or the message of ICMP.
    pub(super) fn name(self) -> String {
        match self {
            Self::Reset(cause) => cause.map_or(UNKNOWN, Cause::id).to_owned(),
            Self::Failed(kind) => kind.id().to_owned(),
            Self::Icmp(kind) => {
                let version = if kind.is_v6 { "ICMPv6" } else { "ICMP" };
                format!("{version} {}", kind.name())
            }
            Self::None => String::new(),
        }
    }

    /// Returns the meaning as a clause; empty for a message of ICMP, whose name is its meaning.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Reset(cause) => {
                cause.map_or("the capture does not show the cause", Cause::meaning)
            }
            Self::Failed(kind) => kind.meaning(),
            Self::Icmp(_) | Self::None => "",
        }
    }

    /// Returns true if the failure is one of a connection attempt, so that each port of a host may have it.
    pub(super) fn is_of_attempt(self) -> bool {
        matches!(
            self,
            Self::Reset(Some(Cause::Refused)) | Self::Failed(FailureKind::NoReply)
        )
    }
}

/// Address that an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// Source address of an RST.
    Reset(ResetSource),
    /// Sender of an ICMP error.
    Icmp(IpAddr),
    /// Server of a connection that failed without either.
    To(SocketAddr),
    /// Any of the addresses that were too many to count.
    Other,
}

impl Origin {
    pub(super) fn name(self) -> String {
        match self {
            Self::Reset(ResetSource {
                address,
                port: Some(port),
            }) => SocketAddr::new(address, port).to_string(),
            Self::Reset(ResetSource { address, .. }) => format!("{address} (client)"),
            Self::Icmp(address) => format!("{address} (ICMP)"),
            Self::To(server) => format!("to {server}"),
            Self::Other => "other addresses".to_owned(),
        }
    }
}

/// Errors of the two applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Outcome {
    /// Numbers of the errors of client and server.
    errors: [Option<i32>; 2],
    /// True if the capture does not show the error.
    is_unknown: bool,
    /// Conditions under which client and server get their errors: clauses.
    conditions: [Option<&'static str>; 2],
}

impl Outcome {
    pub(super) fn errors(self) -> impl Iterator<Item = (Errno, Role)> {
        let roles = [Role::Client, Role::Server];
        let both = self.errors.into_iter().zip(roles);
        both.filter_map(|(errno, role)| Some((Errno(errno?), role)))
    }

    /// Returns the conditions of the errors, each with the name of its error; `None` if there are none.
    pub(super) fn condition(self) -> Option<String> {
        let both = self.errors.into_iter().zip(self.conditions);
        let named = both.filter_map(|(errno, it)| Some(format!("{} {}", Errno(errno?), it?)));
        let named: Vec<String> = named.collect();
        (!named.is_empty()).then(|| named.join("; "))
    }

    /// Returns the errors with the ends that get them: `ECONNRESET (client)`.
    pub(super) fn name(self) -> String {
        let errors = self
            .errors()
            .map(|(errno, role)| format!("{errno} ({role})"));
        let errors: Vec<String> = errors.collect();
        match errors.is_empty() {
            false => errors.join(", "),
            true if self.is_unknown => "error unknown".to_owned(),
            true => "no error".to_owned(),
        }
    }
}

/// Facts of an event.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) kind: EventKind,
    pub(super) frame: u32,
    pub(super) at: Timestamp,
    /// Number of the connection.
    pub(super) connection: u32,
    pub(super) label: Label,
    /// Ids by which `--failure` selects the event.
    pub(super) ids: [Option<&'static str>; 2],
    pub(super) outcome: Outcome,
    /// Client and server, by the addresses of the frame.
    pub(super) ends: [SocketAddr; 2],
    /// Their addresses on other sides of a NAT.
    pub(super) other_ends: Vec<[SocketAddr; 2]>,
    pub(super) origin: Origin,
    /// Interval that the event lasts. Only a connection without a failure has a length.
    pub(super) lasts: (Timestamp, Timestamp),
}

impl Facts {
    pub(super) fn of(event: Event<'_>) -> Self {
        match event {
            Event::Reset(connection, record) => Self::of_reset(connection, record),
            Event::Icmp(connection, record) => Self::of_icmp(connection, record),
            Event::Connection(connection) | Event::Failed(connection) => {
                Self::of_connection(connection)
            }
        }
    }

    /// Returns true for a further RST of a connection that had been reset, which gives no end another error.
    pub(super) fn repeats_reset(&self) -> bool {
        self.label == Label::Reset(Some(Cause::Duplicate)) && self.outcome.errors().next().is_none()
    }

    fn of_reset(connection: &Connection<'_>, record: &ResetRecord) -> Self {
        let (reset, explanation) = (&record.reset, &record.explanation);
        let own = ends(connection);
        let (ends, mut other_ends) = (
            match record.sockets.as_deref() {
                Some([from, to]) if reset.from == Role::Client => [*from, *to],
                Some([from, to]) => [*to, *from],
                None => own,
            },
            translated(connection),
        );
        // Either may be the one that the user knows.
        if ends != own {
            other_ends.push(own);
        }
        let socket = ends[index(reset.from)];
        let mut errors = at(reset.from.peer(), explanation.errno.map(|it| it.0));
        if explanation.cause == Some(Cause::Keepalive) && reset.form == Some(Form::Active) {
            // Its own probes had found no answer (`tcp_keepalive_timer()`).
            errors[index(reset.from)] = Some(Errno::ETIMEDOUT.0);
        }
        let failure = record.failure.map(FailureKind::id);
        Self {
            kind: EventKind::Reset,
            frame: reset.frame,
            at: reset.at,
            connection: connection.number(),
            label: Label::Reset(explanation.cause),
            ids: [Some(explanation.cause.map_or(UNKNOWN, Cause::id)), failure],
            outcome: Outcome {
                errors,
                is_unknown: explanation.required_action == RequiredAction::Unknown,
                conditions: at(
                    reset.from.peer(),
                    explanation.errno_condition.map(ErrnoCondition::meaning),
                ),
            },
            ends,
            other_ends,
            origin: Origin::Reset(ResetSource {
                address: socket.ip(),
                // A client's ports are ephemeral.
                port: (reset.from == Role::Server).then_some(socket.port()),
            }),
            lasts: (reset.at, reset.at),
        }
    }

    fn of_icmp(connection: &Connection<'_>, record: &IcmpRecord) -> Self {
        let errors = at(record.to, record.errno.map(|it| it.0));
        let failure = FailureKind::RejectedByIcmp.id();
        Self {
            kind: EventKind::Icmp,
            frame: record.frame,
            at: record.at,
            connection: connection.number(),
            label: Label::Icmp(record.kind),
            ids: [
                Some(record.effect.id()),
                record.ends_attempt().then_some(failure),
            ],
            outcome: Outcome {
                errors,
                is_unknown: record.effect == Effect::Unknown,
                conditions: at(record.to, record.errno_if()),
            },
            ends: ends(connection),
            other_ends: translated(connection),
            origin: Origin::Icmp(record.source),
            lasts: (record.at, record.at),
        }
    }

    fn of_connection(connection: &Connection<'_>) -> Self {
        let failure = connection.failure.as_ref();
        let error = |role: Role| Some(failure?.errors[role]?.errno.0);
        let (frame, at) = failure.map_or_else(
            || (connection.number(), connection.zeek.began()),
            |it| (it.frame, it.at),
        );
        let began = connection.zeek.began();
        let lasted = connection.zeek.duration().unwrap_or(0);
        let ends = ends(connection);
        Self {
            kind: EventKind::Connection,
            frame,
            at,
            connection: connection.number(),
            label: failure.map_or(Label::None, |it| Label::Failed(it.kind)),
            ids: [failure.map(|it| it.kind.id()), None],
            outcome: Outcome {
                errors: [Role::Client, Role::Server].map(error),
                is_unknown: false,
                conditions: [Role::Client, Role::Server].map(|role| {
                    let condition = failure?.errors[role]?.condition;
                    condition.map(ErrnoCondition::meaning)
                }),
            },
            ends,
            other_ends: translated(connection),
            origin: Origin::To(ends[1]),
            lasts: match failure {
                Some(_) => (at, at),
                None => (began, Timestamp(began.0.saturating_add(lasted))),
            },
        }
    }
}

fn index(role: Role) -> usize {
    match role {
        Role::Client => 0,
        Role::Server => 1,
    }
}

/// Returns a value for one end.
fn at<T: Copy>(role: Role, value: Option<T>) -> [Option<T>; 2] {
    let mut both = [None; 2];
    both[index(role)] = value;
    both
}

fn ends(connection: &Connection<'_>) -> [SocketAddr; 2] {
    [Role::Client, Role::Server].map(|role| connection.socket(role))
}

fn translated(connection: &Connection<'_>) -> Vec<[SocketAddr; 2]> {
    let all = connection.translations.iter();
    all.map(|it| connection.translated(it)).collect()
}
