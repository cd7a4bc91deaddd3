//! Transmit: the loop is `vfwire-virtq`'s.

use vfwire_spec::net::{ETH_HEADER_BYTES, VLAN_TAG_BYTES};
use vfwire_virtq::VirtTx;

/// A transmit queue.
pub type Tx<B> = VirtTx<B>;

/// The longest frame of an MTU in bytes, FCS not counted: with an Ethernet header and a VLAN tag.
#[expect(clippy::cast_possible_truncation, reason = "18")]
pub(crate) const fn max_frame_bytes(mtu_bytes: u16) -> u32 {
    mtu_bytes as u32 + (ETH_HEADER_BYTES + VLAN_TAG_BYTES) as u32
}
