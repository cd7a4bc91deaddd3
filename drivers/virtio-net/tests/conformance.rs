//! The conformance suite on the simulated virtio network function, and what only this driver does.

mod only_here;

use std::marker::PhantomData;
use vfwire_conformance::{Fixture, Hostility, Lost, Options, Traits, conformance};
use vfwire_core::bus::BarIndex;
use vfwire_sim::models::virtio_net::{Hostile, Layout, VirtioNetModel, VirtioNetOptions};
use vfwire_spec::{
    net::MacAddr,
    virtio::net::{rx_queue, tx_queue},
};

/// What kind of device it is.
trait Kind: 'static {
    const PACKED: bool;
    const IN_ORDER: bool;
    const MERGES: bool;
    /// It has what QEMU's device does not have: each structure in a BAR of its own, notifications with data; and RSS with the hash report.
    const RICH: bool;

    fn options() -> VirtioNetOptions {
        let options = VirtioNetOptions {
            packed: Self::PACKED,
            in_order: Self::IN_ORDER,
            mrg_rxbuf: Self::MERGES,
            queue_size: 4096,
            ..VirtioNetOptions::default()
        };
        if !Self::RICH {
            return options;
        }
        VirtioNetOptions { notification_data: true, rss: true, hash_report: true, layout: Layout::scattered(), ..options }
    }
}

struct VirtioNet<K>(PhantomData<K>);

impl<K: Kind> Fixture for VirtioNet<K> {
    type Driver = vfwire_virtio_net::VirtioNet;
    type Model = VirtioNetModel;
    const TRAITS: Traits = Traits {
        options: Options {
            assigned_mac: Some(MacAddr([0x02, 0, 0x5e, 0x10, 0, 0x41])),
            anti_spoofing: false,
            trusted: false,
            link_mbps: 10_000,
            queue_pairs: 4,
            reply_polls: 2,
            silent: false,
            counters_start: 0,
        },
        min_frame_bytes: 14,
        link_mbps: &[10, 1000, 10_000, 100_000],
        spreads_flows: true,
        counts_missed: false,
        trust_gives_promiscuous: true,
        all_multicast_needs_trust: false,
        limits_received_frames: false,
        judges_ip_headers: false,
        finds_wrong: &[],
        strips_tags: false,
        pads_frames: false,
        counts_frames: false,
        lost_completion_hides_others: true,
    };

    fn model(options: &Options) -> VirtioNetModel {
        VirtioNetModel::new(VirtioNetOptions {
            mac: options.assigned_mac,
            spoofchk: options.anti_spoofing,
            trusted: options.trusted,
            link_mbps: Some(options.link_mbps),
            pairs: options.queue_pairs,
            reply_polls: options.reply_polls,
            silent: options.silent,
            ..K::options()
        })
    }

    fn violations(model: &mut VirtioNetModel) -> Vec<String> {
        model.violations().iter().map(ToString::to_string).collect()
    }

    fn mac(model: &VirtioNetModel) -> Option<MacAddr> {
        model.mac()
    }

    fn filtered_frames(model: &VirtioNetModel) -> u64 {
        let counters = model.counters();
        counters.filtered_frames + counters.wrong_size_frames
    }

    fn lost_frames(model: &VirtioNetModel) -> Lost {
        let counters = model.counters();
        Lost {
            rx_frames: counters.filtered_frames + counters.wrong_size_frames + counters.off_frames,
            no_descriptor_frames: counters.no_buffer_frames,
            tx_frames: counters.spoofed_frames,
        }
    }

    fn set_link(model: &mut VirtioNetModel, up: bool) {
        model.set_link(up);
    }

    fn set_hostile(model: &mut VirtioNetModel, how: Option<Hostility>) {
        model.set_hostile(how.map(|how| match how {
            // There is no word for damage on the wire: the nearest is a frame that has not even a header.
            Hostility::Damaged => Hostile::LessThanHeader,
            Hostility::LengthBeyondBuffer => Hostile::LengthBeyondBuffer,
            Hostility::NeverEnds => Hostile::NeverEnds,
            Hostility::AllOnes => Hostile::AllOnes,
            Hostility::ZeroLength => Hostile::ZeroLength,
            Hostility::OutOfNowhere => Hostile::OutOfNowhere,
            Hostility::Random(seed) => Hostile::Random(seed),
        }));
    }

    fn rx_doorbell(queue: u32) -> (BarIndex, u32) {
        notification::<K>(queue, rx_queue)
    }

    fn tx_doorbell(queue: u32) -> (BarIndex, u32) {
        notification::<K>(queue, tx_queue)
    }
}

fn notification<K: Kind>(pair: u32, queue_of: fn(u16) -> u16) -> (BarIndex, u32) {
    let layout = K::options().layout;
    let queue = queue_of(u16::try_from(pair).expect("a pair"));
    let bar = BarIndex::new(layout.notify.bar).expect("a BAR");
    (bar, layout.notify.offset + u32::from(queue) * layout.notify_multiplier)
}

macro_rules! kind {
    ($kind:ident: packed $packed:literal, in_order $in_order:literal, merges $merges:literal, rich $rich:literal) => {
        struct $kind;

        impl Kind for $kind {
            const PACKED: bool = $packed;
            const IN_ORDER: bool = $in_order;
            const MERGES: bool = $merges;
            const RICH: bool = $rich;
        }
    };
}

kind!(Split: packed false, in_order false, merges true, rich false);
kind!(Packed: packed true, in_order false, merges true, rich false);
kind!(SplitInOrder: packed false, in_order true, merges true, rich true);
kind!(PackedInOrder: packed true, in_order true, merges true, rich true);
kind!(SplitUnmerged: packed false, in_order false, merges false, rich false);
kind!(PackedUnmerged: packed true, in_order false, merges false, rich false);

// A virtio device has no mailbox: NEEDS_RESET, a restart behind our back and the refusals of the control queue are in `only_here`.
macro_rules! suite {
    ($module:ident $kind:ident: $($group:ident),+) => {
        mod $module {
            use super::conformance;

            type Device = super::VirtioNet<super::$kind>;
            conformance!(Device: $($group),+);
        }
    };
}

suite!(split Split: traffic, pressure, jumbo, filters, offloads, queues, counting, link, life, states, removal, hostile, faults_without_pf);
suite!(packed Packed: traffic, pressure, jumbo, filters, offloads, queues, counting, link, life, states, removal, hostile, faults_without_pf);
suite!(split_in_order SplitInOrder: traffic, pressure, jumbo, offloads, queues, counting, life, removal, hostile);
suite!(packed_in_order PackedInOrder: traffic, pressure, jumbo, offloads, queues, counting, life, removal, hostile);
// Without mergeable buffers no frame is longer than a buffer, which the other groups have.
suite!(split_unmerged SplitUnmerged: traffic, pressure, filters, queues, life, removal);
suite!(packed_unmerged PackedUnmerged: traffic, pressure, queues, life, removal);
