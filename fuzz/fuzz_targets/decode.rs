//! The fuzzer is what a device writes that has a format: mailbox messages, descriptors, capabilities.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfwire_intel_vf::decode::{ErrorBits, meta, meta_with_swapped_loopback};
use vfwire_spec::{
    igbvf,
    intel::{
        adv::rx,
        mailbox::{FromPf, Message},
    },
    ixgbevf,
    virtio::{net, pci},
};

fuzz_target!(|bytes: &[u8]| {
    let word = |at: usize| bytes.get(at * 4..at * 4 + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes);
    let message = Message::new(std::array::from_fn::<u32, 16, _>(word));
    if let FromPf::Reply(reply) = FromPf::decode(message) {
        use ixgbevf::control::{PfLink, Queues, ResetAnswer};
        std::hint::black_box((reply.verdict(), reply.code(), ResetAnswer::decode(&reply), Queues::decode(&reply), PfLink::decode(&reply)));
    }
    std::hint::black_box((igbvf::control::Request::decode(message), ixgbevf::control::Request::decode(message)));

    let double = |at: usize| u64::from(word(at)) | u64::from(word(at + 1)) << 32;
    let words = [double(0), double(2)];
    let errors = ErrorBits { ip: double(4), l4: double(6) };
    let (plain, swapped) = (meta(&words, errors), meta_with_swapped_loopback(&words, errors));
    assert_eq!(plain.vlan_tci.is_some(), swapped.vlan_tci.is_some());
    std::hint::black_box((rx::length_bytes(words[1]), rx::rss_type(words[0])));

    std::hint::black_box(pci::Capability::decode(bytes).is_ok());
    if let Some(header) = bytes.first_chunk() {
        std::hint::black_box(net::Header::decode(*header));
    }
});
