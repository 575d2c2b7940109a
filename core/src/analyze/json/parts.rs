//! Parts of the row of a connection.

use std::net::SocketAddr;

use serde::Serialize;

use super::super::connections::FrameComment;
use super::super::continuation::FileNames;
use super::place;
use crate::packet::link::Process;
use crate::printable::printable;
use crate::transcript::Role;

/// Addresses of a connection on another side of a NAT.
#[derive(Serialize)]
pub(super) struct TranslationFields<'a> {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    /// First frame with these addresses, and its file, if that is another one.
    pub(super) frame: u32,
    pub(super) file: Option<&'a str>,
}

/// Process of an end.
#[derive(Serialize)]
pub(super) struct ProcessFields {
    pub(super) pid: u32,
    /// Name, with control characters escaped: it is the process's own choice.
    pub(super) name: String,
}

impl ProcessFields {
    pub(super) fn of(process: Process) -> Self {
        Self {
            pid: process.pid,
            name: process_name(&process),
        }
    }
}

/// Comment on a frame in the file.
#[derive(Serialize)]
pub(super) struct CommentFields<'a> {
    frame: u32,
    file: Option<&'a str>,
    /// Text with control characters escaped: the author of the file chose it.
    text: String,
}

impl<'a> CommentFields<'a> {
    /// Returns the comments on frames that are wanted.
    pub(super) fn of(
        files: &'a FileNames,
        file: &str,
        comments: &[FrameComment],
        is_wanted: impl Fn(u32) -> bool,
    ) -> Vec<Self> {
        let wanted = comments.iter().filter(|it| is_wanted(it.frame));
        wanted
            .map(|comment| {
                let (frame, file) = place(files, file, comment.frame);
                let text = printable(&comment.text);
                Self { frame, file, text }
            })
            .collect()
    }
}

/// Returns the name of a process, with everything escaped that is not printable.
#[must_use]
pub fn process_name(process: &Process) -> String {
    let name = process.name.split(|byte| *byte == 0).next();
    printable(&String::from_utf8_lossy(name.unwrap_or_default()))
}

/// Gaps and duplicates of a connection in the capture, which limit its analysis.
#[derive(Serialize)]
pub(super) struct GapFields<'a> {
    pub(super) begins_midstream: bool,
    /// First frame that acknowledges data that was not captured, and its file, if that is another one.
    pub(super) lost_before_frame: Option<u32>,
    pub(super) lost_before_file: Option<&'a str>,
    pub(super) one_sided: bool,
    pub(super) captured_twice: bool,
}

/// SYN that the file holds twice.
#[derive(Serialize)]
pub(super) struct RepeatedFields<'a> {
    pub(super) frame: u32,
    pub(super) copy_frame: u32,
    pub(super) copy_file: Option<&'a str>,
    pub(super) apart_ns: i64,
}

/// Values of the two ends.
#[derive(Serialize)]
pub(super) struct Ends<T> {
    pub(super) client: T,
    pub(super) server: T,
}

impl<T> Ends<T> {
    pub(super) fn of(value: impl Fn(Role) -> T) -> Self {
        Self {
            client: value(Role::Client),
            server: value(Role::Server),
        }
    }
}
