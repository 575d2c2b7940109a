//! CPU affinity of threads that send. Loopback and veth have a queue of frames per CPU: a fence cannot overtake
//! frames that were sent from its own CPU, but does overtake those from another one.

use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::error::Error;

/// Binds this thread to one of the CPUs that it may use, chosen by `nth` in rotation: on one CPU a fence cannot
/// overtake earlier frames. Returns false if that failed: a sandbox may forbid it.
#[allow(clippy::must_use_candidate)] // it need not matter
pub fn stay_on_one(nth: usize) -> bool {
    let this_thread = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(this_thread) else {
        return false;
    };
    let cpus: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .collect();
    let cpu = cpus.get(nth % cpus.len().max(1));
    cpu.is_some_and(|cpu| {
        only(*cpu).is_ok_and(|only| sched_setaffinity(this_thread, &only).is_ok())
    })
}

/// Waits until no CPU has queued frames, for at most `bound`. Frames of a thread that is not bound to a CPU have then
/// been delivered, except one that a CPU is processing at that moment. Returns at once if the kernel does not show
/// the queues.
pub fn queues_are_empty(bound: Duration) {
    let deadline = Instant::now() + bound;
    while queued().is_some_and(|frames| frames > 0) && Instant::now() < deadline {
        std::thread::yield_now();
    }
}

/// Returns the number of frames in the queues of all CPUs: the twelfth column of `softnet_stat` (`softnet_seq_show()`
/// in `net/core/net-procfs.c`, Linux 5.10).
fn queued() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/softnet_stat").ok()?;
    queued_in(&text)
}

fn queued_in(text: &str) -> Option<u64> {
    const COLUMN: usize = 11;
    let of_cpu = |line: &str| {
        let column = line.split_whitespace().nth(COLUMN)?;
        u64::from_str_radix(column, 16).ok()
    };
    text.lines().map(of_cpu).sum()
}

/// Calls `each` on every other CPU that this thread may use, one after the other, and returns to its own. A timer may
/// send from any of them: timers of an idle CPU move to a busy one (`kernel.timer_migration`).
pub fn on_others(mut each: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    let this_thread = Pid::from_raw(0);
    let failed = |errno| Error::system("send a fence from each CPU", errno);
    let Ok(home) = sched_getaffinity(this_thread) else {
        return Ok(());
    };
    // A thread that never moved must not fail for lack of permission to move back.
    let mut moved = false;
    let mut result = Ok(());
    for cpu in 0..configured_cpus() {
        // The kernel refuses CPUs that are offline or forbidden to this process.
        let is_home = home.is_set(cpu).unwrap_or(true);
        if is_home || !only(cpu).is_ok_and(|it| sched_setaffinity(this_thread, &it).is_ok()) {
            continue;
        }
        moved = true;
        result = each();
        if result.is_err() {
            break;
        }
    }
    // Also after a failure: the thread must not stay on a foreign CPU.
    if moved {
        sched_setaffinity(this_thread, &home).map_err(failed)?;
    }
    result
}

/// Returns the number of configured CPUs, including offline ones.
fn configured_cpus() -> usize {
    let count = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_CONF);
    let count = count.ok().flatten().and_then(|it| usize::try_from(it).ok());
    count.unwrap_or(1).min(CpuSet::count())
}

fn only(cpu: usize) -> nix::Result<CpuSet> {
    let mut only = CpuSet::new();
    only.set(cpu)?;
    Ok(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as in Linux 6.12: `seq_printf()` with thirteen columns or more, all hexadecimal.
    #[test]
    fn frames_in_the_queues_are_counted() {
        let line = |queued: &str| {
            format!(
                "0000075c 00000000 00000001 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 {queued} 00000001\n"
            )
        };
        let text = format!("{}{}", line("00000000"), line("0000001a"));
        assert_eq!(queued_in(&text), Some(26));
        // Older kernels have eleven columns.
        assert_eq!(queued_in("0000075c 00000000\n"), None);
    }
}
