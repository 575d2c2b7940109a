//! Stored captures, and the files that are made of them.

mod new_file;
pub mod pcapng;

pub use new_file::NewFile;
