//! Packed virtqueues (2.8): one ring of descriptors that both sides write.

/// The largest queue (2.8). Its size need not be a power of two (2.8.10.1).
pub const MAX_QUEUE_SIZE: u16 = 1 << 15;

/// A descriptor as two little-endian words (2.8.13): the address; length, buffer ID and flags.
pub type Desc = [u64; 2];

/// Bytes of a descriptor (2.8.13).
pub const DESC_BYTES: usize = 16;
/// Alignment of the descriptor ring, in bytes (2.8.10.1).
pub const DESC_ALIGN_BYTES: usize = 16;
/// Bytes of an event suppression structure (2.8.10.1).
pub const EVENT_BYTES: usize = 4;
/// Alignment of an event suppression structure, in bytes (2.8.10.1).
pub const EVENT_ALIGN_BYTES: usize = 4;

/// Flag: the buffer goes on in the next descriptor of the ring (2.8.6).
pub const NEXT: u16 = 1;
/// Flag: the device writes the buffer (2.8.3). In a used descriptor: the length is valid.
pub const WRITE: u16 = 2;
/// Flag: the buffer holds a table of descriptors (2.8.7).
pub const INDIRECT: u16 = 4;
/// Flag: equal to the driver's wrap counter in an available descriptor (2.8.1).
pub const AVAIL: u16 = 1 << 7;
/// Flag: unlike [`AVAIL`] in an available descriptor, equal to it in a used one (2.8.1).
pub const USED: u16 = 1 << 15;

const ID_SHIFT: u32 = 32;
const FLAGS_SHIFT: u32 = 48;

/// The second word of a descriptor: length in bytes, ID of the buffer, flags.
#[inline(always)]
pub const fn word1(len_bytes: u32, id: u16, flags: u16) -> u64 {
    len_bytes as u64 | (id as u64) << ID_SHIFT | (flags as u64) << FLAGS_SHIFT
}

/// Length of the buffer, or what the device wrote of it, in bytes, from the second word.
#[inline(always)]
pub const fn len_bytes(word1: u64) -> u32 {
    let [a, b, c, d, ..] = word1.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// ID of the buffer, from the second word. In a used descriptor it is the device's word: it may be anything.
#[inline(always)]
pub const fn id(word1: u64) -> u16 {
    let [_, _, _, _, a, b, ..] = word1.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// Flags, from the second word.
#[inline(always)]
pub const fn flags(word1: u64) -> u16 {
    let [.., a, b] = word1.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// The [`AVAIL`] and [`USED`] flags of a descriptor that the driver makes available at this value of its wrap counter (2.8.1).
#[inline(always)]
pub const fn available_flags(wrap: bool) -> u16 {
    if wrap { AVAIL } else { USED }
}

/// The [`AVAIL`] and [`USED`] flags of a descriptor that the device has used at this value of its wrap counter (2.8.1).
#[inline(always)]
pub const fn used_flags(wrap: bool) -> u16 {
    if wrap { AVAIL | USED } else { 0 }
}

/// A descriptor with these flags is available to a device whose wrap counter is `wrap` (2.8.1).
#[inline(always)]
pub const fn is_available(flags: u16, wrap: bool) -> bool {
    flags & (AVAIL | USED) == available_flags(wrap)
}

/// A descriptor with these flags is used, for a driver whose used wrap counter is `wrap` (2.8.1).
#[inline(always)]
pub const fn is_used(flags: u16, wrap: bool) -> bool {
    flags & (AVAIL | USED) == used_flags(wrap)
}

/// Bytes of the descriptor ring of a queue of `size` (2.8.10.1).
pub const fn ring_bytes(size: u16) -> usize {
    DESC_BYTES * size as usize
}

/// Event suppression (2.8.14): where the descriptor's offset and wrap counter lie, 16 bits; only with EVENT_IDX.
pub const EVENT_DESC: usize = 0;
/// Event suppression (2.8.14): where the flags lie, 16 bits.
pub const EVENT_FLAGS: usize = 2;
/// [`EVENT_FLAGS`]: notify (2.8.10).
pub const EVENT_ENABLE: u16 = 0;
/// [`EVENT_FLAGS`]: do not notify (2.8.10).
pub const EVENT_DISABLE: u16 = 1;
/// [`EVENT_FLAGS`]: notify when the descriptor named by [`EVENT_DESC`] changes (2.8.10); only with EVENT_IDX.
pub const EVENT_AT_DESC: u16 = 2;
/// [`EVENT_FLAGS`]: the other bits are reserved (2.8.14).
pub const EVENT_FLAGS_MASK: u16 = 3;

/// The flags of an event suppression structure.
#[inline(always)]
pub const fn event_flags(event: u32) -> u16 {
    let [_, _, a, b] = event.to_le_bytes();
    u16::from_le_bytes([a, b]) & EVENT_FLAGS_MASK
}

/// An event suppression structure without a descriptor, as one little-endian word.
pub const fn event(flags: u16) -> u32 {
    (flags as u32) << 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux `virtio_ring.h`: struct vring_packed_desc (addr at 0, len at 8, id at 12, flags at 14), VRING_PACKED_DESC_F_AVAIL 7,
    /// VRING_PACKED_DESC_F_USED 15.
    #[test]
    fn a_descriptor() {
        let word = word1(0x1234_5678, 0x9abc, WRITE | available_flags(true));
        assert_eq!(word.to_le_bytes(), [0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0x82, 0]);
        assert_eq!((len_bytes(word), id(word), flags(word)), (0x1234_5678, 0x9abc, 0x82));
        assert_eq!([NEXT, WRITE, INDIRECT, AVAIL, USED], [1, 2, 4, 0x80, 0x8000]);
    }

    /// The table of 2.8.1, written out: available and used at both values of the counter; nothing else is either.
    #[test]
    fn wrap_counters() {
        assert_eq!([available_flags(true), available_flags(false)], [0x0080, 0x8000]);
        assert_eq!([used_flags(true), used_flags(false)], [0x8080, 0x0000]);
        for wrap in [false, true] {
            for flags in [0, AVAIL, USED, AVAIL | USED] {
                assert!(!(is_available(flags, wrap) && is_used(flags, wrap)), "{flags:#x}");
            }
            assert!(is_available(available_flags(wrap) | NEXT, wrap) && is_used(used_flags(wrap) | WRITE, wrap));
            assert!(!is_available(available_flags(!wrap), wrap) && !is_used(used_flags(!wrap), wrap));
        }
    }

    /// Linux `virtio_ring.h`: struct vring_packed_desc_event (off_wrap at 0, flags at 2), VRING_PACKED_EVENT_FLAG_*.
    #[test]
    fn event_suppression() {
        assert_eq!(event(EVENT_DISABLE).to_le_bytes(), [0, 0, 1, 0]);
        assert_eq!([EVENT_ENABLE, EVENT_DISABLE, EVENT_AT_DESC], [0, 1, 2]);
        assert_eq!((EVENT_DESC, EVENT_FLAGS, EVENT_BYTES), (0, 2, 4));
    }

    #[test]
    fn sizes() {
        assert_eq!((ring_bytes(256), DESC_ALIGN_BYTES, EVENT_ALIGN_BYTES), (4096, 16, 4));
    }
}
