//! Live trials against the stories of their scenarios.

use serde_json::Value;

use crate::stories::{self, WrittenReset, WrittenStory};

/// The families that scenarios are run over.
pub(crate) const BOTH: [&str; 2] = ["ipv4", "ipv6"];

fn stories_where(wanted: impl Fn(WrittenStory) -> bool) -> Vec<WrittenStory> {
    let stories = stories::all().filter(|story| wanted(*story));
    let stories: Vec<WrittenStory> = stories.collect();
    assert!(!stories.is_empty());
    stories
}

/// Stories of a run that is given no names.
pub(crate) fn of_a_run() -> Vec<WrittenStory> {
    stories_where(|story| !story.is_slow())
}

/// Stories of a run that is given no names, of scenarios that need only sockets.
pub(crate) fn plain() -> Vec<WrittenStory> {
    stories_where(|story| !story.is_slow() && !story.needs_lab())
}

/// Stories of scenarios that wait for timers and need only sockets.
pub(crate) fn slow() -> Vec<WrittenStory> {
    stories_where(|story| story.is_slow() && !story.needs_lab())
}

/// Stories of scenarios that wait for timers in the lab.
pub(crate) fn slow_in_the_lab() -> Vec<WrittenStory> {
    stories_where(|story| story.is_slow() && story.needs_lab())
}

pub(crate) fn ids(stories: &[WrittenStory]) -> Vec<&'static str> {
    stories.iter().map(|story| story.id).collect()
}

/// Stems of the trials of these stories, each repeated once: `scenario.family`.
pub(crate) fn stems(stories: &[WrittenStory]) -> Vec<String> {
    let stem = |story: &WrittenStory| {
        let id = story.id;
        story.families().map(move |family| format!("{id}.{family}"))
    };
    stories.iter().flat_map(stem).collect()
}

/// The trials are those of a run that is given no names, and each went as its story.
#[track_caller]
pub(crate) fn assert_as_documented(trials: &[Value]) {
    assert_are(&of_a_run(), trials, &BOTH);
}

/// The trials are those of these stories over all of these families that they have, and each went as its story.
#[track_caller]
pub(crate) fn assert_are(stories: &[WrittenStory], trials: &[Value], families: &[&str]) {
    let mut expected = 0;
    for story in stories {
        for family in story.families().filter(|it| families.contains(it)) {
            let is_it = |trial: &&Value| trial["scenario"] == story.id && trial["family"] == family;
            let Some(trial) = trials.iter().find(is_it) else {
                panic!("no trial of {} over {family}", story.id);
            };
            assert_is(*story, trial);
            expected += 1;
        }
    }
    assert_eq!(trials.len(), expected);
}

#[track_caller]
fn assert_is(story: WrittenStory, trial: &Value) {
    assert_eq!(trial["verdict"], "confirmed", "{trial}");
    assert_calls(story, trial);
    let resets = trial["resets"].as_array().unwrap();
    let written = story.resets();
    assert_eq!(resets.len(), written.len(), "{trial}");
    for (reset, written) in resets.iter().zip(&written) {
        assert_reset(trial, reset, written);
    }
    if !story.is_whole() {
        return;
    }
    let captured: Vec<&Value> = packets(trial).filter(|packet| is_rst(packet)).collect();
    assert_eq!(captured.len(), written.len(), "{trial}");
    for (index, (packet, reset)) in captured.into_iter().zip(resets).enumerate() {
        assert_eq!(reset["frame"], packet["frame"], "{trial}");
        assert_packet(trial, packet, &written[index]);
        assert_reported(story, trial, index);
    }
}

fn packets(trial: &Value) -> impl Iterator<Item = &Value> {
    trial["packets"].as_array().unwrap().iter()
}

fn is_rst(packet: &Value) -> bool {
    let flags = packet["flags"].as_str();
    flags.is_some_and(|flags| flags.contains('R'))
}

/// A whole story has all calls with their arguments, another those that failed.
#[track_caller]
fn assert_calls(story: WrittenStory, trial: &Value) {
    let calls = trial["calls"].as_array().unwrap().iter();
    let seen: Vec<String> = calls
        .filter_map(|call| {
            let (role, name) = (call["role"].as_str()?, call["call"].as_str()?);
            let (result, is_error) = result(&call["result"]);
            if !story.is_whole() {
                return is_error.then(|| format!("{role} {name} = {result}"));
            }
            let arguments = call["arguments"].as_str()?;
            Some(in_full(&format!("{role} {name}({arguments})"), &result))
        })
        .collect();
    let calls = story.calls();
    let written = calls.iter().map(|call| in_full(&call.made, &call.result));
    assert_eq!(seen, written.collect::<Vec<_>>(), "{}", story.id);
}

/// Returns the result as strace shows it, and true if the call reports an error.
fn result(result: &Value) -> (String, bool) {
    if let Some(events) = result["revents"].as_str() {
        return (events.to_owned(), false);
    }
    match result["errno"].as_str().or(result["so_error"].as_str()) {
        Some(errno) => (errno.to_owned(), true),
        None => (result["ok"].to_string(), false),
    }
}

/// Returns the call with its result. How many bytes of a large buffer are taken depends on other buffers.
fn in_full(made: &str, result: &str) -> String {
    let argument = made.split_once('(').map(|(_, it)| it.trim_end_matches(')'));
    let asked: Option<i64> = argument.and_then(|it| it.parse().ok());
    match (asked, result.parse::<i64>()) {
        (Some(asked @ 60_000..), Ok(taken @ 1..)) if taken < asked => format!("{made} = some"),
        _ => format!("{made} = {result}"),
    }
}

#[track_caller]
fn assert_reset(trial: &Value, reset: &Value, written: &WrittenReset) {
    assert_eq!(reset["from"], written.from, "{trial}");
    assert_eq!(reset["acceptable"], !written.is_not_accepted, "{trial}");
    if let Some(form) = &written.form {
        assert_eq!(reset["form"], **form, "{trial}");
    }
    if let Some(state) = &written.receiver_state {
        assert_eq!(reset["receiver_state"], **state, "{trial}");
    }
    // Without the kernel trace nobody knows who sent it.
    let is_traced = !trial["trace_coverage"].is_null();
    let sender = written.sender.as_deref().filter(|_| is_traced);
    let reason = written.reason.as_deref().filter(|_| is_traced);
    assert_eq!(reset["sender"], sender.unwrap_or("unknown"), "{trial}");
    assert_eq!(reset["kernel_reason"], Value::from(reason), "{trial}");
}

#[track_caller]
fn assert_packet(trial: &Value, packet: &Value, written: &WrittenReset) {
    let (flags, seq, ack) = written.segment.as_ref().unwrap();
    assert_eq!(packet["from"], written.from, "{trial}");
    assert_eq!(packet["flags"], **flags, "{trial}");
    if !written.numbers_vary {
        assert_eq!(packet["seq"], Value::from(*seq), "{trial}");
        assert_eq!(packet["ack"], Value::from(*ack), "{trial}");
    }
}

/// The RST is why the calls failed that the story says, and came before they returned.
#[track_caller]
fn assert_reported(story: WrittenStory, trial: &Value, index: usize) {
    let reset = &trial["resets"][index];
    let calls = story.calls();
    let told = (0..calls.len()).filter(|call| calls[*call].reset == Some(index));
    let told: Vec<usize> = told.collect();
    assert_eq!(
        reset["explains_calls"],
        Value::from(told.clone()),
        "{trial}"
    );
    let packet = packets(trial).find(|packet| packet["frame"] == reset["frame"]);
    for call in told {
        let ended = trial["calls"][call]["ended_ns"].as_i64();
        assert!(packet.unwrap()["at_ns"].as_i64() < ended, "{trial}");
    }
}
