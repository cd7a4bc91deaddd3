//! The mailbox requests that both families have: RESET, SET_MAC, SET_MULTICAST, SET_VLAN and SET_LPE.
//!
//! Source: Linux `drivers/net/ethernet/intel/igbvf/{mbx.h,vf.c}` and `ixgbevf/{mbx.h,vf.c}`: the same codes and layouts. The families'
//! own requests, and what a PF answers, are in their `control` modules.

use super::mailbox::{Header, Message, WORDS};
use crate::net::{MacAddr, VlanId};

/// Code of RESET: the VF begins (again); the PF forgets its filters and answers with its MAC.
pub const RESET: u16 = 0x01;
/// Code of SET_MAC: the VF's unicast address.
pub const SET_MAC: u16 = 0x02;
/// Code of SET_MULTICAST: the hashes of the groups that the VF listens to, replacing those before.
pub const SET_MULTICAST: u16 = 0x03;
/// Code of SET_VLAN: joins or leaves a VLAN.
pub const SET_VLAN: u16 = 0x04;
/// Code of SET_LPE: the longest frame that the VF receives.
pub const SET_LPE: u16 = 0x05;

/// SET_VLAN, info: joins. 0 leaves.
const VLAN_JOIN: u8 = 1;

/// The most multicast hashes that a message holds: 15 words of two.
pub const MAX_MULTICAST_HASHES: usize = (WORDS - 1) * 2;

/// Which 12 bits of a multicast address select the bit of the device's multicast table array. Bit 0 is the first sent, so that the
/// last byte of the address is 47:40. The PF chooses: on the 82576 it is always [`HashBits::BITS_47_36`], on the 82599 and later the
/// answer to RESET names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashBits(u8);

impl HashBits {
    /// Bits 47:36.
    pub const BITS_47_36: Self = Self(0);
    /// Bits 46:35.
    pub const BITS_46_35: Self = Self(1);
    /// Bits 45:34.
    pub const BITS_45_34: Self = Self(2);
    /// Bits 43:32.
    pub const BITS_43_32: Self = Self(3);

    /// The choice with this number in mailbox messages and in the PF's register; `None` above 3.
    pub const fn from_wire(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::BITS_47_36),
            1 => Some(Self::BITS_46_35),
            2 => Some(Self::BITS_45_34),
            3 => Some(Self::BITS_43_32),
            _ => None,
        }
    }

    /// The number in mailbox messages and in the PF's register.
    pub const fn to_wire(self) -> u32 {
        self.0 as u32
    }

    /// The 12-bit hash of a multicast address.
    pub const fn hash(self, group: MacAddr) -> u16 {
        let [_, _, _, _, low, high] = group.octets();
        let right = match self.0 {
            0 => 4,
            1 => 3,
            2 => 2,
            _ => 0,
        };
        u16::from_le_bytes([low, high]) >> right & 0xfff
    }
}

/// The multicast groups of a VF, as the PF is told of them: up to [`MAX_MULTICAST_HASHES`] hashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashList {
    hashes: [u16; MAX_MULTICAST_HASHES],
    len: usize,
}

impl core::fmt::Debug for HashList {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "HashList({:x?})", self.as_slice())
    }
}

impl HashList {
    /// No group.
    pub const EMPTY: Self = Self { hashes: [0; MAX_MULTICAST_HASHES], len: 0 };

    /// The hashes of `groups`, in their order, by [`HashBits::BITS_47_36`]. As [`HashList::select`].
    pub fn of(groups: &[MacAddr]) -> Option<Self> {
        Self::select(groups, HashBits::BITS_47_36)
    }

    /// The hashes of `groups`, in their order; `None` where there are more than a message holds. Then only a mode that receives every
    /// multicast frame receives them all.
    pub fn select(groups: &[MacAddr], bits: HashBits) -> Option<Self> {
        let mut list = Self::EMPTY;
        list.len = groups.len();
        let slots = list.hashes.get_mut(..groups.len())?;
        for (slot, group) in slots.iter_mut().zip(groups) {
            *slot = bits.hash(*group);
        }
        Some(list)
    }

    /// The hashes.
    pub fn as_slice(&self) -> &[u16] {
        &self.hashes[..self.len]
    }
}

/// RESET, one word.
pub(crate) const fn reset() -> Message {
    Message::new([Header::request(RESET, 0).0])
}

/// SET_MAC, three words.
pub(crate) const fn set_mac(mac: MacAddr) -> Message {
    let [low, high] = mac.to_words();
    Message::new([Header::request(SET_MAC, 0).0, low, high])
}

/// SET_VLAN, two words.
pub(crate) fn set_vlan(vlan: VlanId, join: bool) -> Message {
    let info = if join { VLAN_JOIN } else { 0 };
    Message::new([Header::request(SET_VLAN, info).0, u32::from(vlan.get())])
}

/// SET_LPE, two words.
pub(crate) fn set_lpe(max_frame_bytes: u16) -> Message {
    Message::new([Header::request(SET_LPE, 0).0, u32::from(max_frame_bytes)])
}

/// SET_MULTICAST, all 16 words, as the VF drivers of Linux and DPDK send it: two hashes a word, the lower half first.
pub(crate) fn set_multicast(list: &HashList) -> Message {
    let mut words = [0; WORDS];
    let [count, ..] = list.len.to_le_bytes();
    words[0] = Header::request(SET_MULTICAST, count).0;
    for (word, pair) in words[1..].iter_mut().zip(list.hashes.chunks_exact(2)) {
        *word = u32::from(pair[0]) | u32::from(pair[1]) << 16;
    }
    Message::new(words)
}

/// The address in words 1 and 2 of a request or an answer.
pub(crate) fn mac_of(message: &Message) -> MacAddr {
    MacAddr::from_words(message.pair(1))
}

/// The lower half of word 1.
pub(crate) fn half_of(message: &Message) -> u16 {
    let [low, high, _, _] = message.pair(1)[0].to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// The VLAN of SET_VLAN, and whether it is joined. `None` for the reserved identifier.
pub(crate) fn vlan_of(message: &Message) -> Option<(VlanId, bool)> {
    Some((VlanId::from_tci(half_of(message))?, message.header().info() & VLAN_JOIN != 0))
}

/// The hashes of SET_MULTICAST. A count beyond the message means all that it holds, as Linux' PF drivers read it.
pub(crate) fn hashes_of(message: &Message) -> HashList {
    let mut list = HashList::EMPTY;
    list.len = usize::from(message.header().info()).min(MAX_MULTICAST_HASHES);
    for (pair, word) in list.hashes.chunks_exact_mut(2).zip(&message.memory()[1..]) {
        let [a, b, c, d] = word.to_le_bytes();
        pair.copy_from_slice(&[u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])]);
    }
    // Beyond the count there is no hash, so that equal lists compare equal.
    list.hashes[list.len..].fill(0);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: MacAddr = MacAddr([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);

    /// DPDK `ixgbe_vf.c`, `ixgbe_mta_vector`: byte 4 shifted right by 4, 3, 2, 0, byte 5 left by 4, 5, 6, 8, then 12 bits.
    #[test]
    fn hash_selections() {
        let by_hand = [(0x34u16 >> 4) | (0x56 << 4), (0x34 >> 3) | (0x56 << 5), (0x34 >> 2) | (0x56 << 6), 0x34 | (0x56 << 8)];
        for (number, expected) in (0..).zip(by_hand) {
            let bits = HashBits::from_wire(number).expect("0 to 3");
            assert_eq!(bits.to_wire(), number);
            assert_eq!(bits.hash(GROUP), expected & 0xfff, "{number}");
        }
        assert_eq!(HashBits::from_wire(4), None);
    }

    /// DPDK `e1000_vf.c`, `e1000_hash_mc_addr_vf` with 128 table registers: byte 4 >> 4 | byte 5 << 4, 12 bits.
    #[test]
    fn hash() {
        let hash = |octets| HashBits::BITS_47_36.hash(MacAddr(octets));
        assert_eq!(hash([0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb]), 0xfb0);
        assert_eq!(hash([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]), 0x563);
        assert_eq!(hash([0xff; 6]), 0xfff);
    }

    #[test]
    fn thirty_groups_fit() {
        assert_eq!(HashList::of(&[GROUP; 31]), None);
        let list = HashList::of(&[GROUP; 30]).expect("thirty fit");
        assert_eq!(list.as_slice(), [0x563; 30]);
        assert_eq!(hashes_of(&set_multicast(&list)), list);
    }

    #[test]
    fn a_count_beyond_the_message_is_cut() {
        let mut words = [0xffff_ffff; WORDS];
        words[0] = 0x00ff_0003;
        assert_eq!(hashes_of(&Message::new(words)).as_slice().len(), MAX_MULTICAST_HASHES);
    }
}
