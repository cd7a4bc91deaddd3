//! The fuzzer is a file of frames that somebody sent: pcap or pcapng. What is read is written, and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfwire_pcap::{Direction, Interface, Packet, Reader, Writer};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let interface = Interface { name: "a".into(), snap_len: 0, filter: None };
    let mut writer = Writer::new(Vec::new(), "fuzz", &[interface]);
    let mut read = Vec::new();
    while let Ok(Some(record)) = reader.next() {
        assert!(
            !record.data.is_empty() && record.data.len() <= record.original_len as usize,
            "a frame of some bytes, no longer than it was"
        );
        let (time_ns, original_len, data) = (record.time_ns, record.original_len, record.data);
        let packet = Packet { time_ns, interface: 0, direction: Direction::In, original_len, data, lost_before: 0, comment: None };
        writer.write(&packet).expect("a vector takes everything");
        read.push((time_ns, original_len, data.to_vec()));
    }
    assert!(read.len() <= bytes.len() / 16, "a record has a header");
    writer.flush().expect("a vector takes everything");
    let written = writer.into_sink();
    let mut again = Reader::new(&written[..]).expect("what is written is read");
    for (time_ns, original_len, data) in read {
        let record = again.next().expect("whole").expect("as many");
        assert_eq!((record.time_ns, record.original_len, record.data), (time_ns, original_len, &data[..]));
    }
    assert!(matches!(again.next(), Ok(None)));
});
