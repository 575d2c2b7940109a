//! Other kernels: boots one in an emulator with this very program as its first process, has it run trials there, and
//! collects their evidence.
//!
//! No root, no network, no disk image and nothing to be downloaded: the guest's filesystem is made here (`initramfs`), of
//! what this host has, and what the trials saved comes out over a serial line (`parcel`). [`guest`] is the part that runs
//! inside.

mod cpio;
pub mod guest;
mod initramfs;
pub mod kernel_image;
mod modules;
mod parcel;
pub mod qemu;

use std::io::Read as _;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::initramfs::Initramfs;
use self::kernel_image::KernelImage;
use self::qemu::{Accelerator, Emulator, Failure, Guest, Media, Parcel, Progress};
use crate::error::Error;

/// The longest kernel image that is read, in bytes; distributions' have a twentieth of that.
const LONGEST_KERNEL: u64 = 256 << 20;

/// What all guests of a comparison have in common.
pub struct Machine {
    emulator: Emulator,
    initramfs: Initramfs,
    /// What runs them.
    accelerator: Accelerator,
    /// Whether what does not come up with KVM is tried without.
    falls_back: bool,
    /// Whether all of them are to end.
    stop: watch::Receiver<bool>,
}

/// What became of a guest.
#[derive(Debug)]
pub struct Ended {
    /// What it brought out, or why nothing.
    pub result: Result<Parcel, Failure>,
    /// What ran it.
    pub accelerator: Accelerator,
    /// From the image on disk to the result.
    pub took: Duration,
}

impl Machine {
    /// Collects what guests need that are to run trials with these arguments of `run`. When `stop` says so, all of them end.
    /// What does not come up with KVM is tried without, if that is wanted.
    pub fn new(
        emulator: Emulator,
        accelerator: Accelerator,
        falls_back: bool,
        arguments: &[String],
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        Ok(Self {
            initramfs: Initramfs::collect(arguments)?,
            emulator,
            accelerator,
            falls_back,
            stop,
        })
    }

    /// The first filesystem of a guest with this kernel.
    pub fn filesystem(&self, image: &KernelImage) -> Result<Vec<u8>, Error> {
        let modules = match &image.modules {
            Some(directory) => modules::needed(directory)?,
            None => Vec::new(),
        };
        Ok(self.initramfs.with(&modules))
    }

    fn media(&self, image: &KernelImage) -> Result<Media, Error> {
        let mut kernel = Vec::new();
        kernel_image::open(&image.path)
            .and_then(|file| file.take(LONGEST_KERNEL).read_to_end(&mut kernel))
            .map_err(|error| Error::file("read", &image.path, &error))?;
        Media::new(&kernel, &self.filesystem(image)?)
            .map_err(|error| Error::io("keep a kernel in memory", &error))
    }

    /// Boots one kernel and waits for its result.
    pub async fn boot(
        &self,
        guest: &Guest,
        mut progress: impl FnMut(Progress),
    ) -> Result<Ended, Error> {
        let began = Instant::now();
        let mut accelerator = self.accelerator;
        let mut stop = self.stop.clone();
        if *stop.borrow() {
            return Ok(Ended {
                result: Err(Failure::ended_here()),
                accelerator,
                took: began.elapsed(),
            });
        }
        let media = self.media(&guest.image)?;
        let mut result = self
            .emulator
            .run(guest, accelerator, &media, &mut stop, &mut progress)
            .await?;
        let never_up = result.as_ref().is_err_and(|failure| failure.never_up);
        if never_up && accelerator == Accelerator::Kvm && self.falls_back {
            accelerator = Accelerator::Tcg;
            result = self
                .emulator
                .run(guest, accelerator, &media, &mut stop, &mut progress)
                .await?;
        }
        Ok(Ended {
            result,
            accelerator,
            took: began.elapsed(),
        })
    }
}
