//! The drivers that are fuzzed, and the models that give the plausible answers.

use vfwire_core::port::Driver;
use vfwire_sim::{
    DeviceModel, IgbvfModel, IgbvfOptions, IxgbevfModel, IxgbevfOptions, VirtioNetModel, VirtioNetOptions, models::virtio_net::Layout,
};
use vfwire_spec::{intel::mailbox::Message, ixgbevf::Family, net::MacAddr};

/// A driver and a model of its device.
pub trait Subject {
    /// The driver.
    type Driver: Driver;
    /// The device that it drives.
    type Model: DeviceModel;

    /// A device, of a kind that `choice` picks.
    fn model(choice: u8) -> Self::Model;

    /// The device or its PF does something by itself, as `what` picks.
    fn act(model: &mut Self::Model, what: u8, words: [u64; 2]);
}

/// What a PF may say: any two words.
fn message([first, second]: [u64; 2]) -> Message {
    #[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
    Message::new([first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32])
}

fn address(word: u64) -> MacAddr {
    let [a, b, c, d, e, f, ..] = word.to_le_bytes();
    MacAddr([a, b, c, d, e, f])
}

const ASSIGNED: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x11]);

/// Messages of the PF, its resets and its link, which both models have.
macro_rules! intel_act {
    ($model:expr, $what:expr, $words:expr) => {
        match $what & 15 {
            0 => $model.set_pf_down(true),
            1 | 2 => $model.set_pf_down(false),
            3 => $model.reset_pf(u32::from($words[0] as u8)),
            4 => $model.set_link(false),
            5 => $model.set_link(true),
            6 => $model.forget_vf(),
            7 => $model.refuse($words[0] as u16, true),
            8 => $model.set_silent(true),
            9 => $model.set_silent(false),
            10 => $model.assign_mac(Some(address($words[0]))),
            11 => $model.assign_mac(None),
            _ => $model.inject(message($words)),
        }
    };
}

/// The 82576 and I350 VF.
#[derive(Clone, Copy, Debug)]
pub struct Igbvf;

impl Subject for Igbvf {
    type Driver = vfwire_igbvf::Igbvf;
    type Model = IgbvfModel;

    fn model(choice: u8) -> IgbvfModel {
        IgbvfModel::new(IgbvfOptions {
            pf_mac: (choice & 1 == 0).then_some(ASSIGNED),
            spoofchk: choice & 2 != 0,
            trusted: choice & 4 != 0,
            queues: if choice & 8 == 0 { 2 } else { 1 },
            counters_start: if choice & 16 == 0 { 0 } else { u32::MAX - 5 },
            ..IgbvfOptions::default()
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
    fn act(model: &mut IgbvfModel, what: u8, words: [u64; 2]) {
        intel_act!(model, what, words);
    }
}

/// The 82599, X540, X550 and E610 VF.
#[derive(Clone, Copy, Debug)]
pub struct Ixgbevf;

impl Subject for Ixgbevf {
    type Driver = vfwire_ixgbevf::Ixgbevf;
    type Model = IxgbevfModel;

    fn model(choice: u8) -> IxgbevfModel {
        let devices = [Family::I82599, Family::X540, Family::X550, Family::E610];
        IxgbevfModel::new(IxgbevfOptions {
            device: devices[usize::from(choice >> 6)],
            pf_mac: (choice & 1 == 0).then_some(ASSIGNED),
            spoofchk: choice & 2 != 0,
            trusted: choice & 4 != 0,
            query_rss: choice & 8 != 0,
            pf_promiscuous: choice & 4 != 0,
            pf_mtu_bytes: if choice & 16 == 0 { 1500 } else { 9000 },
            queues: if choice & 32 == 0 { 4 } else { 8 },
            frames_start: if choice & 16 == 0 { 0 } else { u32::MAX - 5 },
            octets_start: if choice & 16 == 0 { 0 } else { 0xf_ffff_ff00 },
            ..IxgbevfOptions::default()
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
    fn act(model: &mut IxgbevfModel, what: u8, words: [u64; 2]) {
        intel_act!(model, what, words);
    }
}

/// A virtio network function.
#[derive(Clone, Copy, Debug)]
pub struct VirtioNet;

impl Subject for VirtioNet {
    type Driver = vfwire_virtio_net::VirtioNet;
    type Model = VirtioNetModel;

    fn model(choice: u8) -> VirtioNetModel {
        let bit = |at: u8| choice >> at & 1 != 0;
        VirtioNetModel::new(VirtioNetOptions {
            packed: bit(0),
            in_order: bit(1),
            mrg_rxbuf: !bit(2),
            csum: !bit(3),
            pairs: if bit(4) { 4 } else { 1 },
            rss: bit(4) && bit(5),
            hash_report: bit(5),
            ctrl: !(bit(6) && bit(7)),
            notification_data: bit(6),
            layout: if bit(7) { Layout::scattered() } else { Layout::default() },
            ..VirtioNetOptions::default()
        })
    }

    fn act(model: &mut VirtioNetModel, what: u8, [word, _]: [u64; 2]) {
        let [class, command, ..] = word.to_le_bytes();
        match what & 7 {
            0 => model.set_link(false),
            1 => model.set_link(true),
            2 => model.set_needs_reset(),
            3 => model.restart(),
            4 => model.ask_for_announcement(),
            5 => model.refuse(class, command, true),
            6 => model.set_silent(true),
            _ => model.set_silent(false),
        }
    }
}
