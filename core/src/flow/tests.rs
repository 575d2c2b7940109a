//! Tests of what only the module can see: the fast path, and the ring of sent segments.

use super::endpoint::ONE_SENT;
use super::*;

/// The fast path is taken by most segments of a complete connection, and gives the same result as the full path
/// for any segments in any order.
#[test]
fn the_fast_path_gives_the_same_flow_as_the_slow_one() {
    let mut number = 1_u32;
    // xorshift32 (Marsaglia, 2003).
    let mut random = move |below: u32| {
        number ^= number << 13;
        number ^= number >> 17;
        number ^= number << 5;
        number % below
    };
    let mut short_ways = 0;
    for _ in 0..2_000 {
        let (mut short, mut long) = (Flow::learning(), Flow::learning());
        let mut next = [SeqNum(random(10)), SeqNum(u32::MAX - random(10))];
        for frame in 1..40 {
            let from = random(2) as usize;
            let role = [Role::Client, Role::Server][from];
            let flags = match (frame, random(30)) {
                (1, _) => Flags::SYN,
                (2, _) => Flags::SYN.and(Flags::ACK),
                (_, 0) => Flags::FIN.and(Flags::ACK),
                (_, 1) => Flags::RST,
                (_, 2) => Flags(0),
                _ => Flags::ACK,
            };
            let off = |random: &mut dyn FnMut(u32) -> u32| match random(10) {
                0 => u32::MAX,
                1 => 3,
                _ => 0,
            };
            let header = Header {
                frame,
                flags,
                seq: next[from].plus(off(&mut random)),
                ack: next[1 - from].plus(off(&mut random)),
                payload_len: random(3) * 5,
                timestamps: (random(4) > 0).then(|| TcpTimestamps {
                    value: frame + random(2) * 3,
                    echo: frame,
                }),
                sack_edge: (random(9) == 0).then_some(SeqNum(random(50))),
                ..Header::default()
            };
            if header.seq == next[from] {
                next[from] = header.seq_end();
            }
            short_ways += u32::from(short.follow(role, &header).is_none());
            long.observe_at(role, &header, true, true);
            assert_eq!(short, long, "{header:?}");
        }
    }
    assert!(short_ways > 1_000, "{short_ways}");
}

/// A slot of the ring that was never written matches no RST. Among the written ones the latest match is found,
/// and none that has left the ring.
#[test]
fn only_a_segment_that_was_sent_draws_a_reset() {
    let mut end = Endpoint::new(State::Established);
    let reset = |number| Header {
        seq: SeqNum(number),
        ack: SeqNum(number),
        ..Header::default()
    };
    for form in [Form::Active, Form::Passive, Form::PassiveAck] {
        assert_eq!(end.triggered_by(form, &reset(0)), None);
    }
    let (mut with_ack, mut without) = (Vec::new(), Vec::new());
    for frame in 0..40 {
        let has_ack = frame % 3 > 0;
        end.remember(frame, has_ack, SeqNum(frame / 6));
        let sent = if has_ack { &mut with_ack } else { &mut without };
        sent.push(frame);
        for number in 0..8 {
            let latest = |sent: &[u32]| {
                let fits = |it: &&u32| **it + 8 > frame && **it / 6 == number;
                sent.iter().copied().rev().find(|it| fits(&it))
            };
            assert_eq!(
                end.triggered_by(Form::Passive, &reset(number)),
                latest(&with_ack)
            );
            assert_eq!(
                end.triggered_by(Form::PassiveAck, &reset(number)),
                latest(&without)
            );
            assert_eq!(end.triggered_by(Form::Active, &reset(number)), None);
        }
    }
    assert_eq!(end.bits & (ONE_SENT - 1), 0);
}
