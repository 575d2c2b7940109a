//! A single trial: run the script, drain the capture, judge.
//!
//! A [`Worker`] owns an environment, a capture and a pair of sockets, all bound to one thread. It makes the calls of
//! a scenario, takes the frames that they caused from the capture's ring up to a fence, and tears the sockets down
//! only then: segments of the tear-down belong to no trial.
//!
//! Calls and capture share the thread on purpose. The tap runs inside the sending system call, so when a call has
//! returned its frames are in the ring already and no draining thread has to be woken: a wake-up per trial costs more
//! than the trial.
//!
//! [`Worker`] is the entry; `pool` runs many workers side by side.

mod decoy;
mod forge;
pub(crate) mod pool;
mod run;
mod script;
mod settings;
pub(crate) mod stall;
mod test_bed;
mod worker;

pub use self::decoy::{DECOY_WINDOW, Decoy, DecoyKind};
pub use self::settings::{Settings, this_program};
pub use self::worker::{CompletedTrial, Worker};
