//! The fuzzer is a flight recorder's file that somebody sent: read, told to people, written, and run again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfwire::recording::{decode, describe, describe_replay, encode, replay};

fuzz_target!(|text: &str| {
    match decode(text) {
        Ok(recordings) => {
            assert_eq!(decode(&encode(&recordings)).as_ref(), Ok(&recordings), "what is written is read again");
            for recording in &recordings {
                std::hint::black_box(describe(recording));
                if let Ok(report) = replay(recording) {
                    std::hint::black_box(describe_replay(recording, &report));
                }
            }
        }
        Err(error) => assert!(error.line > 0 && !error.what.is_empty()),
    }
});
