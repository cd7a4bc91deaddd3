//! The fuzzer is a function that virtio-net drives.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vfwire_fuzz::drive::run::<vfwire_fuzz::subject::VirtioNet>(bytes));
