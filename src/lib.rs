//! Which RST broke this connection: proven, not guessed.
//!
//! `strace` shows `ECONNRESET`, Wireshark shows an RST; this proves that the two are one event, or that they are not. A walk
//! through one trial, which is also the order in which to read the modules:
//!
//! 1. A [`scenario`] is a script of socket calls, as data, with what it must lead to.
//! 2. A worker ([`trial`]) enters a private network namespace ([`lab`]) and opens one [`capture`] on its loopback; or it builds
//!    hosts, namespaces joined by links, and captures at both ends.
//! 3. The [`runner`] makes the calls and writes a [`transcript`]: who called what, when, and how it ended. What the script
//!    says beside them is done by the lab: segments made by hand, a link that goes down.
//! 4. A fence marks the end of the trial on the wire; the ring is drained up to it and every frame decoded
//!    ([`packet`]). Then the [`kernel`] is asked what it traced and counted. Only after that are the sockets torn down.
//! 5. Transcript, packets and the kernel's word are the [`evidence`]. The judge ([`verdict`]) follows the connection
//!    through the packets ([`flow`]): which state each RST found its receiver in, whether the receiver had to believe it,
//!    and whether that is what the failed call was told and what the kernel says. It is a pure function.
//! 6. What came of it is a [`report`], for people or for machines.
//! 7. Evidence can be kept in files ([`archive`]) and judged again without a live run; [`file`](mod@file) reads and
//!    writes captures.
//!
//! 8. The same scenarios on other kernels: [`vm`] boots them with this program as their first process, [`history`] knows what
//!    Linux has changed, which scenarios say what they are before and after, and [`compare`] tells what differs, and why.
//!
//! Captures that others made have no transcript: [`analyze`] follows every connection in them as the judge does, and explains
//! each RST.
//!
//! [`doctor`] tells what a host can witness.
//!
//! [`cli`] is the command line. Each big crate has one door: clap in `cli`, pcap in `capture`, etherparse in `packet`, rtnetlink
//! in `lab`; `unsafe` is allowed in `sys` alone.

pub mod analyze;
pub mod archive;
pub mod capture;
pub mod cli;
pub mod compare;
pub mod doctor;
pub mod error;
pub mod evidence;
pub mod exit_code;
pub mod file;
pub mod flow;
pub mod history;
pub mod kernel;
pub mod lab;
pub mod packet;
pub mod report;
pub mod runner;
pub mod scenario;
mod sys;
pub mod time;
pub mod transcript;
pub mod trial;
pub mod verdict;
pub mod vm;
