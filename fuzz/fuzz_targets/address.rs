//! The fuzzer is a user who names a port, and the options of a simulated one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfwire::Address;
use vfwire_sim::{IgbvfOptions, IxgbevfOptions, VirtioNetOptions};

fuzz_target!(|text: &str| {
    match text.parse::<Address>() {
        Ok(address) => {
            assert_eq!(address.to_string().parse(), Ok(address.clone()), "what is written is read again");
            if let Address::Sim(address) = address {
                let (mut igbvf, mut ixgbevf, mut virtio_net): (IgbvfOptions, IxgbevfOptions, VirtioNetOptions) = Default::default();
                for (option, value) in &address.device {
                    std::hint::black_box((
                        igbvf.set(option, value).is_ok(),
                        ixgbevf.set(option, value).is_ok(),
                        virtio_net.set(option, value).is_ok(),
                    ));
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
