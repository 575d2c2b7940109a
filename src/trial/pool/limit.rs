//! Limit of this process on a resource: how many workers and networks fit into it.

use crate::error::Error;

/// Limit of this process on a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Maximum amount; `usize::MAX` if there is none, or it is unknown.
    pub(super) maximum: usize,
    /// Amount that workers may still use.
    pub(super) free: usize,
    pub(super) usage: Usage,
}

/// Amounts of a resource that trials use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Amount that a worker uses during a trial on loopback.
    pub(super) per_worker: usize,
    /// Additional amount for the hosts of one trial.
    pub(super) per_network: usize,
    /// Returns the error message, with its fix, from the limit and the amount that is missing.
    pub(super) exceeded: fn(limit: usize, missing: usize) -> String,
}

/// Number of workers that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerCounts {
    pub(super) fast: usize,
    pub(super) slow: usize,
    /// Maximum number of networks of hosts at the same time.
    pub(super) networks: usize,
}

impl WorkerCounts {
    /// Returns what fits into two limits.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            fast: self.fast.min(other.fast),
            slow: self.slow.min(other.slow),
            networks: self.networks.min(other.networks),
        }
    }
}

impl Limit {
    /// Returns how many of these workers can run concurrently. Fails if there is less than one of each kind uses: the
    /// results would depend on the limit, not on connections.
    pub(super) fn share(
        self,
        fast: usize,
        slow: usize,
        hosts: bool,
    ) -> Result<WorkerCounts, Error> {
        let Usage {
            per_worker,
            per_network,
            exceeded,
        } = self.usage;
        let network = if hosts { per_network } else { 0 };
        let least = (fast.min(1) + slow.min(1)) * per_worker + network;
        let Some(left) = self.free.checked_sub(least) else {
            return Err(Error::Usage(exceeded(self.maximum, least - self.free)));
        };
        // Fast trials come first: the slow ones wait for them.
        let more_fast = fast.saturating_sub(1).min(left / per_worker);
        let left = left - more_fast * per_worker;
        // Most slow trials have no hosts, so workers get three quarters of what is left.
        let for_workers = if hosts { left - left / 4 } else { left };
        let more_slow = slow.saturating_sub(1).min(for_workers / per_worker);
        let left = left - more_slow * per_worker;
        let slow = slow.min(1) + more_slow;
        Ok(WorkerCounts {
            fast: fast.min(1) + more_fast,
            slow,
            networks: if hosts {
                (1 + left / per_network).min(slow.max(1))
            } else {
                1
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_WORKER: usize = 18;
    const PER_NETWORK: usize = 22;

    fn limit(free: usize) -> Limit {
        Limit {
            maximum: free.saturating_add(40),
            free,
            usage: Usage {
                per_worker: PER_WORKER,
                per_network: PER_NETWORK,
                exceeded: |limit, missing| format!("{missing} more than {limit}"),
            },
        }
    }

    #[test]
    fn below_the_limit_all_workers_run() {
        let all = limit(100_000).share(4, 48, true).unwrap();
        let expected = WorkerCounts {
            fast: 4,
            slow: 48,
            networks: 48,
        };
        assert_eq!(all, expected);
        assert_eq!(limit(usize::MAX).share(4, 48, true).unwrap(), expected);
    }

    /// Concurrent workers fit into every limit, and at least one of each kind runs.
    #[test]
    fn near_the_limit_fewer_workers_run_and_all_of_them_fit() {
        for free in 0..3000 {
            for (fast, slow, hosts) in [(2, 48, true), (2, 48, false), (8, 0, false), (0, 3, true)]
            {
                let Ok(share) = limit(free).share(fast, slow, hosts) else {
                    assert!(free < 2 * PER_WORKER + PER_NETWORK, "{free}");
                    continue;
                };
                let networks = if hosts {
                    share.networks * PER_NETWORK
                } else {
                    0
                };
                assert!(
                    (share.fast + share.slow) * PER_WORKER + networks <= free,
                    "{free}: {share:?}"
                );
                assert_eq!(
                    (share.fast > 0, share.slow > 0),
                    (fast > 0, slow > 0),
                    "{free}"
                );
                assert!(share.networks > 0);
            }
        }
    }

    #[test]
    fn the_smaller_of_two_limits_decides() {
        let (wide, narrow) = (limit(100_000), limit(100));
        let share = |limit: Limit| limit.share(4, 48, true).unwrap();
        assert_eq!(share(wide).and(share(narrow)), share(narrow));
    }
}
