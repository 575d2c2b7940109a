//! Files on this host: captures to read, and files to write.
//!
//! [`inputs`] opens the captures that a user named, compressed or not. [`Directory`] and [`NewFile`] write without ever
//! following a link or leaving a partial file. The content of captures is read and written by [`rstproof_core::file`].

mod directory;
mod input;
mod new_file;
mod owner;

pub(crate) use directory::names_in;
pub use directory::{Directory, Lock};
pub(crate) use input::STANDARD_INPUT;
pub use input::{Input, Inputs, inputs};
pub use new_file::{NewFile, WriteOptions, write_whole};
pub use owner::Owner;
