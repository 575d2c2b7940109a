//! Decompression of a zstd frame (RFC 8878).
//!
//! The decoder handles single blocks. This module feeds it the blocks, limits its window, verifies the checksum, and
//! drains the window after the last block.

use std::io::Read;

use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::super::Compression;
use super::source::Source;
use super::undecodable::{DecodeFailure, LARGEST_WINDOW};

/// Frame of zstd.
pub(super) struct Zstd<R> {
    source: Source<R>,
    decoder: FrameDecoder,
    /// Problem to report after the bytes that the decoder still holds.
    stopped: Option<DecodeFailure>,
}

impl<R> std::fmt::Debug for Zstd<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zstd").finish_non_exhaustive()
    }
}

impl<R: Read> Zstd<R> {
    pub(super) fn new(mut source: Source<R>) -> Self {
        let mut decoder = FrameDecoder::new();
        // The window is allocated from a number in the header, which a hostile file may choose.
        decoder.set_max_window_size(LARGEST_WINDOW);
        let stopped = match decoder.reset(&mut source) {
            Ok(()) => None,
            Err(
                FrameDecoderError::WindowSizeTooBig { requested, .. }
                | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig {
                    got: requested,
                }),
            ) => Some(DecodeFailure::Window(requested)),
            Err(FrameDecoderError::DictNotProvided { .. }) => {
                Some(DecodeFailure::Dictionary(Compression::Zstd))
            }
            Err(_) => Some(DecodeFailure::Damaged(Compression::Zstd)),
        };
        Self {
            source,
            decoder,
            stopped,
        }
    }

    pub(super) fn get_ref(&self) -> &Source<R> {
        &self.source
    }

    pub(super) fn get_mut(&mut self) -> &mut Source<R> {
        &mut self.source
    }

    /// Reads the next bytes of the frame's content; 0 at its end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, DecodeFailure> {
        let damaged = DecodeFailure::Damaged(Compression::Zstd);
        loop {
            let read = self.decoder.read(into).map_err(|_| damaged)?;
            if read > 0 {
                return Ok(read);
            }
            if let Some(cause) = self.stopped {
                return Err(cause);
            }
            if self.decoder.is_finished() {
                // The decoder includes the last bytes in its checksum only when they are read.
                let stated = self.decoder.get_checksum_from_data();
                let differs = stated.is_some() && stated != self.decoder.get_calculated_checksum();
                return if differs { Err(damaged) } else { Ok(0) };
            }
            if self.decode_block(&mut None).is_err() {
                self.stopped = Some(damaged);
                // The decoder releases its window at the end of a frame only: an empty last block and a checksum end
                // it here.
                // Three bytes of block header with the flag for the last block and the size 0, then four bytes of
                // checksum.
                let _ = self.decode_block(&mut Some(&[1, 0, 0, 0, 0, 0, 0]));
            }
        }
    }

    /// Decodes one more block, from `bytes` or else from the file.
    fn decode_block(&mut self, bytes: &mut Option<&[u8]>) -> Result<(), FrameDecoderError> {
        let one = BlockDecodingStrategy::UptoBlocks(1);
        match bytes {
            Some(bytes) => self.decoder.decode_blocks(bytes, one)?,
            None => self.decoder.decode_blocks(&mut self.source, one)?,
        };
        Ok(())
    }
}
