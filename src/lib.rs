//! Library of the `rstproof` program: the parts that need a live host, and the command line.
//!
//! Judging and analysis are in [`rstproof_core`], which does not depend on a host and can be used by other programs.
//! This library serves the program and its tests only, and may change with every release. The steps of a trial, which
//! are also the order in which to read the modules:
//!
//! 1. A [`scenario`](rstproof_core::scenario) is a script of socket calls, as data, with the expected results.
//! 2. A worker (`trial`) enters a private network namespace (`lab`) and opens one `capture` on its loopback; or
//!    it builds hosts, which are namespaces joined by links, and captures at both ends.
//! 3. The `runner` makes the calls and writes a [`transcript`](rstproof_core::transcript): caller, call, time and
//!    result. The lab carries out the other steps of the script: injected segments, a link that goes down.
//! 4. A fence marks the end of the trial on the wire. The ring is drained up to the fence and every frame is decoded
//!    ([`packet`](rstproof_core::packet)). Then the `sources` are read: kernel trace, kernel counters, host state.
//!    The sockets are torn down only after that.
//! 5. Transcript, frames and sources are the [`evidence`](rstproof_core::evidence). The judge
//!    ([`verdict`](rstproof_core::verdict)) is a pure function of the evidence.
//! 6. The result is a `report`, for people or for programs.
//! 7. Evidence can be saved in files (`archive`) and judged again without a live run.
//! 8. On other kernels, `vm` boots guests with this program as their first process, and `compare` shows the
//!    differences and explains them.
//!
//! `doctor` checks what a host can run. `cli` is the command line. Each large dependency is used by one module:
//! clap by `cli`, pcap by `capture`, rtnetlink by `lab`. `unsafe` is allowed only in `sys`.

// Public for the binary, or for integration tests and benchmarks, which are crates of their own. Hidden, because none of
// it is an interface for other programs.
#[doc(hidden)]
pub mod archive;
#[doc(hidden)]
pub mod capture;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod compare;
#[doc(hidden)]
pub mod doctor;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod file;
#[doc(hidden)]
pub mod host;
#[doc(hidden)]
pub mod lab;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod sources;
#[doc(hidden)]
pub mod trial;
#[doc(hidden)]
pub mod vm;

mod clock;
mod confinement;
mod exit_code;
mod runner;
mod sys;

#[doc(hidden)]
pub use sys::Allocator;
