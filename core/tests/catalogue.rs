//! Stories against the catalogue: each scenario has one, and it is complete. Whether the judge and real trials agree
//! with the stories is tested in `judge.rs` and in the live tests.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod stories;

use rstproof_core::scenario::{self, Scenario};

use crate::stories::{WrittenStory, all};

fn stories() -> impl Iterator<Item = (WrittenStory, &'static Scenario)> {
    all().map(|story| {
        let scenario = scenario::find(story.id);
        (
            story,
            scenario.unwrap_or_else(|| panic!("there is no scenario {}", story.id)),
        )
    })
}

#[test]
fn there_is_one_for_each_scenario_in_the_order_of_the_catalogue() {
    let stories: Vec<(&str, &str)> = all().map(|it| (it.topic, it.id)).collect();
    let mut before = "the first line";
    for (at, scenario) in scenario::ALL.iter().enumerate() {
        let topic = scenario.topic.id();
        assert!(
            stories.get(at) == Some(&(topic, scenario.id)),
            "write the story of {} into core/tests/stories/{}.rs, after {before}; core/tests/stories/mod.rs explains how",
            scenario.id,
            topic.replace('-', "_"),
        );
        before = scenario.id;
    }
    assert_eq!(
        stories.len(),
        scenario::ALL.len(),
        "a story has no scenario"
    );
}

#[test]
fn each_states_what_its_scenario_needs() {
    for (story, scenario) in stories() {
        let id = story.id;
        assert_eq!(story.needs_lab(), scenario.needs().any(), "{id}: [lab]");
        assert_eq!(story.is_slow(), scenario.slow, "{id}: [slow]");
        let families = scenario.families.iter().map(|family| family.name());
        assert!(story.families().eq(families), "{id}: [IPv4 only]");
    }
}

#[test]
fn each_that_needs_only_sockets_is_whole() {
    let partial = all().find(|story| !story.needs_lab() && !story.is_whole());
    assert!(partial.is_none_or(|story| panic!("{}: every call and segment", story.id)));
}

#[test]
fn each_states_who_sends_an_rst_and_which_call_reports_it() {
    for story in all() {
        let resets = story.resets();
        for reset in &resets {
            assert!(reset.sender.is_some(), "{}: who sends the RST?", story.id);
            let is_plain = !story.needs_lab();
            let is_described = reset.form.is_some() && reset.receiver_state.is_some();
            assert!(!is_plain || is_described, "{}: form and state", story.id);
        }
        let mut reported: Vec<usize> = story.calls().iter().filter_map(|it| it.reset).collect();
        reported.sort_unstable();
        assert!(
            reported.is_sorted_by(|one, next| one < next),
            "{}: twice",
            story.id
        );
        assert!(
            reported.iter().all(|it| *it < resets.len()),
            "{}: RST?",
            story.id
        );
        if !story.needs_lab() {
            assert_eq!(reported.len(), resets.len(), "{}: `; RST 1`", story.id);
        }
    }
}
