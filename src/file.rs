//! Stored captures, and the files that are made of them.

mod new_file;
pub mod pcapng;

pub use new_file::NewFile;

/// STUB
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// x
    pub offset: u64,
}
impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "byte {}", self.offset)
    }
}
