//! The driver's side of a queue, in the plainest way: independent of the driver's code, and of the device's.

use crate::memory::raw;
use vfwire_core::dma::{DmaRegion, DmaSpace};
use vfwire_spec::virtio::{features::Features, net, packed, split};

pub(super) struct Hand {
    pub(super) size: u16,
    is_packed: bool,
    is_batching: bool,
    pub(super) desc: DmaRegion,
    pub(super) driver: DmaRegion,
    pub(super) device: DmaRegion,
    /// What was made available so far, in buffers (split) or in descriptors (packed); which never wraps here.
    available: u32,
    used: u32,
    next_desc: u16,
    /// Descriptors of each ID that is out, by ID, in the order of posting.
    out: Vec<(u16, u16)>,
}

impl Hand {
    pub(super) fn new(_number: u16, size: u16, features: Features, dma: &dyn DmaSpace) -> Self {
        let region = |bytes| dma.alloc(bytes, 64).expect("memory");
        let is_packed = features.contains(Features::RING_PACKED);
        let (driver, device) =
            if is_packed { (packed::EVENT_BYTES, packed::EVENT_BYTES) } else { (split::avail_bytes(size), split::used_bytes(size)) };
        let hand = Self {
            size,
            is_packed,
            is_batching: features.contains(Features::IN_ORDER),
            desc: region(16 * usize::from(size)),
            driver: region(driver),
            device: region(device),
            available: 0,
            used: 0,
            next_desc: 0,
            out: Vec::new(),
        };
        hand.set_interrupts(false);
        hand
    }

    pub(super) fn addresses(&self) -> [u64; 3] {
        [&self.desc, &self.driver, &self.device].map(|region| region.iova().0)
    }

    pub(super) fn set_interrupts(&self, on: bool) {
        if self.is_packed {
            let flags = if on { packed::EVENT_ENABLE } else { packed::EVENT_DISABLE };
            raw::write(&self.driver, 0, &packed::event(flags).to_le_bytes());
        } else {
            let flags = if on { 0 } else { split::AVAIL_NO_INTERRUPT };
            raw::write(&self.driver, split::AVAIL_FLAGS, &flags.to_le_bytes());
        }
    }

    /// The buffer that the test uses for what it posts next: that of the next descriptor.
    pub(super) fn next_buffer(&self) -> u16 {
        self.next_desc
    }

    /// The buffer of a used ID: IDs are descriptors' numbers in both layouts.
    pub(super) fn buffer_of(&self, id: u32) -> u16 {
        u16::try_from(id).expect("an ID of ours")
    }

    fn wrap_at(&self, count: u32) -> bool {
        (count / u32::from(self.size)).is_multiple_of(2)
    }

    /// Where the driver fills the queue next, as notifications say it.
    pub(super) fn position(&self) -> u16 {
        let count = self.available;
        if self.is_packed {
            return net::packed_next(u16::try_from(count % u32::from(self.size)).expect("small"), self.wrap_at(count));
        }
        u16::try_from(count & 0xffff).expect("16 bits")
    }

    /// Makes a buffer of these parts (address, length, written by the device) available; its ID.
    pub(super) fn post(&mut self, parts: &[(u64, u32, bool)]) -> u16 {
        let id = self.next_desc;
        self.post_as(id, parts)
    }

    pub(super) fn post_as(&mut self, id: u16, parts: &[(u64, u32, bool)]) -> u16 {
        let slots = u16::try_from(parts.len()).expect("few");
        let last = parts.len() - 1;
        let mut words = Vec::new();
        for (at, &(address, len_bytes, write)) in parts.iter().enumerate() {
            let place = self.next_desc;
            self.next_desc = (place + 1) % self.size;
            let next = if at < last { split::NEXT } else { 0 };
            let flags = next | if write { split::WRITE } else { 0 };
            let count = self.available + u32::try_from(at).expect("few");
            let word1 = if self.is_packed {
                packed::word1(len_bytes, id, flags | packed::available_flags(self.wrap_at(count)))
            } else {
                split::word1(len_bytes, flags, self.next_desc)
            };
            words.push((place, [address, word1]));
        }
        // The first one last, which is what a packed queue demands.
        for (place, words) in words.into_iter().rev() {
            raw::set_descriptor(&self.desc, usize::from(place), words);
        }
        if self.is_packed {
            self.available += u32::from(slots);
        } else {
            let slot = usize::try_from(self.available % u32::from(self.size)).expect("small");
            raw::write(&self.driver, split::AVAIL_RING + 2 * slot, &id.to_le_bytes());
            self.available += 1;
            raw::write(&self.driver, split::AVAIL_INDEX, &self.position().to_le_bytes());
        }
        self.out.push((id, slots));
        id
    }

    /// The next buffer that the device has given back: its ID and how many bytes it says it has written.
    pub(super) fn used(&mut self) -> Option<(u32, u32)> {
        let slot = usize::try_from(self.used % u32::from(self.size)).expect("small");
        if self.is_packed {
            let [_, word1] = raw::descriptor(&self.desc, slot);
            if self.used == self.available || !packed::is_used(packed::flags(word1), self.wrap_at(self.used)) {
                return None;
            }
            let id = packed::id(word1);
            self.used += self.slots_to(id);
            return Some((u32::from(id), packed::len_bytes(word1)));
        }
        let index = u16::from_le_bytes(raw::read(&self.device, split::USED_INDEX, 2).try_into().expect("two bytes"));
        if u32::from(index) == self.used {
            return None;
        }
        let entry = raw::read(&self.device, split::USED_RING + split::USED_ENTRY_BYTES * slot, 8);
        let entry = u64::from_le_bytes(entry.try_into().expect("eight bytes"));
        let before = self.out.len();
        let id = split::used_id(entry);
        self.slots_to(u16::try_from(id).unwrap_or(u16::MAX));
        self.used += if self.is_batching { u32::try_from(before - self.out.len()).expect("few") } else { 1 };
        Some((id, split::used_len_bytes(entry)))
    }

    /// How many slots the buffers up to `id` take that were out; in order, one word stands for all of them.
    fn slots_to(&mut self, id: u16) -> u32 {
        let Some(at) = self.out.iter().position(|(out, _)| *out == id) else { return 1 };
        let from = if self.is_batching { 0 } else { at };
        self.out.drain(from..=at).map(|(_, slots)| u32::from(slots)).sum()
    }
}
