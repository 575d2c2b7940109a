//! A directory of saved evidence: what is in it, and how its trials compare with others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::run::{Run, rstproof, trials};

/// The command that saves evidence in `dir` and shows it as JSON.
pub(crate) fn saving(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = rstproof(&["run", "--format", "json"]);
    command.args(arguments).arg("-w").arg(dir);
    command
}

/// The trials of a run that saved them in `dir`, and found nothing wrong.
#[track_caller]
pub(crate) fn save(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    Run::of(&mut saving(dir, arguments)).quietly(0).trials()
}

pub(crate) fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

pub(crate) fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| (name.clone(), fs::read(dir.join(name)).unwrap());
    names(dir).into_iter().map(read).collect()
}

pub(crate) fn report(dir: &Path) -> Vec<Value> {
    trials(&fs::read_to_string(dir.join("report.json")).unwrap())
}

/// What a trial's files are called, without what they end with.
pub(crate) fn stem(trial: &Value) -> String {
    let capture = trial["capture_file"].as_str().unwrap();
    capture.rsplit_once('.').unwrap().0.to_owned()
}

/// Capture and document of each of these trials, and the report.
pub(crate) fn files_of(trials: &[Value]) -> BTreeSet<String> {
    let of = |trial: &Value| {
        let capture = trial["capture_file"].as_str().unwrap().to_owned();
        [capture, format!("{}.json", stem(trial))]
    };
    let files = trials.iter().flat_map(of);
    files.chain(["report.json".to_owned()]).collect()
}

#[track_caller]
pub(crate) fn assert_names(dir: &Path, expected: &BTreeSet<String>) {
    let names = names(dir);
    let some = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        let names = one.difference(other).take(5);
        names.cloned().collect::<Vec<_>>().join(" ")
    };
    let (missing, strange) = (some(expected, &names), some(&names, expected));
    assert_eq!((&*missing, &*strange), ("", ""), "missing, strange");
}

/// Trials by what they are called.
#[track_caller]
pub(crate) fn by_name(trials: &[Value]) -> BTreeMap<String, &Value> {
    let name = |trial: &Value| {
        let word = |field| trial[field].as_str().unwrap().to_owned();
        format!("{}.{}.{}", word("scenario"), word("family"), trial["run"])
    };
    let named: BTreeMap<_, _> = trials.iter().map(|trial| (name(trial), trial)).collect();
    assert_eq!(named.len(), trials.len(), "no trial comes twice");
    named
}

/// The same trials, in whichever order: the same in every field but in what the second ones were judged from.
#[track_caller]
pub(crate) fn assert_same(live: &[Value], again: &[Value]) {
    let (live, again) = (by_name(live), by_name(again));
    let missing = live.keys().find(|name| !again.contains_key(*name));
    assert_eq!(missing, None, "judged again");
    let strange = again.keys().find(|name| !live.contains_key(*name));
    assert_eq!(strange, None, "judged at first");
    for (name, live) in &live {
        let (live, again) = (live.as_object().unwrap(), again[name].as_object().unwrap());
        let fields = live.keys().chain(again.keys());
        for field in fields.filter(|field| *field != "evidence") {
            assert_eq!(live.get(field), again.get(field), "{field} of {name}");
        }
    }
}
