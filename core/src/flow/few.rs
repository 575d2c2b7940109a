//! List for items that rarely exist.

/// List that takes up one word, and allocates nothing, while it is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SmallList<T>(
    #[allow(clippy::box_collection)] // a `Vec` is three words
    Option<Box<Vec<T>>>,
);

impl<T> SmallList<T> {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |items| items.len())
    }

    pub(super) fn push(&mut self, item: T) {
        self.0.get_or_insert_default().push(item);
    }

    /// Removes and returns the first item that matches; the items after it keep their order.
    pub(super) fn remove(&mut self, is_match: impl FnMut(&T) -> bool) -> Option<T> {
        self.take_out(is_match, Vec::remove)
    }

    /// Removes and returns the first item that matches, and moves the last one to its index.
    pub(super) fn swap_remove(&mut self, is_match: impl FnMut(&T) -> bool) -> Option<T> {
        self.take_out(is_match, Vec::swap_remove)
    }

    fn take_out(
        &mut self,
        is_match: impl FnMut(&T) -> bool,
        remove: impl FnOnce(&mut Vec<T>, usize) -> T,
    ) -> Option<T> {
        let items = self.0.as_mut()?;
        let index = items.iter().position(is_match)?;
        let item = remove(items, index);
        // An emptied list equals a new one in the derived comparison, and gives its memory back.
        if items.is_empty() {
            self.0 = None;
        }
        Some(item)
    }

    /// Keeps only the items that match.
    pub(super) fn retain(&mut self, is_kept: impl FnMut(&T) -> bool) {
        if let Some(items) = &mut self.0 {
            items.retain(is_kept);
            if items.is_empty() {
                self.0 = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_one_word_and_owns_no_memory() {
        assert_eq!(size_of::<SmallList<[u8; 100]>>(), size_of::<usize>());
        let mut few = SmallList::new();
        for number in [1, 2, 3, 4] {
            few.push(number);
        }
        assert_eq!(few.len(), 4);
        assert_eq!(few.swap_remove(|it| *it < 3), Some(1)); // 4, 2, 3
        assert_eq!(few.remove(|it| *it > 3), Some(4)); // 2, 3
        assert_eq!(few.remove(|it| *it > 3), None);
        few.retain(|it| *it == 3);
        assert_eq!(few.swap_remove(|_| true), Some(3));
        assert_eq!(few, SmallList::new());
        few.push(5);
        few.retain(|_| false);
        assert!(few.is_empty());
        assert_eq!(few.len(), 0);
        assert_eq!(few, SmallList::new());
    }
}
