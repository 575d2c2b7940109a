//! First filesystem of a guest, made on the fly: this program with its shared objects, `nft` with its own, and the
//! modules of one kernel. It contains nothing else.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::cpio::Writer;
use super::modules::Module;
use crate::error::Error;
use crate::lab::firewall;
use crate::sys;
use crate::trial::this_program;
use rstproof_core::printable::printable;

/// Path of this program in a guest: the kernel runs the file with this name.
const PROGRAM: &str = "init";

/// Path of `nft` in a guest.
const NFT: &str = "usr/sbin/nft";

/// File with the arguments of the run, one per line.
pub(super) const ARGUMENTS: &str = "/arguments";

/// File with the names of the modules, one per line, in load order.
pub(super) const MODULES: &str = "/modules";

/// Device number of `/dev/console` (`Documentation/admin-guide/devices.txt`). Without it the first process has no
/// standard output.
const CONSOLE: (u32, u32) = (5, 1);

/// Part of the first filesystem that does not depend on the kernel.
pub(super) struct Initramfs {
    archive: Vec<u8>,
}

impl Initramfs {
    /// Collects the files for guests that run with these arguments. Without an installed `nft`, the guest has none.
    pub(super) fn collect(arguments: &[String]) -> Result<Self, Error> {
        let mut archive = Writer::default();
        for directory in ["proc", "sys", "dev", "tmp", "run"] {
            archive.directory(directory);
        }
        archive.character_device("dev/console", CONSOLE);
        archive.file(ARGUMENTS, 0o644, lines(arguments).as_bytes());
        let mut objects = BTreeSet::new();
        add_program(&mut archive, &mut objects, &this_program(), PROGRAM)?;
        if let Some(nft) = firewall::program() {
            add_program(&mut archive, &mut objects, &nft, NFT)?;
        }
        let archive = archive.finish();
        Ok(Self { archive })
    }

    /// Builds the filesystem for a kernel with these modules.
    pub(super) fn with(&self, modules: &[Module]) -> Vec<u8> {
        // The archive with the program is the same for all kernels; only this part differs.
        let mut own = Writer::default();
        let names: Vec<String> = modules.iter().map(|it| it.name.clone()).collect();
        own.file(MODULES, 0o644, lines(&names).as_bytes());
        for module in modules {
            own.file(&module_file(&module.name), 0o644, &module.content);
        }
        let own = own.finish();
        // Two archives in one file: the kernel unpacks them one after the other.
        let mut whole = Vec::with_capacity(self.archive.len() + own.len());
        whole.extend_from_slice(&self.archive);
        whole.extend_from_slice(&own);
        whole
    }
}

/// Path of this module in a guest.
pub(super) fn module_file(name: &str) -> String {
    format!("/lib/modules/{name}.ko")
}

fn lines(texts: &[String]) -> String {
    texts.iter().flat_map(|text| [text, "\n"]).collect()
}

fn add_program(
    archive: &mut Writer,
    objects: &mut BTreeSet<PathBuf>,
    program: &Path,
    name: &str,
) -> Result<(), Error> {
    let mut add = |path: &Path, place: PathBuf| -> Result<(), Error> {
        if let Some(name) = place.to_str()
            && !objects.contains(&place)
        {
            archive.file(name, 0o755, &read(path)?);
            objects.insert(place);
        }
        Ok(())
    };
    let content = read(program)?;
    if let Some(loader) = loader(&content) {
        add(&loader, loader.clone())?;
        let needed = shared_objects(program, &loader)?;
        // Each object is added to libc's directory as well, where the loader searches by default: a guest has no
        // ld.so.cache, which leads the loader of this host to the other directories.
        let usual = needed
            .iter()
            .find(|it| it.name.starts_with("libc."))
            .and_then(|libc| libc.path.parent());
        for object in &needed {
            add(&object.path, object.path.clone())?;
            if let Some(usual) = usual {
                add(&object.path, usual.join(&object.name))?;
            }
        }
    }
    archive.file(name, 0o755, &content);
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::file("read", path, &error))
}

/// Returns the loader of a program (`PT_INTERP`). `None` if the program is statically linked.
fn loader(program: &[u8]) -> Option<PathBuf> {
    let header = FileHeader64::<Endianness>::parse(program).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, program).ok()?;
    let name = segments
        .iter()
        .find_map(|it| it.interpreter(endian, program).ok()?)?;
    Some(PathBuf::from(OsStr::from_bytes(name)))
}

/// Shared object that the loader would load.
#[derive(Debug, PartialEq, Eq)]
struct SharedObject {
    /// Name by which other objects request it (`DT_NEEDED`).
    name: String,
    path: PathBuf,
}

/// Builds the command with which a loader lists the shared objects of a program. The loader gets a descriptor, since it
/// runs without capabilities and may not be able to search the directories of the path.
fn listing(loader: &Path, program: File) -> Command {
    let mut command = Command::new(loader);
    command
        .arg("--list")
        .arg(format!("/proc/self/fd/{}", program.as_raw_fd()))
        // The output is parsed, so it must not be translated.
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    sys::hand_over(&mut command, program.into());
    sys::without_capabilities(&mut command);
    sys::end_with_parent(&mut command);
    command
}

/// Returns the shared objects of a program as its loader lists them, like `ldd`.
fn shared_objects(program: &Path, loader: &Path) -> Result<Vec<SharedObject>, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        let action = format!("find the shared objects of {}", program.display());
        Error::lab(action, error)
    };
    let file = File::open(program).map_err(|error| Error::file("read", program, &error))?;
    let output = listing(loader, file)
        .output()
        .map_err(|error| failed(&error))?;
    let objects = objects_named(&String::from_utf8_lossy(&output.stdout))
        .map_err(|missing| failed(&format!("{missing} is missing")))?;
    if output.status.success() {
        return Ok(objects);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line = stderr.lines().next().unwrap_or("it gives no reason");
    Err(failed(&format!(
        "{}: {}",
        loader.display(),
        printable(line)
    )))
}

/// Parses the output of the loader. Fails with the name of an object that the loader did not find.
fn objects_named(text: &str) -> Result<Vec<SharedObject>, String> {
    let mut objects = Vec::new();
    for line in text.lines() {
        // `name => /path (0x…)`. Lines without `=>` are the vDSO and the loader.
        let Some((name, place)) = line.split_once("=>") else {
            continue;
        };
        let name = name.trim();
        let place = place.split(" (0x").next().unwrap_or_default().trim();
        if place == "not found" {
            return Err(name.to_owned());
        }
        // A name that is a path is the loader, which was added before.
        if place.starts_with('/') && !name.contains('/') {
            objects.push(SharedObject {
                name: name.to_owned(),
                path: PathBuf::from(place),
            });
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_those_that_the_loader_has_a_place_for() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd1d5e6000)\n\
                    \tlibpcap.so.0.8 => /opt/a b/libpcap.so.0.8 (0x00007f1)\n\
                    \t/lib64/ld-linux-x86-64.so.2 => /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 (0x00007f2)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n";
        let expected = SharedObject {
            name: "libpcap.so.0.8".to_owned(),
            path: PathBuf::from("/opt/a b/libpcap.so.0.8"),
        };
        assert_eq!(objects_named(text), Ok(vec![expected]));
        let missing = objects_named("\tlibx.so.1 => not found\n");
        assert_eq!(missing, Err("libx.so.1".to_owned()));
    }

    #[test]
    fn this_program_is_in_it_with_its_loader_and_the_modules() {
        let initramfs = Initramfs::collect(&["--all".to_owned()]).unwrap();
        let module = Module {
            name: "veth".to_owned(),
            content: b"elf".to_vec(),
        };
        let whole = initramfs.with(&[module]);
        let files = super::super::cpio::files(&whole).unwrap();
        let of = |name: &str| files.iter().find(|(path, _)| *path == name).map(|it| it.1);
        assert_eq!(of("arguments"), Some(&b"--all\n"[..]));
        let this = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(of(PROGRAM) == Some(&this[..]), "another program");
        assert!(files.iter().any(|(path, _)| path.contains("libc.so")));
        assert!(files.iter().any(|(path, _)| path.contains("ld-linux")));
        let own = super::super::cpio::files(&whole[initramfs.archive.len()..]).unwrap();
        assert_eq!(
            own,
            [
                ("modules", &b"veth\n"[..]),
                ("lib/modules/veth.ko", &b"elf"[..])
            ]
        );
    }
}
