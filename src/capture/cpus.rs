//! Which CPU a thread is on. Loopback and veth keep a queue of frames per CPU: a fence cannot overtake what was sent from its own,
//! and does overtake what was sent from another.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::error::Error;

/// Binds this thread to one of the CPUs that it may use, the `nth` going round. Frames queue up per CPU: on one CPU a
/// fence cannot overtake what was sent before it.
pub fn stay_on_one(nth: usize) -> Result<(), Error> {
    let this_thread = Pid::from_raw(0);
    let failed = |errno| Error::system("bind a worker to one CPU", errno);
    let allowed = sched_getaffinity(this_thread).map_err(failed)?;
    let cpus: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .collect();
    let Some(cpu) = cpus.get(nth % cpus.len().max(1)) else {
        return Ok(());
    };
    sched_setaffinity(this_thread, &only(*cpu).map_err(failed)?).map_err(failed)
}

/// Does this on each CPU that this thread is not bound to and may be on, one after the other, and comes back. What a timer
/// sends may leave by any of them: timers of a CPU that is idle go to one that is not (`kernel.timer_migration`).
pub fn on_others(mut each: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    let this_thread = Pid::from_raw(0);
    let failed = |errno| Error::system("send a fence from each CPU", errno);
    let home = sched_getaffinity(this_thread).map_err(failed)?;
    let mut result = Ok(());
    for cpu in 0..configured_cpus() {
        // The kernel refuses those that are offline or that this process may not use.
        let is_home = home.is_set(cpu).unwrap_or(true);
        if is_home || !only(cpu).is_ok_and(|it| sched_setaffinity(this_thread, &it).is_ok()) {
            continue;
        }
        result = each();
        if result.is_err() {
            break;
        }
    }
    sched_setaffinity(this_thread, &home).map_err(failed)?;
    result
}

/// How many CPUs there are, offline ones included.
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
