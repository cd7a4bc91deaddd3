//! The stages that come with vfwire, a file each.
//!
//! | stage | what it does with a frame |
//! |---|---|
//! | [`Io`] | nothing |
//! | [`MacSwap`] | exchanges its source and destination MAC addresses |
//! | [`Mac`] | sends it to a given station, from the port's own address |
//! | [`Drop`] | drops it |
//! | [`Echo`] | answers ARP, ping and UDP for some IPv4 addresses |
//! | [`Touch`] | reads its first cache lines; put before another stage |
//! | [`L3`] | routes it by longest prefix, IPv4 and IPv6 ([`Switch`](super::Switch)) |
//! | [`Flood`] | copies it to all other ports ([`Switch`](super::Switch)) |

mod checksum;
mod drop;
mod echo;
mod flood;
mod io;
mod l3;
mod mac;
mod mac_swap;
mod touch;

pub use drop::Drop;
pub use echo::Echo;
pub use flood::Flood;
pub use io::Io;
pub use l3::{Hop, L3, Routes, RoutesError};
pub use mac::Mac;
pub use mac_swap::MacSwap;
pub use touch::Touch;

#[cfg(test)]
mod test_frames;
