//! Boots other kernels in an emulator, with this program as their first process, runs trials there and collects their
//! evidence.
//!
//! No root, network, disk image or download is needed: the guest's filesystem is made from what this host has
//! (`initramfs`), and the evidence comes back over a serial line (`bundle`). `guest` is the part that runs inside.

mod bundle;
mod cpio;
pub(crate) mod guest;
mod initramfs;
pub mod kernel_image;
mod modules;
pub mod qemu;

use std::io::Read as _;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::initramfs::Initramfs;
use self::kernel_image::KernelImage;
use self::qemu::{Accelerator, Emulator, Guest, GuestFailure, GuestProgress, GuestResult, Media};
use crate::error::Error;

/// Maximum number of bytes read of a kernel image; the images of distributions have a twentieth of that.
const MAX_KERNEL_BYTES: u64 = 256 << 20;

/// Settings and files that all guests of a comparison share.
pub struct Machine {
    emulator: Emulator,
    initramfs: Initramfs,
    /// Accelerator that the guests start with.
    accelerator: Accelerator,
    /// True if a guest that does not come up with KVM is retried with TCG.
    falls_back: bool,
    /// Request to end all guests.
    stop: watch::Receiver<bool>,
}

/// Outcome of a guest.
#[derive(Debug)]
pub struct GuestOutcome {
    /// Evidence from the guest, or the reason why there is none.
    pub result: Result<GuestResult, GuestFailure>,
    /// Accelerator of the last attempt.
    pub accelerator: Accelerator,
    /// Time from reading the image on disk to the result.
    pub took: Duration,
}

impl Machine {
    /// Collects the files for guests that run trials with these arguments of `run`. All guests end when `stop` becomes
    /// true. With `falls_back`, a guest that does not come up with KVM is retried with TCG.
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

    /// Builds the first filesystem of a guest with this kernel and its modules.
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
            .and_then(|file| file.take(MAX_KERNEL_BYTES).read_to_end(&mut kernel))
            .map_err(|error| Error::file("read", &image.path, &error))?;
        Media::new(&kernel, &self.filesystem(image)?)
            .map_err(|error| Error::io("keep a kernel in memory", &error))
    }

    /// Boots one kernel and waits for its result, reporting progress.
    pub async fn boot(
        &self,
        guest: &Guest,
        mut progress: impl FnMut(GuestProgress),
    ) -> Result<GuestOutcome, Error> {
        let began = Instant::now();
        let mut accelerator = self.accelerator;
        let mut stop = self.stop.clone();
        if *stop.borrow() {
            return Ok(GuestOutcome {
                result: Err(GuestFailure::ended_here()),
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
        Ok(GuestOutcome {
            result,
            accelerator,
            took: began.elapsed(),
        })
    }
}
