//! The form for machines: a line for each connection, each RST and each file, as they come to be known.
//!
//! What is not known is null, and a field beside it says why.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::diagnosis::Said;
use super::explain::{Cause, Duty, Later};
use super::marks::Fact;
use super::table::{Connection, Told, Totals};
use super::tally::Tally;
use super::zeek::ConnState;
use crate::flow::{Form, State};
use crate::report::SCHEMA;
use crate::transcript::{Errno, Role};

#[derive(Serialize)]
struct ConnectionLine<'a> {
    r#type: &'static str,
    schema: u32,
    file: &'a str,
    connection: u32,
    client: SocketAddr,
    server: SocketAddr,
    conn_state: ConnState,
    history: String,
    /// Whom Zeek takes for the originator.
    originator: Role,
    began_ns: i64,
    /// Null if there was but one packet, or all at once.
    duration_ns: Option<i64>,
    /// How long nothing had been sent when the last packet came.
    idle_ns: i64,
    packets: Ends<u64>,
    /// Payload by sequence numbers; null where Zeek gives none.
    bytes: Option<Ends<u64>>,
    ip_bytes: Ends<u64>,
    missed_bytes: u64,
    /// Frames of its RSTs, the first 64.
    resets: &'a [u32],
    reset_count: u64,
    incomplete: Incomplete,
}

#[derive(Serialize)]
struct Ends<T> {
    client: T,
    server: T,
}

/// What lowers the claims that may be made.
#[derive(Serialize)]
struct Incomplete {
    begins_midstream: bool,
    /// The first frame that acknowledges what was not captured.
    lost_before_frame: Option<u32>,
    one_sided: bool,
    captured_twice: bool,
}

#[derive(Serialize)]
struct ResetLine<'a> {
    r#type: &'static str,
    schema: u32,
    file: &'a str,
    connection: u32,
    frame: u32,
    at_ns: i64,
    from: Role,
    source: SocketAddr,
    destination: SocketAddr,
    form: Option<Form>,
    /// Null if the capture does not tell.
    acceptable: Option<bool>,
    must: Option<Duty>,
    acceptance: String,
    receiver_state: State,
    cause: Option<Cause>,
    ground: &'static str,
    would_tell: Option<&'static str>,
    errno: Option<Errno>,
    why_no_errno: Option<&'static str>,
    later_calls: &'a [Later],
    drawn_by: Option<u32>,
    evidence: &'a [Fact],
    says: &'a [Said],
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    r#type: &'static str,
    schema: u32,
    file: &'a str,
    packets: u64,
    tcp: u64,
    /// RSTs, each once; and frames that hold one, copies included.
    resets: u64,
    reset_frames: u64,
    connections: u64,
    bytes_read: u64,
    /// Whether the file was read to its end.
    whole: bool,
    /// Why not.
    problem: Option<&'a str>,
    causes: Vec<Count<Option<Cause>>>,
    conn_states: Vec<Count<ConnState>>,
    /// The ends that sent the most RSTs: servers with their ports, clients with port 0.
    reset_senders: Vec<Count<SocketAddr>>,
    /// The hosts that sent the most bytes of IP over TCP.
    talkers: Vec<Count<IpAddr>>,
    marked_resets: u64,
    incomplete_connections: u64,
    /// Frames that the filter did not let through.
    filtered: u64,
    fragments: u64,
    cut_segments: u64,
    frames_dropped: u64,
    evicted_connections: u64,
    unread_links: Vec<Count<u16>>,
}

#[derive(Serialize)]
struct Count<T> {
    what: T,
    count: u64,
}

fn line(out: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, what)?;
    out.write_all(b"\n")
}

/// Writes the line of a connection.
pub fn connection(out: &mut impl Write, file: &str, connection: &Connection<'_>) -> io::Result<()> {
    let zeek = connection.zeek;
    // Zeek's side 0 is the sender of the first packet.
    let client_side = usize::from(connection.client != connection.first);
    let originator = if zeek.originator() == client_side {
        Role::Client
    } else {
        Role::Server
    };
    // Zeek counts the originator's first.
    let by_end = |[first, second]: [u64; 2]| match originator {
        Role::Client => Ends {
            client: first,
            server: second,
        },
        Role::Server => Ends {
            client: second,
            server: first,
        },
    };
    let gaps = connection.gaps;
    line(
        out,
        &ConnectionLine {
            r#type: "connection",
            schema: SCHEMA,
            file,
            connection: connection.number(),
            client: connection.socket(Role::Client),
            server: connection.socket(Role::Server),
            conn_state: zeek.conn_state(),
            history: zeek.history(),
            originator,
            began_ns: zeek.began().0,
            duration_ns: zeek.duration(),
            idle_ns: connection.idle,
            packets: by_end(zeek.packets()),
            bytes: zeek.bytes().map(by_end),
            ip_bytes: by_end(zeek.ip_bytes()),
            missed_bytes: zeek.missed_bytes(),
            resets: connection.frames,
            reset_count: connection.resets,
            incomplete: Incomplete {
                begins_midstream: gaps.begins_midstream,
                lost_before_frame: gaps.lost,
                one_sided: gaps.one_sided,
                captured_twice: gaps.doubled,
            },
        },
    )
}

/// Writes the line of a RST.
pub fn reset(
    out: &mut impl Write,
    file: &str,
    connection: &Connection<'_>,
    told: &Told,
) -> io::Result<()> {
    let (reset, explanation) = (&told.reset, &told.explanation);
    line(
        out,
        &ResetLine {
            r#type: "reset",
            schema: SCHEMA,
            file,
            connection: connection.number(),
            frame: reset.frame,
            at_ns: reset.at.0,
            from: reset.from,
            source: connection.socket(reset.from),
            destination: connection.socket(reset.from.peer()),
            form: reset.form,
            acceptable: explanation.acceptable,
            must: explanation.duty,
            acceptance: reset.acceptance.to_string(),
            receiver_state: reset.receiver_state,
            cause: explanation.cause,
            ground: explanation.ground,
            would_tell: explanation.would_tell,
            errno: explanation.errno,
            why_no_errno: explanation.why_no_errno,
            later_calls: explanation.later,
            drawn_by: reset.drawn_by,
            evidence: &told.facts,
            says: &told.said,
        },
    )
}

/// Writes the line of a file.
pub fn summary(
    out: &mut impl Write,
    file: &str,
    totals: &Totals,
    tally: &Tally,
    bytes_read: u64,
    problem: Option<&str>,
) -> io::Result<()> {
    line(
        out,
        &SummaryLine {
            r#type: "summary",
            schema: SCHEMA,
            file,
            packets: totals.packets,
            tcp: totals.tcp,
            resets: totals.resets,
            reset_frames: totals.reset_frames,
            connections: totals.connections,
            bytes_read,
            whole: problem.is_none(),
            problem,
            causes: counted(tally.causes.clone()),
            conn_states: counted(tally.states.clone()),
            reset_senders: counted(tally.top(MOST_NAMED)),
            talkers: counted(tally.talkers(MOST_NAMED)),
            marked_resets: tally.marked,
            incomplete_connections: tally.incomplete,
            filtered: totals.filtered,
            fragments: totals.fragments,
            cut_segments: totals.cut,
            frames_dropped: totals.dropped,
            evicted_connections: totals.evicted,
            unread_links: counted(totals.unread_links.clone()),
        },
    )
}

/// So many hosts are named.
const MOST_NAMED: usize = 20;

fn counted<T>(all: impl IntoIterator<Item = (T, u64)>) -> Vec<Count<T>> {
    let count = |(what, count)| Count { what, count };
    all.into_iter().map(count).collect()
}
