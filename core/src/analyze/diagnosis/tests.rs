//! Tests with options and payloads built by hand, as the RFCs and drafts draw them.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::*;

/// Returns an IPv4 packet with these TCP flags, options and payload.
fn packet(flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(40 + options.len() + payload.len()).unwrap();
    // IPv4: version and header length, DSCP, total length, ID, DF, TTL, protocol, checksum, addresses.
    let mut bytes = vec![0x45, 0];
    bytes.extend(len.to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    // TCP: ports, SEQ, ACK, data offset, flags, window, checksum, urgent pointer.
    bytes.extend([0, 80, 0x9c, 0x40, 0, 0, 0, 9, 0, 0, 0, 7]);
    let words = u8::try_from(5 + options.len() / 4).unwrap();
    bytes.extend([words << 4, flags, 0, 0, 0, 0, 0, 0]);
    bytes.extend(options);
    bytes.extend(payload);
    bytes
}

fn said_with(options: &[u8]) -> Vec<Diagnostic> {
    of(&packet(0x14, options, &[]))
}

fn said_in(payload: &[u8]) -> Vec<Diagnostic> {
    of(&packet(4, &[], payload))
}

fn reason(code: u64, pen: u64) -> Diagnostic {
    Diagnostic::Reason {
        code: Some(code),
        pen,
        description: None,
    }
}

#[test]
fn most_payloads_of_an_rst_have_no_diagnosis() {
    assert_eq!(said_in(&[]), []);
    assert_eq!(said_with(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]), []);
    assert_eq!(of(&packet(0x10, &[], b"no RST")), []);
    // MP_CAPABLE and ADD_ADDR do not end anything.
    assert_eq!(said_with(&[30, 4, 0x01, 0x81, 30, 4, 0x30, 1]), []);
}

/// Examples in figures 1 to 4 of draft-ietf-tcpm-rst-diagnostic-payload-02.
#[test]
fn a_diagnostic_payload_is_eight_bytes() {
    assert_eq!(said_in(&[0x33, 0xaa, 0, 2, 0, 0, 0, 0]), [reason(2, 0)]);
    let timeout = reason(14, 0);
    assert_eq!(
        said_in(&[0x33, 0xaa, 0, 0x0e, 0, 0, 0, 0]),
        std::slice::from_ref(&timeout)
    );
    assert_eq!(
        timeout.to_string(),
        "diagnostic payload: reason 14 (connection timeout)"
    );
    let vendors = reason(1234, 32473);
    let bytes = [0x33, 0xaa, 4, 0xd2, 0, 0, 0x7e, 0xd9];
    assert_eq!(said_in(&bytes), std::slice::from_ref(&vendors));
    assert_eq!(
        vendors.to_string(),
        "diagnostic payload: reason 1234 of enterprise 32473"
    );
    for wrong in [&bytes[..7], &[0x33, 0xaa], &[0x33, 0xaa, 0, 0, 0, 0, 0, 0]] {
        assert_malformed(&said_in(wrong), "diagnostic-payload");
    }
    let long = [&bytes[..], &[0]].concat();
    assert_malformed(&said_in(&long), "diagnostic-payload");
}

fn assert_malformed(said: &[Diagnostic], expected: &str) {
    assert!(
        matches!(said, [Diagnostic::Malformed { part, .. }] if *part == expected),
        "{said:?}"
    );
}

#[test]
fn the_cbor_form_of_older_drafts_is_read() {
    let bare = [0x19, 0x30, 0x39, 0xa1, 1, 2];
    assert_eq!(said_in(&bare), [reason(2, 0)]);
    assert_eq!(said_in(&[&[0x82], &bare[..]].concat()), [reason(2, 0)]);
    let vendors = [
        0x19, 0x30, 0x39, 0xa2, 1, 0x19, 4, 0xd2, 2, 0x19, 0x7e, 0xd9,
    ];
    assert_eq!(said_in(&vendors), [reason(1234, 32473)]);
    let text = b"\x19\x30\x39\xa1\x03\x67no\x1broom";
    let Diagnostic::Reason { description, .. } = &said_in(text)[0] else {
        panic!("{:?}", said_in(text));
    };
    assert_eq!(description.as_deref(), Some("no\\u{1b}room"));
    for map in [
        &[][..],
        &[0xa0],                // nothing in it
        &[0xa1, 1],             // cut
        &[0xa1, 2, 7],          // an enterprise alone
        &[0xa1, 4, 1],          // an unknown key
        &[0xa2, 1, 2, 1, 3],    // a key twice
        &[0xa1, 1, 2, 0],       // more behind it
        &[0xa1, 1, 0x61, b'x'], // text for a number
        &[0xa1, 3, 0x61, 0xff], // no UTF-8
        &[0xa1, 3, 0x7f, 0x61], // of indefinite length
        &[0xa1, 3, 0x7b, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0xbb, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0xa1, 1, 0x1c], // reserved
    ] {
        let payload = [&[0x19, 0x30, 0x39], map].concat();
        assert_malformed(&said_in(&payload), "diagnostic-payload");
    }
}

/// Options of RFC 8684, 3.6, 3.5 and 3.7.
#[test]
fn multipath_tcp_reset_reasons_are_read_from_options() {
    let reset = Diagnostic::SubflowReset { flags: 1, code: 6 };
    assert_eq!(said_with(&[30, 4, 0x81, 6]), std::slice::from_ref(&reset));
    assert_eq!(
        reset.to_string(),
        "MP_TCPRST: reason 6 (middlebox interference), transient"
    );
    for (reason, name) in [
        "unspecified",
        "MPTCP-specific",
        "lack",
        "admin",
        "too much",
        "unacceptable",
        "middlebox",
    ]
    .into_iter()
    .enumerate()
    {
        let said = said_with(&[30, 4, 0x80, u8::try_from(reason).unwrap()]);
        assert!(said[0].to_string().contains(name) && !said[0].is_transient());
    }
    assert!(
        said_with(&[30, 4, 0x80, 7])[0]
            .to_string()
            .contains("not registered")
    );
    let fast_close = [
        30, 12, 0x70, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
    ];
    let both = [&fast_close[..], &[30, 4, 0x80, 0]].concat();
    assert_eq!(
        said_with(&both),
        [
            Diagnostic::FastClose {
                key: 0x1122_3344_5566_7788
            },
            Diagnostic::SubflowReset { flags: 0, code: 0 }
        ]
    );
    assert_eq!(
        said_with(&[30, 12, 0x60, 0, 0, 0, 0, 0, 0, 0, 1, 2]),
        [Diagnostic::ChecksumFailed { data_seq: 258 }]
    );
    for wrong in [
        &[30, 2, 1, 1][..],
        &[30, 3, 0x80, 1],
        &[30, 6, 0x80, 1, 0, 0, 1, 1],
        &[30, 4, 0x70, 0],
        &[30, 8, 0x60, 0, 0, 0, 0, 0],
    ] {
        assert_malformed(&said_with(wrong), "mptcp-option");
    }
    assert_malformed(&said_with(&[30, 12, 0x70, 0]), "options");
    assert_malformed(&said_with(&[1, 1, 1, 30]), "options");
    assert_malformed(&said_with(&[30, 0, 0, 0]), "options");
}

#[test]
fn an_invalid_diagnostic_header_is_reported() {
    let mut bytes = packet(4, &[], &[]);
    bytes[32] = 0x40;
    assert_malformed(&of(&bytes), "header");
    bytes[32] = 0x60;
    assert_malformed(&of(&bytes), "header");
}

#[test]
fn control_characters_in_payload_text_are_escaped() {
    let text = |payload: &[u8]| match &said_in(payload)[..] {
        [Diagnostic::Text { text, complete, .. }] => Some((text.clone(), *complete)),
        _ => None,
    };
    let expected = Some(("Go away, we're not home".to_owned(), true));
    assert_eq!(text(b"Go away, we're not home"), expected);
    assert_eq!(text(b"Go away, we're not home\0"), expected);
    assert_eq!(text(b"a\r\nb"), Some(("a\\r\\nb".to_owned(), true)));
    assert_eq!(
        text("\u{202e}ab".as_bytes()),
        Some(("\\u{202e}ab".to_owned(), true))
    );
    let long = "é".repeat(200);
    let (shown, whole) = text(long.as_bytes()).unwrap();
    assert_eq!((shown.chars().count(), whole), (128, false));
    let odd = format!("x{long}");
    assert_eq!(text(odd.as_bytes()).unwrap().0.chars().count(), 128);
    for binary in [&b"\0"[..], b"\0\0", b"\x1b[2J", b"\xff", b"ab\xc3"] {
        assert_eq!(text(binary), None, "{binary:?}");
    }
    let Diagnostic::Bytes { hex, len } = &said_in(&[0xab; 1000])[0] else {
        panic!("no text");
    };
    assert_eq!((hex.len(), len), (64, &1000));
}

#[test]
fn every_prefix_of_a_packet_is_read_without_complaint() {
    let options = [30, 12, 0x70, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let samples = [
        packet(4, &options, b"some words"),
        packet(4, &[], &[0x33, 0xaa, 0, 2, 0, 0, 0, 0]),
        packet(4, &[], &[0x19, 0x30, 0x39, 0xa1, 1, 2]),
    ];
    for sample in &samples {
        let whole = of(sample);
        for len in 0..sample.len() {
            let said = of(&sample[..len]);
            let is_malformed = |said: &Diagnostic| said.id() == "malformed";
            assert!(!said.iter().any(is_malformed), "{len}: {said:?}");
            assert!(said.len() <= whole.len(), "{len}: {said:?}");
        }
    }
    let cut = &samples[0][..samples[0].len() - 3];
    assert_eq!(
        of(cut)[1],
        Diagnostic::Text {
            text: "some wo".into(),
            len: 10,
            complete: false
        }
    );
    let with_trailer = [&samples[1][..], &[0; 6]].concat();
    assert_eq!(of(&with_trailer), [reason(2, 0)]);
}

#[test]
fn the_json_form_has_all_fields() {
    let json = |said: &Diagnostic| serde_json::to_string(said).unwrap();
    assert_eq!(
        json(&reason(9, 0)),
        "{\"id\":\"payload-reason\",\"message\":\"diagnostic payload: reason 9 (not authorized)\",\"code\":9,\"pen\":0,\
         \"name\":\"not authorized\",\"description\":null}"
    );
    assert_eq!(
        json(&Diagnostic::FastClose { key: 1 }),
        "{\"id\":\"mptcp-fastclose\",\"message\":\"MP_FASTCLOSE: key 0000000000000001\",\"key\":\"0000000000000001\"}"
    );
    assert!(json(&reason(9, 7)).contains("\"name\":null"));
    for said in said_with(&[30, 4, 0x81, 6])
        .iter()
        .chain(&said_in(b"text"))
        .chain(&said_in(&[0]))
    {
        assert!(json(said).starts_with(&format!("{{\"id\":\"{}\",\"message\":", said.id())));
    }
    assert!(json(&said_with(&[30, 4, 0x70, 0])[0]).contains("\"part\":\"mptcp-option\""));
    assert!(json(&Diagnostic::ChecksumFailed { data_seq: 5 }).contains("\"data_seq\":\"5\""));
}

proptest! {
    #![proptest_config(Config {
        cases: 2048,
        rng_seed: RngSeed::Fixed(8684),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn no_bytes_make_it_panic(
        mut options in prop::collection::vec(any::<u8>(), 0..40),
        payload in prop::collection::vec(any::<u8>(), 0..80),
        magic in prop::sample::select(vec![&[][..], &MAGIC, &[0x19, 0x30, 0x39], &[0x19, 0x30, 0x39, 0xa3]]),
        cut in any::<prop::sample::Index>(),
    ) {
        let _ = of(&payload);
        options.truncate(options.len() / 4 * 4);
        let packet = packet(4, &options, &[magic, &payload[..]].concat());
        for said in of(&packet).iter().chain(&of(&packet[..cut.index(packet.len())])) {
            let line = said.to_string();
            prop_assert!(line.len() < 2200 && !line.contains(char::is_control), "{line}");
            prop_assert!(serde_json::to_string(said).is_ok());
        }
    }
}
