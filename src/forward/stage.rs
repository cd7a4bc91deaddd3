//! What a stage is, and how several are put together.

use crate::{BufCache, Burst, MacAddr};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What is done with the frames of a burst, between receiving and sending them.
///
/// A stage runs on a polling thread: it must not wait, lock, print or allocate. It may change frames, drop some with [`Burst::retain`], which
/// is counted ([`LaneStats::dropped_by_stage`](super::LaneStats::dropped_by_stage)), and put others in. Two stages in a tuple are one stage, the
/// first before the second.
pub trait Stage: Send + 'static {
    /// Works on frames that have just been received. What is in the burst afterwards is sent.
    fn process(&mut self, burst: &mut Burst, cache: &mut BufCache);
}

impl<A: Stage, B: Stage> Stage for (A, B) {
    #[inline(always)]
    fn process(&mut self, burst: &mut Burst, cache: &mut BufCache) {
        self.0.process(burst, cache);
        self.1.process(burst, cache);
    }
}

/// One dynamic call a burst, where the kind of stage is known at run time only.
impl Stage for Box<dyn Stage> {
    #[inline(always)]
    fn process(&mut self, burst: &mut Burst, cache: &mut BufCache) {
        (**self).process(burst, cache);
    }
}

/// A port's own MAC address, as stages know it. Clones are the same: whoever looks after the port [`moves`](Self::moves) it when the PF has
/// given the port another address, and the stages send from that one.
#[derive(Clone, Debug)]
pub struct Station(Arc<AtomicU64>);

impl Station {
    /// Of a port with this address.
    pub fn new(mac: MacAddr) -> Self {
        Self(Arc::new(AtomicU64::new(to_word(mac))))
    }

    /// Its address now.
    #[inline(always)]
    pub fn mac(&self) -> MacAddr {
        let [a, b, c, d, e, f, _, _] = self.0.load(Relaxed).to_le_bytes();
        MacAddr([a, b, c, d, e, f])
    }

    /// It has another address from now on.
    pub fn moves(&self, mac: MacAddr) {
        self.0.store(to_word(mac), Relaxed);
    }
}

fn to_word(MacAddr([a, b, c, d, e, f]): MacAddr) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}
