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

use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::initramfs::Initramfs;
use self::kernel_image::KernelImage;
use self::qemu::{Accelerator, Emulator, Failure, Guest, Parcel, Progress};
use crate::error::Error;

/// What all guests of a comparison have in common.
pub struct Machine {
    emulator: Emulator,
    initramfs: Initramfs,
    /// What runs them.
    pub accelerator: Accelerator,
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
    pub fn new(
        emulator: Emulator,
        accelerator: Accelerator,
        arguments: &[String],
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        Ok(Self {
            initramfs: Initramfs::collect(arguments)?,
            emulator,
            accelerator,
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

    /// Boots one kernel and waits for its result. What does not come up with KVM is tried without.
    pub async fn boot(
        &self,
        guest: &Guest,
        mut progress: impl FnMut(Progress),
    ) -> Result<Ended, Error> {
        let began = Instant::now();
        let initramfs = self.filesystem(&guest.image)?;
        let mut accelerator = self.accelerator;
        let mut stop = self.stop.clone();
        let mut result = self
            .emulator
            .run(guest, accelerator, &initramfs, &mut stop, &mut progress)
            .await?;
        let never_up = result.as_ref().is_err_and(|failure| failure.never_up);
        if never_up && accelerator == Accelerator::Kvm {
            accelerator = Accelerator::Tcg;
            result = self
                .emulator
                .run(guest, accelerator, &initramfs, &mut stop, &mut progress)
                .await?;
        }
        Ok(Ended {
            result,
            accelerator,
            took: began.elapsed(),
        })
    }
}
