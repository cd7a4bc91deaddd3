//! Measuring a device under test, and reporting what was measured: no device, no clock and no file in here.
//!
//! [`search`] finds the load that a device bears; [`result`] is the file of a measurement; [`report`] makes pages and tables of such files.
//!
//! Loads are frames a second in each direction, intended. Frame lengths count the FCS, as RFC 2544 and data sheets have it: 64 to 1518
//! without a VLAN tag.

#![forbid(unsafe_code)]

pub mod search;
