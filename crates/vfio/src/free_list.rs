//! Which bytes of one mapping are free: disjoint ranges in order, joined when they touch.

use std::ops::Range;

/// The free bytes of a mapping of known length.
#[derive(Debug)]
pub(crate) struct FreeList {
    len_bytes: usize,
    free: Vec<Range<usize>>,
}

impl FreeList {
    /// All of `len_bytes` are free.
    pub(crate) fn new(len_bytes: usize) -> Self {
        Self { len_bytes, free: std::iter::once(0..len_bytes).collect() }
    }

    /// Takes the first `len_bytes` that start at a multiple of `align_bytes`.
    pub(crate) fn take(&mut self, len_bytes: usize, align_bytes: usize) -> Option<usize> {
        let fit = |range: &Range<usize>| {
            let start = range.start.checked_next_multiple_of(align_bytes)?;
            (start.checked_add(len_bytes)? <= range.end).then_some(start)
        };
        let (index, start) = self.free.iter().enumerate().find_map(|(index, range)| Some((index, fit(range)?)))?;
        let range = self.free[index].clone();
        let rests = [range.start..start, start + len_bytes..range.end];
        self.free.splice(index..=index, rests.into_iter().filter(|rest| !rest.is_empty()));
        Some(start)
    }

    /// Gives back what [`take`](Self::take) gave.
    pub(crate) fn give(&mut self, start: usize, len_bytes: usize) {
        let index = self.free.partition_point(|range| range.start < start);
        self.free.insert(index, start..start + len_bytes);
        if index + 1 < self.free.len() && self.free[index].end == self.free[index + 1].start {
            self.free[index].end = self.free.remove(index + 1).end;
        }
        if index > 0 && self.free[index - 1].end == self.free[index].start {
            self.free[index - 1].end = self.free.remove(index).end;
        }
    }

    /// Whether nothing is taken.
    pub(crate) fn is_whole(&self) -> bool {
        self.free.len() == 1 && self.free[0] == (0..self.len_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_never_overlap_and_all_come_back(steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 1usize..300, 0u32..9), 1..200)) {
            let mut list = FreeList::new(4096);
            let mut taken: Vec<(usize, usize)> = Vec::new();
            for (which, give, len, shift) in steps {
                if give && !taken.is_empty() {
                    let (start, len) = taken.swap_remove(which.index(taken.len()));
                    list.give(start, len);
                } else if let Some(start) = list.take(len, 1 << shift) {
                    prop_assert!(start % (1 << shift) == 0 && start + len <= 4096);
                    prop_assert!(taken.iter().all(|&(other, other_len)| start + len <= other || other + other_len <= start));
                    taken.push((start, len));
                }
                prop_assert_eq!(list.is_whole(), taken.is_empty());
            }
            for (start, len) in taken {
                list.give(start, len);
            }
            prop_assert!(list.is_whole());
            prop_assert_eq!(list.take(4096, 4096), Some(0));
        }
    }
}
