//! The control queue (virtio 1.2, 5.1.6.5): one command at a time, with a deadline.

use crate::{
    notify::Notify,
    packed::Packed,
    ring::{Either, Memory, Places, Shape, Virtqueue, both},
    split::Split,
};
use std::sync::Arc;
use vfwire_core::{
    bar::Bar,
    cells::DmaCells,
    dma::{DmaRegion, DmaSpace},
    error::PortError,
    poll::{Wait, poll_until},
};
use vfwire_spec::virtio::control::ACK_OK;

/// Longest command in bytes, class and code counted.
pub const COMMAND_MAX_BYTES: usize = 2048;

/// What the device says of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ack {
    /// Done.
    Ok,
    /// Refused, or not understood.
    Refused,
}

/// The control queue.
#[derive(Debug)]
pub struct CommandQueue {
    ring: Either<Split, Packed>,
    command: DmaCells<u64>,
    ack: DmaCells<u16>,
    region: Arc<DmaRegion>,
    shape: Shape,
    /// The first id of the next command: ids go round, for devices that use buffers in order.
    next: u16,
    /// A command was not answered in time: the device may still read or write its memory.
    is_stuck: bool,
}

impl CommandQueue {
    /// A control queue.
    ///
    /// # Errors
    /// [`PortError`] where the shape is impossible or the memory cannot be had.
    pub fn new(space: &dyn DmaSpace, shape: Shape) -> Result<Self, PortError> {
        let (bytes, align) = if shape.check()?.is_packed { Packed::bytes(shape) } else { Split::bytes(shape) };
        let command_at = bytes.next_multiple_of(64);
        let ack_at = command_at + COMMAND_MAX_BYTES;
        let region = Arc::new(space.alloc(ack_at + size_of::<u64>(), align.max(64))?);
        let memory = Memory::Region(&region);
        let ring = if shape.is_packed { Either::Packed(Packed::new(shape, &memory)?) } else { Either::Split(Split::new(shape, &memory)?) };
        let (command, ack) = (memory.cells(command_at, COMMAND_MAX_BYTES / size_of::<u64>())?, memory.cells(ack_at, 1)?);
        let mut queue = Self { ring, command, ack, region, shape, next: 0, is_stuck: false };
        queue.reset();
        Ok(queue)
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Where the device finds it.
    pub fn places(&self) -> Places {
        both!(&self.ring, ring => ring.places())
    }

    /// The device was reset, and has forgotten the queue.
    pub fn reset(&mut self) {
        both!(&mut self.ring, ring => ring.reset());
        (self.next, self.is_stuck) = (0, false);
    }

    /// The device did not let go of the queue: its memory is kept for ever.
    pub fn abandon(&self) {
        std::mem::forget(Arc::clone(&self.region));
    }

    /// Has the device carry out a command: class, code and data.
    ///
    /// # Errors
    /// [`PortError::Timeout`] where no answer came; no other command is sent until the device was reset.
    pub fn request<B: Bar>(&mut self, notify: &Notify<B>, command: &[u8], wait: Wait) -> Result<Ack, PortError> {
        if self.is_stuck {
            return Err(PortError::State("the device has not answered an earlier command: it is asked again after a reset"));
        }
        if command.len() > COMMAND_MAX_BYTES {
            return Err(PortError::setting("the length of a control command", command.len(), format!("at most {COMMAND_MAX_BYTES} bytes")));
        }
        for (index, bytes) in command.chunks(size_of::<u64>()).enumerate() {
            let mut word = [0; size_of::<u64>()];
            word[..bytes.len()].copy_from_slice(bytes);
            self.command.set(index, u64::from_le_bytes(word));
        }
        self.ack.set(0, u16::MAX);
        let len_bytes = u32::try_from(command.len()).unwrap_or(u32::MAX);
        let parts = [(self.command.iova().0, len_bytes), (self.ack.iova().0, 1)];
        let ids = [self.next, self.next + 1];
        (self.next, self.is_stuck) = ((self.next + 2) % self.shape.size, true);
        both!(&mut self.ring, ring => {
            ring.offer_chain(&ids, &parts, 1);
            ring.publish();
            if ring.wants_notice() {
                notify.ring(ring.next_offset());
            }
            poll_until(wait, || {
                ring.look();
                Ok(ring.used(0).map(|_| ()))
            })?;
            ring.advance(2);
        });
        self.is_stuck = false;
        let [ack, _] = self.ack.get_acquire(0).to_le_bytes();
        Ok(if ack == ACK_OK { Ack::Ok } else { Ack::Refused })
    }
}
