//! tcpdump and tshark judge: filters select what libpcap selects, and files read as they were meant.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};
use vfwire_pcap::{Direction, Filter, Interface, Packet, Reader, Statistics, Writer};

/// Runs a program that tests need.
fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output
        .unwrap_or_else(|error| panic!("{program}: {error}; install it with: apt-get install -y --no-install-recommends tshark tcpdump"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// A file in the folder for tests' files.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn interface(name: &str) -> Interface {
    Interface { name: name.into(), snap_len: 2048, filter: None }
}

/// Frames of a few protocols, hosts and ports, so that filters find some and leave some, a few of them damaged or cut off.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let mac = prop_oneof![Just([0xff; 6]), Just([2, 0, 0, 0, 0, 1]), Just([2, 0, 0, 0, 0, 2]), Just([1, 0, 0x5e, 0, 0, 1])];
    let tags = prop_oneof![
        6 => Just(vec![]),
        2 => Just(vec![0x81, 0, 0, 5]),
        1 => Just(vec![0x88, 0xa8, 0x20, 7, 0x81, 0, 0, 5]),
        1 => Just(vec![0x91, 0, 0x10, 1]),
    ];
    let host4 = prop_oneof![Just([10, 0, 0, 1]), Just([10, 1, 2, 3]), Just([192, 168, 0, 7]), Just([224, 0, 0, 1])];
    let host6 = prop_oneof![
        Just([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        Just([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    ];
    let port = prop_oneof![Just(53_u16), Just(80), Just(443), Just(1000), Just(1500), any::<u16>()];
    let upper = prop_oneof![Just(6_u8), Just(17), Just(132), Just(1), Just(58), Just(2), Just(103), Just(50), Just(44)];
    let upper_bytes = (port.clone(), port, proptest::collection::vec(any::<u8>(), 16..60))
        .prop_map(|(from, to, rest)| [&from.to_be_bytes()[..], &to.to_be_bytes(), &rest].concat());
    let ip4 = (
        host4.clone(),
        host4.clone(),
        upper.clone(),
        prop_oneof![8 => Just(5_u8), 1 => Just(6), 1 => 0..16_u8],
        prop_oneof![8 => Just(0_u16), 1 => Just(0x2000), 1 => Just(5)],
        upper_bytes.clone(),
    )
        .prop_map(|(from, to, upper, words, fragment, rest)| {
            let [high, low] = fragment.to_be_bytes();
            let options = vec![1; usize::from(words.clamp(5, 15) - 5) * 4];
            [&[8, 0, 0x40 | words, 0, 0, 60, 0, 1, high, low, 64, upper, 0, 0][..], &from, &to, &options, &rest].concat()
        });
    let ip6 = (host6.clone(), host6, upper.clone(), upper, upper_bytes).prop_map(|(from, to, next, inner, mut rest)| {
        if next == 44 {
            rest.splice(0..0, [inner, 0, 0, 0, 0, 0, 0, 1]);
        }
        [&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 60, next, 64][..], &from, &to, &rest].concat()
    });
    let arp = (host4.clone(), host4, any::<bool>()).prop_map(|(from, to, is_rarp)| {
        let kind = if is_rarp { [0x80, 0x35] } else { [8, 6] };
        [&kind[..], &[0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1], &from, &[0; 6], &to].concat()
    });
    let labels = prop_oneof![Just(vec![0, 0, 0x31, 64]), Just(vec![0, 0, 0x30, 64, 0, 0, 0x71, 64])];
    let mpls = (labels, ip4.clone()).prop_map(|(labels, ip)| [&[0x88, 0x47][..], &labels, &ip[2..]].concat());
    let llc = Just([0, 40, 0x42, 0x42, 3].into_iter().chain([0; 40]).collect::<Vec<u8>>());
    let rest = prop_oneof![6 => ip4, 4 => ip6, 2 => arp, 2 => mpls, 1 => llc, 1 => proptest::collection::vec(any::<u8>(), 2..60)];
    let cut = prop_oneof![6 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)];
    (mac.clone(), mac, tags, rest, cut).prop_map(|(to, from, tags, rest, cut)| {
        let mut frame = [&to[..], &from, &tags, &rest].concat();
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len()).max(1));
        }
        frame
    })
}

/// Some hundred frames, the same each time.
fn frames() -> Vec<Vec<u8>> {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    (0..1000).map(|_| frame().new_tree(&mut runner).unwrap().current()).collect()
}

const EXPRESSIONS: &str = include_str!("expressions.txt");

#[test]
fn filters_select_what_libpcap_selects() {
    let frames = frames();
    let path = file("filters.pcapng");
    let mut writer = Writer::new(fs::File::create(&path).unwrap(), "vfwire", &[interface("a")]);
    for (at, data) in frames.iter().enumerate() {
        // A frame that is longer than what is captured, so that `len` is not the captured length.
        let original_len = u32::try_from(data.len() + at % 3).unwrap();
        let packet =
            Packet { time_ns: at as u64 * 1000, interface: 0, direction: Direction::In, original_len, data, lost_before: 0, comment: None };
        writer.write(&packet).unwrap();
    }
    writer.flush().unwrap();
    let selected = file("selected.pcap");
    let none = file("none.pcapng");
    Writer::new(fs::File::create(&none).unwrap(), "vfwire", &[interface("a")]).flush().unwrap();
    let (mut some, mut wrong) = (0, Vec::new());
    for expression in EXPRESSIONS.lines().filter(|line| !line.is_empty()) {
        // -O: without the optimizer, which leaves out loads, so that some frames that are cut off within what is asked for are taken.
        let judged = run("tcpdump", &["-O", "-r", path.to_str().unwrap(), "-w", selected.to_str().unwrap(), "--", expression]);
        match judged {
            // libpcap tells of a filter that takes nothing by its text alone.
            Err(said) if said.contains("expression rejects all packets") => fs::copy(&none, &selected).map(drop).unwrap(),
            judged => assert!(judged.is_ok(), "{expression}: {judged:?}"),
        }
        let mut reader = Reader::new(fs::File::open(&selected).unwrap()).unwrap();
        let mut theirs = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            theirs.push(usize::try_from(record.time_ns / 1000).unwrap());
        }
        let filter = match Filter::new(expression) {
            Ok(filter) => filter,
            Err(error) => {
                wrong.push(format!("{expression}: {error}"));
                continue;
            }
        };
        let ours: Vec<usize> =
            (0..frames.len()).filter(|&at| filter.accepts(&frames[at], u32::try_from(frames[at].len() + at % 3).unwrap())).collect();
        if ours != theirs {
            let differs = (0..frames.len()).find(|at| ours.contains(at) != theirs.contains(at)).unwrap();
            wrong.push(format!("{expression}: ours {} theirs {}: frame {differs}: {:02x?}", ours.len(), theirs.len(), frames[differs]));
        }
        some += usize::from(!ours.is_empty() && ours.len() < frames.len());
    }
    assert!(wrong.is_empty(), "{} of the expressions:\n{}", wrong.len(), wrong.join("\n"));
    assert!(some > 100, "only {some} expressions tell frames apart");
}

#[test]
fn what_libpcap_refuses_is_refused_with_the_word() {
    let path = file("refused.pcapng");
    let mut writer = Writer::new(fs::File::create(&path).unwrap(), "vfwire", &[interface("a")]);
    writer.flush().unwrap();
    for (expression, said) in [
        ("tcp prot 80", "`prot` is not understood"),
        ("port 70000", "`70000` is not understood, expected a port"),
        ("host 10.0.0.256", "`10.0.0.256` is no IPv4 address"),
        ("net 10.0.0.1/8", "net 10.0.0.1 has bits set outside its mask"),
        ("net 2001:db8::1/32", "has bits set behind its prefix"),
        ("tcp host 1.2.3.4", "an IPv4 address can be asked of"),
        ("ip host 2001:db8::1", "an IPv6 address can be asked of ip6 only"),
        ("host 2:0:0:0:0:1", "needs `ether`"),
        ("vlan 5000", "VLAN 5000"),
        ("mpls 1 and arp", "behind `mpls`"),
        ("ether[2:3] = 1", "takes 1, 2 or 4 bytes"),
        ("ip[0] / 0 = 1", "a division by 0"),
        ("1 << 33 = 1", "a shift by 33 bits"),
        ("ip[0 = 1", "`ip[` has no `]`"),
        ("(ip", "the filter ends where `)` was expected"),
        ("ip and", "the filter ends where a keyword"),
        ("ip)", "`)` is not understood"),
        ("ip or or arp", "`or` is not understood"),
        ("5000000000 = len", "is no number from 0 to"),
        ("ip $ arp", "`$` means nothing here"),
        ("1.2.3.4", "`1.2.3.4` is not understood"),
        ("portrange 5-x", "`5-x` is not understood"),
    ] {
        let error = Filter::new(expression).map(|_| ()).expect_err(expression).to_string();
        assert!(error.contains(said), "{expression}: {error}");
        assert!(run("tcpdump", &["-r", path.to_str().unwrap(), "--", expression]).is_err(), "libpcap takes {expression}");
    }
    let deep = "(".repeat(10_000);
    assert!(Filter::new(&format!("{deep}ip")).unwrap_err().to_string().contains("in one another"));
    assert!(Filter::new(&"not ".repeat(1000)).unwrap_err().to_string().contains("in one another"));
    assert!(Filter::new(&"ip ".repeat(10_000)).unwrap_err().to_string().contains("more than 16384"));
    assert!(Filter::new(&["port 1"; 300].join(" or ")).unwrap_err().to_string().contains("too long"));
}

#[test]
fn tshark_reads_what_is_written() {
    let path = file("written.pcapng");
    let two = [Interface { name: "0000:01:10.0".into(), snap_len: 64, filter: Some("udp port 53".into()) }, interface("sim:b")];
    let mut writer = Writer::new(fs::File::create(&path).unwrap(), "vfwire", &two);
    let time_ns = 1_700_000_000_123_456_789;
    let sent = [
        (0, Direction::In, 0, None, 61_usize),
        (1, Direction::Out, 7, None, 62),
        (0, Direction::In, 0, Some("a remark\nof two lines, ü"), 64),
    ];
    for (at, (interface, direction, lost_before, comment, len)) in (0_u64..).zip(sent) {
        let data = vec![1; len];
        writer
            .write(&Packet { time_ns: time_ns + at, interface, direction, original_len: 1500, data: &data, lost_before, comment })
            .unwrap();
    }
    let statistics =
        Statistics { start_ns: time_ns, end_ns: time_ns + 9, seen: 30, accepted: 20, lost: 7, written: 1, comment: Some("7 lost".into()) };
    writer.statistics(1, &statistics);
    writer.flush().unwrap();
    assert_eq!(writer.whole_len(), fs::metadata(&path).unwrap().len());
    let fields = [
        "frame.time_epoch",
        "frame.interface_name",
        "frame.packet_flags_direction",
        "frame.len",
        "frame.cap_len",
        "frame.drop_count",
        "frame.comment",
    ];
    let mut args = vec!["-r", path.to_str().unwrap(), "-T", "fields", "-E", "separator=|"];
    args.extend(fields.iter().flat_map(|field| ["-e", *field]));
    let read = run("tshark", &args).unwrap();
    let lines: Vec<&str> = read.lines().collect();
    assert_eq!(lines[0], "1700000000.123456789|0000:01:10.0|0x00000001|1500|61||");
    assert_eq!(lines[1], "1700000000.123456790|sim:b|0x00000002|1500|62|7|");
    assert!(lines[2].starts_with("1700000000.123456791|0000:01:10.0|0x00000001|1500|64||a remark"), "{read}");
    let info = run("capinfos", &["-M", path.to_str().unwrap()]).unwrap();
    for said in [
        "Number of packets:   3",
        "Encapsulation = Ethernet",
        "Time precision = nanoseconds (9)",
        "Filter string = udp port 53",
        "Capture length = 64",
    ] {
        assert!(info.contains(said), "{said}: {info}");
    }
}

#[test]
fn files_of_other_programs_are_read() {
    let path = file("own.pcapng");
    let frames = frames();
    let mut writer = Writer::new(fs::File::create(&path).unwrap(), "vfwire", &[interface("a")]);
    for (at, data) in frames.iter().enumerate() {
        let original_len = u32::try_from(data.len()).unwrap();
        writer
            .write(&Packet {
                time_ns: 5_000_000_000 + at as u64 * 1000,
                interface: 0,
                direction: Direction::In,
                original_len,
                data,
                lost_before: 1,
                comment: Some("x"),
            })
            .unwrap();
    }
    writer.flush().unwrap();
    for format in ["pcap", "nsecpcap", "pcapng"] {
        let theirs = file(&format!("theirs.{format}"));
        run("editcap", &["-F", format, path.to_str().unwrap(), theirs.to_str().unwrap()]).unwrap();
        let mut reader = Reader::new(fs::File::open(&theirs).unwrap()).unwrap();
        let mut count = 0;
        while let Some(record) = reader.next().unwrap() {
            assert_eq!((record.time_ns, record.data), (5_000_000_000 + count as u64 * 1000, &frames[count][..]), "{format}");
            count += 1;
        }
        assert_eq!(count, frames.len(), "{format}");
    }
}
