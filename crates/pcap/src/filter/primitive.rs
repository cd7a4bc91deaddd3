//! The primitives: which bytes of a frame say that it is TCP, from a host, to a port.

use super::{
    FilterError,
    code::{Block, Code},
    program::{Base, Relation, Size, Test},
};
use std::net::Ipv6Addr;

type Result<T = Block> = std::result::Result<T, FilterError>;

const IP4: u32 = 0x0800;
const ARP: u32 = 0x0806;
const RARP: u32 = 0x8035;
const IP6: u32 = 0x86dd;
const MPLS: u32 = 0x8847;
/// Tags of 802.1Q, of 802.1ad, and of what came before it.
const VLAN: [u32; 3] = [0x8100, 0x88a8, 0x9100];
/// The next header of a fragment of IPv6.
const FRAGMENT: u32 = 44;
const IP6_HEADER: u32 = 40;

/// A protocol, as a word of the expression names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proto {
    Ether,
    Ip,
    Ip6,
    Arp,
    Rarp,
    /// Above IP: its number, and whether it is looked for in IPv4 and in IPv6.
    Upper(u32, bool, bool),
}

pub(super) const TCP: Proto = Proto::Upper(6, true, true);
pub(super) const UDP: Proto = Proto::Upper(17, true, true);
pub(super) const SCTP: Proto = Proto::Upper(132, true, true);
pub(super) const ICMP6: Proto = Proto::Upper(58, false, true);

pub(super) fn proto(word: &str) -> Option<Proto> {
    Some(match word {
        "ether" | "link" => Proto::Ether,
        "ip" => Proto::Ip,
        "ip6" => Proto::Ip6,
        "arp" => Proto::Arp,
        "rarp" => Proto::Rarp,
        "tcp" => TCP,
        "udp" => UDP,
        "sctp" => SCTP,
        "icmp" => Proto::Upper(1, true, false),
        "icmp6" => ICMP6,
        "igmp" => Proto::Upper(2, true, false),
        "pim" => Proto::Upper(103, true, true),
        "vrrp" => Proto::Upper(112, true, false),
        "esp" => Proto::Upper(50, true, true),
        "ah" => Proto::Upper(51, true, true),
        _ => return None,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Source,
    Destination,
    Either,
    Both,
}

/// Where in a frame things are, which `vlan` and `mpls` shift.
#[derive(Debug)]
pub(super) struct Primitives {
    pub(super) code: Code,
    type_at: u32,
    pub(super) network_at: u32,
    is_mpls: bool,
}

impl Primitives {
    pub(super) fn new() -> Self {
        Self { code: Code::default(), type_at: 12, network_at: 14, is_mpls: false }
    }

    fn frame(&mut self, at: u32, size: Size, mask: u32, value: u32) -> Result {
        self.code.field(Base::Frame(0), at, size, mask, value)
    }

    fn network(&mut self, at: u32, size: Size, value: u32) -> Result {
        self.frame(self.network_at + at, size, u32::MAX, value)
    }

    fn either(&mut self, first: Option<Block>, second: Block) -> Block {
        match first {
            None => second,
            Some(first) => self.code.or(first, second),
        }
    }

    /// What the link layer says that it carries.
    pub(super) fn ether_type(&mut self, value: u32) -> Result {
        if !self.is_mpls {
            return if value <= 1500 {
                // 802.3: a length, and LLC's destination.
                let length = self.code.test(Test::Field {
                    base: Base::Frame(0),
                    at: self.type_at,
                    size: Size::Two,
                    mask: u32::MAX,
                    relation: Relation::Greater,
                    value: 1500,
                })?;
                let service = self.network(0, Size::One, value)?;
                Ok(self.code.and(length.not(), service))
            } else {
                self.frame(self.type_at, Size::Two, u32::MAX, value)
            };
        }
        let version = match value {
            IP4 => 0x40,
            IP6 => 0x60,
            _ => return Err(FilterError::new("behind `mpls` only ip and ip6 can be looked for")),
        };
        let is_last = self.frame(self.network_at - 2, Size::One, 1, 1)?;
        let version = self.frame(self.network_at, Size::One, 0xf0, version)?;
        Ok(self.code.and(is_last, version))
    }

    pub(super) fn is(&mut self, proto: Proto) -> Result {
        match proto {
            Proto::Ether => Err(FilterError::new("`ether` alone asks nothing: add `host`, `proto`, `broadcast` or `multicast`")),
            Proto::Ip => self.ether_type(IP4),
            Proto::Ip6 => self.ether_type(IP6),
            Proto::Arp => self.ether_type(ARP),
            Proto::Rarp => self.ether_type(RARP),
            Proto::Upper(number, in_ip4, in_ip6) => {
                let mut found = None;
                if in_ip4 {
                    let ip = self.ether_type(IP4)?;
                    let number = self.network(9, Size::One, number)?;
                    found = Some(self.code.and(ip, number));
                }
                if in_ip6 {
                    let ip = self.ether_type(IP6)?;
                    let next = self.network(6, Size::One, number)?;
                    let fragment = self.network(6, Size::One, FRAGMENT)?;
                    let behind = self.network(IP6_HEADER, Size::One, number)?;
                    let behind = self.code.and(fragment, behind);
                    let next = self.code.or(next, behind);
                    let second = self.code.and(ip, next);
                    found = Some(self.either(found, second));
                }
                found.ok_or_else(|| FilterError::new("a protocol of neither IPv4 nor IPv6"))
            }
        }
    }

    /// `proto number` of a protocol, or of both IPs.
    pub(super) fn proto_number(&mut self, of: Option<Proto>, number: u32) -> Result {
        match of {
            Some(Proto::Ether) => self.ether_type(number),
            Some(Proto::Ip) => self.is(Proto::Upper(number, true, false)),
            Some(Proto::Ip6) => self.is(Proto::Upper(number, false, true)),
            None => self.is(Proto::Upper(number, true, true)),
            Some(_) => Err(FilterError::new("`proto` can be asked of ether, ip and ip6 only")),
        }
    }

    /// One test of the source, one of the destination, or both.
    fn directed(&mut self, direction: Direction, mut test: impl FnMut(&mut Self, bool) -> Result) -> Result {
        Ok(match direction {
            Direction::Source => test(self, true)?,
            Direction::Destination => test(self, false)?,
            Direction::Either | Direction::Both => {
                let source = test(self, true)?;
                let destination = test(self, false)?;
                if direction == Direction::Both { self.code.and(source, destination) } else { self.code.or(source, destination) }
            }
        })
    }

    pub(super) fn net4(&mut self, of: Option<Proto>, direction: Direction, address: u32, mask: u32) -> Result {
        let kinds = [(Proto::Ip, IP4, 12, 16), (Proto::Arp, ARP, 14, 24), (Proto::Rarp, RARP, 14, 24)];
        let mut found = None;
        for (proto, number, source, destination) in kinds.into_iter().filter(|kind| of.is_none_or(|of| of == kind.0)) {
            if self.is_mpls && proto != Proto::Ip {
                continue;
            }
            let kind = self.ether_type(number)?;
            let host = self.directed(direction, |this, from| {
                this.frame(this.network_at + if from { source } else { destination }, Size::Four, mask, address)
            })?;
            let kind = self.code.and(kind, host);
            found = Some(self.either(found, kind));
        }
        found.ok_or_else(|| FilterError::new("an IPv4 address can be asked of ip, arp and rarp only"))
    }

    pub(super) fn net6(&mut self, of: Option<Proto>, direction: Direction, address: Ipv6Addr, bits: u32) -> Result {
        if of.is_some_and(|of| of != Proto::Ip6) {
            return Err(FilterError::new("an IPv6 address can be asked of ip6 only"));
        }
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        let words = |value: u128| [96, 64, 32, 0].map(|shift| u32::try_from(value >> shift & u128::from(u32::MAX)).unwrap_or_default());
        let (address, masks) = (words(address.to_bits()), words(mask));
        let ip = self.ether_type(IP6)?;
        let host = self.directed(direction, |this, from| {
            let mut at = this.network_at + if from { 8 } else { 24 };
            let mut whole = None;
            for (word, mask) in address.into_iter().zip(masks) {
                let part = this.frame(at, Size::Four, mask, word)?;
                whole = Some(match whole {
                    None => part,
                    Some(whole) => this.code.and(whole, part),
                });
                at += 4;
            }
            whole.ok_or_else(|| FilterError::new("an address of no bytes"))
        })?;
        Ok(self.code.and(ip, host))
    }

    pub(super) fn mac(&mut self, of: Option<Proto>, direction: Direction, mac: [u8; 6]) -> Result {
        if of != Some(Proto::Ether) {
            return Err(FilterError::new("a MAC address needs `ether` before it"));
        }
        let [a, b, c, d, e, f] = mac;
        self.directed(direction, |this, from| {
            let at = if from { 6 } else { 0 };
            let low = this.frame(at + 2, Size::Four, u32::MAX, u32::from_be_bytes([c, d, e, f]))?;
            let high = this.frame(at, Size::Two, u32::MAX, u16::from_be_bytes([a, b]).into())?;
            Ok(this.code.and(low, high))
        })
    }

    /// Ports from `first` to `last`, of one protocol or of all that have ports.
    pub(super) fn ports(&mut self, of: Option<Proto>, direction: Direction, (first, last): (u32, u32)) -> Result {
        let numbers: &[u32] = match of {
            None => &[132, 6, 17],
            Some(TCP) => &[6],
            Some(UDP) => &[17],
            Some(SCTP) => &[132],
            Some(_) => return Err(FilterError::new("ports can be asked of tcp, udp and sctp only")),
        };
        let mut found = None;
        for (kind, number_at) in [(IP6, 6), (IP4, 9)] {
            let ip = self.ether_type(kind)?;
            let mut of_ip = None;
            for number in numbers {
                let mut upper = self.network(number_at, Size::One, *number)?;
                if kind == IP4 {
                    let whole = self.first_fragment()?;
                    upper = self.code.and(upper, whole);
                }
                let base = if kind == IP4 { Base::BehindIp(self.network_at) } else { Base::Frame(self.network_at + IP6_HEADER) };
                let ports = self.directed(direction, |this, from| {
                    let at = if from { 0 } else { 2 };
                    let field = |relation, value| Test::Field { base, at, size: Size::Two, mask: u32::MAX, relation, value };
                    if first == last {
                        return this.code.test(field(Relation::Equal, first));
                    }
                    let not_less = this.code.test(field(Relation::NotLess, first))?;
                    let greater = this.code.test(field(Relation::Greater, last))?;
                    Ok(this.code.and(not_less, greater.not()))
                })?;
                let upper = self.code.and(upper, ports);
                of_ip = Some(self.either(of_ip, upper));
            }
            if let Some(of_ip) = of_ip {
                let of_ip = self.code.and(ip, of_ip);
                found = Some(self.either(found, of_ip));
            }
        }
        found.ok_or_else(|| FilterError::new("no protocol with ports"))
    }

    /// That an IPv4 packet is whole or the first of its fragments.
    pub(super) fn first_fragment(&mut self) -> Result {
        let at = self.network_at + 6;
        let later = Test::Field { base: Base::Frame(0), at, size: Size::Two, mask: u32::MAX, relation: Relation::AnyBit, value: 0x1fff };
        self.code.test(later).map(Block::not)
    }

    /// `greater` and `less`, which both take the length itself, too.
    pub(super) fn length(&mut self, is_greater: bool, value: u32) -> Result {
        if is_greater {
            return self.code.test(Test::Len { relation: Relation::NotLess, value });
        }
        self.code.test(Test::Len { relation: Relation::Greater, value }).map(Block::not)
    }

    pub(super) fn broadcast(&mut self, of: Option<Proto>) -> Result {
        match of {
            None | Some(Proto::Ether) => self.mac(Some(Proto::Ether), Direction::Destination, [0xff; 6]),
            Some(_) => Err(FilterError::new("`broadcast` can be asked of ether only: an interface's netmask is not known")),
        }
    }

    pub(super) fn multicast(&mut self, of: Option<Proto>) -> Result {
        match of {
            None | Some(Proto::Ether) => self.frame(0, Size::One, 1, 1),
            Some(Proto::Ip) => {
                let at = self.network_at + 16;
                let high =
                    Test::Field { base: Base::Frame(0), at, size: Size::One, mask: u32::MAX, relation: Relation::NotLess, value: 224 };
                let ip = self.ether_type(IP4)?;
                let high = self.code.test(high)?;
                Ok(self.code.and(ip, high))
            }
            Some(Proto::Ip6) => {
                let ip = self.ether_type(IP6)?;
                let high = self.network(24, Size::One, 255)?;
                Ok(self.code.and(ip, high))
            }
            Some(_) => Err(FilterError::new("`multicast` can be asked of ether, ip and ip6 only")),
        }
    }

    /// A VLAN tag. What stands behind it in the expression is looked for behind the tag.
    pub(super) fn vlan(&mut self, id: Option<u32>) -> Result {
        if let Some(id) = id.filter(|id| *id > 4095) {
            return Err(FilterError::new(format!("VLAN {id}: identifiers are 0 to 4095")));
        }
        if self.is_mpls {
            return Err(FilterError::new("`vlan` cannot be looked for behind `mpls`"));
        }
        let mut tag = None;
        for kind in VLAN {
            let kind = self.frame(self.type_at, Size::Two, u32::MAX, kind)?;
            tag = Some(self.either(tag, kind));
        }
        let mut tag = tag.ok_or_else(|| FilterError::new("no kind of tag"))?;
        if let Some(id) = id {
            let id = self.frame(self.network_at, Size::Two, 0xfff, id)?;
            tag = self.code.and(tag, id);
        }
        self.type_at += 4;
        self.network_at += 4;
        Ok(tag)
    }

    /// An MPLS label. What stands behind it in the expression is looked for behind the label.
    pub(super) fn mpls(&mut self, label: Option<u32>) -> Result {
        if let Some(label) = label.filter(|label| *label > 0xf_ffff) {
            return Err(FilterError::new(format!("MPLS label {label}: labels are 0 to 1048575")));
        }
        let mut found = if self.is_mpls { self.frame(self.network_at - 2, Size::One, 1, 0)? } else { self.ether_type(MPLS)? };
        if let Some(label) = label {
            let label = self.frame(self.network_at, Size::Four, 0xffff_f000, label << 12)?;
            found = self.code.and(found, label);
        }
        self.network_at += 4;
        self.is_mpls = true;
        Ok(found)
    }
}
