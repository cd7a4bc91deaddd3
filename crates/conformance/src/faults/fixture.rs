//! A fixture's function with something going wrong in it, and what may go wrong beside the faults that every device can have.

use crate::fixture::{Fixture, Hostility, Lost, Options, PfFixture, Request, Traits};
use std::marker::PhantomData;
use vfwire_core::bus::{BarIndex, BusEvent};
use vfwire_sim::{Faulty, SimDevice, faulty::Event};
use vfwire_spec::net::MacAddr;

/// A fixture around whose model something goes wrong.
pub struct Faulted<F>(PhantomData<F>);

impl<F: Fixture> Fixture for Faulted<F> {
    type Driver = F::Driver;
    type Model = Faulty<F::Model>;
    const TRAITS: Traits = F::TRAITS;

    fn model(options: &Options) -> Self::Model {
        Faulty::new(F::model(options))
    }

    fn violations(model: &mut Self::Model) -> Vec<String> {
        F::violations(model.model_mut())
    }

    fn mac(model: &Self::Model) -> Option<MacAddr> {
        F::mac(model.model())
    }

    fn filtered_frames(model: &Self::Model) -> u64 {
        F::filtered_frames(model.model())
    }

    fn lost_frames(model: &Self::Model) -> Lost {
        F::lost_frames(model.model())
    }

    fn set_link(model: &mut Self::Model, up: bool) {
        F::set_link(model.model_mut(), up);
    }

    fn set_hostile(model: &mut Self::Model, how: Option<Hostility>) {
        F::set_hostile(model.model_mut(), how);
    }

    fn rx_doorbell(queue: u32) -> (BarIndex, u32) {
        F::rx_doorbell(queue)
    }

    fn tx_doorbell(queue: u32) -> (BarIndex, u32) {
        F::tx_doorbell(queue)
    }
}

/// Something that happens to a function, told apart by a name.
pub struct Happening<M> {
    /// What reports call it.
    pub name: &'static str,
    /// What a port may end in by itself because of it.
    pub ends: Ends,
    /// It happens.
    pub event: Event<M>,
}

/// In what a fault may leave a port, for good reason.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ends {
    /// It runs again by itself.
    Running,
    /// It cannot know that frames do not pass, until the next reset.
    Unaware,
    /// Or it says that it is lost.
    Removed,
    /// Or it cannot be had as it was asked for, and says so.
    Refused,
}

/// `now` happens at every tick, for so many of them, and then `end`.
fn during<M>(ticks: u32, now: impl Fn(&mut M, u32) + Send + 'static, end: impl Fn(&mut M) + Send + 'static) -> Event<M> {
    Box::new(move |model, age| {
        if age < ticks {
            now(model, age);
        } else {
            end(model);
        }
        age < ticks
    })
}

/// `now` happens.
fn once<M>(now: impl Fn(&mut M) + Send + 'static) -> Event<M> {
    Box::new(move |model, age| {
        if age == 0 {
            now(model);
        }
        false
    })
}

/// What happens to any function.
pub fn happenings<F: Fixture>(device: &SimDevice<Faulty<F::Model>>) -> Vec<Happening<F::Model>> {
    let raise = |event: BusEvent| {
        let device = device.clone();
        once(move |_: &mut F::Model| device.raise(event))
    };
    let flap = during(60, |model, age| F::set_link(model, age / 3 % 2 == 1), |model| F::set_link(model, true));
    vec![
        Happening { name: "an error of the bus", ends: Ends::Running, event: raise(BusEvent::Error) },
        Happening { name: "a request to give the function back", ends: Ends::Removed, event: raise(BusEvent::RemoveRequested) },
        Happening { name: "a storm of link changes", ends: Ends::Running, event: flap },
    ]
}

/// What happens to a function with a PF, beside that.
pub fn happenings_of_pf<F: PfFixture>() -> Vec<Happening<F::Model>> {
    const OTHER: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 0xee]);
    let down = |ticks| during(ticks, |model, age| pf_down::<F>(model, age == 0), |model| F::set_pf_up(model, true));
    let silent = |ticks| during(ticks, |model, _| F::set_silent(model, true), |model| F::set_silent(model, false));
    let mut all = vec![
        Happening { name: "a short reset of the PF", ends: Ends::Running, event: down(1) },
        Happening { name: "a reset of the PF", ends: Ends::Running, event: down(60) },
        Happening { name: "a PF that is down for long", ends: Ends::Running, event: down(5000) },
        Happening { name: "a PF that is silent for a moment", ends: Ends::Running, event: silent(60) },
        Happening { name: "a PF that is silent for seconds", ends: Ends::Running, event: silent(5000) },
        Happening { name: "a PF that forgets", ends: Ends::Unaware, event: once(F::forget) },
        Happening { name: "a demand for a new start", ends: Ends::Running, event: once(|model| F::notify(model, false)) },
        Happening { name: "another address", ends: Ends::Unaware, event: once(|model| F::assign_mac(model, Some(OTHER))) },
        Happening { name: "a storm of notices", ends: Ends::Running, event: during(60, |model, _| F::notify(model, true), |_| {}) },
        Happening {
            name: "a storm of demands for a new start",
            ends: Ends::Running,
            event: during(30, |model, _| F::notify(model, false), |_| {}),
        },
    ];
    let requests = [
        ("a PF that refuses addresses", Request::Mac),
        ("a PF that refuses the MTU", Request::Mtu),
        ("a PF that refuses VLANs", Request::Vlan),
        ("a PF that refuses multicast", Request::Multicast),
        ("a PF that refuses promiscuous modes", Request::Promiscuous),
    ];
    all.extend(requests.map(|(name, request)| Happening {
        name,
        ends: Ends::Refused,
        event: once(move |model| F::refuse(model, request)),
    }));
    all
}

fn pf_down<F: PfFixture>(model: &mut F::Model, now: bool) {
    if now {
        F::set_pf_up(model, false);
    }
}
