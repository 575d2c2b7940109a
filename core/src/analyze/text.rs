//! What is said of connections, share by share, and put together again: in the order in which it was told, whichever share a
//! connection belongs to.

/// Texts of one listener, one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    /// Where each ends, and what it comes by: when it was told, and of which connection.
    ends: Vec<((u32, u32), usize)>,
}

impl Texts {
    /// Adds what is written here as one text, which comes in this [order](super::table::Connection::order).
    pub fn add<E>(
        &mut self,
        order: (u32, u32),
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_all_shares_come_in_the_order_in_which_they_were_told() {
        let texts = |all: &[((u32, u32), &str)]| {
            let mut texts = Texts::default();
            for (order, text) in all {
                let write = |out: &mut Vec<u8>| {
                    out.extend(text.as_bytes());
                    Ok::<(), ()>(())
                };
                texts.add(*order, write).unwrap();
            }
            texts
        };
        let one = texts(&[
            ((3, 1), "a connection, "),
            ((3, 1), "its reset, "),
            ((9, 2), "the last"),
        ]);
        let other = texts(&[((2, 2), "the first, "), ((9, 1), "one that began before ")]);
        let expected = "the first, a connection, its reset, one that began before the last";
        assert_eq!(
            in_order(&[one.clone(), other.clone()]).concat(),
            expected.as_bytes()
        );
        assert_eq!(in_order(&[other, one]).concat(), expected.as_bytes());
    }

    #[test]
    fn what_could_not_be_written_is_no_text() {
        let mut texts = Texts::default();
        assert_eq!(texts.add((1, 1), |_| Err("full")), Err("full"));
        assert!(in_order(&[texts]).is_empty());
    }
}
