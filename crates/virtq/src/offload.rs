//! What is asked for a frame: the header says it where the device can do it, and the rest is done here.
//!
//! A virtio device puts in TCP and UDP checksums and cuts TCP payload (virtio 1.2, 5.1.6.2). It does not know the IPv4 header's checksum, nor
//! VLAN tags: those are written into the frame.

use crate::header::{Asked, NetHeader};
use vfwire_core::{
    meta::{L4, TxOffload},
    packet::PacketMut,
};
use vfwire_spec::virtio::net::{GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM};

const MACS_BYTES: usize = 12;
/// What a tag takes of the headroom.
pub(crate) const TAG_BYTES: usize = 4;
/// IEEE 802.1Q.
const TAG_TYPE: [u8; 2] = [0x81, 0x00];

/// The one's complement sum over bytes (RFC 1071), of which an odd number may come before.
#[derive(Clone, Copy, Default)]
struct Sum {
    sum: u64,
    is_odd: bool,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.sum += u64::from(byte) << if self.is_odd { 0 } else { 8 };
            self.is_odd = !self.is_odd;
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "it was folded to 16 bits")]
    fn fold(self) -> u16 {
        let mut sum = self.sum;
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }
}

/// Puts the checksum over everything from `start` on into the two bytes at `at`, which hold the pseudo-header's sum: a frame that its
/// sender left for a device to finish. False where they do not lie in the frame's first buffer.
pub(crate) fn complete(frame: &mut PacketMut<'_>, start: usize, at: usize) -> bool {
    if start >= frame.len() || at < start || at + 2 > frame.len() {
        return false;
    }
    let (mut sum, mut skip) = (Sum::default(), start);
    for segment in frame.segments() {
        let skipped = skip.min(segment.len());
        sum.add(&segment[skipped..]);
        skip -= skipped;
    }
    let checksum = match !sum.fold() {
        // Zero means that there is none (RFC 768), and is the same number.
        0 => u16::MAX,
        checksum => checksum,
    };
    frame.data_mut()[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    true
}

/// Makes a frame ready for a device: what it is asked for goes into the header, or into the frame. Nothing where no device can do it.
pub(crate) fn prepare(frame: &mut PacketMut<'_>, asked: TxOffload, header: NetHeader) -> Option<Asked> {
    if asked.is_empty() {
        return Some(Asked::default());
    }
    let total_bytes = frame.total_len();
    let (l2, l3) = (usize::try_from(asked.l2_bytes()).ok()?, usize::try_from(asked.l3_bytes()).ok()?);
    let segments = asked.segmentation().filter(|_| total_bytes > 0);
    let mut said = Asked::default();
    if let Some((l4_bytes, mss)) = segments {
        segment(frame, asked, (l2, l3), total_bytes)?;
        (said.gso_type, said.gso_size) = (if asked.is_ipv6() { GSO_TCPV6 } else { GSO_TCPV4 }, u16::try_from(mss).ok()?);
        said.hdr_len = u16::try_from(l2 + l3 + usize::try_from(l4_bytes).ok()?).ok()?;
        if !header.has_tso || asked.l4() != Some(L4::Tcp) {
            return None;
        }
    }
    if asked.wants_ipv4_checksum() || (segments.is_some() && !asked.is_ipv6()) {
        ipv4_checksum(frame, l2, l3)?;
    }
    if let Some(l4) = asked.l4() {
        let offset = match l4 {
            L4::Tcp => 16,
            L4::Udp => 6,
            // CRC-32c is no sum: virtio devices do not know it.
            L4::Sctp => return None,
        };
        if header.has_checksum {
            (said.flags, said.csum_start, said.csum_offset) = (NEEDS_CSUM, u16::try_from(l2 + l3).ok()?, offset);
        } else if !complete(frame, l2 + l3, l2 + l3 + usize::from(offset)) {
            return None;
        }
    }
    if let Some(tci) = asked.vlan_tci() {
        tag(frame, tci)?;
        let moved = u16::try_from(TAG_BYTES).unwrap_or(0);
        if said.flags != 0 {
            said.csum_start += moved;
        }
        if said.hdr_len != 0 {
            said.hdr_len += moved;
        }
    }
    Some(said)
}

/// The headers of a frame that the device cuts are those of one long packet: its length in the IP header and in the pseudo-header's sum.
/// (`TxOffload::segment` asks for neither.)
fn segment(frame: &mut PacketMut<'_>, asked: TxOffload, (l2, l3): (usize, usize), total_bytes: usize) -> Option<()> {
    let tcp_bytes = u16::try_from(total_bytes.checked_sub(l2 + l3)?).ok()?;
    let at = l2 + l3 + 16;
    let data = frame.data_mut();
    let sum = data.get(at..at + 2)?;
    let mut with_length = Sum::default();
    with_length.add(sum);
    with_length.add(&tcp_bytes.to_be_bytes());
    let sum = with_length.fold().to_be_bytes();
    data[at..at + 2].copy_from_slice(&sum);
    let (field, length) = if asked.is_ipv6() {
        (l2 + 4, tcp_bytes + u16::try_from(l3.checked_sub(40)?).ok()?)
    } else {
        (l2 + 2, u16::try_from(total_bytes - l2).ok()?)
    };
    data.get_mut(field..field + 2)?.copy_from_slice(&length.to_be_bytes());
    Some(())
}

fn ipv4_checksum(frame: &mut PacketMut<'_>, l2: usize, l3: usize) -> Option<()> {
    let header = frame.data_mut().get_mut(l2..l2 + l3).filter(|header| header.len() >= 20)?;
    header[10..12].fill(0);
    let mut sum = Sum::default();
    sum.add(header);
    let checksum = (!sum.fold()).to_be_bytes();
    header[10..12].copy_from_slice(&checksum);
    Some(())
}

/// Puts a VLAN tag in, after the addresses.
fn tag(frame: &mut PacketMut<'_>, tci: u16) -> Option<()> {
    if frame.len() < MACS_BYTES {
        return None;
    }
    frame.prepend(TAG_BYTES)?;
    let data = frame.data_mut();
    data.copy_within(TAG_BYTES..TAG_BYTES + MACS_BYTES, 0);
    data[MACS_BYTES..MACS_BYTES + 2].copy_from_slice(&TAG_TYPE);
    data[MACS_BYTES + 2..MACS_BYTES + 4].copy_from_slice(&tci.to_be_bytes());
    Some(())
}
