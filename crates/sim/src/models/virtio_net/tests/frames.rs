use super::*;
use crate::frame::Headers;
use vfwire_spec::virtio::{
    control::{RssConfig, rx},
    net::{DATA_VALID, GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, at, hash_report, hash_type},
};

#[test]
fn frames_arrive_whole_and_in_order() {
    for options in both() {
        for in_order in [false, true] {
            let mut rig = Rig::up(VirtioNetOptions { in_order, ..options.clone() });
            let frames: Vec<_> = [14, 60, 61, 1514].map(|len_bytes| frame(MAC, OTHER, len_bytes)).into();
            frames.iter().for_each(|frame| rig.wire.push(frame.clone()));
            assert!(rig.host.step());
            for frame in &frames {
                let (header, received) = rig.received(0).expect("received");
                assert_eq!((&received, header), (frame, Header { num_buffers: 1, ..Header::default() }.encode().to_vec()));
            }
            assert_eq!(rig.received(0), None);
            assert_eq!(rig.device.with(|model| model.counters().received_frames), 4);
            assert!(!rig.host.step());
            rig.assert_clean();
        }
    }
}

#[test]
fn a_long_frame_spans_buffers_where_they_are_merged() {
    for options in both() {
        let mut rig = Rig::up(options.clone());
        let long = frame(MAC, OTHER, 4500);
        rig.wire.push(long.clone());
        rig.wire.push(frame(MAC, OTHER, 2048 - 12));
        rig.wire.push(frame(MAC, OTHER, 2048 - 11));
        rig.host.step();
        let numbers: Vec<_> = (0..3)
            .map(|_| {
                let (header, received) = rig.received(0).expect("received");
                (Header::decode(*header.first_chunk().expect("a header")).num_buffers, received.len())
            })
            .collect();
        assert_eq!(numbers, [(3, 4500), (1, 2036), (2, 2037)]);
        rig.assert_clean();

        let mut rig = Rig::up(VirtioNetOptions { mrg_rxbuf: false, ..options });
        rig.wire.push(long);
        rig.wire.push(frame(MAC, OTHER, 2048 - 12));
        rig.host.step();
        assert_eq!(rig.received(0).expect("the one that fits").1.len(), 2036);
        assert_eq!(rig.device.with(|model| model.counters().no_buffer_frames), 1);
        rig.assert_clean();
    }
}

/// A queue of two descriptors a buffer, header apart from the frame, used twice over: slots wrap.
#[test]
fn chains_and_wraps() {
    for options in both() {
        let mut rig = Rig::new(options);
        rig.negotiate(
            Features(u64::MAX)
                .without(Features::CTRL_VQ | Features::CTRL_RX | Features::CTRL_RX_EXTRA | Features::CTRL_VLAN)
                .without(Features::GUEST_ANNOUNCE | Features::CTRL_MAC_ADDR),
        );
        rig.set_up_queues();
        rig.write_status(status::DRIVER_OK);
        for round in 0..usize::from(SIZE) * 2 {
            let index = rig.queues[0].next_buffer();
            let iova = rig.buffer_iova(0, index);
            let id = rig.queues[0].post(&[(iova, 12, true), (iova + 100, 1000, true)]);
            rig.notify(0);
            rig.wire.push(frame(MAC, OTHER, 60 + round));
            rig.host.step();
            assert_eq!(rig.queues[0].used(), Some((u32::from(id), 72 + u32::try_from(round).expect("small"))), "round {round}");
            let received = raw::read(&rig.buffers, rig.buffer_at(0, index) + 100, 60 + round);
            assert_eq!(received, frame(MAC, OTHER, 60 + round));
        }
        rig.assert_clean();
    }
}

#[test]
fn a_queue_without_buffers_drops_and_counts_until_it_is_notified() {
    for options in both() {
        let mut rig = Rig::up(options);
        (0..40).for_each(|_| rig.wire.push(frame(MAC, OTHER, 60)));
        rig.host.step();
        assert_eq!(rig.device.with(|model| model.counters().no_buffer_frames), 40 - u64::from(SIZE));
        while rig.received(0).is_some() {}
        let part = (rig.buffer_iova(0, 0), 2048, true);
        rig.queues[0].post(&[part]);
        rig.wire.push(frame(MAC, OTHER, 60));
        rig.host.step();
        assert_eq!(rig.received(0), None, "it was not told");
        rig.notify(0);
        rig.wire.push(frame(MAC, OTHER, 60));
        rig.host.step();
        assert!(rig.received(0).is_some());
        rig.assert_clean();
    }
}

#[test]
fn a_wire_that_pauses_loses_nothing() {
    for options in both() {
        let rig = Rig::up(VirtioNetOptions { mtu: Some(1500), ..options });
        rig.wire.set_pauses(true);
        (0..40).for_each(|_| rig.wire.push(frame(MAC, OTHER, 60)));
        rig.host.settle(10);
        assert_eq!((rig.wire.waiting(), rig.device.with(|model| model.counters().received_frames)), (8, 32));
        rig.assert_clean();
    }
}

#[test]
fn frames_leave_when_they_are_notified() {
    for options in both() {
        for notification_data in [false, true] {
            for in_order in [false, true] {
                let mut rig = Rig::up(VirtioNetOptions { notification_data, in_order, ..options.clone() });
                let frames: Vec<_> = [14, 60, 1514].map(|len_bytes| frame(OTHER, MAC, len_bytes)).into();
                let ids: Vec<_> = frames.iter().map(|frame| u32::from(rig.post_frame(0, Header::default(), frame))).collect();
                rig.host.settle(4);
                assert!(rig.sent().is_empty(), "nothing leaves before the notification");
                rig.notify(1);
                rig.host.step();
                assert_eq!(rig.sent(), frames);
                let used: Vec<_> = std::iter::from_fn(|| rig.queues[1].used()).collect();
                let expected: Vec<_> = ids.iter().map(|id| (*id, 0)).collect();
                assert_eq!(used, if in_order { &expected[2..] } else { &expected[..] }, "one word for all of them, in order");
                rig.assert_clean();
            }
        }
    }
}

/// Several hundred frames, so that indices and slots go round many times, with batches that straddle the end.
#[test]
fn batches_go_round() {
    for options in both() {
        let mut rig = Rig::up(VirtioNetOptions { in_order: true, ..options });
        for round in 0..100 {
            let count = 1 + round % 7;
            for number in 0..count {
                rig.post_frame(0, Header::default(), &frame(OTHER, MAC, 60 + number));
            }
            rig.notify(1);
            rig.host.step();
            assert_eq!(rig.sent().len(), count);
            assert!(rig.queues[1].used().is_some() && rig.queues[1].used().is_none(), "round {round}");
        }
        rig.assert_clean();
    }
}

/// UDP over IPv4 with an odd number of data bytes; UDP checksum as given.
fn udp(destination: MacAddr, udp_checksum: u16) -> Vec<u8> {
    let mut frame = frame(destination, OTHER, 14);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame.extend([0x45, 0, 0, 33, 0, 1, 0, 0, 64, 17, 0xf6, 0xc7, 192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend([0x30, 0x39, 0, 53, 0, 13]);
    frame.extend(udp_checksum.to_be_bytes());
    frame.extend(b"hello");
    frame
}

/// Sum of the pseudo header of [`udp`], folded: c000 + 0201 + c000 + 0202 + 0011 + 000d = 1_8421 -> 8422.
const SEED: u16 = 0x8422;
const UDP_HEADER: Header =
    Header { flags: NEEDS_CSUM, gso_type: 0, hdr_len: 0, gso_size: 0, csum_start: 34, csum_offset: 6, num_buffers: 0 };

#[test]
fn checksums_are_completed_and_judged() {
    for options in both() {
        let mut rig = Rig::up(options);
        rig.send(UDP_HEADER, &udp(MAC, SEED));
        let sent = rig.sent().remove(0);
        let headers = Headers::parse(&sent);
        assert_eq!((headers.ip_checksum_is_good(&sent), headers.l4_checksum_is_good(&sent)), (Some(true), Some(true)));
        rig.send(UDP_HEADER, &udp(MAC, SEED + 1));
        let wrong = rig.sent().remove(0);
        assert_eq!(Headers::parse(&wrong).l4_checksum_is_good(&wrong), Some(false), "rubbish in, rubbish out");
        rig.wire.push(sent);
        rig.wire.push(wrong);
        rig.host.step();
        let flags: Vec<_> = (0..2).map(|_| rig.received(0).expect("received").0[at::FLAGS]).collect();
        assert_eq!(flags, [DATA_VALID, 0]);
        rig.assert_clean();
    }
}

/// A run of TCP whose checksum field holds the sum of the pseudo header, as the specification wants it.
fn tcp(is_v4: bool, payload_bytes: usize) -> (Header, Vec<u8>) {
    let tcp_bytes = u16::try_from(20 + payload_bytes).expect("16 bits");
    let mut frame = frame(OTHER, MAC, 14);
    let addresses: Vec<u8> = if is_v4 {
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        let [a, b] = (20 + tcp_bytes).to_be_bytes();
        frame.extend([0x45, 0, a, b, 0xff, 0xff, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        vec![192, 0, 2, 1, 192, 0, 2, 2]
    } else {
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        let [a, b] = tcp_bytes.to_be_bytes();
        frame.extend([0x60, 0, 0, 0, a, b, 6, 64]);
        let addresses: Vec<u8> = (0..32).collect();
        frame.extend(&addresses);
        addresses
    };
    let start = frame.len();
    let mut sum = u32::from(tcp_bytes) + 6;
    sum += addresses.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [c, d] = u16::try_from(sum).expect("folded").to_be_bytes();
    // FIN, PSH, ACK, CWR.
    frame.extend([0, 80, 1, 0, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 2, 0x50, 0x99, 0x10, 0, c, d, 0, 0]);
    frame.extend((0..payload_bytes).map(|at| at.to_le_bytes()[0]));
    let header = Header {
        flags: NEEDS_CSUM,
        gso_type: if is_v4 { GSO_TCPV4 } else { GSO_TCPV6 },
        hdr_len: u16::try_from(start + 20).expect("16 bits"),
        gso_size: 1000,
        csum_start: u16::try_from(start).expect("16 bits"),
        csum_offset: 16,
        num_buffers: 0,
    };
    (header, frame)
}

#[test]
fn runs_are_cut_into_segments() {
    for is_v4 in [true, false] {
        let mut rig = Rig::up(Rig::options());
        let (header, run) = tcp(is_v4, 2500);
        rig.send(header, &run);
        let sent = rig.sent();
        let transport_at = usize::from(header.csum_start);
        let payload_at = transport_at + 20;
        assert_eq!(sent.iter().map(|frame| frame.len() - payload_at).collect::<Vec<_>>(), [1000, 1000, 500]);
        assert_eq!(sent.iter().flat_map(|frame| frame[payload_at..].to_vec()).collect::<Vec<_>>(), run[payload_at..]);
        for (number, frame) in (0u32..).zip(&sent) {
            let headers = Headers::parse(frame);
            assert_eq!(headers.packet_end, frame.len(), "the length of IP");
            assert_eq!(headers.l4_checksum_is_good(frame), Some(true), "{number}");
            assert_ne!(headers.ip_checksum_is_good(frame), Some(false));
            let sequence = u32::from_be_bytes(*frame[transport_at + 4..].first_chunk().expect("a header"));
            assert_eq!(sequence, 0xffff_fff0u32.wrapping_add(1000 * number));
        }
        let flags: Vec<_> = sent.iter().map(|frame| frame[transport_at + 13]).collect();
        assert_eq!(flags, [0x90, 0x10, 0x19], "CWR first, PSH and FIN last");
        if is_v4 {
            assert_eq!(sent.iter().map(|frame| frame[18..20].to_vec()).collect::<Vec<_>>(), [[0xff, 0xff], [0, 0], [0, 1]]);
        }
        rig.assert_clean();
    }
}

#[test]
fn hashes_are_reported_and_spread() {
    for options in both() {
        let mut rig = Rig::up(VirtioNetOptions { pairs: 2, rss: true, hash_report: true, ..options });
        let key = crate::frame::Rss::PUBLISHED_KEY;
        rig.wire.push(udp(MAC, 0));
        rig.host.step();
        let (header, _) = rig.received(0).expect("nothing is spread before it is configured");
        assert_eq!(header[at::HASH_REPORT..][..2], hash_report::NONE.to_le_bytes());

        let config =
            RssConfig { hash_types: hash_type::UDPV4 | hash_type::IPV4, unclassified_queue: 0, table: &[0, 1], max_tx_vq: 2, key: &key };
        assert!(rig.command(Command::Rss(config)));
        assert_eq!(rig.device.with(|model| model.pairs()), 2);
        let mut odd = [0; 2];
        for port in 0..32u8 {
            let mut frame = udp(MAC, 0);
            frame[35] = port;
            rig.wire.push(frame);
        }
        rig.wire.push(frame(MAC, OTHER, 60));
        rig.host.step();
        for pair in [0, 1] {
            while let Some((header, received)) = rig.received(pair) {
                if received.len() == 60 {
                    assert_eq!((pair, &header[at::HASH_REPORT..][..2]), (0, &[0; 2][..]), "unclassified");
                    continue;
                }
                let hash = u32::from_le_bytes(*header[at::HASH_VALUE..].first_chunk().expect("a hash"));
                assert_eq!(hash & 1, u32::from(pair));
                assert_eq!(header[at::HASH_REPORT..][..2], hash_report::UDPV4.to_le_bytes());
                odd[usize::from(pair)] += 1;
            }
        }
        assert!(odd[0] > 4 && odd[1] > 4 && odd[0] + odd[1] == 32, "{odd:?}");

        // The command that came last decides (5.1.6.5.5).
        assert!(rig.command(Command::Pairs(1)));
        (0..8).for_each(|port| {
            let mut frame = udp(MAC, 0);
            frame[35] = port;
            rig.wire.push(frame);
        });
        rig.host.step();
        assert_eq!(std::iter::from_fn(|| rig.received(0)).count(), 8);
        rig.assert_clean();
    }
}

/// Microsoft, "Verifying the RSS Hash Calculation": the first row of its IPv4 table.
#[test]
fn the_published_hash_is_reported() {
    let mut rig = Rig::up(VirtioNetOptions { hash_report: true, ..Rig::options() });
    let key = crate::frame::Rss::PUBLISHED_KEY;
    assert!(rig.command(Command::Hash { hash_types: hash_type::UDPV4, key: &key }));
    let mut frame = udp(MAC, 0);
    frame[26..38].copy_from_slice(&[66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6]);
    rig.wire.push(frame);
    rig.host.step();
    let (header, _) = rig.received(0).expect("received");
    assert_eq!(header[at::HASH_VALUE..], [0x78, 0xc1, 0xcc, 0x51, 3, 0, 0, 0]);
    rig.assert_clean();
}

#[test]
fn flows_come_back_where_they_were_sent() {
    let mut rig = Rig::up(VirtioNetOptions { pairs: 2, ..Rig::options() });
    assert!(rig.command(Command::Pairs(2)));
    for pair in [0, 1, 0] {
        rig.post_frame(pair, Header::default(), &udp(OTHER, 0));
        rig.notify(net::tx_queue(pair));
        rig.host.step();
        let mut back = udp(MAC, 0);
        back[26..34].rotate_left(4);
        back[34..38].rotate_left(2);
        rig.wire.push(back);
        rig.host.step();
        assert!(rig.received(pair).is_some() && rig.received(1 - pair).is_none());
    }
    rig.assert_clean();
}

#[test]
fn the_link_and_the_mtu() {
    let mut rig = Rig::up(VirtioNetOptions { mtu: Some(1500), ..Rig::options() });
    let long = frame(MAC, OTHER, 1519);
    rig.wire.push(long.clone());
    rig.wire.push(long[..1518].to_vec());
    rig.host.step();
    assert_eq!(rig.received(0).expect("as long as the MTU and a tag allow").1.len(), 1518);
    assert_eq!(rig.device.with(|model| model.counters().wrong_size_frames), 1);
    rig.device.with(|model| model.set_link(false));
    rig.wire.push(frame(MAC, OTHER, 60));
    rig.post_frame(0, Header::default(), &frame(OTHER, MAC, 60));
    rig.notify(1);
    rig.host.step();
    assert_eq!((rig.received(0), rig.sent().len()), (None, 0));
    rig.device.with(|model| model.set_link(true));
    rig.host.step();
    assert_eq!(rig.sent().len(), 1, "what was posted leaves then");
    assert_eq!(rig.device.with(|model| model.counters().off_frames), 1);
    assert!(rig.command(Command::Rx(rx::PROMISC, true)));
    rig.assert_clean();
}

#[test]
fn interrupts_are_counted_where_they_are_asked_for() {
    for options in both() {
        let rig = Rig::up(options);
        rig.wire.push(frame(MAC, OTHER, 60));
        rig.host.step();
        assert_eq!(rig.device.with(|model| model.counters().interrupts), 0);
        rig.queues[0].set_interrupts(true);
        rig.wire.push(frame(MAC, OTHER, 60));
        rig.host.step();
        assert_eq!(rig.device.with(|model| model.counters().interrupts), 1);
        let isr = rig.bar.window(ISR_AT, 4).expect("inside");
        assert_eq!(isr.read(vfwire_spec::virtio::pci::ISR) & vfwire_spec::virtio::pci::ISR_QUEUE, 1);
        assert_eq!(isr.read(vfwire_spec::virtio::pci::ISR), 0, "cleared by reading");
    }
}
