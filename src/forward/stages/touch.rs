//! Reads frames, as an application that looks at their payload would.

use crate::{BufCache, Burst, forward::Stage};
use std::hint::black_box;

/// Bytes of a cache line on all processors that vfwire runs on.
const LINE_BYTES: usize = 64;

/// Reads a word of each of the first cache lines of every frame. A stage behind it in a tuple does the rest: `(Touch::lines(2), Io)`.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    lines: usize,
}

impl Touch {
    /// Of so many cache lines. What lies behind a frame's first buffer is not touched.
    pub fn lines(lines: usize) -> Self {
        Self { lines }
    }
}

impl Stage for Touch {
    #[inline(always)]
    fn process(&mut self, burst: &mut Burst, _cache: &mut BufCache) {
        burst.prefetch();
        let mut sum = 0_u8;
        for frame in burst.iter_mut() {
            for line in frame.data().chunks(LINE_BYTES).take(self.lines) {
                sum = sum.wrapping_add(line[0]);
            }
        }
        // Otherwise nobody would need the words, and they would not be read.
        black_box(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Drop, test_frames::Bench},
        *,
    };

    #[test]
    fn frames_are_left_alone_and_the_next_stage_gets_them() {
        let frames = [vec![1; 60], vec![2; 1514], vec![3; 14]];
        let mut bench = Bench::new();
        assert_eq!(bench.process(&mut Touch::lines(64), &frames), frames);
        assert!(bench.process(&mut (Touch::lines(2), Drop), &frames).is_empty());
        let mut boxed: (Touch, Box<dyn Stage>) = (Touch::lines(0), Box::new(Drop));
        assert!(bench.process(&mut boxed, &frames).is_empty());
    }
}
