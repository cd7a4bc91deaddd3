//! A queue: its registers, and the buffers in it.

use super::{
    chain::{Chain, Used},
    packed::PackedRing,
    split::SplitRing,
};
use crate::{
    model::{Doorbell, HostMemory},
    models::{Stop, Violations},
};
use std::{collections::VecDeque, sync::Arc};
use vfwire_spec::virtio::pci::NO_VECTOR;

/// Either layout.
#[derive(Debug)]
pub(super) enum Ring {
    Split(SplitRing),
    Packed(PackedRing),
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) number: u16,
    /// What a reset sets the size to: the largest. 0: there is no such queue.
    max_size: u16,
    pub(super) size: u16,
    pub(super) vector: u16,
    /// `[desc, driver, device]`.
    pub(super) addresses: [u64; 3],
    ring: Option<Ring>,
    doorbell: Arc<Doorbell>,
    rings_seen: u64,
    /// The device fetches until the queue is empty, and then no more until it is notified: what a driver does not notify it of stays there.
    is_awake: bool,
    /// What a notification with NOTIFICATION_DATA has promised: buffers up to this position.
    promised: Option<u16>,
    fetched: VecDeque<Chain>,
    fetched_bytes: usize,
    spare: Vec<Chain>,
    /// Which buffers the device holds.
    held: Vec<bool>,
    /// Frames dropped for want of buffers.
    pub(super) dropped: u64,
}

impl Queue {
    pub(super) fn new(number: u16, max_size: u16) -> Self {
        let doorbell = Arc::new(Doorbell::default());
        // Every value means something here: which one is checked when it is looked at.
        doorbell.ignore();
        Self {
            number,
            max_size,
            size: max_size,
            vector: NO_VECTOR,
            addresses: [0; 3],
            ring: None,
            doorbell,
            rings_seen: 0,
            is_awake: false,
            promised: None,
            fetched: VecDeque::new(),
            fetched_bytes: 0,
            spare: Vec::new(),
            held: Vec::new(),
            dropped: 0,
        }
    }

    pub(super) fn doorbell(&self) -> &Arc<Doorbell> {
        &self.doorbell
    }

    pub(super) fn max_size(&self) -> u16 {
        self.max_size
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.ring.is_some()
    }

    pub(super) fn reset(&mut self) {
        // What was rung before is no longer of interest, and not early either.
        let (doorbell, rings_seen, dropped) = (Arc::clone(&self.doorbell), self.doorbell.rings(), self.dropped);
        *self = Self { doorbell, rings_seen, dropped, ..Self::new(self.number, self.max_size) };
    }

    pub(super) fn enable(&mut self, ring: Ring) {
        // A packed queue's IDs are the driver's choice, of 16 bits.
        let ids = if matches!(ring, Ring::Split(_)) { usize::from(self.size) } else { 1 << 16 };
        self.held = vec![false; ids];
        self.ring = Some(ring);
    }

    /// Notifications that were sent while the device was not live.
    pub(super) fn check_early(&mut self, violations: &mut Violations) {
        let rings = self.doorbell.rings();
        if rings != self.rings_seen {
            self.rings_seen = rings;
            violations.record("a device is notified after DRIVER_OK", format_args!("queue {}", self.number));
        }
    }

    /// Looks at the doorbell of the queue that the driver calls `number`. With NOTIFICATION_DATA its value says how far the driver is.
    pub(super) fn look(&mut self, number: u16, with_data: bool, violations: &mut Violations) {
        let rings = self.doorbell.rings();
        if rings == self.rings_seen {
            return;
        }
        self.rings_seen = rings;
        let value = self.doorbell.value();
        let [a, b, c, d] = value.to_le_bytes();
        let is_right = if with_data { u16::from_le_bytes([a, b]) == number } else { value == u32::from(number) };
        if !is_right {
            violations.record("a notification names its queue", format_args!("{value:#x} to queue {number}"));
        }
        self.is_awake = true;
        self.promised = with_data.then(|| u16::from_le_bytes([c, d]));
    }

    /// The driver has notified the device of something that was not fetched yet.
    pub(super) fn is_awake(&self) -> bool {
        self.ring.is_some() && (self.is_awake || !self.fetched.is_empty())
    }

    /// Fetches one more buffer. Says whether there was one.
    fn fetch(&mut self, memory: &dyn HostMemory) -> Result<bool, Stop> {
        let Some(ring) = &mut self.ring else { return Ok(false) };
        let position = match ring {
            Ring::Split(ring) => ring.position(),
            Ring::Packed(ring) => ring.position(),
        };
        if !self.is_awake {
            return Ok(false);
        }
        self.promised = self.promised.filter(|promised| *promised != position);
        let mut chain = self.spare.pop().unwrap_or_default();
        chain.clear();
        let found = match ring {
            Ring::Split(ring) => ring.fetch(memory, &mut chain)?,
            Ring::Packed(ring) => ring.fetch(memory, &mut chain)?,
        };
        if !found {
            self.is_awake = false;
            self.spare.push(chain);
            let promised = self.promised.take();
            let detail = || format!("queue {} at {position:#06x}, promised {promised:x?}", self.number);
            Stop::unless(promised.is_none(), "what a notification tells of is available", detail)?;
            return Ok(false);
        }
        chain.check_order()?;
        let held = self.held.get_mut(usize::from(chain.id));
        let is_new = held.is_some_and(|held| !std::mem::replace(held, true));
        Stop::unless(is_new, "a buffer is made available once", || format!("{} in queue {}", chain.id, self.number))?;
        self.fetched_bytes += chain.room_bytes();
        self.fetched.push_back(chain);
        Ok(true)
    }

    /// Fetches until there is room for so many bytes, or nothing more. Says whether there is.
    pub(super) fn make_room(&mut self, bytes: usize, memory: &dyn HostMemory) -> Result<bool, Stop> {
        while self.fetched_bytes < bytes {
            if !self.fetch(memory)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The buffer that is next, and how many bytes it has room for.
    pub(super) fn next_room(&mut self, memory: &dyn HostMemory) -> Result<Option<usize>, Stop> {
        if self.fetched.is_empty() {
            self.fetch(memory)?;
        }
        Ok(self.fetched.front().map(Chain::room_bytes))
    }

    /// How many of the buffers that were fetched hold so many bytes.
    pub(super) fn buffers_for(&self, bytes: usize) -> usize {
        let mut room = 0;
        let enough = self.fetched.iter().position(|chain| {
            room += chain.room_bytes();
            room >= bytes
        });
        enough.map_or(self.fetched.len(), |last| last + 1)
    }

    /// What the driver has notified the device of is not looked at.
    pub(super) fn sleep(&mut self) {
        self.is_awake = false;
    }

    /// Takes the next buffer; hand it back with [`recycle`](Self::recycle).
    pub(super) fn take(&mut self, memory: &dyn HostMemory) -> Result<Option<Chain>, Stop> {
        if self.fetched.is_empty() {
            self.fetch(memory)?;
        }
        let chain = self.fetched.pop_front();
        if let Some(chain) = &chain {
            self.fetched_bytes -= chain.room_bytes();
        }
        Ok(chain)
    }

    /// The device no longer holds the buffer. Gives it back to nobody: that is [`put`](Self::put).
    pub(super) fn recycle(&mut self, chain: Chain) {
        if let Some(held) = self.held.get_mut(usize::from(chain.id)) {
            *held = false;
        }
        self.spare.push(chain);
    }

    /// Gives buffers back, all at once.
    pub(super) fn put(&mut self, memory: &dyn HostMemory, used: &[Used]) -> Result<(), Stop> {
        match &mut self.ring {
            Some(Ring::Split(ring)) => ring.put(memory, used),
            Some(Ring::Packed(ring)) => ring.put(memory, used),
            None => Ok(()),
        }
    }

    /// Gives buffers back in their order, with one word for all of them.
    pub(super) fn put_batch(&mut self, memory: &dyn HostMemory, used: &[Used]) -> Result<(), Stop> {
        match &mut self.ring {
            Some(Ring::Split(ring)) => ring.put_batch(memory, used),
            Some(Ring::Packed(ring)) => ring.put_batch(memory, used),
            None => Ok(()),
        }
    }

    /// Gives back what the driver has not made available.
    pub(super) fn put_out_of_nowhere(&mut self, memory: &dyn HostMemory) -> Result<(), Stop> {
        match &mut self.ring {
            Some(Ring::Split(ring)) => ring.put_out_of_nowhere(memory),
            Some(Ring::Packed(ring)) => ring.put_out_of_nowhere(memory),
            None => Ok(()),
        }
    }

    pub(super) fn wants_interrupt(&self, memory: &dyn HostMemory) -> Result<bool, Stop> {
        match &self.ring {
            Some(Ring::Split(ring)) => ring.wants_interrupt(memory),
            Some(Ring::Packed(ring)) => ring.wants_interrupt(memory),
            None => Ok(false),
        }
    }
}
