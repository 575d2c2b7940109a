//! Limit of address space (`RLIMIT_AS`, `ulimit -v`), and the number of workers that it allows.

use std::fs;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::room::{Room, WorkerCounts};
use crate::error::Error;

const MIB: usize = 1 << 20;

/// Address space of a worker during a trial on loopback: the stack of its thread and of a call that blocks, the ring of
/// its capture, and what it allocates.
const BYTES_PER_WORKER: usize = 9 * MIB;

/// Additional address space for the hosts of one trial: the stacks of three threads and the rings of two captures.
const BYTES_PER_NETWORK: usize = 8 * MIB;

/// Address space for everything else: other threads, payloads, reports.
const OTHER_BYTES: usize = 32 * MIB;

/// Address space of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressSpace {
    /// Limit in bytes.
    limit: usize,
    /// Number of bytes that workers may use.
    free: usize,
}

impl AddressSpace {
    /// Returns the limit of this process, and what is left of it.
    pub(super) fn of_process() -> Self {
        let limit = getrlimit(Resource::RLIMIT_AS).map_or(RLIM_INFINITY, |(soft, _)| soft);
        if limit == RLIM_INFINITY {
            return Self {
                limit: usize::MAX,
                free: usize::MAX,
            };
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            limit,
            free: limit.saturating_sub(in_use() + OTHER_BYTES),
        }
    }

    /// Returns how many of these workers can run concurrently. Fails if not even one of each kind fits.
    pub(super) fn share(
        self,
        fast: usize,
        slow: usize,
        hosts: bool,
    ) -> Result<WorkerCounts, Error> {
        let room = Room {
            free: self.free,
            per_worker: BYTES_PER_WORKER,
            per_network: BYTES_PER_NETWORK,
        };
        room.share(fast, slow, hosts).map_err(|lacking| {
            Error::Usage(format!(
                "this process may use {} MiB of address space, but trials need {} MiB more; allow more with `ulimit -v unlimited` (the hard limit as root, or with LimitAS=)",
                self.limit / MIB,
                lacking.div_ceil(MIB)
            ))
        })
    }
}

/// Returns the address space that this process uses, in bytes; 0 if unknown.
fn in_use() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let size = lines.find_map(|line| line.strip_prefix("VmSize:"));
    let kib = size.and_then(|size| size.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_worker_fits_the_limit_is_named_with_what_raises_it() {
        let space = AddressSpace {
            limit: 90 * MIB,
            free: MIB,
        };
        let error = space.share(1, 1, true).unwrap_err().to_string();
        let needed = (2 * BYTES_PER_WORKER + BYTES_PER_NETWORK - MIB) / MIB;
        assert!(error.contains("90 MiB"), "{error}");
        assert!(error.contains(&format!("{needed} MiB more")), "{error}");
        assert!(error.contains("`ulimit -v unlimited`"), "{error}");
    }

    #[test]
    fn the_address_space_in_use_is_known() {
        assert!(in_use() > MIB);
    }
}
