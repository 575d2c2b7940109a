//! Kernel modules that a guest needs, in an order in which they can be loaded.
//!
//! An unpacked package has no `modules.dep`, which is generated on installation, so dependencies are read from the
//! module itself (`.modinfo`, as modinfo(8) shows it).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use object::{Object as _, ObjectSection as _};

use super::kernel_image;
use crate::error::Error;
use crate::file::names_in;

/// Modules that trials may need where they are not built in: packet capture, IPv6, interface pairs, the firewall,
/// socket destruction, TCP-MD5 signatures.
const WANTED: [&str; 9] = [
    "af_packet",
    "ipv6",
    "veth",
    "nf_tables",
    "nft_reject_inet",
    "inet_diag",
    "tcp_diag",
    "md5",
    "tcp_sigpool",
];

/// Maximum length of a module in bytes; no module has a tenth of that.
const MAX_MODULES_BYTES: u64 = 64 << 20;

/// Kernel module to load.
pub(super) struct Module {
    /// Name of the module in the kernel's spelling, with underscores.
    pub(super) name: String,
    /// Content of the module's ELF file, decompressed.
    pub(super) content: Vec<u8>,
}

/// Reads the modules in this directory that trials may need, each after its dependencies.
pub(super) fn needed(directory: &Path) -> Result<Vec<Module>, Error> {
    let mut paths = BTreeMap::new();
    index(&directory.join("kernel"), &mut paths)
        .map_err(|error| Error::file("read", directory, &error))?;
    let mut collected = Collected {
        paths,
        seen: BTreeSet::new(),
        modules: Vec::new(),
    };
    for name in WANTED {
        collected.add(name)?;
    }
    Ok(collected.modules)
}

struct Collected {
    paths: BTreeMap<String, PathBuf>,
    seen: BTreeSet<String>,
    modules: Vec<Module>,
}

impl Collected {
    /// Adds a module after its dependencies. A module that is missing may be built in, so it is no error.
    fn add(&mut self, name: &str) -> Result<(), Error> {
        let Some(path) = self.paths.get(name).cloned() else {
            return Ok(());
        };
        // Marked before its dependencies are added, so that a cycle of them ends.
        if !self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        let failed = |error: &io::Error| Error::file("read", &path, error);
        let content = unpacked(&path).map_err(|error| failed(&error))?;
        let needs = dependencies(&content).ok_or_else(|| failed(&not_a_module()))?;
        for needed in needs {
            self.add(&needed)?;
        }
        self.modules.push(Module {
            name: name.to_owned(),
            content,
        });
        Ok(())
    }
}

fn not_a_module() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not a kernel module")
}

/// Collects the paths of all module files below a directory, by module name.
fn index(directory: &Path, paths: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    for name in names_in(directory)? {
        let path = directory.join(&name);
        // Links to directories lead out of the tree and are not followed.
        if fs::symlink_metadata(&path)?.is_dir() {
            index(&path, paths)?;
        } else if let Some(name) = name.to_str().and_then(module_name) {
            paths.insert(name, path);
        }
    }
    Ok(())
}

fn module_name(file: &str) -> Option<String> {
    // The names of modules have `_` where those of their files may have `-`; modprobe treats both alike.
    let (name, packed) = file.split_once(".ko")?;
    ["", ".xz", ".zst", ".gz"]
        .contains(&packed)
        .then(|| name.replace('-', "_"))
}

/// Reads a module's file, decompressing it by its extension.
fn unpacked(path: &Path) -> io::Result<Vec<u8>> {
    let file = io::BufReader::new(kernel_image::open(path)?);
    let mut content = Vec::new();
    let kind = path.extension().and_then(|it| it.to_str());
    match kind {
        Some("xz") => lzma_rust2::XzReader::new(file, false)
            .take(MAX_MODULES_BYTES)
            .read_to_end(&mut content),
        Some("zst") => ruzstd::decoding::StreamingDecoder::new(file)
            .map_err(io::Error::other)?
            .take(MAX_MODULES_BYTES)
            .read_to_end(&mut content),
        Some("gz") => flate2::bufread::GzDecoder::new(file)
            .take(MAX_MODULES_BYTES)
            .read_to_end(&mut content),
        _ => file.take(MAX_MODULES_BYTES).read_to_end(&mut content),
    }?;
    Ok(content)
}

/// Returns the names in a module's `depends=`. `None` if the content is no kernel module.
fn dependencies(content: &[u8]) -> Option<Vec<String>> {
    let file = object::File::parse(content).ok()?;
    let section = file.section_by_name(".modinfo")?;
    let facts = section.data().ok()?.split(|byte| *byte == 0);
    let needs = facts.filter_map(|fact| fact.strip_prefix(b"depends="));
    let names = needs.flat_map(|names| names.split(|byte| *byte == b','));
    let names = names.filter(|name| !name.is_empty());
    Some(
        names
            .map(|name| String::from_utf8_lossy(name).replace('-', "_"))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_called_after_its_file() {
        assert_eq!(module_name("nf-x.ko"), Some("nf_x".to_owned()));
        assert_eq!(module_name("nf_x.ko.xz"), Some("nf_x".to_owned()));
        for file in ["nf_x.ko.debug", "modules.dep", "vmlinuz"] {
            assert_eq!(module_name(file), None, "{file}");
        }
    }

    #[test]
    fn an_invalid_module_is_reported() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("kernel")).unwrap();
        assert!(needed(home.path()).unwrap().is_empty());
        fs::write(home.path().join("kernel/veth.ko"), "text").unwrap();
        let error = needed(home.path()).map(|_| ()).unwrap_err().to_string();
        assert!(
            error.ends_with("veth.ko: it is not a kernel module"),
            "{error}"
        );
        assert!(needed(&home.path().join("none")).is_err());
    }
}
