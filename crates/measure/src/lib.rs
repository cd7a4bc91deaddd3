//! Measuring a device under test, and reporting what was measured: no device, no clock and no file in here.
//!
//! [`plan`] says what is measured in which order; [`search`] finds the load that a device bears; [`result`] is the file of a measurement.
//!
//! Loads are frames a second in each direction, intended. Frame lengths count the FCS, as RFC 2544 and data sheets have it: 64 to 1518
//! without a VLAN tag.

#![forbid(unsafe_code)]

pub mod plan;
pub mod report;
pub mod result;
pub mod search;
