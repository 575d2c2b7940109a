//! The first filesystem of a guest, made on the fly: this program, the shared objects that it needs, `nft` with its own, and
//! the modules of one kernel. Nothing else is there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cpio::Writer;
use super::modules::Module;
use crate::error::Error;
use crate::lab::firewall;

/// Where a guest finds this program: the kernel runs what has this name.
const PROGRAM: &str = "init";

/// Where a guest finds `nft`.
const NFT: &str = "usr/sbin/nft";

/// The file that names the arguments of the run, a line each.
pub(super) const ARGUMENTS: &str = "/arguments";

/// The file that names the modules, a line each, in the order in which they are to be loaded.
pub(super) const MODULES: &str = "/modules";

/// `/dev/console` (`Documentation/admin-guide/devices.txt`): without it the first process has no standard output.
const CONSOLE: (u32, u32) = (5, 1);

/// What is the same for all kernels.
pub(super) struct Initramfs {
    archive: Vec<u8>,
}

impl Initramfs {
    /// Collects it, for guests that run with these arguments. `nft` is left out where it is not installed.
    pub(super) fn collect(arguments: &[String]) -> Result<Self, Error> {
        let mut archive = Writer::default();
        for directory in ["proc", "sys", "dev", "tmp", "run"] {
            archive.directory(directory);
        }
        archive.character_device("dev/console", CONSOLE);
        archive.file(ARGUMENTS, 0o644, lines(arguments).as_bytes());
        // By the process's number: `ldd` is another process, and has another /proc/self.
        let this = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
        let mut objects = BTreeSet::new();
        add_program(&mut archive, &mut objects, &this, PROGRAM)?;
        if let Some(nft) = firewall::program() {
            add_program(&mut archive, &mut objects, &nft, NFT)?;
        }
        let archive = archive.finish();
        Ok(Self { archive })
    }

    /// The filesystem for a kernel with these modules.
    pub(super) fn with(&self, modules: &[Module]) -> Vec<u8> {
        let mut own = Writer::default();
        let names: Vec<String> = modules.iter().map(|it| it.name.clone()).collect();
        own.file(MODULES, 0o644, lines(&names).as_bytes());
        for module in modules {
            own.file(&module_file(&module.name), 0o644, &module.content);
        }
        let own = own.finish();
        // The kernel unpacks one archive after the other.
        let mut whole = Vec::with_capacity(self.archive.len() + own.len());
        whole.extend_from_slice(&self.archive);
        whole.extend_from_slice(&own);
        whole
    }
}

/// Where a guest finds this module.
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
    archive.file(name, 0o755, &read(program)?);
    for object in shared_objects(program)? {
        if objects.insert(object.clone())
            && let Some(path) = object.to_str()
        {
            archive.file(path, 0o755, &read(&object)?);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::file("read", path, &error))
}

/// What `ldd` names: the objects that the loader would load, and the loader. Nothing, if the program is statically linked.
fn shared_objects(program: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        let action = format!("find the shared objects of {}", program.display());
        Error::lab(action, error)
    };
    let told = Command::new("ldd")
        .arg(program)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failed(&"ldd is not on PATH; it belongs to the C library"),
            _ => failed(&error),
        })?;
    objects_named(&String::from_utf8_lossy(&told.stdout))
        .map_err(|missing| failed(&format!("{missing} is not there")))
}

/// From the text that `ldd` writes; or the object that it has not found.
fn objects_named(text: &str) -> Result<Vec<PathBuf>, String> {
    let mut objects = Vec::new();
    for line in text.lines() {
        // `name => /path (0x…)`, `/path (0x…)`, or a name alone for what the kernel brings along.
        let (name, place) = line.split_once("=>").unwrap_or(("", line));
        let place = place.split(" (0x").next().unwrap_or_default().trim();
        if place == "not found" {
            return Err(name.trim().to_owned());
        }
        if place.starts_with('/') {
            objects.push(PathBuf::from(place));
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_those_that_ldd_has_a_place_for() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd1d5e6000)\n\
                    \tlibpcap.so.0.8 => /lib/x86_64-linux-gnu/libpcap.so.0.8 (0x00007f1)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n";
        let objects = objects_named(text).unwrap();
        let expected = [
            "/lib/x86_64-linux-gnu/libpcap.so.0.8",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(objects, expected.map(PathBuf::from));
        assert_eq!(objects_named("\tstatically linked\n"), Ok(Vec::new()));
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
        assert!(files.iter().any(|(path, _)| path.contains("libpcap")));
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
