//! Split virtqueues (2.7): a table of descriptors, a ring of what the driver makes available, a ring of what the device has used.

/// The queue's size is a power of two (2.7).
pub const MAX_QUEUE_SIZE: u16 = 1 << 15;

/// A descriptor as two little-endian words (2.7.5): the address; length, flags and the next descriptor.
pub type Desc = [u64; 2];

/// Bytes of a descriptor (2.7.5).
pub const DESC_BYTES: usize = 16;
/// Alignment of the descriptor table, in bytes (2.7).
pub const DESC_ALIGN_BYTES: usize = 16;
/// Alignment of the available ring, in bytes (2.7).
pub const AVAIL_ALIGN_BYTES: usize = 2;
/// Alignment of the used ring, in bytes (2.7).
pub const USED_ALIGN_BYTES: usize = 4;

/// Descriptor flag: the buffer goes on in the descriptor `next` (2.7.5).
pub const NEXT: u16 = 1;
/// Descriptor flag: the device writes the buffer; otherwise it reads it (2.7.5).
pub const WRITE: u16 = 2;
/// Descriptor flag: the buffer holds a table of descriptors (2.7.5.3).
pub const INDIRECT: u16 = 4;

const FLAGS_SHIFT: u32 = 32;
const NEXT_SHIFT: u32 = 48;

/// The second word of a descriptor: length in bytes, flags, and the next descriptor where [`NEXT`] is among them.
#[inline(always)]
pub const fn word1(len_bytes: u32, flags: u16, next: u16) -> u64 {
    len_bytes as u64 | (flags as u64) << FLAGS_SHIFT | (next as u64) << NEXT_SHIFT
}

/// Length of the buffer in bytes, from the second word.
#[inline(always)]
pub const fn len_bytes(word1: u64) -> u32 {
    let [a, b, c, d, ..] = word1.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Flags, from the second word.
#[inline(always)]
pub const fn flags(word1: u64) -> u16 {
    let [_, _, _, _, a, b, ..] = word1.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// The next descriptor, from the second word.
#[inline(always)]
pub const fn next(word1: u64) -> u16 {
    let [.., a, b] = word1.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// Bytes of the descriptor table of a queue of `size` (2.7).
pub const fn desc_table_bytes(size: u16) -> usize {
    DESC_BYTES * size as usize
}

/// Available ring (2.7.6): flags, 16 bits, the driver's.
pub const AVAIL_FLAGS: usize = 0;
/// Available ring (2.7.6): the free-running index of the entry that the driver fills next, 16 bits.
pub const AVAIL_INDEX: usize = 2;
/// Available ring (2.7.6): the first entry, a descriptor's number, 16 bits.
pub const AVAIL_RING: usize = 4;
/// Bytes of an entry of the available ring.
pub const AVAIL_ENTRY_BYTES: usize = 2;
/// [`AVAIL_FLAGS`]: no interrupt, please: the driver polls (2.7.7).
pub const AVAIL_NO_INTERRUPT: u16 = 1;

/// Where `used_event` lies in an available ring of `size` entries (2.7.6); only with EVENT_IDX.
pub const fn used_event(size: u16) -> usize {
    AVAIL_RING + AVAIL_ENTRY_BYTES * size as usize
}

/// Bytes of an available ring of `size` entries, `used_event` included (2.7).
pub const fn avail_bytes(size: u16) -> usize {
    used_event(size) + 2
}

/// Used ring (2.7.8): flags, 16 bits, the device's.
pub const USED_FLAGS: usize = 0;
/// Used ring (2.7.8): the free-running index of the entry that the device fills next, 16 bits.
pub const USED_INDEX: usize = 2;
/// Used ring (2.7.8): the first entry.
pub const USED_RING: usize = 4;
/// Bytes of an entry of the used ring: descriptor's number and length, 32 bits each.
pub const USED_ENTRY_BYTES: usize = 8;
/// [`USED_FLAGS`]: no notification, please: the device polls (2.7.10).
pub const USED_NO_NOTIFY: u16 = 1;

/// Where `avail_event` lies in a used ring of `size` entries (2.7.8); only with EVENT_IDX.
pub const fn avail_event(size: u16) -> usize {
    USED_RING + USED_ENTRY_BYTES * size as usize
}

/// Bytes of a used ring of `size` entries, `avail_event` included (2.7).
pub const fn used_bytes(size: u16) -> usize {
    avail_event(size) + 2
}

/// An entry of the used ring as one little-endian word: the number of the buffer's first descriptor, bytes that were written.
#[inline(always)]
pub const fn used_entry(id: u32, written_bytes: u32) -> u64 {
    id as u64 | (written_bytes as u64) << 32
}

/// Number of the buffer's first descriptor. 32 bits for padding (2.7.8), and the device's word: it may be anything.
#[inline(always)]
pub const fn used_id(entry: u64) -> u32 {
    len_bytes(entry)
}

/// Bytes that the device wrote to the buffer, as it says.
#[inline(always)]
pub const fn used_len_bytes(entry: u64) -> u32 {
    let [_, _, _, _, a, b, c, d] = entry.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux `virtio_ring.h`: struct vring_desc, VRING_DESC_F_*: addr at 0, len at 8, flags at 12, next at 14.
    #[test]
    fn a_descriptor() {
        let word = word1(0x1234_5678, NEXT | WRITE, 0x9abc);
        assert_eq!(word.to_le_bytes(), [0x78, 0x56, 0x34, 0x12, 3, 0, 0xbc, 0x9a]);
        assert_eq!((len_bytes(word), flags(word), next(word)), (0x1234_5678, 3, 0x9abc));
        assert_eq!([NEXT, WRITE, INDIRECT], [1, 2, 4]);
    }

    /// Linux `virtio_ring.h`: vring_init and vring_size with 256 descriptors; VRING_*_ALIGN_SIZE, VRING_*_F_NO_*.
    #[test]
    fn sizes() {
        assert_eq!((desc_table_bytes(256), avail_bytes(256), used_bytes(256)), (4096, 2 * (3 + 256), 2 * 3 + 8 * 256));
        assert_eq!([DESC_ALIGN_BYTES, AVAIL_ALIGN_BYTES, USED_ALIGN_BYTES], [16, 2, 4]);
        assert_eq!((used_event(256), avail_event(256)), (4 + 512, 4 + 2048));
        assert_eq!([AVAIL_NO_INTERRUPT, USED_NO_NOTIFY], [1, 1]);
    }

    /// Linux `virtio_ring.h`: struct vring_used_elem: id at 0, len at 4.
    #[test]
    fn a_used_entry() {
        let entry = used_entry(0x0102, 0x0506_0708);
        assert_eq!(entry.to_le_bytes(), [2, 1, 0, 0, 8, 7, 6, 5]);
        assert_eq!((used_id(entry), used_len_bytes(entry)), (0x0102, 0x0506_0708));
    }
}
