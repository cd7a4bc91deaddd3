//! What the device inserts into frames that are sent.
//!
//! As the hardware does: it sums what is there, the checksum field too. So software must have cleared the IPv4 header checksum, and must
//! have put the sum of the pseudo header into the TCP or UDP checksum; where it has not, the frame leaves with a wrong checksum.

use super::ring::Stop;
use crate::frame::checksum::Sum;
use vfwire_spec::{
    intel::adv::tx::{self, Context, L4Type},
    net::{ETHERTYPE_VLAN, VLAN_TAG_BYTES},
};

/// Where the checksum lies in an IPv4, a TCP and a UDP header.
const IPV4_CHECKSUM_AT: usize = 10;
const TCP_CHECKSUM_AT: usize = 16;
const UDP_CHECKSUM_AT: usize = 6;

/// Inserts the checksums that word 1 of the frame's first descriptor asks for.
pub(crate) fn insert_checksums(frame: &mut [u8], word1: u64, context: &Context) -> Result<(), Stop> {
    let network_at = usize::from(context.maclen_bytes);
    let transport_at = network_at + usize::from(context.iplen_bytes);
    let detail = || format!("{context:?}");
    if word1 & tx::IXSM != 0 {
        let fits = context.ipv4 && context.iplen_bytes >= 20 && transport_at <= frame.len();
        Stop::unless(fits, "IXSM goes with a context for IPv4 whose header lies in the frame", detail)?;
        insert(&mut frame[network_at..transport_at], IPV4_CHECKSUM_AT, Sum::checksum);
    }
    if word1 & tx::TXSM != 0 {
        Stop::unless(context.l4 != L4Type::SCTP, "SCTP checksums are not modelled", detail)?;
        let is_tcp = context.l4 == L4Type::TCP;
        let at = if is_tcp { TCP_CHECKSUM_AT } else { UDP_CHECKSUM_AT };
        let fits = context.iplen_bytes >= 20 && transport_at + at + 2 <= frame.len();
        Stop::unless(fits, "TXSM goes with a context whose transport header lies in the frame", detail)?;
        insert(&mut frame[transport_at..], at, if is_tcp { Sum::checksum } else { Sum::udp_checksum });
    }
    Ok(())
}

fn insert(covered: &mut [u8], at: usize, finish: fn(Sum) -> u16) {
    let checksum = finish(Sum::of(covered));
    covered[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// The VLAN tag of a context, as it goes into a frame.
pub(crate) fn tag_bytes(context: &Context) -> [u8; VLAN_TAG_BYTES] {
    let [a, b] = ETHERTYPE_VLAN.to_be_bytes();
    let [c, d] = context.vlan_tci.to_be_bytes();
    [a, b, c, d]
}
