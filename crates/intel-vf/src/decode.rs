//! What an advanced receive descriptor says of a frame.
//!
//! Source: "Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, 7.1.5 (Advanced Receive Descriptors, write-back format);
//! the 82599's differs in the error bits only, which the caller gives. A device's word is data: nothing here can fail.

use vfwire_core::meta::{Checksum, RxMeta};
use vfwire_spec::{
    intel::adv::rx::{self, IPCS, L4CS, LOOPBACK, PACKET_SCTP, RssType, VP},
    net::ETH_MIN_FRAME_BYTES,
};

/// Where a family has what the others have elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct ErrorBits {
    /// The IPv4 header's checksum is wrong.
    pub ip: u64,
    /// The transport checksum is wrong.
    pub l4: u64,
}

/// Reads a descriptor as it was written back.
pub fn meta(words: &[u64; 2], errors: ErrorBits) -> RxMeta {
    let hashed = rx::rss_type(words[0]) != RssType::NONE;
    RxMeta {
        rss_hash: hashed.then(|| rx::rss_hash(words[0])),
        vlan_tci: (words[1] & VP != 0).then(|| rx::vlan_tci(words[1])),
        ip_checksum: checksum(words[1], IPCS, errors.ip),
        l4_checksum: l4_checksum(words, errors.l4),
    }
}

/// As [`meta`], for devices whose VLAN field is in network order in frames that another function of the same device sent (I350 and
/// later).
pub fn meta_with_swapped_loopback(words: &[u64; 2], errors: ErrorBits) -> RxMeta {
    let meta = meta(words, errors);
    if words[1] & LOOPBACK == 0 {
        return meta;
    }
    RxMeta { vlan_tci: meta.vlan_tci.map(u16::swap_bytes), ..meta }
}

fn checksum(word: u64, looked: u64, wrong: u64) -> Checksum {
    match (word & looked != 0, word & wrong != 0) {
        (false, _) => Checksum::Unknown,
        (true, true) => Checksum::Bad,
        (true, false) => Checksum::Good,
    }
}

/// An erratum sets the error bit for SCTP frames of 60 bytes, whatever their checksum (Linux `igb_main.c`, `igb_rx_checksum`).
fn l4_checksum(words: &[u64; 2], wrong: u64) -> Checksum {
    let doubtful = words[0] & PACKET_SCTP != 0 && usize::from(rx::length_bytes(words[1])) == ETH_MIN_FRAME_BYTES;
    match checksum(words[1], L4CS, wrong) {
        Checksum::Bad if doubtful => Checksum::Unknown,
        sure => sure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vfwire_spec::intel::adv::rx::{DD, EOP, PACKET_IPV4};

    const ERRORS: ErrorBits = ErrorBits { ip: 1 << 30, l4: 1 << 29 };

    fn words(packet: u64, status: u64, length_bytes: u16) -> [u64; 2] {
        let status = u32::try_from(status | DD | EOP).expect("32 bits of status and errors");
        rx::write_back(packet, 0xdead_beef, status, length_bytes, 0x6005)
    }

    #[test]
    fn a_plain_frame_says_nothing() {
        assert_eq!(meta(&words(0, 0, 60), ERRORS), RxMeta::default());
    }

    #[test]
    fn tag_hash_and_checksums() {
        let got = meta(&words(1, VP | IPCS | L4CS | ERRORS.l4, 100), ERRORS);
        let expected =
            RxMeta { rss_hash: Some(0xdead_beef), vlan_tci: Some(0x6005), ip_checksum: Checksum::Good, l4_checksum: Checksum::Bad };
        assert_eq!(got, expected);
    }

    #[test]
    fn an_error_without_a_look_means_nothing() {
        assert_eq!(meta(&words(0, ERRORS.ip | ERRORS.l4, 100), ERRORS), RxMeta::default());
    }

    #[test]
    fn the_sctp_erratum() {
        let l4 = |length_bytes| meta(&words(PACKET_IPV4 | PACKET_SCTP, L4CS | ERRORS.l4, length_bytes), ERRORS).l4_checksum;
        assert_eq!((l4(60), l4(61)), (Checksum::Unknown, Checksum::Bad));
    }

    #[test]
    fn tags_of_looped_back_frames() {
        let tag = |status| meta_with_swapped_loopback(&words(0, status, 60), ERRORS).vlan_tci;
        assert_eq!([tag(VP), tag(VP | LOOPBACK), tag(LOOPBACK)], [Some(0x6005), Some(0x0560), None]);
    }
}
