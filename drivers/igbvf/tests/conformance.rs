//! The conformance suite over the simulated 82576 VF, and what its one queue pair changes over the I350's.

use vfwire_conformance::{Fixture, Hostility, Lost, Options, PfFixture, Request, Traits, conformance};
use vfwire_core::{bus::BarIndex, meta::L4};
use vfwire_sim::models::igbvf::{Hostile, IgbvfModel, IgbvfOptions, ReplyDelay};
use vfwire_spec::{
    igbvf::{control, desc, regs},
    intel::mailbox::FromPf,
    net::MacAddr,
};

/// A VF with so many queue pairs.
struct Igbvf<const QUEUE_PAIRS: u16>;

impl<const QUEUE_PAIRS: u16> Fixture for Igbvf<QUEUE_PAIRS> {
    type Driver = vfwire_igbvf::Igbvf;
    type Model = IgbvfModel;
    const TRAITS: Traits = Traits {
        options: Options {
            assigned_mac: None,
            anti_spoofing: false,
            trusted: false,
            link_mbps: 1000,
            queue_pairs: QUEUE_PAIRS,
            reply_polls: 2,
            silent: false,
            counters_start: 0,
        },
        min_frame_bytes: 17,
        link_mbps: &[10, 100, 1000],
        spreads_flows: QUEUE_PAIRS > 1,
        counts_missed: true,
        trust_gives_promiscuous: true,
        all_multicast_needs_trust: false,
        limits_received_frames: true,
        judges_ip_headers: true,
        finds_wrong: &[L4::Tcp, L4::Udp],
        strips_tags: true,
        pads_frames: true,
        counts_frames: true,
        lost_completion_hides_others: false,
    };

    fn model(options: &Options) -> IgbvfModel {
        IgbvfModel::new(IgbvfOptions {
            pf_mac: options.assigned_mac,
            spoofchk: options.anti_spoofing,
            trusted: options.trusted,
            link_mbps: options.link_mbps,
            queues: usize::from(options.queue_pairs),
            reply_delay: ReplyDelay::Polls(options.reply_polls),
            silent: options.silent,
            counters_start: options.counters_start,
            ..IgbvfOptions::default()
        })
    }

    fn violations(model: &mut IgbvfModel) -> Vec<String> {
        model.violations().iter().map(ToString::to_string).collect()
    }

    fn mac(model: &IgbvfModel) -> Option<MacAddr> {
        model.mac()
    }

    fn filtered_frames(model: &IgbvfModel) -> u64 {
        let counters = model.counters();
        counters.filtered_frames + counters.wrong_size_frames
    }

    fn lost_frames(model: &IgbvfModel) -> Lost {
        let counters = model.counters();
        Lost {
            rx_frames: counters.filtered_frames + counters.wrong_size_frames + counters.off_frames,
            no_descriptor_frames: counters.no_descriptor_frames,
            tx_frames: counters.spoofed_frames,
        }
    }

    fn set_link(model: &mut IgbvfModel, up: bool) {
        model.set_link(up);
    }

    fn set_hostile(model: &mut IgbvfModel, how: Option<Hostility>) {
        model.set_hostile(how.map(|how| match how {
            Hostility::Damaged => Hostile::SetBits(desc::RX_RXE),
            Hostility::LengthBeyondBuffer => Hostile::LengthBeyondBuffer,
            Hostility::NeverEnds => Hostile::NeverEop,
            Hostility::AllOnes => Hostile::AllOnes,
            Hostility::ZeroLength => Hostile::ZeroLength,
            Hostility::OutOfNowhere => Hostile::OutOfNowhere,
            Hostility::Random(seed) => Hostile::Random(seed),
        }));
    }

    fn rx_doorbell(queue: u32) -> (BarIndex, u32) {
        (BarIndex::ZERO, regs::RDT.index(queue).offset())
    }

    fn tx_doorbell(queue: u32) -> (BarIndex, u32) {
        (BarIndex::ZERO, regs::TDT.index(queue).offset())
    }
}

impl<const QUEUE_PAIRS: u16> PfFixture for Igbvf<QUEUE_PAIRS> {
    fn set_pf_up(model: &mut IgbvfModel, up: bool) {
        model.set_pf_down(!up);
    }

    fn forget(model: &mut IgbvfModel) {
        model.forget_vf();
    }

    fn refuse(model: &mut IgbvfModel, what: Request) {
        let code = match what {
            Request::Mac => control::SET_MAC,
            Request::Mtu => control::SET_LPE,
            Request::Vlan => control::SET_VLAN,
            Request::Multicast => control::SET_MULTICAST,
            Request::Promiscuous => control::SET_PROMISC,
        };
        model.refuse(code, true);
    }

    fn set_silent(model: &mut IgbvfModel, silent: bool) {
        model.set_silent(silent);
    }

    fn assign_mac(model: &mut IgbvfModel, mac: Option<MacAddr>) {
        model.assign_mac(mac);
    }

    fn notify(model: &mut IgbvfModel, still_initialised: bool) {
        model.inject(FromPf::control(still_initialised));
    }
}

type I82576 = Igbvf<2>;
conformance!(I82576);

mod i350 {
    use super::conformance;

    type I350 = super::Igbvf<1>;
    conformance!(I350: filters, offloads, counting, life, removal, recovery);
}
