//! Settings below `net.ipv4` of this thread's network namespace, put back when they are no longer needed.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::error::Error;

/// Settings that were changed.
#[derive(Debug, Default)]
pub(crate) struct Changed(Vec<(PathBuf, String)>);

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/sys/net/ipv4/{name}"))
}

/// Why this setting cannot be changed here, if it cannot.
pub(crate) fn missing(name: &str) -> Option<String> {
    let path = path(name);
    (!path.exists()).then(|| format!("this kernel has no setting net.ipv4.{name}"))
}

impl Changed {
    /// Makes these settings, in order.
    pub(crate) fn make(settings: &[(&str, &str)]) -> Result<Self, Error> {
        let mut changed = Self::default();
        for (name, value) in settings {
            let path = path(name);
            let failed = |error: io::Error| Error::file("change", &path, &error);
            let before = fs::read_to_string(&path).map_err(failed)?;
            fs::write(&path, value).map_err(failed)?;
            changed.0.push((path, before));
        }
        Ok(changed)
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        for (path, before) in self.0.drain(..).rev() {
            // What was allowed before is allowed still; and if not, the namespace ends with its thread.
            let _ = fs::write(path, before);
        }
    }
}
