//! What each scenario must lead to, written out by hand.

use serde_json::Value;

/// The families that all scenarios are run over.
pub(crate) const BOTH: [&str; 2] = ["ipv4", "ipv6"];

/// A scenario as the README's table has it, written out anew: not what the catalogue says.
pub(crate) struct Documented {
    pub(crate) scenario: &'static str,
    /// `>` is the client's call, `<` the server's, each with its result.
    calls: &'static str,
    reset: Option<DocumentedReset>,
}

/// All of them are sent by the server.
struct DocumentedReset {
    flags: &'static str,
    seq: Option<u32>,
    ack: Option<u32>,
    /// `active` by a socket that aborts, else in answer to a segment: `passive` with ACK, `passive-ack` without.
    form: &'static str,
    receiver_state: &'static str,
    /// The call that is told of it.
    told: usize,
}

const fn active(seq: u32, ack: u32, receiver_state: &'static str, told: usize) -> DocumentedReset {
    DocumentedReset {
        flags: "R.",
        seq: Some(seq),
        ack: Some(ack),
        form: "active",
        receiver_state,
        told,
    }
}

const fn passive(seq: u32, told: usize) -> DocumentedReset {
    DocumentedReset {
        flags: "R",
        seq: Some(seq),
        ack: None,
        form: "passive",
        receiver_state: "CLOSE-WAIT",
        told,
    }
}

pub(crate) const DOCUMENTED: [Documented; 10] = [
    Documented {
        scenario: "connect-closed-port",
        calls: ">connect ECONNREFUSED >read ENOTCONN >write EPIPE",
        reset: Some(DocumentedReset {
            flags: "R.",
            seq: None,
            ack: Some(1),
            form: "passive-ack",
            receiver_state: "SYN-SENT",
            told: 0,
        }),
    },
    Documented {
        scenario: "close-unread-data",
        calls: ">connect 0 <accept 0 >write 2 <read 1 <close 0 \
                >read ECONNRESET >read 0 >write EPIPE",
        reset: Some(active(1, 3, "ESTABLISHED", 5)),
    },
    Documented {
        scenario: "close-unread-data-write",
        calls: ">connect 0 <accept 0 >write 2 <read 1 <close 0 \
                >write ECONNRESET >write EPIPE >read 0",
        reset: Some(active(1, 3, "ESTABLISHED", 5)),
    },
    Documented {
        scenario: "fin-then-reset",
        calls: ">connect 0 <accept 0 >write 2 <read 1 <shutdown 0 <close 0 \
                >read 0 >SO_ERROR EPIPE >write EPIPE >SO_ERROR 0 >read 0",
        reset: Some(active(2, 3, "CLOSE-WAIT", 7)),
    },
    Documented {
        scenario: "fin-then-reset-write",
        calls: ">connect 0 <accept 0 >write 2 <read 1 <shutdown 0 <close 0 \
                >read 0 >write EPIPE >SO_ERROR 0 >write EPIPE",
        reset: Some(active(2, 3, "CLOSE-WAIT", 7)),
    },
    Documented {
        scenario: "linger-zero-close",
        calls: ">connect 0 <accept 0 <setsockopt 0 <close 0 >read ECONNRESET >read 0 >write EPIPE",
        reset: Some(active(1, 1, "ESTABLISHED", 4)),
    },
    Documented {
        scenario: "clean-close-eof",
        calls: ">connect 0 <accept 0 >write 2 <read 2 <close 0 >read 0 >SO_ERROR 0",
        reset: None,
    },
    Documented {
        scenario: "write-after-peer-close",
        calls: ">connect 0 <accept 0 <close 0 >write 1 >write EPIPE >read 0 >SO_ERROR 0",
        reset: Some(passive(2, 4)),
    },
    Documented {
        scenario: "write-after-peer-close-early",
        calls: ">connect 0 <accept 0 <write 1 >read 1 >setsockopt 0 <close 0 \
                >write 1 >write EPIPE >read 0 >SO_ERROR 0",
        reset: Some(passive(3, 7)),
    },
    Documented {
        scenario: "shutdown-wr-then-write",
        calls: ">connect 0 <accept 0 >shutdown 0 >write EPIPE >SO_ERROR 0 <read 0 <write 1 >read 1",
        reset: None,
    },
];

/// The transcript of a trial in the form of [`Documented::calls`].
fn calls(trial: &Value) -> String {
    let calls = trial["calls"].as_array().unwrap();
    let words: Vec<String> = calls.iter().map(call).collect();
    words.join(" ")
}

fn call(call: &Value) -> String {
    let arrow = if call["role"] == "client" { '>' } else { '<' };
    let name = match call["call"].as_str().unwrap() {
        "getsockopt" => "SO_ERROR",
        name => name,
    };
    let result = &call["result"];
    let error = result["errno"].as_str().or(result["so_error"].as_str());
    error.map_or_else(
        || format!("{arrow}{name} {}", result["ok"]),
        |errno| format!("{arrow}{name} {errno}"),
    )
}

/// These are the trials of the whole catalogue over these families, and each went as documented.
#[track_caller]
pub(crate) fn assert_as_documented(trials: &[Value], families: &[&str]) {
    assert_eq!(trials.len(), DOCUMENTED.len() * families.len());
    for documented in &DOCUMENTED {
        for family in families {
            let trial = trials
                .iter()
                .find(|trial| {
                    trial["scenario"] == documented.scenario && trial["family"] == *family
                })
                .unwrap_or_else(|| panic!("no trial of {} over {family}", documented.scenario));
            assert_eq!(trial["verdict"], "confirmed", "{trial}");
            assert_eq!(calls(trial), documented.calls);
            assert_reset(trial, documented.reset.as_ref());
        }
    }
}

#[track_caller]
fn assert_reset(trial: &Value, documented: Option<&DocumentedReset>) {
    let resets = trial["resets"].as_array().unwrap();
    let rst = |packet: &&Value| {
        packet["flags"]
            .as_str()
            .is_some_and(|flags| flags.contains('R'))
    };
    let packets = trial["packets"].as_array().unwrap();
    let captured: Vec<&Value> = packets.iter().filter(rst).collect();
    let Some(documented) = documented else {
        assert!(resets.is_empty() && captured.is_empty(), "{trial}");
        return;
    };
    let ([reset], [packet]) = (&resets[..], &captured[..]) else {
        panic!("one RST is documented: {trial}");
    };
    assert_eq!(reset["frame"], packet["frame"], "{trial}");
    assert_eq!(reset["from"], "server", "{trial}");
    assert_eq!(reset["form"], documented.form, "{trial}");
    assert_eq!(
        reset["receiver_state"], documented.receiver_state,
        "{trial}"
    );
    assert_eq!(reset["acceptable"], true, "{trial}");
    assert_eq!(
        reset["explains"],
        Value::from(vec![documented.told]),
        "{trial}"
    );
    assert_eq!(packet["from"], "server", "{trial}");
    assert_eq!(packet["flags"], documented.flags, "{trial}");
    assert_eq!(packet["seq"], Value::from(documented.seq), "{trial}");
    assert_eq!(packet["ack"], Value::from(documented.ack), "{trial}");
    let told = &trial["calls"][documented.told];
    let before = packet["at_ns"].as_i64() < told["ended_ns"].as_i64();
    assert!(before, "it came before the call returned: {trial}");
}
