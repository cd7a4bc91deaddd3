//! Filters in the syntax of pcap-filter(7), compiled to a small program that is run on every frame.
//!
//! Why by hand: libpcap is a C library, which would end the single static binary; of the crates in Rust, `pktbaffle` has had one release and
//! `pcap-toolkit` parses a subset into its own tool. tcpdump is the judge: `tests/judges.rs` has it select from the same frames.

mod code;
mod lex;
mod parse;
mod primitive;
mod program;

use program::Program;

/// Longest expression, in bytes.
const TEXT_MAX: usize = 16_384;

/// Why an expression is no filter: it names the word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(String);

impl FilterError {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Which frames are wanted.
///
/// Understood of pcap-filter(7): `host`, `net`, `port`, `portrange`, `proto` with `src` and `dst` and the protocols; `ether`, `ip`, `ip6`, `arp`, `rarp`,
/// `tcp`, `udp`, `sctp`, `icmp`, `icmp6`, `igmp`, `pim`, `vrrp`, `esp`, `ah`; `broadcast`, `multicast`, `vlan`, `mpls`, `less`, `greater`, `len`;
/// arithmetic and accesses such as `tcp[tcpflags] & tcp-syn != 0`; `and`, `or`, `not`, parentheses. Hosts, networks and ports are numbers:
/// no name is looked up. As in libpcap, `vlan` and `mpls` shift what stands behind them, and a frame that ends before what is asked for is not taken.
#[derive(Clone, Debug)]
pub struct Filter {
    program: Program,
}

impl Filter {
    /// Compiles `text`. An empty text takes every frame.
    ///
    /// # Errors
    /// Where the text is not understood; the error names the word.
    pub fn new(text: &str) -> Result<Self, FilterError> {
        if text.len() > TEXT_MAX {
            return Err(FilterError::new(format!("the filter has {} bytes, more than {TEXT_MAX}", text.len())));
        }
        Ok(Self { program: parse::parse(text)? })
    }

    /// Whether a frame is wanted, of which `data` was captured and which was `original_len` bytes long. Allocates nothing and always ends.
    pub fn accepts(&self, data: &[u8], original_len: u32) -> bool {
        self.program.accepts(data, original_len)
    }
}

#[cfg(test)]
mod tests;
