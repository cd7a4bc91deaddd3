//! Files made by hand, in both byte orders, and what is wrong with damaged ones. Files of other programs: `tests/judges.rs`.

use super::*;
use proptest::prelude::*;
use std::io;

/// A file that is being made, in one byte order.
#[derive(Clone)]
struct File {
    big: bool,
    bytes: Vec<u8>,
}

impl File {
    fn new(big: bool) -> Self {
        Self { big, bytes: Vec::new() }
    }

    fn u16(mut self, value: u16) -> Self {
        self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    fn words(self, words: &[u32]) -> Self {
        words.iter().fold(self, |file, word| file.u32(*word))
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// A pcapng block around `body`, which is padded.
    fn block(self, kind: u32, body: impl FnOnce(Self) -> Self) -> Self {
        let mut body = body(Self::new(self.big)).bytes;
        body.resize(body.len().next_multiple_of(4), 0);
        let len = u32::try_from(body.len()).unwrap() + 12;
        self.words(&[kind, len]).raw(&body).u32(len)
    }

    fn section(self) -> Self {
        self.block(0x0a0d_0d0a, |body| body.u32(0x1a2b_3c4d).u16(1).u16(0).words(&[u32::MAX, u32::MAX]))
    }

    fn interface(self, snap_len: u32, options: impl FnOnce(Self) -> Self) -> Self {
        self.block(1, |body| options(body.u16(1).u16(0).u32(snap_len)))
    }

    fn packet(self, interface: u32, time: u64, original_len: u32, data: &[u8]) -> Self {
        let [high, low] = [time >> 32, time & 0xffff_ffff].map(|word| u32::try_from(word).unwrap());
        let len = u32::try_from(data.len()).unwrap();
        self.block(6, |body| body.words(&[interface, high, low, len, original_len]).raw(data))
    }

    fn pcap(self, magic: u32, link: u32) -> Self {
        self.u32(magic).u16(2).u16(4).words(&[0, 0, 65535, link])
    }
}

type Read1 = (u64, u32, u32, Vec<u8>);

/// All records, and the error that ended them.
fn read(bytes: impl Read) -> (Vec<Read1>, Option<String>) {
    let mut records = Vec::new();
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (records, Some(error.to_string())),
    };
    loop {
        match reader.next() {
            Ok(Some(Record { time_ns, interface, original_len, data, .. })) => {
                records.push((time_ns, interface, original_len, data.to_vec()));
            }
            Ok(None) => return (records, None),
            Err(error) => {
                assert!(matches!(reader.next(), Ok(None)), "something comes after an error");
                return (records, Some(error.to_string()));
            }
        }
    }
}

fn good(file: &File) -> Vec<Read1> {
    let (records, error) = read(&file.bytes[..]);
    assert_eq!(error, None);
    records
}

fn bad(file: &File) -> String {
    read(&file.bytes[..]).1.expect("it is damaged")
}

#[test]
fn pcap_of_both_orders_and_resolutions() {
    for big in [false, true] {
        for (magic, fraction, ns) in [(0xa1b2_c3d4, 123_456, 123_456_000), (0xa1b2_3c4d, 123_456_789, 123_456_789)] {
            let file = File::new(big).pcap(magic, 1).words(&[1_700_000_000, fraction, 3, 60]).raw(&[1, 2, 3]);
            let file = file.words(&[u32::MAX, 0, 1, 1]).raw(&[9]);
            let expected = vec![(1_700_000_000_000_000_000 + ns, 0, 60, vec![1, 2, 3]), (4_294_967_295_000_000_000, 0, 1, vec![9])];
            assert_eq!(good(&file), expected, "big {big}, {magic:x}");
        }
    }
}

#[test]
fn sections_of_both_orders_have_interfaces_of_their_own() {
    let mut file = File::new(false).section().interface(0, |options| options).packet(0, 1_000_001, 5, &[1; 5]);
    file.big = true;
    let nanoseconds = |options: File| options.u16(9).u16(1).raw(&[9, 0, 0, 0]).u32(0);
    let file = file.section().interface(0, |options| options).interface(64, nanoseconds).packet(1, 7, 9, &[2; 3]).packet(0, 7, 9, &[3; 2]);
    assert_eq!(good(&file), [(1_000_001_000, 0, 5, vec![1; 5]), (7, 2, 9, vec![2; 3]), (7000, 1, 9, vec![3; 2])]);
}

#[test]
fn every_resolution_and_offset_of_time() {
    let time_of = |resolution: u8, offset: Option<i64>, time| {
        [false, true].map(|big| {
            let options = |options: File| {
                let options = options.u16(9).u16(1).raw(&[resolution, 0, 0, 0]);
                match offset {
                    Some(s) => options.u16(14).u16(8).raw(&if big { s.to_be_bytes() } else { s.to_le_bytes() }).u32(0),
                    None => options,
                }
            };
            let (records, error) = read(&File::new(big).section().interface(0, options).packet(0, time, 1, &[1]).bytes[..]);
            records.first().map(|record| record.0).ok_or(error.unwrap_or_default())
        })
    };
    for (resolution, offset, time, ns) in [
        (0, None, 3, 3_000_000_000),
        (3, None, 3, 3_000_000),
        (9, None, 3, 3),
        (12, None, 3999, 3),
        (127, None, u64::MAX, 0),
        (0x80 | 10, None, 1024, 1_000_000_000),
        (0x80 | 63, None, 1 << 62, 500_000_000),
        (0x80 | 127, None, u64::MAX, 0),
        (6, Some(2), 1, 2_000_001_000),
        (6, Some(-2), 2_000_001, 1000),
    ] {
        assert_eq!(time_of(resolution, offset, time), [Ok(ns), Ok(ns)], "resolution {resolution:#x}");
    }
    let [little, big] = time_of(0, None, u64::MAX);
    assert_eq!(little.unwrap_err(), "byte 56: time 18446744073709551615 lies before 1970 or after 2554; the file is damaged from there on");
    assert!(big.is_err() && time_of(6, Some(-2), 1)[0].is_err() && time_of(6, Some(i64::MIN), 1)[0].is_err());
}

#[test]
fn simple_and_obsolete_packet_blocks() {
    for big in [false, true] {
        let file = File::new(big).section().interface(4, |options| options).packet(0, 2, 9, &[1]);
        // The snap length says how much of a simple packet block is frame.
        let file = file.block(3, |body| body.u32(9).raw(&[5; 4])).block(3, |body| body.u32(2).raw(&[6; 2]));
        let file = file.block(2, |body| body.u16(0).u16(77).words(&[0, 3, 2, 8]).raw(&[7; 2]));
        let expected = [(2000, 0, 9, vec![1]), (2000, 0, 9, vec![5; 4]), (2000, 0, 2, vec![6; 2]), (3000, 0, 8, vec![7; 2])];
        assert_eq!(good(&file), expected, "big {big}");
    }
}

#[test]
fn other_blocks_and_options_are_passed_over() {
    let file = File::new(false)
        .section()
        .block(0x0bad, |body| body.raw(&[1; 70_000]))
        .interface(0, |options| options.u16(2).u16(5).raw(b"port0\0\0\0").u16(0).u16(0));
    let file = file.block(6, |body| body.words(&[0, 0, 1, 5, 5]).raw(&[1, 2, 3, 4, 5, 0, 0, 0]).u16(1).u16(2).raw(b"hi\0\0").u32(0));
    let file = file.block(5, |body| body.words(&[0, 0, 0]));
    assert_eq!(good(&file), [(1000, 0, 5, vec![1, 2, 3, 4, 5])]);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let pcap = || File::new(false).pcap(0xa1b2_c3d4, 1);
    let ng = || File::new(false).section().interface(0, |options| options);
    let at_24 = |reason: &str| format!("byte 24: {reason}; the file is damaged from there on");
    let at_48 = |reason: &str| format!("byte 48: {reason}; the file is damaged from there on");
    for (file, said) in [
        (pcap().words(&[0, 0, 0, 9]), at_24("a frame of no bytes")),
        (pcap().words(&[0, 0, 300_000, 300_000]), at_24("a frame of 300000 bytes, but none is longer than 262144")),
        (pcap().words(&[0, 0, u32::MAX, u32::MAX]), at_24("a frame of 4294967295 bytes, but none is longer than 262144")),
        (pcap().words(&[0, 0, 5, 4]).raw(&[0; 5]), at_24("5 bytes captured of a frame of 4")),
        (pcap().words(&[0, 1_000_000, 5, 5]).raw(&[0; 5]), at_24("a time's fraction of a second is 1000000000 ns")),
        (ng().packet(1, 0, 1, &[1]), at_48("a frame of interface 1, but its section describes 1")),
        (ng().packet(0, 0, 0, &[]), at_48("a frame of no bytes")),
        (ng().block(6, |body| body.words(&[0, 0, 0, 9, 9])), at_48("9 bytes captured in a block of 32")),
        (ng().block(6, |body| body.words(&[0, 0])), at_48("a packet block of 20 bytes is too short")),
        (ng().words(&[6, 34]), at_48("a block of type 0x6 has length 34")),
        (ng().words(&[6, 8]), at_48("a block of type 0x6 has length 8")),
        (ng().words(&[99, 12, 16]), at_48("a block's length is 12 at its start and 16 at its end")),
        (ng().block(1, |body| body.u16(1).u16(0)), at_48("an interface's description of 16 bytes is too short")),
        (
            ng().interface(0, |options| options.u16(9).u16(7).u32(0)),
            at_48("option 9 of an interface's description has 7 bytes, more than are there"),
        ),
        (ng().words(&[0x0a0d_0d0a, 28, 7]), at_48("a section's byte order is 0x00000007, which is no order")),
        (ng().words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 2]), at_48("pcapng version 2, but version 1 is the only one")),
        (
            ng().interface(0, |options| options.u16(13).u16(1).u32(4)),
            at_48("the frames carry a frame check sequence, which the NIC adds itself"),
        ),
    ] {
        assert_eq!(bad(&file), said);
    }
}

#[test]
fn what_is_no_ethernet_capture_is_refused() {
    let said = "but only Ethernet (link type 1) can be sent: capture on an Ethernet interface";
    assert_eq!(bad(&File::new(true).pcap(0xa1b2_c3d4, 101)), format!("byte 0: link type 101, {said}"));
    let raw_ip = File::new(false).section().block(1, |body| body.u16(101).u16(0).u32(0));
    assert_eq!(bad(&raw_ip), format!("byte 28: link type 101, {said}"));
    // 2 words of FCS are told of, and that they are.
    assert!(bad(&File::new(false).pcap(0xa1b2_c3d4, 0x2400_0001)).contains("frame check sequence"));
    assert!(bad(&File::new(false).u32(0xa1b2_c3d4).u16(3).u16(0).words(&[0; 4])).contains("pcap version 3"));
    let wanted = "byte 0: it begins with 1f 8b 08 00: neither pcap nor pcapng; it is compressed with gzip: decompress it first";
    assert_eq!(bad(&File::new(false).raw(&[0x1f, 0x8b, 8, 0, 0])), wanted);
    assert!(bad(&File::new(false).raw(b"no capture")).contains("it begins with 6e 6f 20 63"));
    assert!(bad(&File::new(false)).contains("the file is empty"));
}

/// Two small files, one of each format.
fn samples() -> [File; 2] {
    let pcap = File::new(false).pcap(0xa1b2_3c4d, 1).words(&[1, 2, 3, 3]).raw(&[1, 2, 3]).words(&[1, 3, 2, 9]).raw(&[4, 5]);
    let ng =
        File::new(true).section().interface(0, |options| options).packet(0, 1, 3, &[1, 2, 3]).block(3, |body| body.u32(2).raw(&[4, 5]));
    [pcap, ng]
}

#[test]
fn a_file_that_is_cut_off_gives_what_is_whole_and_says_where() {
    for (file, ends) in samples().into_iter().zip([&[24, 43, 61][..], &[28, 48, 84, 104][..]]) {
        let whole = good(&file);
        for len in 1..file.bytes.len() {
            let (records, error) = read(&file.bytes[..len]);
            assert_eq!(records, whole[..records.len()], "{len}");
            let from = ends.iter().rev().find(|end| **end <= len).copied().unwrap_or(0);
            match error {
                None => assert!(ends.contains(&len), "{len}: no error"),
                Some(error) => {
                    assert!(!ends.contains(&len), "{len}: {error}");
                    assert!(error.starts_with(&format!("byte {from}: the file ends within ")), "{len}: {error}");
                }
            }
        }
    }
}

/// Gives one byte at a time, and is interrupted between them.
struct Trickle<'a>(&'a [u8], bool);

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.0.read(&mut into[..1])
    }
}

#[test]
fn a_slow_pipe_gives_the_same() {
    for file in samples() {
        assert_eq!(read(Trickle(&file.bytes, false)), (good(&file), None));
    }
}

#[test]
fn an_error_of_the_system_is_passed_on() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let [file, _] = samples();
    let (records, error) = read(file.bytes[..30].chain(Broken));
    assert_eq!((records.len(), error.as_deref()), (0, Some("byte 24: the disk is gone")));
}

proptest! {
    /// Whatever the bytes are: no panic, no hang, no more memory than a frame may have.
    #[test]
    fn damage_ends_in_an_error_or_in_frames(which in 0..2_usize, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = samples()[which].bytes.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let mut reader = match Reader::new(&bytes[..]) { Ok(reader) => reader, Err(_) => return Ok(()) };
        let mut frames = 0;
        while let Ok(Some(record)) = reader.next() {
            prop_assert!(!record.data.is_empty() && record.data.len() <= record.original_len as usize);
            prop_assert!(record.offset < bytes.len() as u64);
            frames += 1;
        }
        prop_assert!(frames <= bytes.len() / 16);
        prop_assert!(reader.frame.capacity() <= FRAME_MAX as usize);
    }
}
