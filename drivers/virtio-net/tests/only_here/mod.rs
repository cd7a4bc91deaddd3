//! What only virtio network functions have: features that are offered or not, RSS that a driver sets, resets that the device asks for.

mod bad_input;
mod features;
mod resets;
mod spreading;

use super::{Kind, Packed, Split, VirtioNet};
use vfwire_conformance::bench::{Bench, Setup};
use vfwire_core::{
    error::PortError,
    port::{Intent, Refusal, Setting},
};
use vfwire_sim::models::virtio_net::{VirtioNetModel, VirtioNetOptions};

/// A function without a kind of its own; tests change what concerns them.
type Device = VirtioNet<Split>;

fn setup() -> Setup {
    Setup::new::<Device>()
}

/// A bench with a function as `change` makes it; no driver has taken it.
fn plugged(setup: &Setup, change: impl FnOnce(&mut VirtioNetOptions)) -> Bench<Device> {
    let mut options = VirtioNetOptions { pairs: 4, ..Split::options() };
    change(&mut options);
    let mut bench = setup.plug();
    bench.device = bench.host.add("sim:only-here", VirtioNetModel::new(options), bench.wire.clone());
    bench
}

/// The same, its port running.
fn running(setup: &Setup, change: impl FnOnce(&mut VirtioNetOptions)) -> Bench<Device> {
    let mut bench = plugged(setup, change);
    bench.probe().expect("a device that works");
    bench.try_start(&setup.config(&bench.pool)).expect("a device that works");
    bench
}

/// Why a function is no port.
fn refused(change: impl FnOnce(&mut VirtioNetOptions)) -> String {
    plugged(&setup(), change).probe().expect_err("a device that cannot work").to_string()
}

/// Why a port does not start. Nothing stays behind.
fn not_started(setup: &Setup, change: impl FnOnce(&mut VirtioNetOptions)) -> PortError {
    let mut bench = plugged(setup, change);
    bench.probe().expect("it answers");
    let error = bench.try_start(&setup.config(&bench.pool)).expect_err("it cannot start");
    bench.assert_all_home();
    error
}

fn remedy(refusals: &[Refusal], setting: Setting) -> Option<&str> {
    refusals.iter().find(|refusal| refusal.setting == setting).map(|refusal| refusal.remedy.as_str())
}

fn promiscuous() -> Intent {
    Intent { promiscuous: true, all_multicast: true, ..Intent::default() }
}

/// Split and packed queues.
const BOTH: [bool; 2] = [false, true];

const _: () = assert!(Packed::PACKED && !Split::PACKED);
