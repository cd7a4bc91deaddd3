//! Where the lock-free parts of this crate ([`gate`](crate::gate), the overflow of a pool and the counters of queues) have their atomics
//! from.
//!
//! These are the standard library's, save in the tests that are compiled with `--cfg loom`: there they are those of the model checker
//! loom, which runs a test once for every order in which its threads may see one another's accesses (`cargo xtask test loom`).
//!
//! Deliberately not here: the chain of a frame's buffers, which has one owner at a time, and descriptors, which a device shares.

#[cfg(all(test, loom))]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64};
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64};
