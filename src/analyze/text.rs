//! What is said of connections, share by share, and put together again: in the order in which it was told, whichever share a
//! connection belongs to.

use super::table::Connection;

/// Texts of one listener, one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    /// Where each ends, and what it comes by: when it was told, and of which connection.
    ends: Vec<((u32, u32), usize)>,
}

impl Texts {
    /// Adds what is written here as one text, said of this connection.
    pub fn add<E>(
        &mut self,
        connection: &Connection<'_>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        write(&mut self.bytes)?;
        let order = (connection.told_at, connection.number());
        self.ends.push((order, self.bytes.len()));
        Ok(())
    }

    fn each(&self) -> impl Iterator<Item = ((u32, u32), &[u8])> {
        let mut start = 0;
        self.ends.iter().filter_map(move |(order, end)| {
            let text = self.bytes.get(start..*end)?;
            start = *end;
            Some((*order, text))
        })
    }
}

/// All of these in order. Those of one connection stay as they were.
#[must_use]
pub fn in_order(all: &[Texts]) -> Vec<&[u8]> {
    let mut texts: Vec<_> = all.iter().flat_map(Texts::each).collect();
    texts.sort_by_key(|(order, _)| *order);
    texts.into_iter().map(|(_, text)| text).collect()
}
