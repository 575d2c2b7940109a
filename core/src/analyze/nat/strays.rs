//! Handshakes of recent connections, and which of them an RST between other addresses may concern.
//!
//! A segment whose address was not translated, or was translated to other addresses than before, finds no socket at its receiver. The RST that it
//! draws has the acknowledgment number of the segment as its SEQ (RFC 9293, 3.10.7.1), which lies after the initial number
//! of its sender in the connection that the segment continues. Here that number narrows the connections down to a few
//! [`Candidate`]s, and the tables check the rest.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, SocketAddr};

use hashbrown::{DefaultHashBuilder, HashMap};

use super::super::decode::{FlowKey, SegmentRecord};
use super::copies::Original;
use crate::packet::SeqNum;
use crate::time::Timestamp;

/// Maximum number of handshakes that are remembered. If there are more, the oldest is forgotten.
const MAX_HANDSHAKES: usize = 1 << 15;

/// Maximum number of connections that an RST is compared with.
const MAX_COMPARED: usize = 32;

/// Maximum number of candidates for an RST.
const MAX_CANDIDATES: usize = 4;

/// Maximum number of bytes that an end has sent in a connection that a segment continues.
const MAX_SENT: u32 = 1 << 30;

/// Initial number of an end, and its clock then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::analyze) struct Initial {
    pub seq: SeqNum,
    /// Value of the timestamps option, if there is one.
    pub clock: Option<u32>,
    pub at: Timestamp,
}

impl Initial {
    fn of(segment: &SegmentRecord) -> Self {
        let header = &segment.header;
        Self {
            seq: header.seq,
            clock: header.timestamps.map(|it| it.value),
            at: header.at,
        }
    }
}

/// Address of a connection that a stray segment does not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::analyze) enum Differs {
    /// The server's: it was not translated back for the client.
    Server,
    /// The client's port alone: the connection was given another one.
    ClientPort,
    /// The client's address, but not its port.
    Client,
}

/// Connection that an RST between other addresses may concern.
#[derive(Clone, Debug)]
pub(in crate::analyze) struct Candidate {
    /// Ends of the connection in its table.
    pub ends: FlowKey,
    /// Hash of `ends`.
    pub hash: u32,
    /// Number of the connection: that of its first frame.
    pub number: u32,
    /// Index in `ends` of the end that the RST goes to.
    pub receiver: usize,
    /// Addresses of client and server where the RST was captured.
    pub sockets: [SocketAddr; 2],
    /// Initial numbers of the end that has sent the RST, and of the other end.
    pub initial: [Initial; 2],
    pub differs: Differs,
}

/// Handshake of a connection, at one side of a NAT.
#[derive(Debug)]
struct Handshake {
    /// Ends in the frames, and the client's index in them.
    own: FlowKey,
    client: usize,
    known: Original,
    syn: Initial,
    syn_ack: Option<Initial>,
    /// Numbers of the previous handshakes with the same client, with the same server and address of the client, and with
    /// the same server and port of the client.
    previous: [u64; 3],
}

impl Handshake {
    fn sockets(&self) -> [SocketAddr; 2] {
        [
            self.own.socket(self.client),
            self.own.socket(1 - self.client),
        ]
    }
}

/// SYN or SYN-ACK that has not been put into the index.
#[derive(Debug)]
struct Part {
    own: FlowKey,
    sender: usize,
    /// The connection, for a SYN.
    known: Option<Original>,
    initial: Initial,
    ack: SeqNum,
}

/// Property that handshakes are found by.
#[derive(Hash)]
enum Link {
    Client(SocketAddr),
    ClientAddress(IpAddr, SocketAddr),
    ClientPort(u16, SocketAddr),
}

fn links([client, server]: [SocketAddr; 2]) -> [Link; 3] {
    [
        Link::Client(client),
        Link::ClientAddress(client.ip(), server),
        Link::ClientPort(client.port(), server),
    ]
}

/// Handshakes of recent connections. Most captures have no RST that needs them, so the index is built for the first one.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    waiting: VecDeque<Part>,
    recent: VecDeque<Handshake>,
    /// Number of the last handshake of `recent`. They count from 1.
    count: u64,
    /// Number of the latest handshake, by the hash of a link.
    latest: HashMap<u64, u64>,
    hasher: DefaultHashBuilder,
}

impl Handshakes {
    /// Takes in a SYN of this connection.
    pub(super) fn syn(&mut self, segment: &SegmentRecord, known: Original) {
        self.wait(segment, Some(known));
    }

    /// Takes in a SYN-ACK.
    pub(super) fn reply(&mut self, segment: &SegmentRecord) {
        self.wait(segment, None);
    }

    fn wait(&mut self, segment: &SegmentRecord, known: Option<Original>) {
        // Each handshake has two parts.
        if self.waiting.len() >= 2 * MAX_HANDSHAKES {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Part {
            own: segment.ends,
            sender: segment.sender,
            known,
            initial: Initial::of(segment),
            ack: segment.header.ack,
        });
    }

    /// Returns the connections that an RST may concern, if the capture has no handshake between its own addresses.
    pub(super) fn candidates(&mut self, reset: &SegmentRecord) -> Vec<Candidate> {
        self.index();
        let source = reset.ends.socket(reset.sender);
        let destination = reset.ends.socket(1 - reset.sender);
        let (seq, at) = (reset.header.seq, reset.header.at);
        let mut found: Vec<Candidate> = Vec::new();
        // An RST of a client: the address of its server was not translated back. An RST of a server: the address of its
        // client was translated to another one, or not at all.
        let by_sender = [
            Link::Client(source),
            Link::ClientAddress(destination.ip(), source),
            Link::ClientPort(destination.port(), source),
        ];
        let own = self
            .find([destination, source])
            .or(self.find([source, destination]));
        if own.is_some() {
            return found;
        }
        for (nth, link) in by_sender.iter().enumerate() {
            for handshake in self.chain(link, nth).take(MAX_COMPARED) {
                let sockets = handshake.sockets();
                let [client, server] = sockets;
                let is_linked = match link {
                    Link::Client(_) => client == source && server != destination,
                    Link::ClientAddress(..) => server == source && client.ip() == destination.ip(),
                    Link::ClientPort(..) => {
                        server == source
                            && client.ip() != destination.ip()
                            && client.port() == destination.port()
                    }
                };
                let Some(syn_ack) = handshake.syn_ack.filter(|_| is_linked) else {
                    continue;
                };
                let is_of_client = nth == 0;
                let (own, other) = if is_of_client {
                    (handshake.syn, syn_ack)
                } else {
                    (syn_ack, handshake.syn)
                };
                let sent = seq.0.wrapping_sub(own.seq.0);
                let is_old = found.iter().any(|it| it.ends == handshake.known.ends);
                if !(1..=MAX_SENT).contains(&sent) || at < own.at || is_old {
                    continue;
                }
                let client_end = handshake.known.sender;
                found.push(Candidate {
                    ends: handshake.known.ends,
                    hash: handshake.known.hash,
                    number: handshake.known.frame,
                    receiver: if is_of_client {
                        1 - client_end
                    } else {
                        client_end
                    },
                    sockets,
                    initial: [own, other],
                    differs: match nth {
                        0 => Differs::Server,
                        1 => Differs::ClientPort,
                        _ => Differs::Client,
                    },
                });
                if found.len() == MAX_CANDIDATES {
                    return found;
                }
            }
        }
        found
    }

    /// Returns the latest handshake between a client and a server.
    fn find(&self, sockets: [SocketAddr; 2]) -> Option<&Handshake> {
        let link = Link::Client(sockets[0]);
        let mut chain = self.chain(&link, 0).take(MAX_COMPARED);
        chain.find(|it| it.sockets() == sockets)
    }

    /// Returns the handshakes with this link, newest first.
    fn chain(&self, link: &Link, nth: usize) -> impl Iterator<Item = &Handshake> + use<'_> {
        let newest = self.latest.get(&self.hasher.hash_one(link)).copied();
        std::iter::successors(newest.and_then(|it| self.get(it)), move |it| {
            self.get(it.previous[nth])
        })
    }

    fn get(&self, number: u64) -> Option<&Handshake> {
        self.recent.get(self.place(number)?)
    }

    /// Returns the index of a handshake in `recent`; `None` if it was forgotten.
    fn place(&self, number: u64) -> Option<usize> {
        let first = self.count + 1 - self.recent.len() as u64;
        usize::try_from(number.checked_sub(first)?).ok()
    }

    /// Puts what waits into the index.
    fn index(&mut self) {
        while let Some(part) = self.waiting.pop_front() {
            match part.known {
                Some(known) => self.begin(&part, known),
                None => self.complete(&part),
            }
        }
    }

    fn begin(&mut self, part: &Part, known: Original) {
        let sockets = [
            part.own.socket(part.sender),
            part.own.socket(1 - part.sender),
        ];
        if self
            .find(sockets)
            .is_some_and(|it| it.syn.seq == part.initial.seq)
        {
            return; // the same SYN at another point, or sent again
        }
        self.count += 1;
        let previous = links(sockets).map(|link| {
            let hash = self.hasher.hash_one(&link);
            self.latest.insert(hash, self.count).unwrap_or(0)
        });
        self.recent.push_back(Handshake {
            own: part.own,
            client: part.sender,
            known,
            syn: part.initial,
            syn_ack: None,
            previous,
        });
        if self.recent.len() > MAX_HANDSHAKES {
            self.recent.pop_front();
        }
        // Each handshake has three links.
        if self.latest.len() > 6 * MAX_HANDSHAKES {
            let first = self.count + 1 - self.recent.len() as u64;
            self.latest.retain(|_, number| *number >= first);
        }
    }

    fn complete(&mut self, part: &Part) {
        let sockets = [
            part.own.socket(1 - part.sender),
            part.own.socket(part.sender),
        ];
        let mut number = self
            .latest
            .get(&self.hasher.hash_one(Link::Client(sockets[0])))
            .copied();
        for _ in 0..MAX_COMPARED {
            let Some(place) = number.and_then(|it| self.place(it)) else {
                return;
            };
            let Some(handshake) = self.recent.get_mut(place) else {
                return;
            };
            if handshake.sockets() == sockets {
                if part.ack == handshake.syn.seq.plus(1) {
                    handshake.syn_ack.get_or_insert(part.initial);
                }
                return;
            }
            number = Some(handshake.previous[0]);
        }
    }
}
