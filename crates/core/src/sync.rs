//! Where the lock-free parts of this crate ([`gate`](crate::gate) and the overflow of a pool) have their atomics from.
//!
//! These are the standard library's, save in the tests that are compiled with `--cfg loom`: there they are those of the model checker
//! loom, which runs a test once for every order in which its threads may see one another's accesses (`cargo xtask test loom`).
//!
//! Deliberately not here: what only counts, where no order matters ([`stats`](crate::stats)), and descriptors, which a device shares.

#[cfg(all(test, loom))]
pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};
