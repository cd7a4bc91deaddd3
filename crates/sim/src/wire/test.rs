//! A wire whose far side is a test.

use super::Wire;
use crate::lock;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

/// A wire that a test fills and reads. Clones are the same wire: give one to the device and keep one.
#[derive(Clone, Debug, Default)]
pub struct TestWire {
    queues: Arc<Mutex<Queues>>,
    current: Vec<u8>,
}

#[derive(Debug, Default)]
struct Queues {
    to_device: VecDeque<Vec<u8>>,
    from_device: VecDeque<Vec<u8>>,
    pauses: bool,
}

impl TestWire {
    /// An empty wire.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a frame on its way to the device.
    pub fn push(&self, frame: impl Into<Vec<u8>>) {
        lock(&self.queues).to_device.push_back(frame.into());
    }

    /// Takes the next frame that the device has sent.
    pub fn pop(&self) -> Option<Vec<u8>> {
        lock(&self.queues).from_device.pop_front()
    }

    /// Frames that the device has not taken yet.
    pub fn waiting(&self) -> usize {
        lock(&self.queues).to_device.len()
    }

    /// Waits from now on while the device has no room, see [`Wire::pauses`].
    pub fn set_pauses(&self, pauses: bool) {
        lock(&self.queues).pauses = pauses;
    }
}

impl Wire for TestWire {
    fn send(&mut self, frame: &[u8]) {
        lock(&self.queues).from_device.push_back(frame.to_vec());
    }

    fn receive(&mut self) -> Option<&[u8]> {
        self.current = lock(&self.queues).to_device.pop_front()?;
        Some(&self.current)
    }

    fn pauses(&self) -> bool {
        lock(&self.queues).pauses
    }
}
