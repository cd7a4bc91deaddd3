//! The fuzzer is a frame on the wire of a simulated device.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfwire_sim::frame::{Headers, Rss, checksum::Sum};

fuzz_target!(|frame: &[u8]| {
    let headers = Headers::parse(frame);
    std::hint::black_box((headers.ip_checksum_is_good(frame), headers.l4_checksum_is_good(frame), Sum::of(frame).checksum()));
    assert!(headers.addresses(frame).len() <= 32, "two IPv6 addresses at most");
    std::hint::black_box(Rss::new().hash(&headers, frame));
});
