//! Trace events and counters of the kernel, as evidence for a trial.
//!
//! A trial can be proven without them, from system calls and packets; each check reports what is then missing.

use super::here::Here;
use super::{Check, Facts, Group, Status};
use crate::confinement;
use crate::sources::counters::Counters;
use crate::sources::format::{Field, Format};
use crate::sources::trace::TraceSession;
use crate::sources::tracefs::{NoFormat, NoTracefs, Tracefs};
use rstproof_core::evidence::SourceId;
use rstproof_core::kernel::counters::WATCHED;

const TRACEFS: &str = "tracefs";

/// Trace event, with the facts that it and its fields provide.
struct Event {
    id: &'static str,
    /// Name as in `perf` and the kernel's documentation: subsystem, colon, event.
    name: &'static str,
    tells: &'static str,
    /// First Linux version that has the event.
    since: &'static str,
    /// Fields that are needed.
    fields: &'static [Fact],
    /// True if trials record the event.
    asked: bool,
}

/// Fact that a field provides, with the first Linux version that has the field if it is newer than its event.
struct Fact {
    field: &'static str,
    tells: &'static str,
    since: Option<&'static str>,
}

const fn fact(field: &'static str, tells: &'static str) -> Fact {
    Fact {
        field,
        tells,
        since: None,
    }
}

const fn later(field: &'static str, since: &'static str, tells: &'static str) -> Fact {
    Fact {
        field,
        tells,
        since: Some(since),
    }
}

/// Trace events that are checked. Linux 6.10 added the reason to `tcp_send_reset`, and traces it without a full socket
/// as well (`b533fb9cf4f7`).
const EVENTS: [Event; 5] = [
    Event {
        id: "event-tcp-send-reset",
        name: "tcp:tcp_send_reset",
        tells: "which RSTs the kernel sent, and why",
        since: "4.15",
        fields: &[
            fact("skaddr", "which socket sent the RST"),
            fact("state", "the sender's state"),
            later(
                "reason",
                "6.10",
                "why the RST was sent, and RSTs sent without a full socket",
            ),
            fact("saddr", "the sender's address"),
            fact("daddr", "the receiver's address"),
        ],
        asked: true,
    },
    Event {
        id: "event-tcp-receive-reset",
        name: "tcp:tcp_receive_reset",
        tells: "which RSTs the kernel accepted",
        since: "4.15",
        fields: &[
            fact("skaddr", "which socket accepted the RST"),
            fact("sport", "its port"),
            fact("dport", "the sender's port"),
            fact(
                "sock_cookie",
                "which end's socket accepted the RST, whatever its addresses",
            ),
        ],
        asked: true,
    },
    Event {
        id: "event-inet-sk-error-report",
        name: "sock:inet_sk_error_report",
        tells: "when an error was set on a socket",
        since: "5.14",
        fields: &[
            fact("error", "which error it was"),
            fact("sport", "its port"),
            fact("dport", "the peer's port"),
        ],
        asked: true,
    },
    Event {
        id: "event-inet-sock-set-state",
        name: "sock:inet_sock_set_state",
        tells: "the receiver's state when an RST arrived",
        since: "4.16",
        fields: &[
            fact("skaddr", "which socket it was"),
            fact("oldstate", "the state before"),
            fact("newstate", "the state after"),
            fact("sport", "its port"),
            fact("dport", "the peer's port"),
        ],
        asked: true,
    },
    Event {
        id: "event-kfree-skb",
        name: "skb:kfree_skb",
        tells: "why a segment was dropped",
        since: "2.6.30",
        fields: &[
            fact("skbaddr", "which packet was dropped"),
            later("reason", "5.17", "why the packet was dropped"),
            later("rx_sk", "6.11", "the socket it was for"),
        ],
        asked: false,
    },
];

/// Checks all sources of kernel evidence.
pub(super) fn all(here: &Here) -> Vec<Check> {
    let of = |source| match source {
        // Trials need the capture, so the self-test checks it.
        SourceId::Capture => Vec::new(),
        SourceId::KernelTrace => kernel_trace(here),
        SourceId::Counters => vec![counters(Counters::read())],
    };
    SourceId::ALL.into_iter().flat_map(of).collect()
}

/// Checks tracefs and its events.
fn kernel_trace(here: &Here) -> Vec<Check> {
    let found = Tracefs::open();
    let events = EVENTS.iter().map(|event| match &found {
        Ok(tracefs) => {
            let (system, name) = event.name.split_once(':').unwrap_or_default();
            event.check(tracefs.format(system, name))
        }
        Err(_) => event
            .named("cannot be checked without tracefs")
            .blocked(TRACEFS, event.costs(event.tells)),
    });
    let events: Vec<Check> = events.collect();
    let mut checks = vec![tracefs(here, found)];
    checks.extend(events);
    checks
}

/// Port range of the instance that is created as a test: port 0, which no connection uses.
const NO_PORTS: std::ops::RangeInclusive<u16> = 0..=0;
/// Ring size of the instance that is created as a test, in KiB per CPU: as small as possible.
const SMALL_RING_KIB: u32 = 8;

fn tracefs(here: &Here, found: Result<Tracefs, NoTracefs>) -> Check {
    let check = |detail: String| Check::ok(Group::Kernel, TRACEFS, TRACEFS, detail);
    let costs = "the kernel's report of who sent an RST, and why";
    let found = match found {
        Ok(tracefs) => tracefs,
        Err(NoTracefs::Unreadable(root, errno)) => {
            let place = root.display().to_string();
            return check(format!("mounted on {place}; not readable ({errno:?})"))
                .with(Facts::Tracefs {
                    mounted_on: Some(place),
                })
                .less(Status::Limited, costs, again_as_root(here));
        }
        Err(why @ NoTracefs::NotMounted(_)) => {
            let may_mount = again_as_root(here);
            let only = if may_mount.is_some() {
                String::new()
            } else {
                format!(
                    "; only the host's root can mount it; {}",
                    confinement::TRACING
                )
            };
            return check(format!("{why}{only}")).less(Status::Missing, costs, may_mount);
        }
        Err(NoTracefs::NotInKernel) => {
            let detail = "this kernel was built without it (CONFIG_TRACING)".to_owned();
            return check(detail).less(Status::Missing, costs, None);
        }
    };
    let mounted_on = (!found.is_own()).then(|| found.root().display().to_string());
    // A mount made by this process ends with it, so its path is not reported.
    let place = match &mounted_on {
        Some(place) => format!("mounted on {place}"),
        None => "not mounted; each run mounts it privately".to_owned(),
    };
    let facts = Facts::Tracefs { mounted_on };
    // A run needs an instance of its own, so the check creates one.
    match TraceSession::open(found, NO_PORTS, SMALL_RING_KIB) {
        Ok(session) => {
            session.close();
            check(place).with(facts)
        }
        Err(why) => check(format!("{place}; cannot create a trace instance ({why})"))
            .with(facts)
            .less(Status::Limited, costs, again_as_root(here)),
    }
}

/// Returns the command that repeats the checks as root; `None` if this process is root or no user can become root.
fn again_as_root(here: &Here) -> Option<String> {
    let again = format!("{} doctor", here.program);
    here.as_real_root(&again).filter(|_| !here.is_root())
}

impl Event {
    /// Returns what is lost without `what`, which may be nothing as long as no trial records the event.
    fn costs(&self, what: &str) -> String {
        if self.asked {
            what.to_owned()
        } else {
            format!("nothing now, no trial uses it; later {what}")
        }
    }

    fn named(&self, detail: impl Into<String>) -> Check {
        Check::ok(Group::Kernel, self.id, self.name, detail)
    }

    fn check(&self, format: Result<Format, NoFormat>) -> Check {
        let missing = |detail: String| {
            self.named(detail)
                .less(Status::Missing, self.costs(self.tells), None)
        };
        match format {
            Ok(format) => self.check_fields(&format),
            Err(NoFormat::NoSuchEvent) => {
                missing(format!("not in this kernel; added in Linux {}", self.since))
            }
            Err(NoFormat::Unreadable(errno)) => missing(format!("not readable ({errno:?})")),
            Err(NoFormat::Unclear) => missing("its format is unknown to this version".to_owned()),
        }
    }

    fn check_fields(&self, format: &Format) -> Check {
        let (there, missing): (Vec<&Fact>, Vec<&Fact>) = self
            .fields
            .iter()
            .partition(|fact| format.field(fact.field).is_some());
        let named_reasons = format.symbols_of("reason");
        let there: Vec<String> = there
            .iter()
            .map(|fact| match fact.field {
                "reason" => format!("reason ({named_reasons} names)"),
                field => field.to_owned(),
            })
            .collect();
        let check = self.named(there.join(", ")).with(Facts::Event {
            fields: format.own_fields().cloned().collect::<Vec<Field>>(),
            missing_fields: missing.iter().map(|fact| fact.field).collect(),
            named_reasons,
        });
        if missing.is_empty() {
            return check;
        }
        let losses: Vec<String> = missing.iter().map(|fact| fact.loss()).collect();
        check.less(Status::Limited, self.costs(&losses.join("; ")), None)
    }
}

impl Fact {
    fn loss(&self) -> String {
        let since = self
            .since
            .map_or_else(String::new, |since| format!(", Linux {since}"));
        format!("{} (field {}{since})", self.tells, self.field)
    }
}

fn counters(read: std::io::Result<Counters>) -> Check {
    let check = |detail: String| Check::ok(Group::Kernel, "counters", "TCP counters", detail);
    let counters = match read {
        Ok(counters) => counters,
        Err(error) => {
            let costs = "the count of RSTs that the kernel sent";
            let detail = format!("/proc/thread-self/net cannot be read: {error}");
            return check(detail).less(Status::Missing, costs, None);
        }
    };
    let (present, absent): (Vec<&str>, Vec<&str>) = WATCHED
        .iter()
        .partition(|name| counters.get(name).is_some());
    let facts = Facts::Counters {
        supported: present.clone(),
        unsupported: absent.clone(),
    };
    if absent.is_empty() {
        let all = format!("all {} that trials read", present.len());
        return check(all).with(facts);
    }
    let status = if present.is_empty() {
        Status::Missing
    } else {
        Status::Limited
    };
    let costs = format!("the kernel's count of {}", absent.join(", "));
    check(format!(
        "{} of {} that trials read",
        present.len(),
        WATCHED.len()
    ))
    .with(facts)
    .less(status, costs, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str) -> &'static Event {
        EVENTS.iter().find(|event| event.id == id).unwrap()
    }

    fn format(text: &str) -> Format {
        Format::parse(text).unwrap()
    }

    #[test]
    fn this_kernels_events_lack_nothing() {
        let formats = [
            include_str!("../../tests/formats/tcp_send_reset-6.18"),
            include_str!("../../tests/formats/tcp_receive_reset-6.18"),
            include_str!("../../tests/formats/inet_sk_error_report-6.18"),
            include_str!("../../tests/formats/inet_sock_set_state-6.18"),
            include_str!("../../tests/formats/kfree_skb-6.18"),
        ];
        for (event, text) in EVENTS.iter().zip(formats) {
            let format = format(text);
            assert_eq!(event.name.split_once(':').unwrap().1, format.name);
            let check = event.check(Ok(format));
            assert_eq!(check.status, Status::Ok, "{check:?}");
            assert_eq!(check.without_it, None);
        }
    }

    #[test]
    fn the_event_of_an_older_kernel_lacks_the_reason_and_the_check_explains_the_loss() {
        let text = include_str!("../../tests/formats/tcp_send_reset-6.9");
        let check = event("event-tcp-send-reset").check(Ok(format(text)));
        assert_eq!(check.status, Status::Limited);
        assert_eq!(check.detail, "skaddr, state, saddr, daddr");
        let costs = check.without_it.unwrap();
        assert!(
            costs.contains("why the RST was sent") && costs.contains("Linux 6.10"),
            "{costs}"
        );
        let Some(Facts::Event {
            missing_fields,
            named_reasons,
            fields,
        }) = check.facts
        else {
            panic!("{:?}", check.facts);
        };
        assert_eq!((missing_fields, named_reasons), (vec!["reason"], 0));
        assert!(fields.iter().any(|field| field.name == "sport"));
    }

    #[test]
    fn an_event_that_is_not_there_names_the_linux_that_has_it() {
        let report = event("event-inet-sk-error-report");
        let check = report.check(Err(NoFormat::NoSuchEvent));
        assert_eq!(check.status, Status::Missing);
        assert!(check.detail.contains("5.14"), "{}", check.detail);
        assert!(check.without_it.unwrap().contains(report.tells));
    }

    #[test]
    fn counters_that_a_kernel_lacks_are_named() {
        let mut some = Counters::default();
        some.add("Tcp: OutRsts EstabResets\nTcp: 1 2\n");
        let check = counters(Ok(some));
        assert_eq!(check.status, Status::Limited);
        assert_eq!(check.detail, "2 of 30 that trials read");
        let costs = check.without_it.unwrap();
        assert!(
            costs.contains("TCPChallengeACK") && !costs.contains("OutRsts"),
            "{costs}"
        );
        assert_eq!(counters(Ok(Counters::default())).status, Status::Missing);
        assert_eq!(counters(Counters::read()).status, Status::Ok);
    }

    #[test]
    fn ids_are_made_from_names() {
        for event in &EVENTS {
            let name = event.name.split_once(':').unwrap().1.replace('_', "-");
            assert_eq!(event.id, format!("event-{name}"));
        }
    }
}
