//! Tests with kinds of packets that public captures hold: other stacks than Linux, counters of hosts, and devices.

use super::super::hosts::Scope;
use super::*;

#[test]
fn nobody_is_too_fast_where_the_way_is_short() {
    let told = |least_ns, replies, reaction_ns| {
        let told = Told::new().with(|it| {
            it.context.rtt = rtt(least_ns, replies);
            it.context.reaction_ns = Some(reaction_ns);
        });
        let in_time = told
            .spoken(Supports::Endpoint)
            .contains(&"in-time Weak".to_owned());
        (told.against().pop().unwrap_or_default(), in_time)
    };
    let too_fast = |weight: &str| (format!("too-fast {weight}"), false);
    let nothing = (String::new(), false);
    assert_eq!(told(30_000, 9, 1), nothing);
    assert_eq!(told(4 * MS, 2, MS), too_fast("Moderate"));
    assert_eq!(told(4 * MS, 2, 2 * MS), nothing);
    assert_eq!(told(4 * MS, 2, 4 * MS), (String::new(), true));
    assert_eq!(told(4 * MS, 2, 9 * MS), nothing);
    assert_eq!(told(4 * MS, 2, -MS), nothing);
    // A single handshake may have waited for address resolution, but not for a third of a second.
    assert_eq!(told(15 * MS, 1, MS / 2), too_fast("Weak"));
    assert_eq!(told(30 * MS, 1, MS), too_fast("Moderate"));
    assert_eq!(told(318 * MS, 1, 7 * MS), too_fast("Strong"));
    assert_eq!(told(30 * MS, 3, MS), too_fast("Strong"));
}

/// An RST without ACK acknowledges nothing. A device may send it for a reason of its own, just when data are under way.
#[test]
fn an_early_rst_that_acknowledges_nothing_is_no_indicator() {
    let told = |stack, least_ns| {
        let told = Told::answering().with(|it| {
            it.context.stack = stack;
            it.context.rtt = rtt(least_ns, 3);
            it.context.reaction_ns = Some(MS);
        });
        told.against()
    };
    assert_eq!(told(Some(Stack::Linux), 100 * MS), ["too-fast Moderate"]);
    assert_eq!(told(None, 100 * MS), ["too-fast Weak"]);
    assert!(told(Some(Stack::Linux), 900 * MS).is_empty());
}

/// Windows aborts with window 0, replies with RST and ACK, and numbers packets by one counter; none of it is a mark.
#[test]
fn usual_behaviour_of_other_stacks_is_no_indicator() {
    for stack in [None, Some(Stack::Windows)] {
        let told = Told::new().with(|it| {
            it.context.stack = stack;
            it.header.window = 0;
            it.context.form = Some(Form::Active);
        });
        assert!(told.against().is_empty(), "{:?}", told.against());
        let formless = told.clone().with(|it| {
            it.context.form = None;
            it.header.flags = Flags::RST;
            it.header.ack = SeqNum(77);
            it.reset.timestamps = None;
        });
        assert!(formless.against().is_empty(), "{:?}", formless.against());
        let asked = told.with(|it| {
            it.header.seq = SeqNum(4265);
            it.context.asked_for = [Some(SeqNum(5000)), Some(SeqNum(4265))];
        });
        assert!(asked.against().is_empty(), "{:?}", asked.against());
    }
}

/// The counter is that of the host: its packets of other connections and of other protocols lie in between.
#[test]
fn a_counter_of_the_host_is_compared_with_the_host() {
    let told = |id: u16, host| {
        Told::new().with(|it| {
            it.reset.ip_id = Some(id);
            it.context.host = host;
        })
    };
    let of = |told: &Told, direction| -> Vec<String> {
        let mut all = told.spoken(direction);
        all.retain(|it| it.starts_with("ip-id"));
        all
    };
    let before = |age, scope| HostIds::new(8000, age, scope);
    let continues = told(8001, before(9, Scope::Host));
    assert!(of(&continues, Supports::Injection).is_empty());
    assert_eq!(
        of(&continues, Supports::Endpoint),
        ["ip-id-continues Strong"]
    );
    let unknown = told(8001, before(9, Scope::Unknown));
    assert_eq!(
        of(&unknown, Supports::Endpoint),
        ["ip-id-continues Moderate"]
    );
    let jumps = told(40_000, before(9, Scope::Host));
    assert_eq!(of(&jumps, Supports::Injection), ["ip-id-jumps Moderate"]);
    // While the host sends to others, its counter goes on.
    let idle = told(40_000, before(60_000, Scope::Host));
    assert!(of(&idle, Supports::Injection).is_empty());
    let overtaken = told(7990, before(9, Scope::Host));
    assert!(of(&overtaken, Supports::Injection).is_empty());
    // A counter of the connection does not go on while the connection is idle.
    let own =
        |scope| told(2500, before(9, scope)).with(|it| it.context.idle_ns = Some(60_000 * MS));
    assert_eq!(
        of(&own(Scope::Connection), Supports::Injection),
        ["ip-id-jumps Moderate"]
    );
    assert!(of(&own(Scope::Unknown), Supports::Injection).is_empty());
}

/// Returns a server whose handshake a device made, and whose data come from further away.
fn behind_a_device() -> Told {
    Told::new().with(|it| {
        for (nth, (traits, header)) in it.packets.iter_mut().enumerate() {
            let is_data = nth == 2;
            traits.ttl = if is_data { 53 } else { 245 };
            traits.dont_fragment = Some(is_data);
            traits.ip_id = Some(if is_data { 47_831 } else { 42_734 });
            header.payload_len = if is_data { 715 } else { 0 };
        }
        it.reset.ttl = 245;
        it.reset.dont_fragment = Some(false);
        it.reset.ip_id = Some(26_475);
    })
}

#[test]
fn two_senders_behind_one_address_are_distinguished() {
    let told = behind_a_device();
    assert_eq!(told.against()[0], "two-senders Moderate");
    // From the host itself.
    let own = behind_a_device().with(|it| it.reset.ttl = 53);
    assert!(!own.against().contains(&"two-senders Moderate".to_owned()));
    // A route that changed is no other stack.
    let rerouted = behind_a_device().with(|it| {
        for (traits, _) in &mut it.packets {
            traits.dont_fragment = Some(true);
            traits.ip_id = Some(0);
        }
    });
    assert!(
        !rerouted
            .against()
            .contains(&"two-senders Moderate".to_owned())
    );
}

/// Citrix CTX200852: 9300 is a connection that was idle.
#[test]
fn the_reset_codes_of_a_netscaler_are_known() {
    let told = |window: u16, usual: u16| {
        let told = Told::new().with(|it| {
            it.header.window = window;
            it.reset.timestamps = None;
            for (_, header) in &mut it.packets {
                header.timestamps = None;
                header.window = usual;
            }
        });
        let all = told.facts();
        all.iter().any(|it| it.id == "netscaler-code")
    };
    assert!(told(9300, 492));
    assert!(told(9700, 65_000));
    assert!(!told(9299, 492));
    assert!(!told(9300, 9000), "an ordinary window");
}

/// Swapping the addresses of a segment leaves its IP ID (RFC 791, 3.1); a counter is at another number.
#[test]
fn an_ip_id_of_the_receiver_is_copied() {
    let of = |told: &Told| -> Vec<String> {
        let mut all = told.against();
        all.retain(|it| it.starts_with("ip-id"));
        all
    };
    let told = |id: u16, receiver| {
        Told::answering().with(|it| {
            it.reset.ip_id = Some(id);
            it.context.receiver_ids = receiver;
        })
    };
    let counter = ReceiverIds::new(40_000, true);
    let random = ReceiverIds::new(40_000, false);
    assert_eq!(of(&told(40_000, counter)), ["ip-id-copied Moderate"]);
    assert_eq!(of(&told(40_000, random)), ["ip-id-copied Moderate"]);
    // One packet of a counter before, which another RST has to confirm.
    assert_eq!(of(&told(39_940, counter)), ["ip-id-copied Weak"]);
    assert_eq!(of(&told(39_940, random)), ["ip-id-jumps Weak"]);
    assert_eq!(of(&told(39_935, counter)), ["ip-id-jumps Weak"]);
    assert_eq!(of(&told(40_001, counter)), ["ip-id-jumps Weak"]);
    // An abort of the socket continues the counter of the socket.
    let abort = Told::new().with(|it| {
        it.reset.ip_id = Some(39_940);
        it.context.receiver_ids = counter;
    });
    assert_eq!(of(&abort), ["ip-id-copied Moderate"]);
    // Replies of Linux have 0, and counters of both ends may run side by side.
    let zero = told(0, ReceiverIds::new(0, false));
    assert!(of(&zero).is_empty());
    let beside = told(1_700, ReceiverIds::new(1_700, true));
    assert!(of(&beside).iter().all(|it| !it.contains("copied")));
    let host = told(40_000, counter).with(|it| {
        it.context.host = HostIds::new(39_000, 60_000, Scope::Unknown);
    });
    assert!(of(&host).iter().all(|it| !it.contains("copied")));
    // Of a sender without other packets nothing is known.
    let unknown = told(40_000, counter).with(|it| it.packets.clear());
    assert!(of(&unknown).is_empty());
    // The SYN-ACK of Linux has 0.
    let first = told(40_000, random).with(|it| {
        it.packets.truncate(1);
        it.packets[0].0.ip_id = Some(0);
        it.packets[0].1.flags = Flags::SYN.and(Flags::ACK);
    });
    assert_eq!(of(&first), ["ip-id-copied Moderate"]);
}

#[test]
fn two_ids_that_are_copied_are_no_coincidence() {
    let indicators = |id: u16| {
        Told::answering()
            .with(|it| {
                it.reset.ip_id = Some(id);
                it.context.receiver_ids = ReceiverIds::new(40_000, true);
            })
            .facts()
    };
    let weight = |all: &[Indicator]| {
        let copied = all.iter().find(|it| it.id == "ip-id-copied");
        copied.map(|it| it.weight)
    };
    let (mut one, mut two, mut other) = (indicators(39_990), indicators(39_991), indicators(1_004));
    copied_twice(&mut one, &mut other);
    assert_eq!(weight(&one), Some(Weight::Weak));
    copied_twice(&mut one, &mut two);
    assert_eq!(
        [&one, &two].map(|it| weight(it)),
        [Some(Weight::Moderate); 2]
    );
    assert_eq!(one[0].id, "ip-id-copied");
}
