//! Description of this host and this program for reports.

use rstproof_core::history::Kernel;
use rstproof_core::report::{EvidenceSources, Header, Host, SCHEMA, Tool};

use crate::sys;

/// Returns the name and version of this program.
#[must_use]
pub fn this_tool() -> Tool {
    Tool {
        name: env!("CARGO_PKG_NAME").into(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// Returns the running kernel; the default if uname(2) fails.
#[must_use]
pub fn running_kernel() -> Kernel {
    let host = this_host();
    Kernel::of(&host.sysname, &host.release, &host.version)
}

/// Returns the release of the running kernel. Read from `/proc`, because uname(2) returns another one under
/// `setarch --uname-2.6` (`UNAME26`; `override_release()`, kernel/sys.c).
#[must_use]
pub fn running_release() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    let release = release.map(|release| release.trim_end().to_owned());
    release.unwrap_or_else(|_| {
        let name = nix::sys::utsname::uname();
        name.map_or_else(
            |_| String::new(),
            |name| name.release().to_string_lossy().into_owned(),
        )
    })
}

/// Returns the description of this host.
fn this_host() -> Host {
    let uname = nix::sys::utsname::uname().ok();
    let field = |get: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        uname
            .as_ref()
            .map_or_else(String::new, |name| get(name).to_string_lossy().into_owned())
    };
    Host {
        sysname: field(|name| name.sysname()),
        release: running_release(),
        version: field(|name| name.version()),
        machine: field(|name| name.machine()),
        libpcap: sys::libpcap_version(),
    }
}

/// Returns the report header for a run on this host.
#[must_use]
pub fn header() -> Header {
    Header {
        schema: SCHEMA,
        tool: this_tool(),
        host: this_host(),
        evidence_sources: EvidenceSources::capture_only(),
    }
}
