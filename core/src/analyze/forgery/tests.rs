//! Tests with headers built by hand (RFC 791, 8200, 9293), and the evidence expected for each.

mod kinds;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::sender_profile::IpIds;
use super::*;
use crate::analyze::decode::CapturePoint;
use crate::packet::TcpTimestamps;
use crate::time::Timestamp;

const MS: i64 = 1_000_000;
const START: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// IPv4 packet: DSCP 10, TTL 57, ID 0x1234, DF; RST+ACK, window 500; two bytes of padding and timestamps; three bytes
/// of payload.
const V4: [u8; 55] = [
    0x45, 0x29, 0, 55, 0x12, 0x34, 0x40, 0, 57, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, //
    0, 80, 0x9c, 0x40, 0, 0, 0, 9, 0, 0, 0, 7, 0x80, 0x14, 1, 0xf4, 0, 0, 0, 0, //
    1, 1, 8, 10, 0, 1, 2, 3, 4, 5, 6, 7, b'a', b'b', b'c',
];

/// IPv6 packet: traffic class 0xb8, flow label 0x12345, hop limit 249; RST, window 0, no options, no payload.
const V6: [u8; 60] = [
    0x6b, 0x81, 0x23, 0x45, 0, 20, 6, 249, //
    0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
    0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
    0, 80, 0x9c, 0x40, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 4, 0, 0, 0, 0, 0, 0,
];

#[test]
fn traits_are_read_off_the_headers() {
    let expected = PacketFeatures {
        ttl: 57,
        ip_id: Some(0x1234),
        traffic_class: 0x29,
        dont_fragment: Some(true),
        flow_label: None,
        window: 500,
        timestamps: Some(TcpTimestamps {
            value: 0x0001_0203,
            echo: 0x0405_0607,
        }),
        option_bytes: 12,
        payload_len: 3,
    };
    assert_eq!(PacketFeatures::of(&V4), Some(expected));
    let expected = PacketFeatures {
        ttl: 249,
        traffic_class: 0xb8,
        flow_label: Some(0x12345),
        ..PacketFeatures::default()
    };
    assert_eq!(PacketFeatures::of(&V6), Some(expected));
}

#[test]
fn what_was_not_captured_is_not_read() {
    for len in 0..V4.len() {
        let traits = PacketFeatures::of(&V4[..len]);
        assert_eq!(traits.is_some(), len >= 40, "{len}");
        let stamps = traits.and_then(|traits| traits.timestamps);
        assert_eq!(stamps.is_some(), len >= 52, "{len}");
        assert!(traits.is_none_or(|traits| traits.payload_len == 3), "{len}");
    }
    for len in 0..V6.len() {
        assert_eq!(PacketFeatures::of(&V6[..len]), None, "{len}");
    }
}

#[test]
fn what_is_no_segment_has_no_traits() {
    let changed = |place: usize, value: u8| {
        let mut packet = V4;
        packet[place] = value;
        PacketFeatures::of(&packet)
    };
    assert_eq!(changed(9, 17), None, "UDP");
    assert_eq!(changed(7, 1), None, "a later fragment");
    assert_eq!(changed(32, 0x40), None, "a header shorter than it can be");
    assert_eq!(changed(32, 0xf0), None, "a header longer than the packet");
    assert_eq!(changed(6, 0).unwrap().dont_fragment, Some(false));
    assert_eq!(
        changed(3, 0).unwrap().payload_len,
        3,
        "length 0: to the end"
    );
    for (place, value, why) in [
        (42, 0, "the list ends"),
        (42, 0xff, "an option beyond the header"),
        (43, 0, "no length"),
        (43, 9, "another length"),
    ] {
        assert_eq!(changed(place, value).unwrap().timestamps, None, "{why}");
    }
}

/// Connection whose server has sent three segments, a millisecond apart, and an RST of an abort that fits them.
#[derive(Clone)]
struct Told {
    packets: Vec<(PacketFeatures, Header)>,
    reset: PacketFeatures,
    header: Header,
    context: Context,
}

impl Told {
    fn new() -> Self {
        let traits = |n: u16| PacketFeatures {
            ttl: 57,
            ip_id: Some(1000 + n),
            traffic_class: 0x28,
            dont_fragment: Some(true),
            flow_label: None,
            window: 500,
            timestamps: Some(TcpTimestamps {
                value: 7000 + u32::from(n),
                echo: 1,
            }),
            option_bytes: 12,
            payload_len: 0,
        };
        let header = |n: u16| Header {
            frame: u32::from(n),
            at: Timestamp(START.0 + i64::from(n) * MS),
            flags: Flags::ACK,
            window: 500,
            seq: SeqNum(5000),
            timestamps: traits(n).timestamps,
            ..Header::default()
        };
        Self {
            packets: (1..4).map(|n| (traits(n), header(n))).collect(),
            reset: traits(4),
            header: Header {
                flags: Flags::RST.and(Flags::ACK),
                ..header(4)
            },
            context: Context {
                form: Some(Form::Active),
                sender_state: Some(State::Established),
                rcv_nxt: Some(SeqNum(5000)),
                snd_nxt: Some(SeqNum(5000)),
                idle_ns: Some(MS),
                stack: Some(Stack::Linux),
                ..Context::default()
            },
        }
    }

    /// Returns the case with a reply of Linux instead of the abort.
    fn answering() -> Self {
        let mut told = Self::new();
        told.context.form = Some(Form::Passive);
        told.context.answers = Some(true);
        told.header.flags = Flags::RST;
        told.header.timestamps = None;
        told.header.window = 0;
        told.reset.timestamps = None;
        told.reset.option_bytes = 0;
        told.reset.window = 0;
        told.reset.ip_id = Some(0);
        told.reset.traffic_class = 0;
        told
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn habits(&self) -> SenderProfile {
        let mut habits = SenderProfile::default();
        for (traits, header) in &self.packets {
            habits.take(&traits.of_ip(), header, CapturePoint::default());
        }
        habits
    }

    fn facts(&self) -> Vec<Indicator> {
        facts(&self.reset, &self.header, &self.habits(), &self.context)
    }

    /// Returns the evidence of an injection, as `id weight`.
    fn against(&self) -> Vec<String> {
        self.spoken(Supports::Injection)
    }

    fn spoken(&self, direction: Supports) -> Vec<String> {
        let facts = self.facts().into_iter();
        facts
            .filter(|fact| fact.supports == direction)
            .map(|fact| format!("{} {:?}", fact.id, fact.weight))
            .collect()
    }
}

#[test]
fn all_that_fits_speaks_for_the_end() {
    assert!(Told::new().against().is_empty());
    assert_eq!(
        Told::new().spoken(Supports::Endpoint),
        [
            "ip-id-continues Strong",
            "ttl-same Moderate",
            "clock-fits Moderate",
            "dscp-same Weak",
            "window-same Weak",
            "seq-exact Weak"
        ]
    );
}

#[test]
fn an_answer_of_linux_is_not_held_against_its_sender() {
    assert!(
        Told::answering().against().is_empty(),
        "{:?}",
        Told::answering().facts()
    );
    let behind = Told::answering().with(|it| it.header.seq = SeqNum(4900));
    assert!(behind.against().is_empty());
    let asked_ahead = Told::answering().with(|it| it.header.seq = SeqNum(9000));
    assert!(asked_ahead.against().is_empty());
    let again = behind.with(|it| {
        it.context.previous = Some(it.header);
        it.header.seq = SeqNum(5000 + 1460);
        it.context.rcv_nxt = Some(it.header.seq);
    });
    assert!(again.against().is_empty(), "one to each segment");
}

#[test]
fn each_difference_from_the_sender_is_an_indicator() {
    type Change = fn(&mut Told);
    let changes: [(&str, Change); 26] = [
        ("ttl-differs Strong", |it| {
            (it.reset.ttl, it.reset.ip_id) = (243, None);
        }),
        ("ttl-differs Moderate", |it| it.reset.ttl = 243),
        ("ttl-differs Moderate", |it| {
            (it.reset.ttl, it.reset.ip_id) = (56, None);
        }),
        ("ttl-differs Moderate", |it| {
            it.packets.truncate(2);
            (it.reset.ttl, it.reset.ip_id) = (50, None);
        }),
        ("ttl-differs Weak", |it| {
            it.packets[1].0.ttl = 55;
            it.reset.ttl = 54;
        }),
        ("ip-id-zero Moderate", |it| it.reset.ip_id = Some(0)),
        ("ip-id-jumps Moderate", |it| it.reset.ip_id = Some(30_000)),
        ("ip-id-jumps Moderate", |it| it.reset.ip_id = Some(1003)),
        ("ip-id-set Moderate", |it| {
            for (traits, _) in &mut it.packets {
                traits.ip_id = Some(0);
            }
        }),
        ("df-differs Moderate", |it| {
            (it.reset.dont_fragment, it.reset.ip_id) = (Some(false), None);
        }),
        ("dscp-differs Weak", |it| it.reset.traffic_class = 0),
        ("window-zero Weak", |it| it.header.window = 0),
        ("window-differs Weak", |it| it.header.window = 8192),
        ("timestamps-missing Weak", |it| it.reset.timestamps = None),
        ("timestamps-unused Moderate", |it| {
            for (_, header) in &mut it.packets {
                header.timestamps = None;
            }
        }),
        ("clock-behind Moderate", |it| stamp(it, 6900)),
        ("clock-ahead Moderate", |it| stamp(it, 7003 + 20_000)),
        ("clock-stopped Moderate", |it| {
            it.header.at.0 += 3000 * MS;
            stamp(it, 7003);
        }),
        ("seq-ahead Weak", |it| it.header.seq = SeqNum(5000 + 2920)),
        ("seq-behind Moderate", |it| it.header.seq = SeqNum(4000)),
        ("seq-behind Weak", |it| it.header.seq = SeqNum(4999)),
        ("seq-raised Strong", |it| {
            raise(it, 2 * 1400);
            it.context.mss = Some(1400);
        }),
        ("seq-raised Moderate", |it| raise(it, 7)),
        ("repeated Weak", |it| it.context.previous = Some(it.header)),
        ("payload Weak", |it| it.reset.payload_len = 9),
        ("too-fast Strong", |it| {
            it.context.rtt = rtt(40 * MS, 2);
            it.context.reaction_ns = Some(3 * MS);
        }),
    ];
    for (expected, change) in changes {
        assert_eq!(Told::new().with(change).against(), [expected]);
    }
}

#[allow(clippy::unnecessary_wraps)] // as it stands in the context
fn rtt(least_ns: i64, replies: u8) -> Option<Rtt> {
    Some(Rtt { least_ns, replies })
}

fn stamp(told: &mut Told, value: u32) {
    told.reset.timestamps = Some(TcpTimestamps { value, echo: 1 });
}

fn raise(told: &mut Told, by: u32) {
    told.context.previous = Some(Header {
        seq: SeqNum(5000_u32.wrapping_sub(by)),
        ..told.header
    });
}

#[test]
fn a_number_ahead_is_counted_in_segments() {
    let ahead = |by: u32| {
        let told = Told::new().with(|it| it.header.seq = SeqNum(5000 + by));
        let facts = told.facts();
        let fact = facts.iter().find(|fact| fact.id == "seq-ahead").unwrap();
        fact.message.contains("times 1460")
    };
    assert!(ahead(4380));
    assert!(!ahead(4381));
}

#[test]
fn ipv6_has_labels_instead_of_ids() {
    let labelled = Told::new().with(|it| {
        let all = it.packets.iter_mut().map(|(traits, _)| traits);
        for traits in all.chain([&mut it.reset]) {
            (traits.ip_id, traits.dont_fragment) = (None, None);
            traits.flow_label = Some(0x12345);
        }
    });
    assert!(labelled.against().is_empty());
    let supports = labelled.spoken(Supports::Endpoint);
    assert!(supports.contains(&"flow-label-same Moderate".to_owned()));
    // `nf_reject_ip6hdr_put()` writes no label, and the kernel labels all that it sends (`ip6_make_flowlabel()`).
    let none = labelled.clone().with(|it| it.reset.flow_label = Some(0));
    assert_eq!(none.against(), ["flow-label-zero Moderate"]);
    let none = none.with(|it| it.context.form = Some(Form::Passive));
    assert_eq!(none.against(), ["flow-label-zero Moderate"]);
    // Other systems label some packets only.
    let of_other = none.with(|it| it.context.stack = Some(Stack::Freebsd));
    assert!(of_other.against().is_empty());
    let other = labelled.clone().with(|it| it.reset.flow_label = Some(1));
    assert_eq!(other.against(), ["flow-label-differs Weak"]);
    let answer = other.with(|it| it.context.form = Some(Form::Passive));
    assert!(answer.against().is_empty());
    let varies = labelled.with(|it| {
        it.packets[0].0.flow_label = Some(1);
        it.reset.flow_label = Some(2);
    });
    assert!(varies.against().is_empty());
}

#[test]
fn a_reply_without_a_trigger_is_an_indicator() {
    let told = Told::answering().with(|it| it.context.answers = Some(false));
    assert_eq!(told.against(), ["answers-nothing Weak"]);
    // Its SEQ is that of the segment that it answers, so it lags behind what the sender has sent since.
    let behind = told.clone().with(|it| it.header.seq = SeqNum(4000));
    assert_eq!(behind.against(), ["answers-nothing Weak"]);
    let incomplete = told.with(|it| it.context.answers = None);
    assert!(incomplete.against().is_empty());
    let formless = Told::answering().with(|it| it.context.differs_from_linux = true);
    assert!(
        formless
            .against()
            .contains(&"no-linux-form Moderate".to_owned())
    );
}

#[test]
fn times_are_shown_in_milliseconds() {
    let told = [0, 12_345, 1_002_999, -3_004_000].map(milliseconds);
    assert_eq!(told, ["0.000 ms", "0.012 ms", "1.002 ms", "-3.004 ms"]);
}

#[test]
fn nothing_is_concluded_from_nothing() {
    let told = Told::new().with(|it| {
        it.packets.clear();
        it.context = Context {
            form: Some(Form::Active),
            ..Context::default()
        };
    });
    assert!(told.facts().is_empty(), "{:?}", told.facts());
}

#[test]
fn a_sender_is_known_by_its_segments_alone() {
    assert_eq!(size_of::<SenderProfile>(), 52);
    let told = Told::new();
    let mut habits = told.habits();
    let before = format!("{habits:?}");
    habits.take(&told.reset.of_ip(), &told.header, CapturePoint::default());
    assert_eq!(format!("{habits:?}"), before, "an RST is no habit");
    assert_eq!(
        habits.ip_ids(),
        IpIds::Counter {
            last: 1003,
            step: 1
        }
    );

    // A SYN-ACK of Linux has ID 0 and an unscaled window, and only offers timestamps.
    let mut habits = SenderProfile::default();
    let syn_ack = Header {
        flags: Flags::SYN.and(Flags::ACK),
        ..told.packets[0].1
    };
    let zero = PacketFeatures {
        ip_id: Some(0),
        ..told.packets[0].0
    };
    habits.take(&zero.of_ip(), &syn_ack, CapturePoint::default());
    assert_eq!(habits.ip_ids(), IpIds::Unknown);
    assert_eq!((habits.window(), habits.is_stamped()), (None, None));
    assert!(habits.clock(told.header.at).is_some());
    habits.take(
        &told.packets[0].0.of_ip(),
        &told.packets[0].1,
        CapturePoint::default(),
    );
    assert_eq!(habits.ip_ids(), IpIds::One { last: 1001 });
    for (traits, header) in &told.packets {
        habits.take(
            &PacketFeatures {
                ip_id: Some(traits.ip_id.unwrap().wrapping_mul(20_001)),
                ..*traits
            }
            .of_ip(),
            header,
            CapturePoint::default(),
        );
    }
    assert_eq!(habits.ip_ids(), IpIds::Unknown, "as chance has it");
}

/// Returns the facts from the segments after the RST of `told`.
fn after(told: &Told, segments: &[Header]) -> Vec<(&'static str, Weight)> {
    let mut sequel = Aftermath::default();
    for segment in segments {
        sequel.take(&told.header, segment);
    }
    let facts = later(&told.header, &told.context, &sequel);
    facts.iter().map(|fact| (fact.id, fact.weight)).collect()
}

#[test]
fn an_end_that_goes_on_did_not_reset() {
    let told = Told::new();
    let later = |ms: i64, len: u32| Header {
        at: Timestamp(told.header.at.0 + ms * MS),
        payload_len: len,
        ..told.packets[2].1
    };
    let old = Header {
        seq: SeqNum(4000),
        ..later(1, 1000)
    };
    let reset = Header {
        flags: Flags::RST,
        ..later(1, 0)
    };
    let syn = Header {
        flags: Flags::SYN,
        ..later(1, 0)
    };
    assert_eq!(after(&told, &[]), []);
    assert_eq!(after(&told, &[reset]), []);
    assert_eq!(after(&told, &[syn, later(2, 10)]), [], "another connection");
    assert_eq!(after(&told, &[old]), [("went-on-ack", Weight::Weak)]);
    assert_eq!(
        after(&told, &[later(200, 0)]),
        [("went-on-ack", Weight::Moderate)]
    );
    assert_eq!(
        after(&told, &[old, later(1, 10)]),
        [("went-on-data", Weight::Strong)]
    );

    let answering = Told::answering();
    assert_eq!(
        after(&answering, &[later(1, 10)]),
        [("went-on-data", Weight::Moderate)]
    );
    assert_eq!(
        after(&answering, &[later(200, 10)]),
        [("went-on-data", Weight::Strong)]
    );
    for state in [
        State::SynSent,
        State::SynReceived,
        State::Listen,
        State::TimeWait,
    ] {
        let told = answering
            .clone()
            .with(|it| it.context.sender_state = Some(state));
        assert_eq!(after(&told, &[later(200, 10)]), [], "{state}: it may");
    }
}

#[test]
fn a_syn_that_is_refused_is_not_accepted() {
    let told = Told::new().with(|it| {
        it.context.form = Some(Form::PassiveAck);
        it.header.seq = SeqNum(0);
        it.header.ack = SeqNum(77);
    });
    let syn_ack = |ack: u32| Header {
        flags: Flags::SYN.and(Flags::ACK),
        ack: SeqNum(ack),
        ..told.packets[2].1
    };
    assert_eq!(
        after(&told, &[syn_ack(77)]),
        [("went-on-accept", Weight::Strong)]
    );
    assert_eq!(after(&told, &[syn_ack(78)]), []);
    // Windows sends a refused SYN again, and the server may have been started meanwhile.
    let retried = Header {
        at: Timestamp(told.header.at.0 + 500 * MS),
        ..syn_ack(77)
    };
    assert_eq!(after(&told, &[retried]), [("went-on-accept", Weight::Weak)]);
}

#[test]
fn the_json_form_has_what_an_indicator_supports() {
    let told = Told::new().with(|it| {
        (it.reset.ttl, it.reset.ip_id) = (243, None);
    });
    let facts = told.facts();
    assert_eq!(
        serde_json::to_string(&facts[0]).unwrap(),
        "{\"id\":\"ttl-differs\",\"supports\":\"injection\",\"weight\":\"strong\",\
         \"message\":\"TTL 243, 186 different from the sender's other packets (57)\"}"
    );
    let json = serde_json::to_value(&facts[1]).unwrap();
    assert_eq!(json["supports"], "endpoint");
}

fn any_traits() -> impl Strategy<Value = PacketFeatures> {
    let stamps = prop::option::of((any::<u32>(), any::<u32>()));
    let ip = (
        any::<u8>(),
        prop::option::of(any::<u16>()),
        any::<u8>(),
        prop::option::of(any::<bool>()),
    );
    (
        ip,
        prop::option::of(any::<u32>()),
        any::<u16>(),
        stamps,
        any::<u32>(),
    )
        .prop_map(
            |(
                (ttl, ip_id, traffic_class, dont_fragment),
                flow_label,
                window,
                stamps,
                payload_len,
            )| PacketFeatures {
                ttl,
                ip_id,
                traffic_class,
                dont_fragment,
                flow_label,
                window,
                timestamps: stamps.map(|(value, echo)| TcpTimestamps { value, echo }),
                option_bytes: 0,
                payload_len,
            },
        )
}

fn any_header() -> impl Strategy<Value = Header> {
    (
        any::<u8>(),
        any::<u32>(),
        any::<u32>(),
        any::<i64>(),
        any::<u16>(),
        any::<u32>(),
    )
        .prop_map(|(flags, seq, ack, at, window, payload_len)| Header {
            flags: Flags(flags),
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            at: Timestamp(at),
            window,
            payload_len,
            ..Header::default()
        })
}

fn any_context() -> impl Strategy<Value = Context> {
    let form = prop::option::of(prop::sample::select(vec![
        Form::Active,
        Form::Passive,
        Form::PassiveAck,
    ]));
    let numbers = (
        prop::option::of(any::<u32>()),
        prop::option::of(any::<u32>()),
        prop::option::of(any::<u16>()),
    );
    let times = (
        prop::option::of(any::<i64>()),
        prop::option::of(any::<i64>()),
    );
    (
        form,
        numbers,
        times,
        prop::option::of(any::<bool>()),
        prop::option::of(any_header()),
    )
        .prop_map(
            |(form, (rcv_nxt, snd_nxt, mss), (rtt_ns, reaction_ns), answers, previous)| Context {
                form,
                differs_from_linux: form.is_none(),
                sender_state: Some(State::Established),
                rcv_nxt: rcv_nxt.map(SeqNum),
                snd_nxt: snd_nxt.map(SeqNum),
                mss,
                answers,
                asked_for: [rcv_nxt.map(SeqNum), None],
                rtt: rtt_ns.map(|least_ns| Rtt {
                    least_ns,
                    replies: 2,
                }),
                reaction_ns,
                far_ns: rtt_ns,
                idle_ns: reaction_ns,
                previous,
                ..Context::default()
            },
        )
}

proptest! {
    #![proptest_config(Config {
        cases: 2048,
        rng_seed: RngSeed::Fixed(2009),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn no_bytes_make_it_panic(mut packet in prop::collection::vec(any::<u8>(), 0..120), v6: bool) {
        let _ = PacketFeatures::of(&packet);
        if let Some(first) = packet.first_mut() {
            *first = if v6 { 0x60 } else { 0x45 };
        }
        if let Some(protocol) = packet.get_mut(if v6 { 6 } else { 9 }) {
            *protocol = 6;
        }
        let _ = PacketFeatures::of(&packet);
    }

    #[test]
    fn no_field_values_make_it_panic(
        packets in prop::collection::vec((any_traits(), any_header()), 0..6),
        reset in any_traits(),
        header in any_header(),
        context in any_context(),
    ) {
        let (mut habits, mut sequel) = (SenderProfile::default(), Aftermath::default());
        for (traits, segment) in &packets {
            habits.take(&traits.of_ip(), segment, CapturePoint::default());
            sequel.take(&header, segment);
        }
        let facts = facts(&reset, &header, &habits, &context);
        prop_assert!(facts.is_sorted_by_key(|fact| fact.supports == Supports::Endpoint));
        let _ = later(&header, &context, &sequel);
    }
}

/// The age of a `TSval` is given in milliseconds, and not in the units in which a profile stores it.
#[test]
fn the_age_of_a_clock_is_in_milliseconds() {
    let mut told = Told::new();
    told.header.at.0 += 60_000 * MS;
    stamp(&mut told, 7003);
    let facts = told.facts();
    let stopped = facts.iter().find(|it| it.id == "clock-stopped").unwrap();
    let age = stopped.message.split(' ').rev().nth(2).unwrap();
    let age: i64 = age.parse().unwrap();
    assert!((60_000..60_010).contains(&age), "{}", stopped.message);
}
