//! Measuring a device under test, and reporting what was measured.

#![forbid(unsafe_code)]
