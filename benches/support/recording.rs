//! Capture file that frames are written to: classic pcap or pcapng, little-endian, one Ethernet interface.

#![allow(clippy::cast_possible_truncation)] // clocks and lengths are cut to the width of their field

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const SNAPLEN: u32 = 262_144;

/// File format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Pcap,
    PcapNg,
}

/// Unit of the timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    Micros,
    Nanos,
}

#[derive(Debug)]
pub(super) struct Recording {
    out: BufWriter<File>,
    format: Format,
    resolution: Resolution,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Recording {
    pub(super) fn create(path: &Path, format: Format, resolution: Resolution) -> io::Result<Self> {
        let mut recording = Self {
            out: BufWriter::with_capacity(1 << 18, File::create(path)?),
            format,
            resolution,
            packets: 0,
            bytes: 0,
        };
        match format {
            Format::Pcap => recording.pcap_header()?,
            Format::PcapNg => recording.pcapng_header()?,
        }
        Ok(recording)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes a frame, given in parts and captured at `now`, in nanoseconds since 1970.
    pub(super) fn record(&mut self, now: u64, parts: [&[u8]; 3]) -> io::Result<()> {
        let length = parts.iter().map(|it| it.len()).sum();
        match self.format {
            Format::Pcap => self.pcap_record(now, length)?,
            Format::PcapNg => self.pcapng_block(now, length)?,
        }
        for part in parts {
            self.write(part)?;
        }
        if self.format == Format::PcapNg {
            let fill = padded(length) - length;
            self.write(&[0; 3][..fill])?;
            self.write(&block_length(length).to_le_bytes())?;
        }
        self.packets += 1;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn pcap_header(&mut self) -> io::Result<()> {
        let magic: u32 = match self.resolution {
            Resolution::Micros => 0xa1b2_c3d4,
            Resolution::Nanos => 0xa1b2_3c4d,
        };
        // Version 2.4: two fields of 16 bits.
        let version = 2 | 4 << 16;
        let ethernet = 1;
        for field in [magic, version, 0, 0, SNAPLEN, ethernet] {
            self.write(&field.to_le_bytes())?;
        }
        Ok(())
    }

    fn pcap_record(&mut self, now: u64, length: usize) -> io::Result<()> {
        let seconds = (now / 1_000_000_000) as u32;
        let nanos = (now % 1_000_000_000) as u32;
        let fraction = match self.resolution {
            Resolution::Micros => nanos / 1_000,
            Resolution::Nanos => nanos,
        };
        let mut header = [0; 16];
        let fields = [seconds, fraction, length as u32, length as u32];
        for (place, field) in header.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        self.write(&header)
    }

    /// Writes the section header block and the interface description block.
    fn pcapng_header(&mut self) -> io::Result<()> {
        for field in [
            0x0a0d_0d0a,
            28,
            0x1a2b_3c4d,
            1,
            u32::MAX,
            u32::MAX, // section length: unspecified
            28,
        ] {
            self.write(&field.to_le_bytes())?;
        }
        // `if_tsresol`, and the end of the options.
        let resolution: &[u32] = match self.resolution {
            Resolution::Micros => &[],
            Resolution::Nanos => &[9 | 1 << 16, 9, 0],
        };
        let length = 20 + 4 * resolution.len() as u32;
        for field in [1, length, 1, SNAPLEN]
            .iter()
            .chain(resolution)
            .chain(&[length])
        {
            self.write(&field.to_le_bytes())?;
        }
        Ok(())
    }

    fn pcapng_block(&mut self, now: u64, length: usize) -> io::Result<()> {
        let units = match self.resolution {
            Resolution::Micros => now / 1_000,
            Resolution::Nanos => now,
        };
        let (high, low) = ((units >> 32) as u32, units as u32);
        let (block, packet) = (block_length(length), length as u32);
        let mut header = [0; 28];
        // Enhanced packet block: type, length, interface, time stamp, captured and original length.
        let fields = [6, block, 0, high, low, packet, packet];
        for (place, field) in header.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        self.write(&header)
    }
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// Returns the length in bytes of an enhanced packet block with a packet of this length.
fn block_length(packet: usize) -> u32 {
    32 + padded(packet) as u32
}
