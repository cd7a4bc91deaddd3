use super::*;
use crate::recording::*;
use proptest::prelude::*;
use vfwire_core::{
    bus::BusEvent,
    port::{Intent, Offload, Rss},
};
use vfwire_spec::{net::MacAddr, pci::PciId};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);

fn word(space: Space, width_bytes: u8, value: u64) -> Access {
    Access { space, width_bytes, offset: 0xc40, value }
}

/// A recording with everything in it that a file can hold.
fn everything() -> Vec<Recording> {
    let intent = Intent {
        mac: Some(MAC),
        mtu_bytes: 9000,
        vlans: [5, 7].into(),
        multicast: [MacAddr([1, 0, 0x5e, 0, 0, 1])].into(),
        all_multicast: true,
        promiscuous: true,
        rss: Some(Rss { key: vec![0x6d, 0x5a, 0], table: vec![0, 1, 255] }),
        offloads: [Offload::RxChecksum, Offload::TxChecksum, Offload::Tso, Offload::RssHash].into(),
    };
    let shape =
        StartShape { queue_pairs: 2, rx_desc: 512, tx_desc: 256, room_bytes: 2048, recovery_limit_ms: 10_000, intent: intent.clone() };
    let failed = |operation, gone| What::Failed(Box::new(Failure { operation, gone, text: "no such thing".into() }));
    let steps = [
        What::Read { access: word(Space::Bar(0), 4, 0x80), times: 1 },
        What::Read { access: word(Space::Bar(5), 8, u64::MAX), times: 17 },
        What::Write(word(Space::Config, 2, 6)),
        What::Bar { index: 3, len_bytes: 16384 },
        What::Dma { iova: 0xffff_ffff_ffff_0000, len_bytes: 8192 },
        What::Reset,
        What::Event(BusEvent::RemoveRequested),
        What::Event(BusEvent::Error),
        failed(Operation::ConfigRead { offset: 4, width_bytes: 2 }, true),
        failed(Operation::ConfigWrite { offset: 4, width_bytes: 1 }, false),
        failed(Operation::Bar(1), false),
        failed(Operation::Reset, true),
        failed(Operation::Dma { len_bytes: 4096 }, false),
    ];
    let steps: Vec<_> = steps.into_iter().map(|what| Step { at_ns: 3, what }).collect();
    let kinds = [
        CallKind::Probe,
        CallKind::Start(Box::new(shape)),
        CallKind::Apply(Box::new(intent)),
        CallKind::Apply(Box::default()),
        CallKind::Stop,
        CallKind::Poll,
        CallKind::Stats,
        CallKind::Rss,
        CallKind::Close,
    ];
    let outcome = |quiet| Some(Outcome { quiet, mac: quiet.then_some(MAC), text: "LinkUp { mbps: 1000 }".into() });
    let call = |(at, kind)| Call {
        at_ns: at as u64,
        kind,
        times: 3,
        lost_before: 2,
        lost_steps: 1,
        steps: steps.clone(),
        outcome: if at == 8 { None } else { outcome(at % 2 == 0) },
    };
    let port = PortName { address: "sim:igbvf,spoofchk=off#2".into(), driver: "igbvf".into(), id: PciId::intel(0x10ca) };
    let calls = kinds.into_iter().enumerate().map(call).collect();
    let unknown = PortName { address: "0000:3b:02.1".into(), driver: String::new(), id: PciId { vendor: 0x1af4, device: 0x1000 } };
    vec![Recording { port, calls }, Recording { port: unknown, calls: Vec::new() }]
}

#[test]
fn what_is_written_is_read() {
    let recordings = everything();
    assert_eq!(decode(&encode(&recordings)), Ok(recordings));
}

#[test]
fn a_file_that_was_cut_short_is_refused_wherever() {
    let text = encode(&everything());
    // Between the two ports it is a whole file.
    let whole = text.find("\nport - ").expect("the second port") + 1;
    for end in (0..text.len()).filter(|end| *end != whole && *end != MAGIC.len() + 1) {
        let error = decode(&text[..end]).expect_err(&text[..end]);
        assert!(error.line <= text.lines().count() && !error.what.is_empty());
    }
}

#[test]
fn what_does_not_belong_is_named_with_its_line() {
    let head = format!("{MAGIC}\nport igbvf 8086:10ca a\ncall 1 times=1 lost=0 lost-steps=0 ");
    for (line, text, word) in [
        (1, "".to_owned(), "cut short"),
        (1, "{}\n".to_owned(), "--flight-recorder"),
        (1, "vfwire flight recording 2\n".to_owned(), "format 2"),
        (2, format!("{MAGIC}\nend 0\n"), "port"),
        (2, format!("{MAGIC}\nport igbvf 8086 a\n"), "8086"),
        (3, format!("{MAGIC}\nport igbvf 8086:10ca a\n1 reset\n"), "without a call"),
        (2, format!("{MAGIC}\nport igbvf 8086:10ca a\r\r\nend 0\n"), "control character"),
        (3, format!("{head}dance\n"), "dance"),
        (3, format!("{head}start pairs=70000\n"), "70000"),
        (3, format!("{head}apply mac=- mtu=1 vlans=- multicast=- all-multicast=on promiscuous=on rss=0:1\n"), "hexadecimal"),
        (3, format!("{head}apply mac=- mtu=1 vlans=- multicast=- all-multicast=on promiscuous=on rss=- offloads=Magic\n"), "Magic"),
        (4, format!("{head}poll\n1 read bar6 0x0 4 0x0\n"), "BAR 6"),
        (4, format!("{head}poll\n1 read bar0 0x0 3 0x0\n"), "not 3"),
        (4, format!("{head}poll\n1 read bar0 0x0 1 0x100\n"), "does not fit"),
        (4, format!("{head}poll\n1 read bar0 0x100000000 1 0x0\n"), "no offset"),
        (4, format!("{head}poll\n-1 reset\n"), "-1"),
        (4, format!("{head}poll\n1 reset now\n"), "too much"),
        (4, format!("{head}poll\nend 7\n"), "instead of 7"),
        (5, format!("{head}poll\ndone quiet mac=- a\ndone quiet mac=- a\n"), "without a call"),
        (4, format!("{head}poll\ndone loud mac=-\n"), "loud"),
        (4, format!("{head}poll\ndone quiet mac=1\n"), "mac=1"),
    ] {
        let error = decode(&text).expect_err(&text);
        assert!(error.line == line && error.what.contains(word), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,200}") {
        let _ = decode(&text);
        let _ = decode(&format!("{MAGIC}\n{text}\n"));
        let _ = decode(&format!("{MAGIC}\nport igbvf 8086:10ca a\ncall 1 times=1 lost=0 lost-steps=0 poll\n1 {text}\n"));
    }

    /// A word of a good file is changed into something else.
    #[test]
    fn no_damage_is_too_strange(at in 0_usize..4000, with in "\\PC{0,3}|0x|\n| ") {
        let mut text = encode(&everything());
        let at = at % text.len();
        text.replace_range(at..=at, &with);
        let _ = decode(&text);
    }
}
