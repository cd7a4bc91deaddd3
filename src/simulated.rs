//! The simulated machine behind `sim:` addresses: its devices, their wires and the thread that steps them.
//!
//! Life cycle: made with the first simulated port of a host, kept by the host and by every port that is on it, and ended, with its thread,
//! when the last of them is dropped. A device stays plugged in that long, open or not.

use crate::{address::SimAddress, host::OpenError, registry};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
};
use vfwire_core::dma::DmaSpace;
use vfwire_sim::{Impairment, ImperfectWire, Link, SimFunction, SimHost, SimThread, TrafficConfig, TrafficSource, Wire, WireClock};
use vfwire_spec::net::MacAddr;

/// Frames that a wire between two ports holds each way.
const LINK_FRAMES: usize = 4096;

pub(crate) struct Machine {
    host: SimHost,
    plugged: Mutex<Plugged>,
    _thread: SimThread,
}

#[derive(Default)]
struct Plugged {
    /// How many functions; also what their made-up MAC addresses and names differ in.
    functions: u32,
    /// Ends of wires that nobody has taken yet, by name.
    ends: HashMap<String, Link>,
    /// What each wire has lost.
    lost: Vec<Box<dyn Fn() -> u64 + Send>>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let host = SimHost::new();
        Self { plugged: Mutex::default(), _thread: host.spawn(), host }
    }

    /// Plugs a function in and opens it.
    pub(crate) fn open(&self, address: &SimAddress) -> Result<SimFunction, OpenError> {
        let mut plugged = self.plugged.lock().unwrap_or_else(PoisonError::into_inner);
        plugged.functions += 1;
        let number = plugged.functions;
        // Two functions of one address are two; messages tell them apart.
        let name = if number == 1 { address.to_string() } else { format!("{address}#{number}") };
        let [a, b, c, d] = number.to_be_bytes();
        let mac = address.mac.unwrap_or(MacAddr([2, 0, a, b, c, d]));
        let place = (&self.host, name.as_str());
        let wire = plugged.wire(address, mac);
        if *address.wire == Impairment::default() {
            return registry::plug(address, mac, place, wire);
        }
        let wire = ImperfectWire::new(wire, *address.wire, WireClock::system());
        let lost = wire.lost();
        plugged.lost.push(Box::new(move || lost.load(Relaxed)));
        registry::plug(address, mac, place, wire)
    }

    /// Frames that wires have lost, on purpose or because they were full.
    pub(crate) fn lost_on_wires(&self) -> u64 {
        self.plugged.lock().unwrap_or_else(PoisonError::into_inner).lost.iter().map(|lost| lost()).sum()
    }

    pub(crate) fn dma(&self) -> Arc<dyn DmaSpace> {
        self.host.dma()
    }

    pub(crate) fn mapped_bytes(&self) -> usize {
        self.host.mapped_bytes()
    }
}

impl Plugged {
    /// What a function is plugged into.
    fn wire(&mut self, address: &SimAddress, mac: MacAddr) -> Box<dyn Wire> {
        if address.looped {
            let link = Link::looped(LINK_FRAMES);
            self.lost.push(Box::new(link.dropped()));
            return Box::new(link);
        }
        if let Some(link) = &address.link {
            let end = self.ends.remove(link).unwrap_or_else(|| {
                let (ours, other) = Link::pair(LINK_FRAMES);
                self.lost.push(Box::new(ours.dropped()));
                self.ends.insert(link.clone(), other);
                ours
            });
            return Box::new(end);
        }
        let default = TrafficConfig::to(mac);
        let config = TrafficConfig { frame_bytes: address.frame_bytes.unwrap_or(default.frame_bytes), ..default };
        Box::new(TrafficSource::new(config).0)
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)
    }
}
