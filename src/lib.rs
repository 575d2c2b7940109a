//! The parts of the program `rstproof`: everything that needs a live host, and the command line.
//!
//! What judges and analyzes is [`rstproof_core`], which knows no host; others may build on it. This library is there for the program and
//! its tests, and may change with every release. A walk through one trial, which is also the order in which to read the modules:
//!
//! 1. A [`scenario`](rstproof_core::scenario) is a script of socket calls, as data, with what it must lead to.
//! 2. A worker ([`trial`]) enters a private network namespace ([`lab`]) and opens one [`capture`] on its loopback; or it builds
//!    hosts, namespaces joined by links, and captures at both ends.
//! 3. The [`runner`] makes the calls and writes a [`transcript`](rstproof_core::transcript): who called what, when, and how it
//!    ended. What the script has beside them is done by the lab: segments made by hand, a link that goes down.
//! 4. A fence marks the end of the trial on the wire; the ring is drained up to it and every frame decoded
//!    ([`packet`](rstproof_core::packet)). Then the [`sources`] are read: the kernel's trace, its counters, the state of the host. Only
//!    after that are the sockets torn down.
//! 5. All of that is the [`evidence`](rstproof_core::evidence). The judge ([`verdict`](rstproof_core::verdict)) is a pure function of it.
//! 6. The result is a [`report`], for people or for machines.
//! 7. Evidence can be kept in files ([`archive`]) and judged again without a live run.
//! 8. The same scenarios on other kernels: [`vm`] boots them with this program as their first process, and [`compare`] shows what
//!    differs, and why.
//!
//! [`doctor`] checks what a host can run. [`cli`] is the command line. Each big crate has one door: clap in `cli`, pcap in `capture`,
//! rtnetlink in `lab`; `unsafe` is allowed in `sys` alone.

pub mod archive;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod doctor;
pub mod error;
pub mod exit_code;
pub mod file;
pub mod host;
pub mod lab;
pub mod report;
pub mod runner;
pub mod sources;
mod sys;
pub mod trial;
pub mod vm;
