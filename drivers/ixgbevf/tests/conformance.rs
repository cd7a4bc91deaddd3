//! The conformance suite over the simulated VFs of the 82599, whose MTU and RSS are the PF's, and of the X550, which detects malicious
//! drivers and has RSS of its own; and what differs on the X540.

use std::marker::PhantomData;
use vfwire_conformance::{Fixture, Hostility, Lost, Options, PfFixture, Request, Traits, conformance};
use vfwire_core::{bus::BarIndex, meta::L4};
use vfwire_sim::models::ixgbevf::{Hostile, IxgbevfModel, IxgbevfOptions, ReplyDelay};
use vfwire_spec::{
    intel::mailbox::FromPf,
    ixgbevf::{Family, control, desc, regs},
    net::{ETH_FCS_BYTES, ETH_MAX_FRAME_BYTES, MacAddr},
};

/// A VF of this controller.
trait Controller: 'static {
    const FAMILY: Family;
    const LINK_MBPS: &'static [u32];
}

struct Ixgbevf<C>(PhantomData<C>);

impl<C: Controller> Fixture for Ixgbevf<C> {
    type Driver = vfwire_ixgbevf::Ixgbevf;
    type Model = IxgbevfModel;
    const TRAITS: Traits = Traits {
        options: Options {
            assigned_mac: None,
            anti_spoofing: false,
            trusted: false,
            link_mbps: 10_000,
            queue_pairs: 4,
            reply_polls: 2,
            silent: false,
            counters_start: 0,
        },
        min_frame_bytes: 17,
        link_mbps: C::LINK_MBPS,
        spreads_flows: true,
        counts_missed: false,
        trust_gives_promiscuous: !matches!(C::FAMILY, Family::I82599),
        all_multicast_needs_trust: true,
        limits_received_frames: !matches!(C::FAMILY, Family::I82599),
        judges_ip_headers: true,
        finds_wrong: if !matches!(C::FAMILY, Family::I82599) { &[L4::Tcp, L4::Udp] } else { &[L4::Tcp] },
        strips_tags: true,
        pads_frames: true,
        counts_frames: true,
        lost_completion_hides_others: false,
    };

    fn model(options: &Options) -> IxgbevfModel {
        IxgbevfModel::new(IxgbevfOptions {
            device: C::FAMILY,
            pf_mac: options.assigned_mac,
            spoofchk: options.anti_spoofing,
            trusted: options.trusted,
            link_mbps: options.link_mbps,
            queues: usize::from(options.queue_pairs),
            reply_delay: ReplyDelay::Polls(options.reply_polls),
            silent: options.silent,
            frames_start: options.counters_start,
            // As near to the end of their 36 bits as the frames are to the end of their 32.
            octets_start: u64::from(options.counters_start) << 4 | u64::from(options.counters_start) >> 28,
            // Without it, the 82599 takes no long frames at all.
            pf_mtu_bytes: 9000,
            pf_promiscuous: true,
            rss_udp: true,
            // The PF's driver leaves groups in its table until it next writes it.
            forgets_groups: true,
            ..IxgbevfOptions::default()
        })
    }

    fn violations(model: &mut IxgbevfModel) -> Vec<String> {
        model.violations().iter().map(ToString::to_string).collect()
    }

    fn mac(model: &IxgbevfModel) -> Option<MacAddr> {
        model.mac()
    }

    fn filtered_frames(model: &IxgbevfModel) -> u64 {
        let counters = model.counters();
        counters.filtered_frames + counters.wrong_size_frames
    }

    fn lost_frames(model: &IxgbevfModel) -> Lost {
        let counters = model.counters();
        Lost {
            rx_frames: counters.filtered_frames + counters.wrong_size_frames + counters.off_frames,
            no_descriptor_frames: counters.no_descriptor_frames,
            tx_frames: counters.spoofed_frames,
        }
    }

    fn set_link(model: &mut IxgbevfModel, up: bool) {
        model.set_link(up);
    }

    fn set_hostile(model: &mut IxgbevfModel, how: Option<Hostility>) {
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
        (BarIndex::ZERO, regs::VFRDT.index(queue).offset())
    }

    fn tx_doorbell(queue: u32) -> (BarIndex, u32) {
        (BarIndex::ZERO, regs::VFTDT.index(queue).offset())
    }
}

impl<C: Controller> PfFixture for Ixgbevf<C> {
    fn set_pf_up(model: &mut IxgbevfModel, up: bool) {
        model.set_pf_down(!up);
    }

    fn forget(model: &mut IxgbevfModel) {
        model.forget_vf();
    }

    fn refuse(model: &mut IxgbevfModel, what: Request) {
        let code = match what {
            // One that refuses every length leaves its VFs deaf.
            Request::Mtu => return model.refuse_frames_above(u16::try_from(ETH_MAX_FRAME_BYTES + ETH_FCS_BYTES).ok()),
            Request::Mac => control::SET_MAC,
            Request::Vlan => control::SET_VLAN,
            Request::Multicast => control::SET_MULTICAST,
            Request::Promiscuous => control::UPDATE_XCAST,
        };
        model.refuse(code, true);
    }

    fn set_silent(model: &mut IxgbevfModel, silent: bool) {
        model.set_silent(silent);
    }

    fn assign_mac(model: &mut IxgbevfModel, mac: Option<MacAddr>) {
        model.assign_mac(mac);
    }

    fn notify(model: &mut IxgbevfModel, still_initialised: bool) {
        model.inject(FromPf::control(still_initialised));
    }
}

mod only_here;

struct Of82599;
impl Controller for Of82599 {
    const FAMILY: Family = Family::I82599;
    const LINK_MBPS: &'static [u32] = &[100, 1000, 10_000];
}

struct OfX540;
impl Controller for OfX540 {
    const FAMILY: Family = Family::X540;
    const LINK_MBPS: &'static [u32] = &[100, 1000, 10_000];
}

struct OfX550;
impl Controller for OfX550 {
    const FAMILY: Family = Family::X550;
    const LINK_MBPS: &'static [u32] = &[100, 1000, 2500, 5000, 10_000];
}

type I82599 = Ixgbevf<Of82599>;
conformance!(I82599);

mod x540 {
    use super::conformance;

    type X540 = super::Ixgbevf<super::OfX540>;
    conformance!(X540: jumbo, filters, offloads, queues);
}

mod x550 {
    use super::conformance;

    type X550 = super::Ixgbevf<super::OfX550>;
    conformance!(X550: traffic, jumbo, filters, offloads, queues, counting, link, hostile, recovery);
}
