//! Bursts of given frames for the tests of stages.

use crate::{BufCache, Burst, Pool, PoolConfig, forward::Stage};

const BUFFERS: u32 = 64;

/// A pool and a cache of its own.
pub(super) struct Bench {
    pub(super) pool: Pool,
    pub(super) cache: BufCache,
}

impl Bench {
    pub(super) fn new() -> Self {
        let pool = Pool::new(&*vfwire_sim::SimHost::new().dma(), PoolConfig::new(BUFFERS)).expect("memory");
        Self { cache: pool.cache(), pool }
    }

    /// A burst of these frames.
    pub(super) fn burst(&mut self, frames: &[Vec<u8>]) -> Burst {
        let mut burst = self.pool.burst(32);
        for bytes in frames {
            let mut frame = burst.push_empty(&mut self.cache).expect("a buffer");
            frame.append(bytes.len()).expect("room").copy_from_slice(bytes);
        }
        burst
    }

    /// What a stage leaves of these frames.
    pub(super) fn process(&mut self, stage: &mut impl Stage, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut burst = self.burst(frames);
        stage.process(&mut burst, &mut self.cache);
        let left = contents(&mut burst);
        burst.clear(&mut self.cache);
        left
    }

    /// No buffer is out.
    pub(super) fn all_are_home(self) {
        drop(self.cache);
        assert_eq!(self.pool.free_buffers(), BUFFERS as usize);
    }
}

/// The bytes of the frames.
pub(super) fn contents(burst: &mut Burst) -> Vec<Vec<u8>> {
    burst.iter_mut().map(|frame| frame.segments().flatten().copied().collect()).collect()
}
