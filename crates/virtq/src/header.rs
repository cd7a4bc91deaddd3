//! What lies in front of each frame (virtio 1.2, 5.1.6): 12 bytes, or 20 with the hash report.

use vfwire_core::{
    meta::{Checksum, RxMeta, RxWords},
    ring::table::Ahead,
};
use vfwire_spec::virtio::net::{DATA_VALID, HEADER_BYTES, HEADER_HASH_BYTES, NEEDS_CSUM, hash_report};

/// The header of a port's frames, as negotiated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetHeader {
    /// VIRTIO_NET_F_HASH_REPORT: the header says the hash.
    pub has_hash: bool,
    /// VIRTIO_NET_F_MRG_RXBUF: a frame may span receive buffers.
    pub is_mergeable: bool,
    /// The longest frame that is sent, FCS not counted.
    pub max_frame_bytes: u32,
    /// VIRTIO_NET_F_CSUM: the device puts checksums in.
    pub has_checksum: bool,
    /// VIRTIO_NET_F_HOST_TSO4 and _TSO6: the device cuts TCP payload.
    pub has_tso: bool,
}

impl NetHeader {
    /// Its length.
    #[expect(clippy::cast_possible_truncation, reason = "12 or 20")]
    pub const fn bytes(self) -> u32 {
        (if self.has_hash { HEADER_HASH_BYTES } else { HEADER_BYTES }) as u32
    }
}

/// The words of a header that are looked at for every received frame, out of the 24 bytes before it.
#[derive(Clone, Copy)]
pub(crate) struct Front {
    /// flags, gso_type, hdr_len.
    first: u64,
    /// gso_size, csum_start, csum_offset, num_buffers.
    second: u64,
    /// hash_value, hash_report.
    hash: u64,
}

/// How a frame in one buffer looks.
#[derive(Clone, Copy)]
pub(crate) struct Simple {
    /// Bits of the second word, and what they are: num_buffers is 1, or says nothing.
    buffers: (u64, u64),
}

impl Simple {
    #[inline(always)]
    pub(crate) fn new(is_mergeable: bool) -> Self {
        Self { buffers: if is_mergeable { (0xffff << 48, 1 << 48) } else { (0, 0) } }
    }
}

impl Front {
    #[inline(always)]
    pub(crate) fn of(ahead: Ahead, has_hash: bool) -> Self {
        if has_hash { Self::with_hash(ahead) } else { Self::without_hash(ahead) }
    }

    #[inline(always)]
    pub(crate) fn with_hash(ahead: Ahead) -> Self {
        Self { first: ahead[0] >> 32, second: ahead[1], hash: ahead[2] }
    }

    #[inline(always)]
    pub(crate) fn without_hash(ahead: Ahead) -> Self {
        Self { first: ahead[1] >> 32, second: ahead[2], hash: 0 }
    }

    #[inline(always)]
    pub(crate) fn num_buffers(self) -> u64 {
        self.second >> 48
    }

    #[inline(always)]
    pub(crate) fn needs_checksum(self) -> bool {
        self.first & NEEDS_CSUM as u64 != 0
    }

    /// The words of a burst, where this is a `simple` frame: in one buffer, of which the checksum is there.
    #[inline(always)]
    pub(crate) fn simple(self, simple: Simple) -> Option<[u64; 2]> {
        ((self.second & simple.buffers.0 == simple.buffers.1) & !self.needs_checksum()).then(|| self.words())
    }

    /// Where the sum begins and where it goes, in bytes from the frame's first.
    pub(crate) fn checksum(self) -> (usize, usize) {
        let (start, offset) = (self.second >> 16 & 0xffff, self.second >> 32 & 0xffff);
        #[expect(clippy::cast_possible_truncation, reason = "two sums of 16 bits")]
        (start as usize, (start + offset) as usize)
    }

    /// The words of a burst: [flags | hash report << 16, hash].
    #[inline(always)]
    pub(crate) fn words(self) -> [u64; 2] {
        [self.first & 0xff | self.hash >> 32 << 16, self.hash]
    }
}

/// How they are read.
pub(crate) static WORDS: RxWords = RxWords { name: "virtio-net", decode };

#[expect(clippy::cast_possible_truncation, reason = "fields of a word")]
fn decode(words: &[u64; 2]) -> RxMeta {
    let (flags, report) = (words[0] as u8, (words[0] >> 16) as u16);
    let is_known = (hash_report::NONE + 1..=hash_report::UDPV6_EX).contains(&report);
    RxMeta {
        rss_hash: is_known.then_some(words[1] as u32),
        // A sum that was missing was put in when the frame was received.
        l4_checksum: if flags & (DATA_VALID | NEEDS_CSUM) != 0 { Checksum::Good } else { Checksum::Unknown },
        ..RxMeta::default()
    }
}

/// A header to be sent: what [`Ahead`] holds, of which the last 12 or 20 bytes are the header.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    pub(crate) flags: u8,
    pub(crate) gso_type: u8,
    pub(crate) hdr_len: u16,
    pub(crate) gso_size: u16,
    pub(crate) csum_start: u16,
    pub(crate) csum_offset: u16,
}

impl Asked {
    pub(crate) fn ahead(self, has_hash: bool) -> Ahead {
        let first = u64::from(self.flags) | u64::from(self.gso_type) << 8 | u64::from(self.hdr_len) << 16;
        let second = u64::from(self.gso_size) | u64::from(self.csum_start) << 16 | u64::from(self.csum_offset) << 32;
        if has_hash { [first << 32, second, 0] } else { [0, first << 32, second] }
    }

    /// As it lies in memory of its own, as little-endian words.
    pub(crate) fn alone(self, has_hash: bool) -> [u64; 3] {
        let mut bytes = [0; 32];
        for (to, word) in bytes.chunks_exact_mut(8).zip(self.ahead(has_hash)) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let header = if has_hash { HEADER_HASH_BYTES } else { HEADER_BYTES };
        bytes.copy_within(24 - header..24, 0);
        std::array::from_fn(|word| u64::from_le_bytes(std::array::from_fn(|byte| bytes[word * 8 + byte])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vfwire_spec::virtio::net::{GSO_TCPV4, Header};

    fn ahead(header: &[u8]) -> Ahead {
        let mut bytes = [0xee; 24];
        bytes[24 - header.len()..].copy_from_slice(header);
        std::array::from_fn(|word| u64::from_le_bytes(std::array::from_fn(|byte| bytes[word * 8 + byte])))
    }

    const HEADER: Header =
        Header { flags: NEEDS_CSUM, gso_type: GSO_TCPV4, hdr_len: 54, gso_size: 1460, csum_start: 34, csum_offset: 16, num_buffers: 0 };

    #[test]
    fn a_header_is_read_at_both_lengths() {
        let short = Header { num_buffers: 3, ..HEADER }.encode();
        let mut long = short.to_vec();
        long.extend([0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 0, 0]);
        for (bytes, hash) in [(&short[..], None), (&long[..], Some(0xa1b2_c3d4))] {
            let front = Front::of(ahead(bytes), bytes.len() == 20);
            assert_eq!((front.num_buffers(), front.needs_checksum(), front.checksum()), (3, true, (34, 50)));
            let meta = decode(&front.words());
            assert_eq!((meta.rss_hash, meta.l4_checksum), (hash, Checksum::Good));
        }
    }

    #[test]
    fn a_header_is_written_at_both_lengths() {
        let asked = Asked { flags: NEEDS_CSUM, gso_type: GSO_TCPV4, hdr_len: 54, gso_size: 1460, csum_start: 34, csum_offset: 16 };
        let golden = HEADER.encode();
        for has_hash in [false, true] {
            let bytes = |words: [u64; 3]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
            let len = if has_hash { 20 } else { 12 };
            let in_front = bytes(asked.ahead(has_hash));
            assert_eq!(in_front[24 - len..][..12], golden);
            let alone = bytes(asked.alone(has_hash));
            assert_eq!(alone[..12], golden);
            assert!(alone[12..len].iter().all(|byte| *byte == 0));
        }
    }
}
