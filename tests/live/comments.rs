//! Comments and descriptions in saved captures, as Wireshark's tools show them. What they must say is worked out from
//! the numbers in the report.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::documented::{ids, plain};
use crate::saved::{save, stem};
use crate::wireshark::{count_frames, fields_of, wireshark};

/// The comments of each frame, in the order of the file, for each file.
fn by_frame(files: &[PathBuf]) -> Vec<Vec<Vec<String>>> {
    let arguments = ["-E", "aggregator=|", "-e", "frame.comment"];
    let comments =
        |(_, line): &(u64, String)| line.split('|').map(str::to_owned).collect::<Vec<_>>();
    let by_file = fields_of(files, "frame", &arguments);
    let of_file = |lines: &Vec<_>| lines.iter().map(comments).collect();
    by_file.iter().map(of_file).collect()
}

/// What capinfos prints, with one space where it has more.
fn described(file: &Path) -> Vec<String> {
    let lines = wireshark(Command::new("capinfos").arg(file));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    lines.lines().map(words).collect()
}

/// `a call(arguments)`, and how it told of its error.
fn called_and_told(call: &Value) -> String {
    let word = |field| call[field].as_str().unwrap();
    let result = &call["result"];
    let told = match (result["errno"].as_str(), result["so_error"].as_str()) {
        (Some(errno), None) => format!("failed with {errno}"),
        (None, Some(errno)) => format!("reported {errno}"),
        other => panic!("{other:?}"),
    };
    let (role, name, arguments) = (word("role"), word("call"), word("arguments"));
    format!("{role}'s {name}({arguments}) {told}")
}

/// The time from a frame to the end of a call in microseconds, of which tenths are shown.
fn later(trial: &Value, frame: &Value, call: &Value) -> String {
    let packets = trial["packets"].as_array().unwrap();
    let packet = packets.iter().find(|packet| packet["frame"] == *frame);
    let at = packet.unwrap()["at_ns"].as_u64().unwrap();
    let tenths = (call["ended_ns"].as_u64().unwrap() - at) / 100;
    format!("{}.{} µs", tenths / 10, tenths % 10)
}

fn index(number: &Value) -> usize {
    number.as_u64().unwrap().try_into().unwrap()
}

#[test]
fn the_last_comment_on_an_rst_names_the_call_that_it_explains() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = 0;
    let trials = save(dir.path(), &ids(&plain()));
    let file = |trial: &Value| dir.path().join(trial["capture_file"].as_str().unwrap());
    let files: Vec<_> = trials.iter().map(file).collect();
    for ((trial, file), comments) in trials.iter().zip(&files).zip(by_frame(&files)) {
        for reset in trial["resets"].as_array().unwrap() {
            let of_frame = &comments[index(&reset["frame"]) - 1];
            let call = &trial["calls"][index(&reset["explains_calls"][0])];
            let (told, later) = (called_and_told(call), later(trial, &reset["frame"], call));
            let expected = format!("this RST is why the {told}, {later} later");
            assert_eq!(of_frame.last(), Some(&expected), "{}", file.display());
            seen += 1;
        }
    }
    // All in which somebody resets, over two families.
    let resets: usize = plain().iter().map(|story| story.resets().len()).sum();
    assert_eq!(seen, 2 * resets);
}

#[test]
fn each_fact_is_a_comment_on_the_frame_that_proves_it() {
    let dir = tempfile::tempdir().unwrap();
    let trial = &save(dir.path(), &["close-unread-data", "--family", "ipv4"])[0];
    let file = dir.path().join("close-unread-data.ipv4.pcapng");
    let [comments] = &by_frame(&[file])[..] else {
        panic!("one file was read")
    };
    let [reset] = &trial["resets"].as_array().unwrap()[..] else {
        panic!("one RST is documented")
    };
    let has = |frame: usize, wanted: &str| comments[frame - 1].iter().any(|text| text == wanted);

    // The server had sent SYN, which is 1 in sequence space, and nothing else (RFC 9293, 3.4).
    let of_reset = index(&reset["frame"]);
    assert!(has(
        of_reset,
        "acceptable: SEQ 1 = RCV.NXT of the client, in ESTABLISHED"
    ));
    assert!(has(of_reset, "sent while the server's close() ran"));
    let dead = trial["calls"].as_array().unwrap().last().unwrap();
    let dead = called_and_told(dead);
    assert!(has(
        of_reset,
        &format!("it left the connection dead, which is why the {dead}")
    ));
    assert!(has(1, "sent while the client's connect() ran"));
    // No other frame is said to be an RST.
    let is_about_reset = |text: &String| text.starts_with("this RST") || text.starts_with("RST");
    for (texts, number) in comments.iter().zip(1..) {
        let about = texts.iter().any(is_about_reset);
        assert_eq!(about, number == of_reset, "frame {number}: {texts:?}");
    }
    // The last one is the fence. A trial that takes two milliseconds, as on a busy host, sends one from each other CPU before.
    let packets = trial["packets"].as_array().unwrap().len();
    let [of_other_cpus @ .., fence] = &comments[packets..] else {
        panic!("no fence: {comments:?}")
    };
    assert!(fence[0].starts_with("fence: "));
    assert!(of_other_cpus.iter().flatten().all(String::is_empty));
}

#[test]
fn a_capture_says_where_and_with_what_it_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let uname = nix::sys::utsname::uname().unwrap();
    let of_uname = [
        uname.sysname(),
        uname.release(),
        uname.version(),
        uname.machine(),
    ];
    let kernel = of_uname.map(|word| word.to_str().unwrap()).join(" ");
    for trial in save(dir.path(), &ids(&plain())) {
        let file = dir.path().join(trial["capture_file"].as_str().unwrap());
        let document = dir.path().join(format!("{}.json", stem(&trial)));
        let document: Value = serde_json::from_slice(&fs::read(document).unwrap()).unwrap();
        let frames = count_frames(std::slice::from_ref(&file))[0];
        let name = format!(
            "{} over {}",
            trial["scenario"].as_str().unwrap(),
            trial["family"].as_str().unwrap()
        );
        let described = described(&file);
        for expected in [
            "File timestamp precision: nanoseconds (9)".to_owned(),
            "Strict time order: True".to_owned(),
            format!("Capture oper-sys: {kernel}"),
            format!(
                "Capture application: rstproof {} with {}",
                env!("CARGO_PKG_VERSION"),
                document["host"]["libpcap"].as_str().unwrap()
            ),
            format!("Capture comment: {name}, run 1: confirmed"),
            format!("Capture comment: {frames} frames received, 0 dropped"),
            "Number of interfaces in file: 1".to_owned(),
            "Name = lo".to_owned(),
            "Encapsulation = Ethernet (1 - ether)".to_owned(),
            format!(
                "Filter string = {}",
                document["capture"]["filter"].as_str().unwrap()
            ),
            format!("Operating system = {kernel}"),
            "Number of stat entries = 1".to_owned(),
            format!("Number of packets = {frames}"),
        ] {
            let found = described.iter().filter(|line| **line == expected).count();
            assert_eq!(
                found,
                1,
                "{expected} in {}:\n{}",
                file.display(),
                described.join("\n")
            );
        }
    }
}
