//! What a driver's tests tell the suite: which driver, which model, and how to make the model do what a device or its PF can do.

use vfwire_core::{
    bus::BarIndex,
    meta::L4,
    port::{Driver, Port},
};
use vfwire_sim::{DeviceModel, SimFunction};
use vfwire_spec::net::MacAddr;

/// How the simulated function is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The address that the PF (or the device) gives the function; none where it leaves that to the driver.
    pub assigned_mac: Option<MacAddr>,
    /// Frames with a foreign source address are not sent.
    pub anti_spoofing: bool,
    /// The PF grants what it would refuse an ordinary function: promiscuous mode, another address than the assigned one.
    pub trusted: bool,
    /// Speed of the link in Mbit/s.
    pub link_mbps: u32,
    /// Queue pairs of the function.
    pub queue_pairs: u16,
    /// How often a driver has to look before the PF has answered.
    pub reply_polls: u32,
    /// The PF never answers.
    pub silent: bool,
    /// What the device's own counters begin with.
    pub counters_start: u32,
}

/// What the device can do, as far as a scenario has to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traits {
    /// The options of an ordinary function. It does not check for spoofing, because most scenarios send what they received.
    pub options: Options,
    /// Shortest frame that the device sends, in bytes.
    pub min_frame_bytes: usize,
    /// Speeds of the link in Mbit/s.
    pub link_mbps: &'static [u32],
    /// Flows are spread over the receive queues by a hash.
    pub spreads_flows: bool,
    /// Frames dropped for want of a descriptor are counted.
    pub counts_missed: bool,
    /// A trusted function gets promiscuous mode; otherwise nothing gives it.
    pub trust_gives_promiscuous: bool,
    /// Only a trusted function gets every multicast frame.
    pub all_multicast_needs_trust: bool,
    /// Frames longer than the function's own MTU are not received, even where those of others are.
    pub limits_received_frames: bool,
    /// The checksum of the IPv4 header is judged; otherwise nothing is said of it.
    pub judges_ip_headers: bool,
    /// Transport checksums that are found wrong where they are; nothing is said of other wrong ones.
    pub finds_wrong: &'static [L4],
    /// VLAN tags are taken out of received frames, into the metadata.
    pub strips_tags: bool,
    /// Frames shorter than 60 bytes leave padded to that.
    pub pads_frames: bool,
    /// The function counts frames and bytes by itself.
    pub counts_frames: bool,
    /// A completion that never comes hides those after it, until a reset: one word says how far the device is, or the next place is looked at.
    pub lost_completion_hides_others: bool,
}

/// Frames that a device had and that came to nobody, by its own account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lost {
    /// From the wire, not given to the driver: filtered, too long, without a queue that was on.
    pub rx_frames: u64,
    /// From the wire, for want of a descriptor.
    pub no_descriptor_frames: u64,
    /// From the driver, not given to the wire.
    pub tx_frames: u64,
}

/// A simulated function and its driver.
pub trait Fixture: 'static {
    /// The driver.
    type Driver: Driver;
    /// The model of the device.
    type Model: DeviceModel;
    /// What the device can do.
    const TRAITS: Traits;

    /// A function as `options` say.
    fn model(options: &Options) -> Self::Model;

    /// What the driver did to the device that its data sheet forbids, as sentences.
    fn violations(model: &mut Self::Model) -> Vec<String>;

    /// The unicast address that the device receives frames for now.
    fn mac(model: &Self::Model) -> Option<MacAddr>;

    /// Frames that the device did not receive because they were not for it, or too long.
    fn filtered_frames(model: &Self::Model) -> u64;

    /// What became of the frames that came to nobody.
    fn lost_frames(model: &Self::Model) -> Lost;

    /// The link goes up or down.
    fn set_link(model: &mut Self::Model, up: bool);

    /// The device turns bad, or good again.
    fn set_hostile(model: &mut Self::Model, how: Option<Hostility>);

    /// Where the doorbell of receive queue `queue` is.
    fn rx_doorbell(queue: u32) -> (BarIndex, u32);

    /// Where the doorbell of transmit queue `queue` is.
    fn tx_doorbell(queue: u32) -> (BarIndex, u32);
}

/// A function with a PF behind a mailbox, which can go away, refuse and forget.
pub trait PfFixture: Fixture {
    /// The PF goes down, which resets the function, or comes up again.
    fn set_pf_up(model: &mut Self::Model, up: bool);

    /// The PF forgets that the function was initialised, as after a reset of its own that the function did not see.
    fn forget(model: &mut Self::Model);

    /// The PF refuses requests of this kind from now on.
    fn refuse(model: &mut Self::Model, what: Request);

    /// The PF stops answering, or answers again.
    fn set_silent(model: &mut Self::Model, silent: bool);

    /// The administrator gives the function another address, of which nothing tells it.
    fn assign_mac(model: &mut Self::Model, mac: Option<MacAddr>);

    /// The PF writes a message of its own (its link has changed) that demands nothing, or that says that the function must be initialised
    /// again.
    fn notify(model: &mut Self::Model, still_initialised: bool);
}

/// A kind of request to the PF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Its own address.
    Mac,
    /// The longest frame.
    Mtu,
    /// A VLAN.
    Vlan,
    /// The list of multicast addresses.
    Multicast,
    /// Promiscuous modes.
    Promiscuous,
}

/// What a broken or evil device does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hostility {
    /// It says that each received frame was damaged on the wire.
    Damaged,
    /// It says that each received frame is longer than its buffer.
    LengthBeyondBuffer,
    /// It writes descriptors back without ever ending a frame.
    NeverEnds,
    /// It sets every bit of what it writes back.
    AllOnes,
    /// It says that received frames have no bytes.
    ZeroLength,
    /// It completes descriptors that were never posted.
    OutOfNowhere,
    /// It completes received frames with random words, drawn from this seed.
    Random(u64),
}

/// The port of a fixture's driver.
pub type PortOf<F> = <<F as Fixture>::Driver as Driver>::Port<SimFunction>;
/// Its receive queue.
pub type RxOf<F> = <PortOf<F> as Port>::Rx;
/// Its transmit queue.
pub type TxOf<F> = <PortOf<F> as Port>::Tx;
