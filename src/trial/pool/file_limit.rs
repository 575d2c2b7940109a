//! Limit of open files (`RLIMIT_NOFILE`, `ulimit -n`), and the runtime, which needs some of them.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use super::limit::{Limit, Usage};
use crate::error::Error;

/// Number of files that a worker has open during a trial on loopback: namespace, capture, counters, listeners,
/// sockets. Measured: 14.
const FILES_PER_WORKER: usize = 18;

/// Number of additional files for the hosts of one trial. Measured: 17.
const FILES_PER_NETWORK: usize = 22;

/// Number of other files: saved evidence, and pipes to children.
const OTHER_FILES: usize = 24;

const USAGE: Usage = Usage {
    per_worker: FILES_PER_WORKER,
    per_network: FILES_PER_NETWORK,
    exceeded: |limit, missing| {
        format!(
            "this process may open {limit} files, but trials need {missing} more; allow more with `ulimit -n 1024` (the hard limit as root, or with LimitNOFILE= or `docker run --ulimit nofile=1024`)"
        )
    },
};

/// Raises the soft limit of open files to the hard limit. Returns the limit and the number of files that may still be
/// opened.
pub(super) fn open_files() -> Limit {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return Limit {
            maximum: usize::MAX,
            free: usize::MAX,
            usage: USAGE,
        };
    };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let limit = usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX);
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    Limit {
        maximum: limit,
        free: limit.saturating_sub(open + OTHER_FILES),
        usage: USAGE,
    }
}

/// Builds a runtime for one thread: each worker has one, and so has the thread that receives their events.
pub(crate) fn runtime() -> Result<Runtime, Error> {
    let built = find_room().and_then(|()| {
        Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
    });
    built.map_err(|error| Error::io("start an event loop", &error))
}

/// Makes sure that the first runtime of this process finds enough descriptors, and raises the limit if not. The runtime
/// opens a pair of sockets for signals, and panics if that fails (`OsExtraData::default` in tokio's `signal/unix.rs`).
fn find_room() -> io::Result<()> {
    static FOUND: AtomicBool = AtomicBool::new(false);
    // Six descriptors: the pair and a copy of one of them; an epoll instance, a copy of that, and an eventfd.
    let room = || -> io::Result<[_; 3]> {
        Ok([
            UnixStream::pair()?,
            UnixStream::pair()?,
            UnixStream::pair()?,
        ])
    };
    // Relaxed: a second check by another thread does no harm.
    if !FOUND.load(Ordering::Relaxed) {
        if room().is_err() {
            let _ = open_files();
            room()?;
        }
        FOUND.store(true, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_limit_and_the_command_that_raises_it() {
        let files = Limit {
            maximum: 50,
            free: 10,
            usage: USAGE,
        };
        let error = files.share(2, 0, false).unwrap_err().to_string();
        assert!(
            error.contains("50 files") && error.contains("ulimit -n"),
            "{error}"
        );
    }
}
