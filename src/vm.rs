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
use self::qemu::{
    Accelerator, Emulator, Guest, GuestFailure, GuestProgress, GuestResult, Media,
    is_stale_breakpoint,
};
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
    /// Number of boots in which the emulator crashed the kernel.
    pub crashes: u32,
    /// Time from reading the image on disk to the result.
    pub took: Duration,
}

/// Maximum number of boots of one kernel that the emulator may crash.
const MAX_CRASHES: u32 = 3;

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

    /// Boots one kernel and waits for its result, reporting progress. A kernel that the emulator crashes is booted again,
    /// since that says nothing about the kernel.
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
                crashes: 0,
                took: began.elapsed(),
            });
        }
        let media = self.media(&guest.image)?;
        let mut crashes = 0;
        let result = loop {
            let result = self
                .emulator
                .run(guest, accelerator, &media, &mut stop, &mut progress)
                .await?;
            let never_up = result.as_ref().is_err_and(|failure| failure.never_up);
            if never_up && accelerator == Accelerator::Kvm && self.falls_back {
                accelerator = Accelerator::Tcg;
                continue;
            }
            // Evidence of a kernel that continued after such a crash is none.
            let is_crashed = accelerator == Accelerator::Tcg && was_crashed(&result);
            crashes += u32::from(is_crashed);
            if !is_crashed || crashes >= MAX_CRASHES {
                break result;
            }
        };
        Ok(GuestOutcome {
            result,
            accelerator,
            crashes,
            took: began.elapsed(),
        })
    }
}

/// Returns true if the emulator crashed the kernel.
///
/// A kernel replaces its own code while other processors run it, with a breakpoint in between (`text_poke_bp_batch()`,
/// `arch/x86/kernel/alternative.c`). QEMU's code generator may run that breakpoint after the kernel has removed it, when its
/// handler does not expect one any more, which no processor does.
fn was_crashed(result: &Result<GuestResult, GuestFailure>) -> bool {
    let console = match result {
        Ok(result) => &result.console,
        Err(failure) => &failure.console,
    };
    is_stale_breakpoint(console)
}
