//! Files on this host: where captures are read from, and how files are written.
//!
//! [`inputs`] finds the captures that somebody has named, compressed or not. [`Directory`] and [`NewFile`] write without ever
//! following a link or leaving half a file. What is in a capture is read and written by [`rstproof_core::file`].

mod directory;
mod input;
mod new_file;
mod place;

pub(crate) use directory::names_in;
pub use directory::{Directory, Lock};
pub use input::{Input, Inputs, inputs};
pub use new_file::{Manner, NewFile, Owner, write_whole};
