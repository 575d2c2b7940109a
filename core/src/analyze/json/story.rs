//! Fields that more than one kind of row has about how a connection failed.

use std::net::SocketAddr;

use serde::Serialize;

use super::place;
use crate::analyze::connections::Connection;
use crate::analyze::continuation::FileNames;
use crate::analyze::failure::FailureKind;
use crate::analyze::last_words::Protocol;
use crate::analyze::preceded::Preceded;
use crate::transcript::Role;

/// Last message of an end.
#[derive(Serialize)]
pub(super) struct WordsFields<'a> {
    protocol: Protocol,
    text: &'a str,
    cut: bool,
    frame: u32,
    /// File of the frame, if it is another one than that of the row.
    file: Option<&'a str>,
}

impl<'a> WordsFields<'a> {
    /// Returns the fields of an end of a connection, in a row about this file.
    pub(super) fn of(
        files: &'a FileNames,
        file: &str,
        connection: &'a Connection<'_>,
        role: Role,
    ) -> Option<Self> {
        let words = connection.last_words(role)?;
        let (frame, file) = place(files, file, words.frame);
        Some(Self {
            protocol: words.protocol,
            text: &words.text,
            cut: words.is_cut,
            frame,
            file,
        })
    }
}

/// Failure of another connection that preceded the one of the row.
#[derive(Serialize)]
struct PrecededFields<'a> {
    connection: u32,
    connection_file: &'a str,
    server: SocketAddr,
    failure: FailureKind,
    frame: u32,
    file: &'a str,
    before_ns: i64,
    candidates: u32,
}

/// Member that every row ends with whose event may have followed from another failure.
const NONE: &[u8] = b"\"preceded_by\":null}\n";

/// Adds the failure that may have led to the event of a row. Rows of other kinds stay as they are.
pub fn add_preceded(row: &mut Vec<u8>, files: &FileNames, preceded: &Preceded) {
    let (connection_file, connection) = files.locate(preceded.connection);
    let (file, frame) = files.locate(preceded.frame);
    let fields = PrecededFields {
        connection,
        connection_file,
        server: preceded.server,
        failure: preceded.failure,
        frame,
        file,
        before_ns: preceded.before_ns,
        candidates: preceded.candidates,
    };
    let value = serde_json::to_vec(&fields);
    if let Ok(value) = value
        && row.ends_with(NONE)
    {
        row.truncate(row.len() - b"null}\n".len());
        row.extend(value);
        row.extend(b"}\n");
    }
}
