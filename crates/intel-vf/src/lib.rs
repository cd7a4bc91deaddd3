//! What the drivers of Intel's 1 and 10 gigabit virtual functions share.
//!
//! Floor 1.5: drivers import it, it knows none of them. Where the families differ, the driver gives the constants of its own `spec`
//! module: where the mailbox lies, what a descriptor's error bits mean.
//!
//! | module | what it owns |
//! |---|---|
//! | [`port`] | the life of a VF: set up, looked after, let go of |
//! | [`mailbox`] | requests to the PF and its messages, with deadlines |
//! | [`queue`] | receive and transmit queues: ring, doorbell, gate and counters put together |
//! | [`decode`], [`offload`] | what descriptors say of a received frame, and ask for a sent one |
//! | [`tally`] | counters of queues that come and go |
//! | [`local_mac`] | an address of one's own |
//!
//! Deliberately not here: registers other than the mailbox's, what is asked of a PF, how a queue is set up. Those are the drivers'.
#![forbid(unsafe_code)]

pub mod decode;
pub mod mailbox;
pub mod offload;
pub mod port;
pub mod queue;
pub mod tally;
mod totals;

use std::hash::{BuildHasher, RandomState};
use vfwire_spec::net::MacAddr;

/// A random unicast address, locally administered (IEEE 802, 8.4.2): for a VF whose PF gives it none. Its bits come from the keys that
/// the standard library draws from the system for its hash maps.
pub fn local_mac() -> MacAddr {
    let [a, b, c, d, e, f, ..] = RandomState::new().hash_one("a MAC address").to_ne_bytes();
    MacAddr::local_from([a, b, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_local_and_differ() {
        let (one, other) = (local_mac(), local_mac());
        assert!(one.is_local() && one.is_unicast());
        assert_ne!(one, other);
    }
}
