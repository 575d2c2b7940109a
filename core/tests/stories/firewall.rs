//! Stories of firewalls.

pub(super) const STORIES: &[(&str, &str)] = &[
    (
        // The segments of connect-closed-port: the firewall answers as the kernel would (nf_send_reset()).
        "connect-firewall-reset",
        "
        [lab]
        client connect() = ECONNREFUSED ; RST 1
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0 ; passive-ack, firewall, to SYN-SENT
        client read(1) = ENOTCONN
        client write(1) = EPIPE
        ",
    ),
    (
        "connect-firewall-drop",
        "
        [lab, slow]
        ...
        client connect = ETIMEDOUT
        ",
    ),
    (
        "connect-firewall-output-drop",
        "
        [lab, slow]
        ...
        client connect = ETIMEDOUT
        ",
    ),
    (
        "firewall-reset-input",
        "
        [lab]
        ...
          < RST ; firewall, frame varies
        client read = ECONNRESET
        client write = EPIPE
        ",
    ),
    (
        "firewall-reset-forward",
        "
        [lab]
        ...
          < RST ; firewall, frame varies
          > RST ; kernel NO_SOCKET, frame varies
        client read = ECONNRESET
        client write = EPIPE
        server read = ECONNRESET
        server write = EPIPE
        ",
    ),
    (
        "reset-lost",
        "
        [lab]
        ...
          < RST ; socket TCP_STATE, not accepted, frame varies
          < RST ; socket TCP_FLAGS, frame varies
        client read = ECONNRESET
        client write = EPIPE
        ",
    ),
    (
        "reset-never-left",
        "
        [lab]
        ...
        ",
    ),
    (
        "reset-ahead-of-lost-data",
        "
        [lab]
        ...
          < RST ; socket TCP_STATE, not accepted, frame varies
          < RST ; socket TCP_FLAGS, frame varies
        client read = ECONNRESET
        client write = EPIPE
        ",
    ),
    (
        "third-party-reset",
        "
        [lab]
        ...
          < RST ; forged, frame varies
          > RST ; kernel NO_SOCKET, frame varies
        client read = ECONNRESET
        client write = EPIPE
        server read = ECONNRESET
        server write = EPIPE
        ",
    ),
];
