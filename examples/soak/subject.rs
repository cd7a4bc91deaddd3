//! The drivers, what can go wrong with their devices, and the dice.

use vfwire::MacAddr;
use vfwire_core::port::Driver;
use vfwire_sim::{DeviceModel, IgbvfModel, IgbvfOptions, IxgbevfModel, IxgbevfOptions, VirtioNetModel, VirtioNetOptions, models};

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
#[derive(Debug)]
pub(crate) struct Rng(pub u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % limit
    }
}

/// A driver and its device.
pub(crate) trait Subject: 'static {
    type Driver: Driver;
    type Model: DeviceModel;

    fn model(rng: &mut Rng) -> Self::Model;
    /// Something goes wrong.
    fn fault(model: &mut Self::Model, rng: &mut Rng);
    /// Everything is as it should be; what was lost stays lost.
    fn heal(model: &mut Self::Model);
}

macro_rules! intel {
    ($hostile:path) => {
        fn fault(model: &mut Self::Model, rng: &mut Rng) {
            use $hostile as Hostile;
            match rng.below(12) {
                0 | 1 => model.set_pf_down(true),
                2 | 3 => model.reset_pf(u32::try_from(rng.below(20)).expect("small")),
                4 => model.set_link(false),
                5 => model.forget_vf(),
                6 => model.set_silent(true),
                7 => model.assign_mac(Some(MacAddr([2, 0, 0, 0, 1, 1]))),
                8 => model.set_hostile(Some(Hostile::Random(rng.next()))),
                9 => model.set_hostile(Some(Hostile::AllOnes)),
                10 => model.set_hostile(Some(Hostile::LengthBeyondBuffer)),
                _ => model.set_hostile(Some(Hostile::NeverEop)),
            }
        }

        fn heal(model: &mut Self::Model) {
            model.set_pf_down(false);
            model.set_link(true);
            model.set_silent(false);
            model.set_hostile(None);
        }
    };
}

pub(crate) struct Igbvf;
impl Subject for Igbvf {
    type Driver = vfwire_igbvf::Igbvf;
    type Model = IgbvfModel;

    fn model(rng: &mut Rng) -> IgbvfModel {
        IgbvfModel::new(IgbvfOptions { spoofchk: false, queues: 1 + rng.below(2), ..IgbvfOptions::default() })
    }

    intel!(models::igbvf::Hostile);
}

pub(crate) struct Ixgbevf;
impl Subject for Ixgbevf {
    type Driver = vfwire_ixgbevf::Ixgbevf;
    type Model = IxgbevfModel;

    fn model(rng: &mut Rng) -> IxgbevfModel {
        use vfwire_spec::ixgbevf::Family;
        let device = [Family::I82599, Family::X540, Family::X550, Family::E610][rng.below(4)];
        IxgbevfModel::new(IxgbevfOptions { device, spoofchk: false, ..IxgbevfOptions::default() })
    }

    intel!(models::ixgbevf::Hostile);
}

pub(crate) struct VirtioNet;
impl Subject for VirtioNet {
    type Driver = vfwire_virtio_net::VirtioNet;
    type Model = VirtioNetModel;

    fn model(rng: &mut Rng) -> VirtioNetModel {
        let mut flip = || rng.below(2) == 0;
        VirtioNetModel::new(VirtioNetOptions { packed: flip(), in_order: flip(), mrg_rxbuf: flip(), ..VirtioNetOptions::default() })
    }

    fn fault(model: &mut VirtioNetModel, rng: &mut Rng) {
        match rng.below(5) {
            0 => model.set_link(false),
            1 => model.set_needs_reset(),
            2 => model.restart(),
            3 => model.ask_for_announcement(),
            _ => model.set_silent(true),
        }
    }

    fn heal(model: &mut VirtioNetModel) {
        model.set_link(true);
        model.set_silent(false);
    }
}
