//! Captures as Wireshark's own dissector reads them: a second opinion.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::run::Run;

/// Standard output of one of Wireshark's tools, which must have nothing to complain of.
pub(crate) fn wireshark(command: &mut Command) -> String {
    // Not by somebody's own preferences: they may change how numbers are shown.
    for directory in ["HOME", "XDG_CONFIG_HOME"] {
        command.env(directory, "/nonexistent");
    }
    let run = Run::of(command.env_remove("WIRESHARK_CONFIG_DIR"));
    let complaints = run
        .err
        .lines()
        .filter(|line| !line.starts_with("Running as user"));
    assert_eq!(complaints.collect::<Vec<_>>().join("\n"), "", "{command:?}");
    assert_eq!(run.code, Some(0), "{command:?}");
    run.out
}

/// How many frames capinfos finds in each of them. It complains of a file that ends in the middle of one.
pub(crate) fn count_frames(files: &[PathBuf]) -> Vec<u64> {
    let mut command = Command::new("capinfos");
    let table = wireshark(command.args(["-T", "-r", "-c"]).args(files));
    let counts = table.lines().map(|line| line.rsplit_once('\t').unwrap().1);
    counts.map(|count| count.parse().unwrap()).collect()
}

/// A TCP segment, as either of the two describes it.
#[derive(Debug, PartialEq)]
pub(crate) struct Segment {
    pub(crate) frame: u64,
    at_ns: i64,
    pub(crate) flags: u8,
    seq: Option<u64>,
    ack: Option<u64>,
    len: u64,
}

/// The fields that tshark prints of each frame of `files` that the display filter finds, by file: the frame's number in its file, and the
/// rest of the line. All files are read at once, one behind the other, since a start of tshark takes much longer than a capture.
pub(crate) fn fields_of(
    files: &[PathBuf],
    filter: &str,
    arguments: &[&str],
) -> Vec<Vec<(u64, String)>> {
    let all = tempfile::NamedTempFile::new().unwrap();
    let mut merge = Command::new("mergecap");
    wireshark(merge.args(["-a", "-w"]).arg(all.path()).args(files));
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(all.path());
    command.args(["-Y", filter, "-T", "fields", "-e", "frame.number"]);
    let lines = wireshark(command.args(arguments));
    let mut lines = lines.lines().map(|line| {
        let (frame, rest) = line.split_once('\t').unwrap();
        (frame.parse::<u64>().unwrap(), rest.to_owned())
    });
    let mut before = 0;
    let mut line = lines.next();
    let mut of_file = |count: u64| {
        let mut found = Vec::new();
        while let Some((frame, rest)) = line.take_if(|(frame, _)| *frame <= before + count) {
            found.push((frame - before, rest));
            line = lines.next();
        }
        before += count;
        found
    };
    let by_file = count_frames(files).into_iter().map(&mut of_file).collect();
    assert!(line.is_none(), "{line:?}");
    by_file
}

/// The TCP segments of each file.
pub(crate) fn by_tshark(files: &[PathBuf]) -> Vec<Vec<Segment>> {
    let fields = [
        "frame.time_epoch",
        "tcp.flags",
        "tcp.seq",
        "tcp.ack",
        "tcp.len",
    ];
    let arguments = fields.map(|field| ["-e", field]).concat();
    let segments = |lines: Vec<(u64, String)>| {
        let segment = |(frame, fields): &(u64, String)| segment(*frame, fields);
        lines.iter().map(segment).collect()
    };
    let by_file = fields_of(files, "tcp", &arguments);
    by_file.into_iter().map(segments).collect()
}

fn segment(frame: u64, line: &str) -> Segment {
    let fields: Vec<&str> = line.split('\t').collect();
    let [at, flags, seq, ack, len] = fields[..] else {
        panic!("five fields were asked for: {line}");
    };
    let flags = u16::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap();
    let (seconds, nanos) = at.split_once('.').unwrap();
    Segment {
        frame,
        at_ns: format!("{seconds}{nanos:0<9}").parse().unwrap(),
        flags: flags.to_le_bytes()[0],
        seq: Some(seq.parse().unwrap()),
        ack: Some(ack.parse().unwrap()),
        len: len.parse().unwrap(),
    }
}

pub(crate) fn by_us(trial: &Value) -> Vec<Segment> {
    let began = trial["began_realtime_ns"].as_i64().unwrap();
    let packets = trial["packets"].as_array().unwrap();
    packets
        .iter()
        .filter(|packet| packet["protocol"] == "tcp")
        .map(|packet| Segment {
            frame: packet["frame"].as_u64().unwrap(),
            at_ns: began + packet["at_ns"].as_i64().unwrap(),
            flags: flag_bits(packet["flags"].as_str().unwrap()),
            seq: packet["seq"].as_u64(),
            ack: packet["ack"].as_u64(),
            len: packet["len"].as_u64().unwrap(),
        })
        .collect()
}

/// From tcpdump's letters to the byte in the header.
fn flag_bits(letters: &str) -> u8 {
    let bit = |letter| "FSRP.UEW".find(letter).unwrap();
    letters.chars().map(|letter| 1 << bit(letter)).sum()
}

pub(crate) const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// `tshark` shows a number where `us` is silent: the acknowledgment number without ACK, and the sequence number of
/// an RST from an end that has never told its initial one.
pub(crate) fn assert_agree(us: &[Segment], mut tshark: Vec<Segment>, what: &str) {
    // Other clients of the same trial are captured as well; no RST is theirs.
    let is_ours = |theirs: &Segment| us.iter().any(|ours| ours.frame == theirs.frame);
    tshark.retain(|theirs| theirs.flags & RST != 0 || is_ours(theirs));
    for (ours, theirs) in us.iter().zip(&mut tshark) {
        if ours.flags & ACK == 0 {
            theirs.ack = None;
        }
        if ours.flags & RST != 0 && ours.seq.is_none() {
            theirs.seq = None;
        }
    }
    assert_eq!(us, tshark, "{what}");
}
