//! What a device sends to and receives from.

mod imperfect;
mod link;
mod test;
mod traffic;

pub use imperfect::{Impairment, ImperfectWire, OVERTAKEN_NS, WireClock};
pub use link::Link;
pub use test::TestWire;
pub use traffic::{TrafficConfig, TrafficCounters, TrafficSource};

/// The far side of a device's port. Frames are without the frame check sequence.
pub trait Wire: Send + 'static {
    /// Takes a frame that the device sends.
    fn send(&mut self, frame: &[u8]);

    /// The next frame for the device, good until the next call. The device has taken it, whatever it does with it.
    fn receive(&mut self) -> Option<&[u8]>;

    /// The far side waits while the device has no room (IEEE 802.3 annex 31B, PAUSE), instead of sending frames that will be dropped.
    fn pauses(&self) -> bool {
        false
    }
}

impl Wire for Box<dyn Wire> {
    fn send(&mut self, frame: &[u8]) {
        (**self).send(frame);
    }

    fn receive(&mut self) -> Option<&[u8]> {
        (**self).receive()
    }

    fn pauses(&self) -> bool {
        (**self).pauses()
    }
}
