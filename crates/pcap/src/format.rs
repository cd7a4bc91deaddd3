//! Numbers of the two file formats, for reader and writer: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.

/// The only link type that is read and written: `LINKTYPE_ETHERNET`.
pub(crate) const ETHERNET: u32 = 1;
/// Most bytes of one frame that are taken, as libpcap does (`MAXIMUM_SNAPLEN`).
pub(crate) const FRAME_MAX: u32 = 262_144;

/// Classic pcap's first word: times in microseconds.
pub(crate) const PCAP_MICROS: u32 = 0xa1b2_c3d4;
/// Classic pcap's first word: times in nanoseconds.
pub(crate) const PCAP_NANOS: u32 = 0xa1b2_3c4d;

/// A section header block. The same in both byte orders.
pub(crate) const SECTION: u32 = 0x0a0d_0d0a;
/// A section's byte order: this word as its writer wrote it.
pub(crate) const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// An interface description block.
pub(crate) const INTERFACE: u32 = 1;
/// A packet block: obsolete, still read.
pub(crate) const OLD_PACKET: u32 = 2;
/// A simple packet block: no interface, no time.
pub(crate) const SIMPLE_PACKET: u32 = 3;
/// An interface statistics block.
pub(crate) const STATISTICS: u32 = 5;
/// An enhanced packet block.
pub(crate) const PACKET: u32 = 6;

/// Type and both lengths: what every block has around its body.
pub(crate) const AROUND_BODY: u32 = 12;

/// Options of every block.
pub(crate) mod opt {
    pub(crate) const END: u16 = 0;
    pub(crate) const COMMENT: u16 = 1;
}

/// Options of an interface description block.
pub(crate) mod if_opt {
    pub(crate) const NAME: u16 = 2;
    /// How many units of time a second has.
    pub(crate) const TIME_RESOLUTION: u16 = 9;
    pub(crate) const FILTER: u16 = 11;
    /// Bytes of frame check sequence behind each frame.
    pub(crate) const FCS_LEN: u16 = 13;
    /// Seconds that are added to each time.
    pub(crate) const TIME_OFFSET: u16 = 14;
}

/// Options of a section header block.
pub(crate) mod shb_opt {
    pub(crate) const APPLICATION: u16 = 4;
}

/// Options of an enhanced packet block.
pub(crate) mod packet_opt {
    /// The two lowest bits: 1 for what came in, 2 for what went out.
    pub(crate) const FLAGS: u16 = 2;
    pub(crate) const LOST: u16 = 4;
}

/// Options of an interface statistics block.
pub(crate) mod isb_opt {
    pub(crate) const START: u16 = 2;
    pub(crate) const END: u16 = 3;
    pub(crate) const RECEIVED: u16 = 4;
    /// Frames for which the capturing side had no room.
    pub(crate) const LOST: u16 = 7;
    pub(crate) const ACCEPTED: u16 = 6;
    /// Frames that whoever captures was given.
    pub(crate) const DELIVERED: u16 = 8;
}
