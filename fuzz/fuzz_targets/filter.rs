//! The fuzzer is the user who writes a filter, in a first line, and the frame behind it that the filter is run on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfwire_pcap::Filter;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else { return };
    let frame = bytes.get(end + 1..).unwrap_or_default();
    match Filter::new(text) {
        Ok(filter) => {
            let len = u32::try_from(frame.len()).expect("inputs are short");
            let accepts = filter.accepts(frame, len);
            assert_eq!(accepts, filter.accepts(frame, len), "a filter has no state");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
