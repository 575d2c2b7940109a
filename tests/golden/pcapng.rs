//! pcapng files taken apart and put together again, block by block: just as much as tampering needs, and none of the
//! program's own code. Files here are of one byte order, this machine's (pcapng draft, 3.1 and 4.3).

pub(crate) const SECTION: u32 = 0x0a0d_0d0a;
pub(crate) const INTERFACE: u32 = 1;
pub(crate) const STATISTICS: u32 = 5;
pub(crate) const FRAME: u32 = 6;

/// A block: its type, and what stands between the two lengths.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) kind: u32,
    pub(crate) body: Vec<u8>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub(crate) fn blocks(mut file: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let length = word(file, 4) as usize;
        let (block, rest) = file.split_at(length);
        blocks.push(Block {
            kind: word(block, 0),
            body: block[8..length - 4].to_vec(),
        });
        file = rest;
    }
    blocks
}

pub(crate) fn file(blocks: &[Block]) -> Vec<u8> {
    let mut file = Vec::new();
    for block in blocks {
        let length = u32::try_from(block.body.len() + 12).unwrap().to_ne_bytes();
        file.extend(block.kind.to_ne_bytes());
        file.extend(length);
        file.extend(&block.body);
        file.extend(length);
    }
    file
}

/// A frame: when, what, and what is said of it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) at_ns: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) comments: Vec<String>,
}

pub(crate) fn frames(file: &[u8]) -> Vec<Frame> {
    let blocks = blocks(file).into_iter();
    let frames = blocks.filter(|block| block.kind == FRAME);
    frames.map(|block| frame(&block.body)).collect()
}

fn frame(body: &[u8]) -> Frame {
    let captured = word(body, 12) as usize;
    Frame {
        at_ns: u64::from(word(body, 4)) << 32 | u64::from(word(body, 8)),
        bytes: body[20..20 + captured].to_vec(),
        comments: comments(&body[20 + captured.next_multiple_of(4)..]),
    }
}

/// Of options: code, length, value, padding.
fn comments(mut options: &[u8]) -> Vec<String> {
    let half = |bytes: &[u8], at| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let mut comments = Vec::new();
    while options.len() >= 4 && half(options, 0) != 0 {
        let length = usize::from(half(options, 2));
        if half(options, 0) == 1 {
            comments.push(String::from_utf8(options[4..4 + length].to_vec()).unwrap());
        }
        options = &options[4 + length.next_multiple_of(4)..];
    }
    comments
}

/// Puts another time into a frame's block.
pub(crate) fn set_time(block: &mut Block, at_ns: u64) {
    let [upper, lower] =
        [at_ns >> 32, at_ns & 0xffff_ffff].map(|half| u32::try_from(half).unwrap());
    block.body[4..8].copy_from_slice(&upper.to_ne_bytes());
    block.body[8..12].copy_from_slice(&lower.to_ne_bytes());
}

/// The captured bytes of a frame's block.
pub(crate) fn bytes(block: &mut Block) -> &mut [u8] {
    let captured = word(&block.body, 12) as usize;
    &mut block.body[20..20 + captured]
}

/// Where the TCP header of an Ethernet frame begins; `None` if it is none.
pub(crate) fn tcp(frame: &[u8]) -> Option<usize> {
    const ETHERNET: usize = 14;
    let protocol_tcp = 6;
    match frame[ETHERNET] >> 4 {
        4 if frame[ETHERNET + 9] == protocol_tcp => Some(ETHERNET + 20),
        6 if frame[ETHERNET + 6] == protocol_tcp => Some(ETHERNET + 40),
        _ => None,
    }
}

/// Adds to the sequence number of a frame that is TCP.
pub(crate) fn add_to_seq(frame: &mut [u8], by: u32) -> bool {
    let Some(tcp) = tcp(frame) else { return false };
    let seq = &mut frame[tcp + 4..tcp + 8];
    let sum = u32::from_be_bytes(seq.try_into().unwrap()).wrapping_add(by);
    seq.copy_from_slice(&sum.to_be_bytes());
    true
}

/// Swaps the ports of a frame that is TCP.
pub(crate) fn swap_ports(frame: &mut [u8]) -> bool {
    let Some(tcp) = tcp(frame) else { return false };
    let (source, destination) = frame[tcp..tcp + 4].split_at_mut(2);
    source.swap_with_slice(destination);
    true
}

/// The file with other hashes in the payload of its last frame, the fence, and in the comment on its section.
pub(crate) fn bound_to(file: &[u8], calls: &[u8; 32], transcript: &str) -> Vec<u8> {
    let mut blocks = blocks(file);
    let fence = blocks
        .iter_mut()
        .rfind(|block| block.kind == FRAME)
        .unwrap();
    let payload = bytes(fence);
    let end = payload.len();
    payload[end - calls.len()..].copy_from_slice(calls);
    let label = b"transcript SHA-256 ";
    let section = &mut blocks[0].body;
    let at = section.windows(label.len()).position(|it| it == label);
    let at = at.unwrap() + label.len();
    section[at..at + transcript.len()].copy_from_slice(transcript.as_bytes());
    self::file(&blocks)
}
