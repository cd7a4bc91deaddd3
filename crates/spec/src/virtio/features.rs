//! Feature bits: what a device offers and a driver accepts (2.2).

use core::{
    fmt,
    ops::{BitAnd, BitOr},
};

/// A set of feature bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Features(pub u64);

/// Declares the bits and, from the same lines, their names.
macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $bit:literal,)*) => {
        impl Features {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            /// The names of the bits, in the order of the bits.
            const NAMES: &'static [(u32, &'static str)] = &[$(($bit, stringify!($name)),)*];
        }
    };
}

features! {
    /// The device completes checksums of frames that are sent (5.1.3).
    CSUM = 0,
    /// The driver takes received frames whose checksum is incomplete, or was found right (5.1.3).
    GUEST_CSUM = 1,
    /// The offloads of received frames can be changed by a control command (5.1.3).
    CTRL_GUEST_OFFLOADS = 2,
    /// The configuration has the largest MTU (5.1.3).
    MTU = 3,
    /// The configuration has the MAC address (5.1.3).
    MAC = 5,
    /// The driver takes large TCP segments over IPv4 (5.1.3).
    GUEST_TSO4 = 7,
    /// The driver takes large TCP segments over IPv6 (5.1.3).
    GUEST_TSO6 = 8,
    /// The driver takes large TCP segments with ECN (5.1.3).
    GUEST_ECN = 9,
    /// The driver takes large UDP datagrams (5.1.3).
    GUEST_UFO = 10,
    /// The device segments TCP over IPv4 (5.1.3).
    HOST_TSO4 = 11,
    /// The device segments TCP over IPv6 (5.1.3).
    HOST_TSO6 = 12,
    /// The device segments TCP with ECN (5.1.3).
    HOST_ECN = 13,
    /// The device fragments UDP (5.1.3).
    HOST_UFO = 14,
    /// A received frame may lie in several buffers (5.1.3).
    MRG_RXBUF = 15,
    /// The configuration has the link status (5.1.3).
    STATUS = 16,
    /// There is a control queue (5.1.3).
    CTRL_VQ = 17,
    /// Control commands for promiscuous and all-multicast reception, and for MAC filtering (5.1.3, 5.1.6.5.1, 5.1.6.5.2).
    CTRL_RX = 18,
    /// Control commands for VLAN filtering (5.1.3).
    CTRL_VLAN = 19,
    /// Control commands for the other receive modes (5.1.6.5.1; the bit is in Linux `virtio_net.h`, the table of 5.1.3 forgets it).
    CTRL_RX_EXTRA = 20,
    /// The device may ask the driver to announce itself (5.1.3).
    GUEST_ANNOUNCE = 21,
    /// Several queue pairs, the device steers received flows as it likes (5.1.3).
    MQ = 22,
    /// A control command sets the MAC address (5.1.3).
    CTRL_MAC_ADDR = 23,
    /// Descriptors may refer to tables of descriptors (6).
    INDIRECT_DESC = 28,
    /// Notifications are suppressed by index (6).
    EVENT_IDX = 29,
    /// The device follows the modern specification (6).
    VERSION_1 = 32,
    /// The device's accesses to memory go through the platform's IOMMU (6).
    ACCESS_PLATFORM = 33,
    /// Packed virtqueues (6).
    RING_PACKED = 34,
    /// Buffers are used in the order in which they were made available (6).
    IN_ORDER = 35,
    /// Accesses to memory must be ordered as for hardware (6).
    ORDER_PLATFORM = 36,
    /// The function is a PF with SR-IOV (6).
    SR_IOV = 37,
    /// Notifications carry the position in the queue (6).
    NOTIFICATION_DATA = 38,
    /// Notifications carry a word of the device's choice instead of the queue's number (6).
    NOTIF_CONFIG_DATA = 39,
    /// Queues can be reset one by one (6).
    RING_RESET = 40,
    /// The device segments UDP (5.1.3).
    HOST_USO = 56,
    /// The device reports the hash of received frames (5.1.3).
    HASH_REPORT = 57,
    /// The driver gives the exact length of headers (5.1.3).
    GUEST_HDRLEN = 59,
    /// Received frames are spread by a hash that the driver configures (5.1.3).
    RSS = 60,
    /// The device reports coalesced segments (5.1.3).
    RSC_EXT = 61,
    /// The device stands by for another one of the same MAC address (5.1.3).
    STANDBY = 62,
    /// The configuration has speed and duplex (5.1.3).
    SPEED_DUPLEX = 63,
}

/// What a feature needs: all of one set, or one of another (5.1.3.1).
const REQUIREMENTS: &[(Features, Features)] = &[
    (Features::GUEST_TSO4, Features::GUEST_CSUM),
    (Features::GUEST_TSO6, Features::GUEST_CSUM),
    (Features::GUEST_ECN, Features(Features::GUEST_TSO4.0 | Features::GUEST_TSO6.0)),
    (Features::GUEST_UFO, Features::GUEST_CSUM),
    (Features::HOST_TSO4, Features::CSUM),
    (Features::HOST_TSO6, Features::CSUM),
    (Features::HOST_ECN, Features(Features::HOST_TSO4.0 | Features::HOST_TSO6.0)),
    (Features::HOST_UFO, Features::CSUM),
    (Features::HOST_USO, Features::CSUM),
    (Features::CTRL_RX, Features::CTRL_VQ),
    (Features::CTRL_VLAN, Features::CTRL_VQ),
    (Features::GUEST_ANNOUNCE, Features::CTRL_VQ),
    (Features::MQ, Features::CTRL_VQ),
    (Features::CTRL_MAC_ADDR, Features::CTRL_VQ),
    (Features::RSC_EXT, Features(Features::HOST_TSO4.0 | Features::HOST_TSO6.0)),
    (Features::RSS, Features::CTRL_VQ),
];

impl Features {
    /// No feature.
    pub const NONE: Self = Self(0);

    /// All of `other` are in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set less `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// No bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The two words that the select registers choose between (4.1.4.3): bits 0 to 31, bits 32 to 63.
    pub const fn to_words(self) -> [u32; 2] {
        let [a, b, c, d, e, f, g, h] = self.0.to_le_bytes();
        [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
    }

    /// The set whose words these are.
    pub const fn from_words([low, high]: [u32; 2]) -> Self {
        Self(low as u64 | (high as u64) << 32)
    }

    /// The first feature of the set that lacks what it requires, and of what it requires at least one (5.1.3.1).
    pub fn unmet_requirement(self) -> Option<(Self, Self)> {
        REQUIREMENTS.iter().copied().find(|(feature, one_of)| self.contains(*feature) && self.0 & one_of.0 == 0)
    }

    /// The bits that are set, each with its name as in the specification, less its prefix. No name where none is known.
    pub fn names(self) -> impl Iterator<Item = (u32, Option<&'static str>)> {
        let bits = (0..u64::BITS).filter(move |bit| self.0 >> bit & 1 != 0);
        bits.map(|bit| (bit, Self::NAMES.iter().find(|(named, _)| *named == bit).map(|(_, name)| *name)))
    }
}

impl BitOr for Features {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitAnd for Features {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for Features {
    /// As in a message: `VERSION_1, RING_PACKED, bit 44`; `none` for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (at, (bit, name)) in self.names().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            match name {
                Some(name) => f.write_str(name)?,
                None => write!(f, "bit {bit}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    /// Linux `virtio_config.h` and `virtio_ring.h`: VIRTIO_F_*, VIRTIO_RING_F_*.
    #[test]
    fn bits_of_the_transport() {
        let bits = [
            (Features::INDIRECT_DESC, 28),
            (Features::EVENT_IDX, 29),
            (Features::VERSION_1, 32),
            (Features::ACCESS_PLATFORM, 33),
            (Features::RING_PACKED, 34),
            (Features::IN_ORDER, 35),
            (Features::ORDER_PLATFORM, 36),
            (Features::SR_IOV, 37),
            (Features::NOTIFICATION_DATA, 38),
            (Features::NOTIF_CONFIG_DATA, 39),
            (Features::RING_RESET, 40),
        ];
        for (feature, bit) in bits {
            assert_eq!(feature.0.trailing_zeros(), bit, "{feature}");
        }
    }

    /// Linux `virtio_net.h`: VIRTIO_NET_F_*.
    #[test]
    fn bits_of_a_network_device() {
        let low = Features::CSUM | Features::GUEST_CSUM | Features::CTRL_GUEST_OFFLOADS | Features::MTU | Features::MAC;
        assert_eq!(low.0, 0x2f);
        let large = Features::GUEST_TSO4 | Features::GUEST_TSO6 | Features::GUEST_ECN | Features::GUEST_UFO;
        assert_eq!(large.0, 0x780);
        let large = Features::HOST_TSO4 | Features::HOST_TSO6 | Features::HOST_ECN | Features::HOST_UFO;
        assert_eq!(large.0, 0x7800);
        let control = Features::CTRL_VQ | Features::CTRL_RX | Features::CTRL_VLAN | Features::CTRL_RX_EXTRA | Features::CTRL_MAC_ADDR;
        assert_eq!(control.0, 0x9e_0000);
        assert_eq!((Features::MRG_RXBUF | Features::STATUS | Features::GUEST_ANNOUNCE | Features::MQ).0, 0x61_8000);
        let high = [Features::HOST_USO, Features::HASH_REPORT, Features::GUEST_HDRLEN, Features::RSS, Features::RSC_EXT];
        assert_eq!(high.map(|feature| feature.0.trailing_zeros()), [56, 57, 59, 60, 61]);
        assert_eq!((Features::STANDBY | Features::SPEED_DUPLEX).to_words(), [0, 0xc000_0000]);
    }

    #[test]
    fn sets_are_written_out() {
        assert_eq!((Features::VERSION_1 | Features::CSUM | Features(1 << 44)).to_string(), "CSUM, VERSION_1, bit 44");
        assert_eq!(Features::NONE.to_string(), "none");
        let all = Features(u64::MAX);
        assert_eq!(all.names().filter(|(_, name)| name.is_some()).count(), Features::NAMES.len());
    }

    #[test]
    fn words_go_both_ways() {
        let features = Features(0x8000_0003_4000_0001);
        assert_eq!(features.to_words(), [0x4000_0001, 0x8000_0003]);
        assert_eq!(Features::from_words(features.to_words()), features);
    }

    #[test]
    fn requirements() {
        assert_eq!((Features::HOST_TSO4 | Features::CSUM).unmet_requirement(), None);
        assert_eq!(Features::HOST_TSO4.unmet_requirement(), Some((Features::HOST_TSO4, Features::CSUM)));
        assert_eq!((Features::GUEST_ECN | Features::GUEST_TSO6 | Features::GUEST_CSUM).unmet_requirement(), None);
        assert_eq!(Features::RSS.unmet_requirement(), Some((Features::RSS, Features::CTRL_VQ)));
    }
}
