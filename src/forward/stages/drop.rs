//! Nothing leaves.

use crate::{BufCache, Burst, forward::Stage};

/// Drops every frame: what receiving alone costs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drop;

impl Stage for Drop {
    #[inline(always)]
    fn process(&mut self, burst: &mut Burst, cache: &mut BufCache) {
        burst.clear(cache);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::test_frames::Bench, *};

    #[test]
    fn nothing_is_left_and_every_buffer_is_home() {
        let mut bench = Bench::new();
        assert!(bench.process(&mut Drop, &[vec![1; 60], vec![2; 1514]]).is_empty());
        bench.all_are_home();
    }
}
