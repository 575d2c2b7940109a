//! Captures that are read while they are made: what is known is said at once, and what came before Ctrl-C is not lost.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::analyze;
use crate::layout::{Order, Pcap};
use crate::schema::assert_fits;
use crate::segments::{ACK, FIN, Frame, RST, SYN};

/// Bound on failure: a program that is silent for so long is stopped, and its test fails.
const BOUND: Duration = Duration::from_secs(60);

/// The program, reading a pipe that the test writes to.
struct Live {
    child: Child,
    pipe: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    err: ChildStderr,
    is_over: Arc<AtomicBool>,
}

impl Live {
    fn begin(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rstproof"))
            .args(["analyze", "-"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let (watched, over) = (pid(&child), Arc::clone(&is_over));
        thread::spawn(move || {
            let began = Instant::now();
            while !over.load(Ordering::Relaxed) {
                if began.elapsed() > BOUND {
                    let _ = kill(watched, Signal::SIGKILL);
                    return;
                }
                thread::park_timeout(Duration::from_millis(100));
            }
        });
        Self {
            pipe: child.stdin.take(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            err: child.stderr.take().unwrap(),
            child,
            is_over,
        }
    }

    fn rows() -> Self {
        Self::begin(&["--format", "json"])
    }

    /// Writes a part of the capture.
    fn write(&mut self, bytes: &[u8]) {
        self.pipe.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn signal(&self) {
        kill(pid(&self.child), Signal::SIGINT).unwrap();
    }

    /// Waits for the next row. The pipe is still open.
    fn row(&mut self) -> Value {
        let line = self.lines.next().unwrap().unwrap();
        let row = line.parse().unwrap();
        assert_fits("analyze", &row);
        row
    }

    /// Waits for a line with this text.
    fn line_with(&mut self, text: &str) {
        let mut seen = String::new();
        while !seen.contains(text) {
            seen = self.lines.next().unwrap().unwrap();
        }
    }

    /// Ends the capture, and returns the rows that follow, the exit code or 128 + the signal, and standard error.
    fn end(mut self) -> (Vec<String>, Option<i32>, String) {
        drop(self.pipe.take());
        self.rest()
    }

    /// Returns the same, while the pipe stays open.
    fn rest(mut self) -> (Vec<String>, Option<i32>, String) {
        let rest = self.lines.by_ref().map(Result::unwrap).collect();
        let mut err = String::new();
        self.err.read_to_string(&mut err).unwrap();
        let status = self.child.wait().unwrap();
        self.is_over.store(true, Ordering::Relaxed);
        let code = status.code().or(status.signal().map(|it| 128 + it));
        (rest, code, err)
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

/// A record of a classic capture at this time in milliseconds. An end is a port of 10.0.0.2, or port 80 of 10.0.0.1.
fn record(ms: u32, port: u16, is_client: bool, frame: Frame<'_>) -> Vec<u8> {
    let ends = [(2, port), (1, 80)];
    let [from, to] = if is_client { ends } else { [ends[1], ends[0]] };
    let bytes = Frame { from, to, ..frame }.bytes();
    let length = u32::try_from(bytes.len()).unwrap();
    let mut file = header();
    let start = file.bytes.len();
    file.record((ms / 1_000, ms % 1_000 * 1_000), (length, length), &bytes);
    file.bytes.split_off(start)
}

fn header() -> Pcap {
    Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1)
}

fn segment(flags: u8, seq: u32, ack: u32, len: u16) -> Frame<'static> {
    Frame {
        flags,
        seq,
        ack,
        len,
        window: 500,
        ..Frame::default()
    }
}

/// Number after the request.
const END: u32 = 119;

const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// The handshake of a connection, and a request that is acknowledged.
fn request(port: u16) -> Vec<u8> {
    let length = u16::try_from(GET.len()).unwrap();
    let mut data = record(3, port, true, segment(ACK, 101, 301, length));
    let start = data.len() - GET.len();
    data[start..].copy_from_slice(GET);
    [
        record(0, port, true, segment(SYN, 100, 0, 0)),
        record(1, port, false, segment(SYN | ACK, 300, 101, 0)),
        record(2, port, true, segment(ACK, 101, 301, 0)),
        data,
        record(4, port, false, segment(ACK, 301, END, 0)),
    ]
    .concat()
}

/// RFC 9293, 3.10.7.4: its SEQ is RCV.NXT.
fn abort(port: u16) -> Vec<u8> {
    record(5, port, false, segment(RST | ACK, 301, END, 0))
}

#[test]
fn an_rst_is_reported_while_its_capture_goes_on() {
    let mut live = Live::rows();
    live.write(&header().bytes);
    live.write(&request(40_000));
    live.write(&abort(40_000));
    let row = live.row();
    assert_eq!(row["type"], "reset");
    assert_eq!(row["frame"], 6);
    assert_eq!(row["errno"], "ECONNRESET");
    // The next connection, in pieces of any length: the pipe stops within a packet.
    for byte in [request(40_001), abort(40_001)].concat() {
        live.write(&[byte]);
    }
    let row = live.row();
    assert_eq!((&row["type"], &row["frame"]), (&"reset".into(), &12.into()));
    let (rest, code, err) = live.end();
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let kinds: Vec<Value> = rest
        .iter()
        .map(|line| line.parse::<Value>().unwrap()["type"].clone())
        .collect();
    assert_eq!(kinds, ["connection", "connection", "summary"]);
}

#[test]
fn people_read_of_an_rst_at_once() {
    let mut live = Live::begin(&[]);
    live.write(&[header().bytes, request(40_000), abort(40_000)].concat());
    live.line_with("frame 6");
    let (_, code, _) = live.end();
    assert_eq!(code, Some(0));
}

/// A server that closes without an answer: `read()` returns 0 for the client.
#[test]
fn a_close_in_place_of_an_answer_is_reported_while_the_pipe_is_silent() {
    let mut live = Live::rows();
    let fin = record(5, 40_000, false, segment(FIN | ACK, 301, END, 0));
    live.write(&[header().bytes, request(40_000), fin].concat());
    let row = live.row();
    assert_eq!(row["type"], "failure");
    assert_eq!(row["failure"], "closed-before-response");
    assert_eq!(row["failure_frame"], 6);
    let (rest, code, _) = live.end();
    assert_eq!(code, Some(0));
    let connection: Value = rest[0].parse().unwrap();
    assert_eq!(connection["type"], "connection");
    assert_eq!(connection["failure"], "closed-before-response");
}

/// A SYN is sent again after a second (RFC 6298, 2.1). That nothing answers is what the silence of the pipe shows; an answer that
/// comes later corrects it.
#[test]
fn silence_is_reported_and_an_answer_after_it_too() {
    let syns = [0, 1_000].map(|ms| record(ms, 40_000, true, segment(SYN, 100, 0, 0)));
    let answer = [
        record(3_000, 40_000, false, segment(SYN | ACK, 300, 101, 0)),
        record(3_001, 40_000, true, segment(ACK, 101, 301, 0)),
    ];
    let mut live = Live::rows();
    live.write(&header().bytes);
    live.write(&syns.concat());
    let row = live.row();
    assert_eq!(row["type"], "failure");
    assert_eq!(row["failure"], "no-reply");
    assert_eq!(row["client_errno"], "ETIMEDOUT");
    assert_eq!(row["client_errno_condition"], "no-later-reply");
    live.write(&answer.concat());
    let (rest, code, _) = live.end();
    assert_eq!(code, Some(0));
    let connection: Value = rest[0].parse().unwrap();
    assert_eq!(connection["failure"], Value::Null);

    let mut live = Live::begin(&[]);
    live.write(&header().bytes);
    live.write(&syns.concat());
    live.line_with("no-reply");
    live.write(&answer.concat());
    let (rest, _, _) = live.end();
    assert!(rest.iter().any(|line| line.contains("went on")), "{rest:?}");
}

/// A capture that is only copied through a pipe is explained like the file: with what its sender sent a minute later, which shows
/// that it had not aborted (RFC 9293, 3.5.2).
#[test]
fn a_copied_capture_gives_the_rows_of_the_file() {
    let late = record(60_000, 40_000, false, segment(ACK, 301, END, 20));
    let noise = (0..3_000).map(|nth| {
        let port = u16::try_from(10_000 + nth).unwrap();
        record(6 + nth * 19, port, true, segment(SYN, 1, 0, 0))
    });
    let noise: Vec<u8> = noise.flatten().collect();
    let capture = [header().bytes, request(40_000), abort(40_000), noise, late].concat();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("capture.pcap");
    std::fs::write(&path, &capture).unwrap();
    let file = resets_of(&path);
    assert_eq!(file.len(), 1);
    let mut live = Live::rows();
    live.write(&capture);
    let (rows, code, _) = live.end();
    assert_eq!(code, Some(0));
    let rows = rows.iter().map(|line| line.parse::<Value>().unwrap());
    let mut rows: Vec<Value> = rows.filter(|row| row["type"] == "reset").collect();
    for row in &mut rows {
        row["file"] = file[0]["file"].clone();
    }
    assert_eq!(rows, file);
}

fn resets_of(path: &Path) -> Vec<Value> {
    analyze(&[path.to_str().unwrap()]).whole().of("reset")
}

/// The program at the other end of the pipe gets the same Ctrl-C, and writes what it still has.
#[test]
fn after_ctrl_c_the_rest_of_the_pipe_is_read() {
    let mut live = Live::rows();
    live.write(&[header().bytes, request(40_000), abort(40_000)].concat());
    live.row();
    live.signal();
    live.write(&[request(40_001), abort(40_001)].concat());
    let (rows, code, err) = live.end();
    assert_eq!((code, err.as_str()), (Some(130), ""));
    let summary: Value = rows.last().unwrap().parse().unwrap();
    assert_eq!(
        (&summary["type"], &summary["resets"]),
        (&"summary".into(), &2.into())
    );
}

/// A program that goes on writing, or stops within a packet, does not hold up the summary.
#[test]
fn after_ctrl_c_a_pipe_that_stays_open_is_not_waited_for() {
    let mut live = Live::rows();
    live.write(&[header().bytes, request(40_000), abort(40_000)].concat());
    live.write(&request(40_001)[..20]);
    live.row();
    live.signal();
    let pipe = live.pipe.take();
    let (rows, code, err) = live.rest();
    assert_eq!((code, err.as_str()), (Some(130), ""));
    let summary: Value = rows.last().unwrap().parse().unwrap();
    assert_eq!(
        (&summary["type"], &summary["resets"]),
        (&"summary".into(), &1.into())
    );
    drop(pipe);
}

#[test]
fn a_second_ctrl_c_ends_the_program() {
    let mut live = Live::rows();
    live.write(&[header().bytes, request(40_000), abort(40_000)].concat());
    live.row();
    live.signal();
    // Two signals of one number may be one for the receiver until the first is taken.
    while live.child.try_wait().unwrap().is_none() {
        live.signal();
        thread::yield_now();
    }
    let pipe = live.pipe.take();
    let (_, code, _) = live.rest();
    assert_eq!(code, Some(130));
    drop(pipe);
}

#[test]
fn an_empty_pipe_is_said_to_be_empty() {
    let mut live = Live::begin(&[]);
    let mut line = String::new();
    let mut err = BufReader::new(&mut live.err);
    err.read_line(&mut line).unwrap();
    assert!(line.contains("standard input for 5 s"), "{line}");
    assert!(line.contains("-U"), "{line}");
    live.write(&[header().bytes, request(40_000), abort(40_000)].concat());
    live.line_with("frame 6");
    let (_, code, err) = live.end();
    assert_eq!((code, err.as_str()), (Some(0), ""));
}

/// Ctrl-C before anything has come: there is nothing to be said, and nobody is waited for.
#[test]
fn ctrl_c_ends_the_wait_for_an_empty_pipe() {
    let mut live = Live::begin(&[]);
    let mut err = BufReader::new(&mut live.err);
    err.read_line(&mut String::new()).unwrap();
    live.signal();
    let pipe = live.pipe.take();
    let (rows, code, err) = live.rest();
    assert_eq!((rows, code, err.as_str()), (Vec::new(), Some(130), ""));
    drop(pipe);
}

/// A pipe that is cut within a packet: what came before is analyzed, and the cut is named.
#[test]
fn a_cut_pipe_is_complained_of() {
    let mut live = Live::rows();
    live.write(&[header().bytes, request(40_000), abort(40_000)].concat());
    live.write(&request(40_001)[..20]);
    assert_eq!(live.row()["type"], "reset");
    let (rows, code, err) = live.end();
    assert_eq!(code, Some(2));
    assert_eq!(err.lines().count(), 1, "{err}");
    let summary: Value = rows.last().unwrap().parse().unwrap();
    assert_eq!(summary["complete"], false);
    assert_eq!(summary["resets"], 1);
}
