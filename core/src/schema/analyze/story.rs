//! Schemas of the fields about how a connection failed.

use serde_json::Value;

use super::super::{
    Field, boolean, field, frame, integer, list, nullable, object, one_of, socket, text,
};
use super::failure;
use crate::analyze::{IdleTimeout, Protocol};
use crate::scenario::ALL;

/// Returns the field with the last message of an end.
pub(super) fn last_words(end: &'static str) -> Field {
    let name = match end {
        "client" => "client_last_words",
        _ => "server_last_words",
    };
    let words = object(
        "Last message of this end that is recognized by its first bytes; null if there is none, and for a connection without an RST \
         and without a failure. Later data that is no message of its own, such as a body, may follow it. Null as well if very many \
         messages of other connections came after it.",
        vec![
            field(
                "protocol",
                one_of("Protocol of the message.", &Protocol::ALL.map(Protocol::id)),
            ),
            field(
                "text",
                text(
                    "Text that identifies the message, of at most 120 characters: a status line, method, path and Host of a request, the server \
                     name of a ClientHello, an alert, the text of an error, or the name of a command. It has no body, no query, no \
                     credentials and no argument; what looks like a key, and what an error quotes, is replaced by `…`.",
                ),
            ),
            field(
                "cut",
                boolean("True if the text goes on behind what was captured or kept."),
            ),
            field("frame", frame("Frame that the message begins in.")),
            field(
                "file",
                nullable(text(
                    "File of that frame, if it is another one than `file` of the row; else null.",
                )),
            ),
        ],
    );
    field(name, nullable(words))
}

/// Returns the field with the time after which a server closed.
pub(super) fn closed_after() -> Field {
    field(
        "closed_after_ns",
        nullable(integer(
            "Nanoseconds from the last data of the server to the FIN or the RST with which the server ended the connection, if it closed \
             before answering, aborted, or got data after its FIN; else null. `idle_ns` and `silence_before_ns` count from the last \
             packet of either end.",
        )),
    )
}

/// Returns the field with the idle time-outs.
pub(super) fn idle_timeouts() -> Field {
    field(
        "idle_timeouts",
        list(
            "Devices and servers whose published default idle time-out the failure suggests, all with the same number of seconds; empty if \
             there is none. Devices that forget a connection, if the silence before the segment that failed was as long as their \
             time-out or up to 10 % longer. Servers that close a connection, if `closed_after_ns` was their time-out or up to 1 s or 2 % \
             longer. Devices that reset both ends, if an RST replied to nothing and the silence right before it was their time-out or \
             up to 2 % longer. Up to 0.1 s less counts as well. The capture does not show whether one of them is there.",
            &one_of("Device or server.", &IdleTimeout::ALL.map(IdleTimeout::id)),
        ),
    )
}

/// Returns the fields with the scenario and its advice.
pub(super) fn scenario(of: &str) -> [Field; 2] {
    let description = format!(
        "Scenario of the catalogue that teaches {of}, for `rstproof explain`; null if none fits."
    );
    let ids: Vec<&str> = ALL.iter().map(|it| it.id).collect();
    [
        field("scenario", nullable(one_of(&description, &ids))),
        field(
            "advice",
            nullable(text("Advice for people; null without a scenario.")),
        ),
    ]
}

/// Returns the field with the failure that may have led to this one.
pub(super) fn preceded_by() -> Field {
    let preceded: Value = object(
        "Failure of another connection whose client has the address of this server, at most a second before this server ended the \
         connection by itself: a proxy may have passed on that its backend failed. A connection that waited for a reply then counts as \
         well, if its wait had begun during this connection. Null if there is none, or if the end of this connection was not the act of \
         the server. The latest 1,024 failures and waiting connections are compared.",
        vec![
            field("connection", frame("Number of the other connection.")),
            field("connection_file", text("File that it begins in.")),
            field("server", socket("Its server.")),
            field("failure", failure()),
            field(
                "frame",
                frame(
                    "RST, ICMP error or FIN that shows its failure. If `failure` is `no-reply` or `timed-out`: the first segment that \
                     had no reply when this server ended the connection, although it had been repeated. A reply may have come later.",
                ),
            ),
            field("file", text("File of that frame.")),
            field(
                "before_ns",
                integer("Nanoseconds from that frame to the end of this connection."),
            ),
            field(
                "candidates",
                integer(
                    "Number of connections that had failed or waited like this one, which is the latest.",
                ),
            ),
        ],
    );
    field("preceded_by", nullable(preceded))
}
