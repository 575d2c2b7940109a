//! Kernel images on disk: the release from the image's own header, and the directory of its modules.
//!
//! Sources: `Documentation/arch/x86/boot.rst` (the header at 0x1f1), `Documentation/arch/arm64/booting.rst`, ELF.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::file::names_in;
use rstproof_core::printable::printable;

/// Kernel image that this host can boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelImage {
    /// Path of the image file.
    pub path: PathBuf,
    /// Release, as `uname -r` will print it.
    pub release: String,
    /// Directory of the kernel's modules, if there is one.
    pub modules: Option<PathBuf>,
}

/// Number of bytes read from the start of an image: the header and the text that it points to.
const HEAD: u64 = 64 << 10;

/// Reason why a file cannot be booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotBootable {
    Empty,
    Foreign(&'static str),
    Unpacked,
    Old,
    Bits32,
    NoKernel,
}

impl fmt::Display for NotBootable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Foreign(machine) => write!(
                f,
                "it is a kernel for {machine}, but this machine is {}",
                std::env::consts::ARCH
            ),
            Self::Unpacked => f.write_str(
                "it is an ELF file; give the bzImage built from it (arch/x86/boot/bzImage)",
            ),
            Self::Old => f.write_str("its boot protocol is older than 2.12 (Linux 3.8)"),
            Self::Bits32 => f.write_str("it is a 32-bit kernel, which cannot run 64-bit programs"),
            Self::NoKernel => f.write_str("it is not a Linux kernel image (vmlinuz or bzImage)"),
        }
    }
}

impl KernelImage {
    /// Finds the image at this path: a file, or the directory of an unpacked package or of a kernel build. Fails if a
    /// directory has no image or several.
    pub fn find(path: &Path) -> Result<Self, Error> {
        let failed = |error: &io::Error| Error::file("read", path, error);
        let kind = fs::metadata(path).map_err(|error| failed(&error))?;
        let image = if kind.is_dir() {
            in_directory(path)?
        } else {
            path.to_owned()
        };
        let release = release_of(&image)?;
        let modules = modules_of(&image, &release);
        Ok(Self {
            path: image,
            release,
            modules,
        })
    }
}

fn refused(path: &Path, reason: String) -> Error {
    Error::File {
        action: "boot",
        path: path.to_owned(),
        reason,
    }
}

/// Finds the only image in a directory. Fails if there is none, or if there are several.
fn in_directory(directory: &Path) -> Result<PathBuf, Error> {
    let mut found = Vec::new();
    for name in ["vmlinuz", "bzImage", "arch/x86/boot/bzImage"] {
        found.push(directory.join(name));
    }
    for above in ["boot", ""] {
        let names = names(&directory.join(above))?;
        let images = names.into_iter().filter(|it| it.starts_with("vmlinuz-"));
        found.extend(images.map(|name| directory.join(above).join(name)));
    }
    for above in ["usr/lib/modules", "lib/modules"] {
        let releases = names(&directory.join(above))?.into_iter();
        found.extend(releases.map(|name| directory.join(above).join(name).join("vmlinuz")));
    }
    found.retain(|path| path.is_file());
    // Several names may be links to one image.
    let mut real: Vec<_> = found
        .iter()
        .filter_map(|it| it.canonicalize().ok())
        .collect();
    real.sort();
    real.dedup();
    match &found[..] {
        [] => Err(refused(
            directory,
            "it contains no kernel image; give the path of a vmlinuz or bzImage".to_owned(),
        )),
        [image, ..] if real.len() == 1 => Ok(image.clone()),
        _ => Err(refused(
            directory,
            format!(
                "it contains {} kernel images; give the path of one of them",
                real.len()
            ),
        )),
    }
}

/// Returns the names of a directory's entries; empty if there is no such directory.
fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let names = match names_in(directory) {
        Ok(names) => names.into_iter(),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::file("read", directory, &error)),
    };
    Ok(names.filter_map(|name| name.into_string().ok()).collect())
}

/// Opens a regular file. Anything else is an error, since reading a pipe or a device might never end.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        // Opening a pipe that has no writer would block otherwise, before its type can be checked.
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

fn release_of(image: &Path) -> Result<String, Error> {
    let mut head = Vec::new();
    open(image)
        .and_then(|file| file.take(HEAD).read_to_end(&mut head))
        .map_err(|error| Error::file("read", image, &error))?;
    release(&head).map_err(|why| refused(image, why.to_string()))
}

/// Returns the release from the header of a bzImage.
fn release(head: &[u8]) -> Result<String, NotBootable> {
    let at = |place: usize, length: usize| head.get(place..place + length);
    let half = |place: usize| at(place, 2).map(|it| u16::from_le_bytes([it[0], it[1]]));
    if head.is_empty() {
        return Err(NotBootable::Empty);
    }
    if at(0x202, 4) != Some(b"HdrS") {
        return Err(match (at(0, 4), at(56, 4)) {
            (Some(b"\x7fELF"), _) => match half(18) {
                // `e_machine`: 62 is x86-64, 3 is i386, whose vmlinux is an ELF file as well.
                Some(62 | 3) => NotBootable::Unpacked,
                Some(183) => NotBootable::Foreign("aarch64"),
                Some(243) => NotBootable::Foreign("riscv64"),
                Some(22) => NotBootable::Foreign("s390x"),
                Some(21) => NotBootable::Foreign("powerpc64"),
                _ => NotBootable::Foreign("another machine"),
            },
            (_, Some(b"ARM\x64")) => NotBootable::Foreign("aarch64"),
            (_, Some(b"RSC\x05")) => NotBootable::Foreign("riscv64"),
            (Some([b'M', b'Z', _, _]), _) if at(4, 4) == Some(b"zimg") => {
                NotBootable::Foreign("another machine (an EFI image)")
            }
            _ => NotBootable::NoKernel,
        });
    }
    // Offsets and flags are those of `struct setup_header` (Documentation/arch/x86/boot.rst). Protocol 2.12 is the
    // first with `xloadflags`.
    if half(0x206) < Some(0x020c) {
        return Err(NotBootable::Old);
    }
    // `xloadflags`, bit 0: `XLF_KERNEL_64`.
    if half(0x236).is_none_or(|flags| flags & 1 == 0) {
        return Err(NotBootable::Bits32);
    }
    if cfg!(not(target_arch = "x86_64")) {
        return Err(NotBootable::Foreign("x86_64"));
    }
    // The offset is relative to the end of the first sector. The text is `release (who@where) #build date`.
    let text = half(0x20e).and_then(|offset| head.get(usize::from(offset) + 0x200..));
    let text = text.unwrap_or_default();
    let end = text.iter().position(|byte| matches!(byte, 0 | b' '));
    let release = end.map(|end| String::from_utf8_lossy(&text[..end]));
    match release {
        Some(release) if !release.is_empty() && release.len() <= 64 => Ok(printable(&release)),
        _ => Err(NotBootable::NoKernel),
    }
}

/// Finds the modules of an image: beside it, or in the tree that contains it.
fn modules_of(image: &Path, release: &str) -> Option<PathBuf> {
    let image = image.canonicalize().ok()?;
    let is_it = |directory: &PathBuf| directory.join("kernel").is_dir();
    let beside = image.parent()?.to_owned();
    if beside.file_name()?.to_str() == Some(release) && is_it(&beside) {
        return Some(beside);
    }
    let trees = image.ancestors().skip(1);
    trees
        .flat_map(|tree| ["lib/modules", "usr/lib/modules"].map(|it| tree.join(it).join(release)))
        .find(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds the header of a bzImage, laid out as in boot.rst.
    fn bzimage(version: u16, flags: u16, text: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&version.to_le_bytes());
        image[0x20e..0x210].copy_from_slice(&0x0100_u16.to_le_bytes());
        image[0x236..0x238].copy_from_slice(&flags.to_le_bytes());
        image[0x300..0x300 + text.len()].copy_from_slice(text);
        image
    }

    #[test]
    fn the_release_is_the_first_word_of_the_text_that_the_header_points_to() {
        let image = bzimage(0x020f, 1, b"6.1.0-56-cloud-amd64 (who@where) #1 SMP\0");
        assert_eq!(release(&image), Ok("6.1.0-56-cloud-amd64".to_owned()));
    }

    #[test]
    fn an_image_that_cannot_be_booted_is_rejected_with_the_reason() {
        assert_eq!(release(b""), Err(NotBootable::Empty));
        assert_eq!(release(b"#!/bin/sh\n"), Err(NotBootable::NoKernel));
        assert_eq!(release(&[0; 4096]), Err(NotBootable::NoKernel));
        let text = b"6.1.0 (who@where)\0";
        assert_eq!(release(&bzimage(0x020b, 1, text)), Err(NotBootable::Old));
        assert_eq!(release(&bzimage(0x020f, 0, text)), Err(NotBootable::Bits32));
        assert_eq!(
            release(&bzimage(0x020f, 1, b"\0")),
            Err(NotBootable::NoKernel)
        );
        let cut = &bzimage(0x020f, 1, text)[..0x300];
        assert_eq!(release(cut), Err(NotBootable::NoKernel));
        let mut arm = vec![0; 64];
        arm[56..60].copy_from_slice(b"ARM\x64");
        assert_eq!(release(&arm), Err(NotBootable::Foreign("aarch64")));
        let mut elf = vec![0; 64];
        elf[..4].copy_from_slice(b"\x7fELF");
        elf[18] = 62;
        assert_eq!(release(&elf), Err(NotBootable::Unpacked));
    }

    #[test]
    fn an_image_in_an_unpacked_package_is_found_with_its_modules() {
        let home = tempfile::tempdir().unwrap();
        let text = b"6.1.0 (who@where)\0";
        for (image, modules) in [
            ("boot/vmlinuz-6.1.0", "lib/modules/6.1.0/kernel"),
            ("boot/vmlinuz-6.1.0", "usr/lib/modules/6.1.0/kernel"),
            (
                "usr/lib/modules/6.1.0/vmlinuz",
                "usr/lib/modules/6.1.0/kernel",
            ),
        ] {
            let root = home
                .path()
                .join(image.len().to_string() + &modules.len().to_string());
            let file = root.join(image);
            fs::create_dir_all(root.join(modules)).unwrap();
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            assert!(KernelImage::find(&root).is_err());
            fs::write(&file, bzimage(0x020f, 1, text)).unwrap();
            let found = KernelImage::find(&root).unwrap();
            assert_eq!(found, KernelImage::find(&file).unwrap());
            assert_eq!(found.path, file);
            let directory = root.join(modules);
            let directory = directory.parent().unwrap().canonicalize().unwrap();
            assert_eq!(found.modules, Some(directory));
        }
    }

    #[test]
    fn several_images_in_one_package_are_an_error() {
        let home = tempfile::tempdir().unwrap();
        for name in ["vmlinuz-1", "vmlinuz-2"] {
            fs::write(home.path().join(name), bzimage(0x020f, 1, b"1.0 \0")).unwrap();
        }
        let error = KernelImage::find(home.path()).unwrap_err().to_string();
        assert!(error.contains("contains 2 kernel images"), "{error}");
    }
}
