//! Share of a limited resource of this process: how many workers and networks fit into it.

/// Resource that is limited, and what workers and networks take of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Amount that may still be used.
    pub(super) free: usize,
    /// Amount that a worker uses during a trial on loopback.
    pub(super) per_worker: usize,
    /// Additional amount for the hosts of one trial.
    pub(super) per_network: usize,
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
    /// Returns what fits into two rooms.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            fast: self.fast.min(other.fast),
            slow: self.slow.min(other.slow),
            networks: self.networks.min(other.networks),
        }
    }
}

impl Room {
    /// Returns how many of these workers can run concurrently. Fails with the amount that is missing if there is less
    /// room than one of each kind takes: the results would depend on the limit, not on connections.
    pub(super) fn share(
        self,
        fast: usize,
        slow: usize,
        hosts: bool,
    ) -> Result<WorkerCounts, usize> {
        let network = if hosts { self.per_network } else { 0 };
        let least = (fast.min(1) + slow.min(1)) * self.per_worker + network;
        let Some(left) = self.free.checked_sub(least) else {
            return Err(least - self.free);
        };
        // Fast trials come first: the slow ones wait for them.
        let more_fast = fast.saturating_sub(1).min(left / self.per_worker);
        let left = left - more_fast * self.per_worker;
        // Most slow trials have no hosts, so workers get three quarters of the room that is left.
        let for_workers = if hosts { left - left / 4 } else { left };
        let more_slow = slow.saturating_sub(1).min(for_workers / self.per_worker);
        let left = left - more_slow * self.per_worker;
        let slow = slow.min(1) + more_slow;
        Ok(WorkerCounts {
            fast: fast.min(1) + more_fast,
            slow,
            networks: if hosts {
                (1 + left / self.per_network).min(slow.max(1))
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

    fn room(free: usize) -> Room {
        Room {
            free,
            per_worker: PER_WORKER,
            per_network: PER_NETWORK,
        }
    }

    #[test]
    fn with_room_enough_all_run_side_by_side() {
        let all = room(100_000).share(4, 48, true).unwrap();
        let expected = WorkerCounts {
            fast: 4,
            slow: 48,
            networks: 48,
        };
        assert_eq!(all, expected);
        assert_eq!(room(usize::MAX).share(4, 48, true), Ok(expected));
    }

    /// Concurrent workers fit into every limit, and at least one of each kind runs.
    #[test]
    fn with_less_room_fewer_run_and_all_of_them_fit() {
        for free in 0..3000 {
            for (fast, slow, hosts) in [(2, 48, true), (2, 48, false), (8, 0, false), (0, 3, true)]
            {
                let Ok(share) = room(free).share(fast, slow, hosts) else {
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
    fn the_smaller_of_two_rooms_decides() {
        let (wide, narrow) = (room(100_000), room(100));
        let share = |room: Room| room.share(4, 48, true).unwrap();
        assert_eq!(share(wide).and(share(narrow)), share(narrow));
    }
}
