//! Tests of the evidence on the RSTs in the golden captures, whose senders are known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{
    Aftermath, Context, Indicator, PacketFeatures, Sender, SenderProfile, SenderVerdict, Supports,
    Timing, Weight, facts, later,
};
use crate::analyze::decode::CapturePoint;
use crate::analyze::stack::Stack;
use crate::file::{Block, Reader};
use crate::flow::Flow;
use crate::packet::{Flags, Link, Packet, Segment, decode, link};
use crate::transcript::Role;

/// RST in a capture, and the evidence on it.
struct Found {
    place: String,
    sender: String,
    facts: Vec<Indicator>,
}

impl Found {
    /// Returns the greatest weight of a fact that indicates an injection.
    fn against(&self) -> Option<Weight> {
        let against = self
            .facts
            .iter()
            .filter(|fact| fact.supports == Supports::Injection);
        against.map(|fact| fact.weight).max()
    }
}

/// Connection as one interface captured it.
struct Point {
    flow: Flow,
    profiles: [SenderProfile; 2],
    timing: Timing,
    stacks: [Option<Stack>; 2],
    resets: Vec<(Segment, Role, Context, Aftermath, Vec<Indicator>)>,
}

impl Point {
    fn see(&mut self, segment: &Segment, packet: &[u8], traits: &PacketFeatures) {
        let Some(from) = self.flow.sender(segment) else {
            return;
        };
        let header = segment.header();
        let before = Context {
            sender_state: Some(self.flow.state(from)),
            rcv_nxt: self.flow.rcv_nxt(from.peer()),
            snd_nxt: self.flow.snd_nxt(from),
            ..Context::default()
        };
        let observed = self.flow.observe(segment).unwrap();
        for (reset, role, _, sequel, _) in &mut self.resets {
            if *role == from {
                sequel.take(&reset.header(), &header);
            }
        }
        if let Some(reset) = observed.reset {
            let rtt = self.timing.rtt(from);
            let previous = self.resets.iter().rfind(|(_, role, ..)| *role == from);
            let context = Context {
                form: reset.form,
                answers: Some(reset.triggered_by.is_some()),
                asked_for: self.timing.latest_acks(from.peer()),
                rtt,
                reaction_ns: self.timing.reaction(from, &header),
                far_ns: rtt.map(|rtt| rtt.least_ns),
                stack: self.stacks[from as usize],
                previous: previous.map(|(reset, ..)| reset.header()),
                ..before
            };
            let profiles = &self.profiles[from as usize];
            let facts = facts(traits, &header, profiles, &context);
            self.resets
                .push((*segment, from, context, Aftermath::default(), facts));
        } else {
            if segment.flags.has(Flags::SYN) {
                self.stacks[from as usize] = Stack::of(packet);
            }
            self.timing.take(from, &header);
            self.profiles[from as usize].take(&traits.of_ip(), &header, CapturePoint::default());
        }
    }
}

/// Returns all RSTs of one golden capture whose senders are known from its document.
fn found_in(document: &Path) -> Vec<Found> {
    let json: Value = serde_json::from_slice(&fs::read(document).unwrap()).unwrap();
    let trial = &json["trials"][0];
    let address = |role: &str| trial[role].as_str().and_then(|text| text.parse().ok());
    let (Some(client), Some(server)) = (address("client"), address("server")) else {
        return Vec::new();
    };
    // The sender of a segment is ambiguous if a socket is connected to itself.
    if client == server {
        return Vec::new();
    }
    let bytes = fs::read(document.with_extension("pcapng")).unwrap();
    let (mut links, mut points, mut frame) = (Vec::new(), BTreeMap::new(), 0);
    let mut by_frame = BTreeMap::new();
    for block in Reader::new(&bytes).unwrap() {
        match block.unwrap() {
            Block::Interface(interface) => links.push(Link::from_number(interface.link.into())),
            Block::Frame(stored) => {
                frame += 1;
                let link = links[stored.interface as usize].unwrap();
                let decoded = decode(link, frame, stored.at, stored.captured);
                let Packet::Tcp(segment) = decoded else {
                    continue;
                };
                let packet = link::packet(link, stored.captured).unwrap();
                let traits = PacketFeatures::of(packet).unwrap();
                assert_eq!(traits.window, segment.window);
                assert_eq!(traits.payload_len, segment.payload_len);
                assert_eq!(traits.timestamps, segment.timestamps);
                by_frame.insert(frame, segment);
                let point = points.entry(stored.interface).or_insert_with(|| Point {
                    flow: Flow::new(client, server),
                    profiles: <[SenderProfile; 2]>::default(),
                    timing: Timing::default(),
                    stacks: [None; 2],
                    resets: Vec::new(),
                });
                point.see(&segment, packet, &traits);
            }
            _ => {}
        }
    }
    let known: Vec<(Segment, String)> = trial["resets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|reset| {
            let frame = u32::try_from(reset["frame"].as_u64().unwrap()).unwrap();
            (
                by_frame[&frame],
                reset["sender"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    // The document gives the frame of one interface, and other interfaces captured the same packet.
    let is_it = |one: &Segment, other: &Segment| {
        let numbers = |it: &Segment| (it.source, it.flags, it.seq, it.ack, it.window);
        numbers(one) == numbers(other)
    };
    let mut found = Vec::new();
    for (interface, point) in points {
        for (reset, _, context, sequel, mut facts) in point.resets {
            let Some((_, sender)) = known.iter().find(|(it, _)| is_it(it, &reset)) else {
                continue;
            };
            facts.extend(later(&reset.header(), &context, &sequel));
            let name = document.file_stem().unwrap().to_str().unwrap();
            found.push(Found {
                place: format!("{name}, interface {interface}, frame {}", reset.frame),
                sender: sender.clone(),
                facts,
            });
        }
    }
    found
}

fn all() -> Vec<Found> {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let mut documents: Vec<_> = fs::read_dir(captures)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.with_extension("pcapng").exists() && path.extension().unwrap() == "json"
        })
        .collect();
    documents.sort();
    documents.iter().flat_map(|path| found_in(path)).collect()
}

#[test]
fn rsts_that_a_kernel_sent_have_no_strong_indicator_of_injection() {
    let all = all();
    let genuine = |found: &&Found| matches!(&*found.sender, "socket" | "kernel");
    let (mut seen, mut supported) = (0, 0);
    for found in all.iter().filter(genuine) {
        seen += 1;
        supported += usize::from(
            found
                .facts
                .iter()
                .any(|fact| fact.supports == Supports::Endpoint),
        );
        assert!(
            found.against() < Some(Weight::Moderate) && !Sender::of(&found.facts).is_doubtful(),
            "{}: {:#?}",
            found.place,
            found.facts
        );
    }
    assert!(seen > 170, "{seen}");
    assert!(supported > 100, "{supported} of {seen}");
}

#[test]
fn forged_rsts_have_several_kinds_of_indicators() {
    let all = all();
    let forged = |found: &&Found| matches!(&*found.sender, "firewall" | "injected");
    let marked: Vec<&Found> = all
        .iter()
        .filter(forged)
        .filter(|found| found.against() >= Some(Weight::Moderate))
        .collect();
    let ids: BTreeSet<&str> = marked
        .iter()
        .flat_map(|found| &found.facts)
        .filter(|fact| fact.supports == Supports::Injection && fact.weight >= Weight::Moderate)
        .map(|fact| fact.id)
        .collect();
    for id in ["ttl-differs", "went-on-data"] {
        assert!(ids.contains(id), "{ids:?}");
    }
    // Nothing that somebody else sent is taken for the end's own.
    for found in all.iter().filter(forged) {
        let verdict = Sender::of(&found.facts).verdict;
        assert_ne!(verdict, SenderVerdict::LikelyEndpoint, "{}", found.place);
    }
    for name in ["firewall-reset-forward", "third-party-reset"] {
        let here = marked.iter().filter(|found| found.place.starts_with(name));
        assert!(here.count() >= 2, "{name}: once in each family");
    }
}

/// Prints the evidence on each RST: `cargo test --lib golden -- --ignored --nocapture`.
#[test]
#[ignore = "prints, and asserts nothing"]
fn print_all_indicators() {
    for found in all() {
        println!("{} ({}): {:?}", found.place, found.sender, found.against());
        for fact in &found.facts {
            println!(
                "    {:?} {:?} {}: {}",
                fact.supports, fact.weight, fact.id, fact.message
            );
        }
    }
}
