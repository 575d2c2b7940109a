//! Distribution of this host, and the names of its packages.
//!
//! Determined from os-release(5) alone: a package manager on PATH need not be the one of this system.

use std::fs;

/// Distribution as described by os-release(5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Name of the distribution; empty if unknown.
    pub name: String,
    /// Package manager; `None` if the distribution is not known here.
    pub manager: Option<Manager>,
    /// True for Red Hat Enterprise Linux and its derivatives: the package manager of Fedora, but fewer packages.
    enterprise: bool,
}

/// Package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is called what it is called
pub enum Manager {
    AptGet,
    Dnf,
    Yum,
    Pacman,
    Zypper,
    Apk,
}

/// Program that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program<'a> {
    /// `nft`.
    Nft,
    /// `qemu-system-…` for a machine, by the machine's name in the name of the emulator.
    Qemu(&'a str),
    /// `tshark`.
    Tshark,
}

impl Distribution {
    /// Reads the distribution of this host.
    #[must_use]
    pub fn here() -> Self {
        let text = ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|file| fs::read_to_string(file).ok());
        Self::parse(&text.unwrap_or_default())
    }

    /// Parses the text of os-release(5). Missing and malformed lines count as absent.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let value = |key: &str| {
            text.lines()
                .filter_map(|line| line.trim().split_once('='))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| unquote(value))
                .unwrap_or_default()
        };
        let (id, like, version) = (value("ID"), value("ID_LIKE"), value("VERSION_ID"));
        let names: Vec<&str> = std::iter::once(id.as_str())
            .chain(like.split_whitespace())
            .collect();
        let name = [value("PRETTY_NAME"), value("NAME"), id.clone()]
            .into_iter()
            .find(|name| !name.is_empty());
        Self {
            name: name.unwrap_or_default(),
            manager: manager(&names, &version),
            enterprise: id != "fedora" && names.iter().any(|name| ENTERPRISE.contains(name)),
        }
    }

    /// Returns the command that installs a program, to be run by root; `None` if its package is not known here.
    #[must_use]
    pub fn install(&self, program: Program<'_>) -> Option<String> {
        let manager = self.manager?;
        let package = package(manager, program)?;
        // The qemu of Red Hat is /usr/libexec/qemu-kvm, which is not on PATH.
        if self.enterprise && matches!(program, Program::Qemu(_)) {
            return None;
        }
        Some(format!("{} {package}", manager.install()))
    }
}

/// Values of `ID` and `ID_LIKE` that mark Red Hat Enterprise Linux and its relatives.
const ENTERPRISE: [&str; 3] = ["rhel", "centos", "amzn"];

/// Returns the package manager of the first known name: `names` has `ID` before those in `ID_LIKE`.
fn manager(names: &[&str], version: &str) -> Option<Manager> {
    names.iter().find_map(|name| match *name {
        "debian" | "ubuntu" => Some(Manager::AptGet),
        // dnf replaced yum in RHEL 8 and Amazon Linux 2023.
        "centos" | "rhel" if version.split('.').next() == Some("7") => Some(Manager::Yum),
        "amzn" if version == "2" => Some(Manager::Yum),
        "fedora" | "rhel" | "centos" | "amzn" => Some(Manager::Dnf),
        "arch" => Some(Manager::Pacman),
        "suse" | "opensuse" | "sles" => Some(Manager::Zypper),
        "alpine" => Some(Manager::Apk),
        _ => None,
    })
}

impl Manager {
    /// Returns the words before the package names in an install command.
    fn install(self) -> &'static str {
        match self {
            Self::AptGet => "apt-get install",
            Self::Dnf => "dnf install",
            Self::Yum => "yum install",
            Self::Pacman => "pacman -S",
            Self::Zypper => "zypper install",
            Self::Apk => "apk add",
        }
    }
}

fn package(manager: Manager, program: Program<'_>) -> Option<&'static str> {
    use Manager::{Apk, AptGet, Dnf, Pacman, Yum, Zypper};
    Some(match (program, manager) {
        (Program::Nft, _) => "nftables",
        (Program::Tshark, AptGet | Apk) => "tshark",
        (Program::Tshark, Dnf | Yum | Pacman) => "wireshark-cli",
        (Program::Tshark, Zypper) => "wireshark",
        (Program::Qemu("x86_64"), AptGet | Dnf | Yum | Pacman) => "qemu-system-x86",
        (Program::Qemu("x86_64"), Apk) => "qemu-system-x86_64",
        (Program::Qemu("x86_64"), Zypper) => "qemu-x86",
        // Debian and SUSE package both ARM emulators together.
        (Program::Qemu("aarch64"), AptGet) => "qemu-system-arm",
        (Program::Qemu("aarch64"), Dnf | Yum | Pacman | Apk) => "qemu-system-aarch64",
        (Program::Qemu("aarch64"), Zypper) => "qemu-arm",
        (Program::Qemu(_), _) => return None,
    })
}

/// Removes the shell quoting of a value, if it is quoted.
fn unquote(value: &str) -> String {
    let value = value.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
        Some((quote, inner))
    });
    match quoted {
        Some(('"', inner)) => {
            let mut plain = String::new();
            let mut letters = inner.chars();
            while let Some(letter) = letters.next() {
                // Double quotes keep backslash escapes; single quotes take everything literally.
                let escaped = (letter == '\\').then(|| letters.next()).flatten();
                plain.push(escaped.unwrap_or(letter));
            }
            plain
        }
        Some((_, inner)) => inner.to_owned(),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QEMU: Program<'_> = Program::Qemu("x86_64");

    /// Returns the commands that install nft, qemu and tshark on the distribution of this os-release text.
    fn installs(text: &str) -> [Option<String>; 3] {
        let distribution = Distribution::parse(text);
        [Program::Nft, QEMU, Program::Tshark].map(|program| distribution.install(program))
    }

    /// Returns the expected commands: `install` followed by each package.
    fn all(install: &str, packages: [&str; 3]) -> [Option<String>; 3] {
        packages.map(|package| Some(format!("{install} {package}")))
    }

    #[test]
    fn debian_and_its_derivatives_have_apt_get() {
        let expected = all("apt-get install", ["nftables", "qemu-system-x86", "tshark"]);
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n\
                      VERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nID=debian\n";
        let ubuntu = "PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\n\
                      ID=ubuntu\nID_LIKE=debian\n";
        let mint = "NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        for text in [debian, ubuntu, mint] {
            assert_eq!(installs(text), expected, "{text}");
        }
        let name = |text| Distribution::parse(text).name;
        assert_eq!(name(debian), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(name(mint), "Linux Mint");
    }

    #[test]
    fn fedora_has_dnf() {
        let text = "NAME=\"Fedora Linux\"\nVERSION=\"41 (Workstation Edition)\"\nID=fedora\nVERSION_ID=41\n\
                    PRETTY_NAME=\"Fedora Linux 41 (Workstation Edition)\"\n";
        let packages = ["nftables", "qemu-system-x86", "wireshark-cli"];
        assert_eq!(installs(text), all("dnf install", packages));
    }

    /// Red Hat's distributions have no `qemu-system-x86_64`, whichever package manager they use.
    #[test]
    fn red_hats_have_dnf_but_no_qemu() {
        let rocky = "NAME=\"Rocky Linux\"\nVERSION_ID=\"9.4\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";
        let [nft, qemu, tshark] = installs(rocky);
        assert_eq!(nft.unwrap(), "dnf install nftables");
        assert_eq!(qemu, None);
        assert_eq!(tshark.unwrap(), "dnf install wireshark-cli");
        let centos =
            "NAME=\"CentOS Linux\"\nVERSION_ID=\"7\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\n";
        let [nft, qemu, _] = installs(centos);
        assert_eq!(nft.unwrap(), "yum install nftables");
        assert_eq!(qemu, None);
    }

    #[test]
    fn arch_has_pacman() {
        let text = "NAME=\"Arch Linux\"\nPRETTY_NAME=\"Arch Linux\"\nID=arch\nBUILD_ID=rolling\n";
        let packages = ["nftables", "qemu-system-x86", "wireshark-cli"];
        assert_eq!(installs(text), all("pacman -S", packages));
    }

    #[test]
    fn opensuse_has_zypper() {
        let text = "NAME=\"openSUSE Tumbleweed\"\nID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n\
                    VERSION_ID=\"20250101\"\n";
        let packages = ["nftables", "qemu-x86", "wireshark"];
        assert_eq!(installs(text), all("zypper install", packages));
    }

    #[test]
    fn alpine_has_apk() {
        let text = "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME=\"Alpine Linux v3.20\"\n";
        let packages = ["nftables", "qemu-system-x86_64", "tshark"];
        assert_eq!(installs(text), all("apk add", packages));
    }

    #[test]
    fn unknown_distributions_have_no_install_command() {
        let nixos =
            "BUG_REPORT_URL=\"x\"\nID=nixos\nNAME=NixOS\nPRETTY_NAME=\"NixOS 24.11 (Vicuna)\"\n";
        for text in [nixos, "", "no such file", "ID=\n"] {
            assert_eq!(installs(text), [None, None, None], "{text}");
        }
        assert_eq!(Distribution::parse(nixos).name, "NixOS 24.11 (Vicuna)");
        assert_eq!(Distribution::parse("").name, "");
    }

    #[test]
    fn the_qemu_package_is_that_of_this_architecture() {
        let qemu = |id: &str, machine| {
            Distribution::parse(&format!("ID={id}")).install(Program::Qemu(machine))
        };
        assert_eq!(
            qemu("debian", "aarch64").unwrap(),
            "apt-get install qemu-system-arm"
        );
        assert_eq!(
            qemu("fedora", "aarch64").unwrap(),
            "dnf install qemu-system-aarch64"
        );
        assert_eq!(qemu("suse", "aarch64").unwrap(), "zypper install qemu-arm");
        assert_eq!(qemu("debian", "sparc64"), None);
    }

    #[test]
    fn values_are_quoted_as_in_a_shell() {
        let name = |value: &str| Distribution::parse(&format!("PRETTY_NAME={value}\n")).name;
        assert_eq!(name("\"a \\\"b\\\" \\$c\""), "a \"b\" $c");
        assert_eq!(name("'a b'"), "a b");
        assert_eq!(name("plain"), "plain");
        assert_eq!(name("\"unfinished"), "\"unfinished");
    }
}
