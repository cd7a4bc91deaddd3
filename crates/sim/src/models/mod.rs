//! The devices: strict models of virtual functions and of what their PFs answer.
#![forbid(unsafe_code)]

pub mod igbvf;
pub mod intel;
pub mod ixgbevf;
mod stop;
mod violation;
pub mod virtio_net;

pub(crate) use stop::Stop;
pub use violation::Violation;
pub(crate) use violation::Violations;
