//! Free ids of a ring, used again in the order in which they came back: a device that uses buffers in order gets them in ring order.

/// The ids that nothing is out under.
#[derive(Debug)]
pub(crate) struct Ids {
    free: Box<[u16]>,
    head: u16,
    len: u16,
    mask: u16,
}

impl Ids {
    /// Ids 0 to `size - 1`, all free. `size` is a power of two.
    pub(crate) fn new(size: u16) -> Self {
        Self { free: (0..size).collect(), head: 0, len: size, mask: size - 1 }
    }

    /// How many are free.
    #[inline(always)]
    pub(crate) fn free(&self) -> u16 {
        self.len
    }

    /// The next one.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<u16> {
        self.len = self.len.checked_sub(1)?;
        let id = self.free[usize::from(self.head & self.mask)];
        self.head = self.head.wrapping_add(1);
        Some(id)
    }

    /// The next ones that lie in one piece, which stay free until [`skip`](Self::skip): at most as many as are free, and some where any is.
    #[inline(always)]
    pub(crate) fn piece(&self) -> &[u16] {
        let at = usize::from(self.head & self.mask);
        let piece = &self.free[at..];
        &piece[..piece.len().min(usize::from(self.len))]
    }

    /// Where ids are put that come back, in one piece: at most as many as are out, and some where any is. There stand the ids that are out,
    /// oldest first, where all came back in the order in which they went.
    #[inline(always)]
    pub(crate) fn piece_out(&mut self) -> &mut [u16] {
        let at = usize::from(self.head.wrapping_add(self.len) & self.mask);
        let out = self.free.len() - usize::from(self.len);
        let piece = &mut self.free[at..];
        let len = piece.len().min(out);
        &mut piece[..len]
    }

    /// `count` ids were put where [`piece_out`](Self::piece_out) has said.
    #[inline(always)]
    pub(crate) fn came_back(&mut self, count: u16) {
        self.len += count;
    }

    /// The next one, which stays free.
    #[inline(always)]
    pub(crate) fn peek(&self) -> Option<u16> {
        (self.len != 0).then(|| self.free[usize::from(self.head & self.mask)])
    }

    /// Takes `count` that [`peek`](Self::peek) or [`piece`](Self::piece) has shown.
    #[inline(always)]
    pub(crate) fn skip(&mut self, count: u16) {
        self.len -= count;
        self.head = self.head.wrapping_add(count);
    }

    /// The oldest that is out, where they come back in the order in which they went.
    #[inline(always)]
    pub(crate) fn oldest_out(&self) -> u16 {
        self.free[usize::from(self.head.wrapping_add(self.len) & self.mask)]
    }

    /// Nothing is out under `id` any more.
    #[inline(always)]
    pub(crate) fn put(&mut self, id: u16) {
        let at = self.head.wrapping_add(self.len) & self.mask;
        self.free[usize::from(at)] = id;
        self.len += 1;
    }

    /// All are free, in order.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.mask + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_round_in_order() {
        let mut ids = Ids::new(4);
        let taken: Vec<u16> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!((taken.as_slice(), ids.free()), ([0, 1, 2, 3].as_slice(), 0));
        for id in [2, 0] {
            ids.put(id);
        }
        assert_eq!((ids.take(), ids.take(), ids.take()), (Some(2), Some(0), None));
    }
}
