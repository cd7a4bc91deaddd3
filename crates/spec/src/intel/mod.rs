//! What Intel's 1 and 10 gigabit virtual functions share.
//!
//! - [`adv`]: the 16-byte advanced descriptors of the 82576, I350, 82599, X540 and X550;
//! - [`mailbox`]: the 16-word mailbox between a VF and its PF;
//! - [`request`]: the requests that both families send through it.
//!
//! Where the two families differ (error bits of received frames, the check-context bit) the constants are in the device's own `desc`
//! module, never here.

pub mod adv;
pub mod mailbox;
pub mod request;
