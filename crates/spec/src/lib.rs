//! Facts of the NICs and of their control protocols: registers, descriptors, messages.
//!
//! Floor 0: imports nothing, allocates nothing, touches no hardware. A driver and the model that simulates its device share this
//! crate and nothing else, so a constant that is wrong here would fool both: every table has golden-byte tests that were written
//! from a second source (each test names it).
#![no_std]
#![forbid(unsafe_code)]

pub mod reg;
