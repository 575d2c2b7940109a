//! Limit of address space (`RLIMIT_AS`, `ulimit -v`).

use std::fs;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::limit::{Limit, Usage};

const MIB: usize = 1 << 20;

/// Address space of a worker during a trial on loopback: the stack of its thread and of a call that blocks, the ring of
/// its capture, and what it allocates.
const BYTES_PER_WORKER: usize = 9 * MIB;

/// Additional address space for the hosts of one trial: the stacks of three threads and the rings of two captures.
const BYTES_PER_NETWORK: usize = 8 * MIB;

/// Address space for everything else: other threads, payloads, reports.
const OTHER_BYTES: usize = 32 * MIB;

const USAGE: Usage = Usage {
    per_worker: BYTES_PER_WORKER,
    per_network: BYTES_PER_NETWORK,
    exceeded: |limit, missing| {
        format!(
            "this process may use {} MiB of address space, but trials need {} MiB more; allow more with `ulimit -v unlimited` (the hard limit as root, or with LimitAS=)",
            limit / MIB,
            missing.div_ceil(MIB)
        )
    },
};

/// Returns the limit on the address space of this process.
pub(super) fn address_space() -> Limit {
    let limit = getrlimit(Resource::RLIMIT_AS).map_or(RLIM_INFINITY, |(soft, _)| soft);
    let is_limited = limit != RLIM_INFINITY;
    let limit = usize::try_from(limit)
        .ok()
        .filter(|_| is_limited)
        .unwrap_or(usize::MAX);
    let free = if is_limited {
        limit.saturating_sub(in_use() + OTHER_BYTES)
    } else {
        usize::MAX
    };
    Limit {
        maximum: limit,
        free,
        usage: USAGE,
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
    fn the_error_names_the_limit_and_the_command_that_raises_it() {
        let space = Limit {
            maximum: 90 * MIB,
            free: MIB,
            usage: USAGE,
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
