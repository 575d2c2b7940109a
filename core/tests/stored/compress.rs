//! A small capture, and encoders for compressed files.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::layout::{Order, PcapNg};

/// A capture of some kilobytes, of which half can be compressed.
pub(crate) fn capture(frames: u32) -> Vec<u8> {
    let mut file = PcapNg::with_interface(Order::Little, &[]);
    let mut noise = 1_u32;
    for number in 0..frames {
        let mut frame = vec![0; 20];
        for _ in 0..20 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            frame.push(noise.to_be_bytes()[0]);
        }
        file.frame(0, u64::from(number), &frame, &[]);
    }
    file.bytes
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(content: &[u8]) -> Vec<u8> {
    compress_to_vec(content, CompressionLevel::Fastest)
}

pub(crate) fn lz4_of(info: FrameInfo, content: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// With every checksum there is.
pub(crate) fn lz4(content: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new()
        .content_checksum(true)
        .block_checksums(true)
        .block_size(BlockSize::Max64KB);
    lz4_of(info, content)
}
