//! A wire whose far side sends UDP frames without end, and counts what comes back.

use super::Wire;
use crate::frame::checksum;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use vfwire_spec::net::{ETH_HEADER_BYTES, ETH_MIN_FRAME_BYTES, ETHERTYPE_IPV4, MacAddr};

const IPV4_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
const UDP_AT: usize = ETH_HEADER_BYTES + IPV4_HEADER_BYTES;
/// Where a frame's sequence number lies: 8 bytes, most significant first.
const SEQUENCE_AT: usize = UDP_AT + UDP_HEADER_BYTES;
const PROTOCOL_UDP: u8 = 17;
/// Addresses for benchmarks (RFC 2544, C.2.2), and the discard port (RFC 863).
const SOURCE: [u8; 4] = [198, 18, 0, 1];
const DESTINATION: [u8; 4] = [198, 19, 0, 1];
const DISCARD_PORT: u16 = 9;
const FIRST_SOURCE_PORT: u16 = 49_152;

/// What a [`TrafficSource`] sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrafficConfig {
    /// Destination MAC address: the device's, or it will not take the frames.
    pub destination: MacAddr,
    /// Source MAC address.
    pub source: MacAddr,
    /// Length of a frame, 60 to 9014 bytes; others are brought to the nearer of these.
    pub frame_bytes: usize,
    /// UDP flows, sent in turn; at least one.
    pub flows: u16,
    /// Ends after so many frames.
    pub limit_frames: Option<u64>,
}

impl TrafficConfig {
    /// The shortest frames, in 16 flows, without end.
    pub fn to(destination: MacAddr) -> Self {
        let source = MacAddr([0x02, 0, 0x5e, 0x12, 0, 1]);
        Self { destination, source, frame_bytes: ETH_MIN_FRAME_BYTES, flows: 16, limit_frames: None }
    }
}

/// What passed a [`TrafficSource`].
#[derive(Debug, Default)]
pub struct TrafficCounters {
    sent_frames: AtomicU64,
    returned_frames: AtomicU64,
    returned_bytes: AtomicU64,
}

impl TrafficCounters {
    /// Frames that the device was given.
    pub fn sent_frames(&self) -> u64 {
        self.sent_frames.load(Ordering::Relaxed)
    }

    /// Frames that the device sent.
    pub fn returned_frames(&self) -> u64 {
        self.returned_frames.load(Ordering::Relaxed)
    }

    /// Bytes of the frames that the device sent.
    pub fn returned_bytes(&self) -> u64 {
        self.returned_bytes.load(Ordering::Relaxed)
    }
}

/// UDP over IPv4, correct checksums, a sequence number in every frame: as fast as the device takes them ([`Wire::pauses`]).
#[derive(Debug)]
pub struct TrafficSource {
    flows: Box<[Flow]>,
    next_flow: usize,
    limit_frames: u64,
    counters: Arc<TrafficCounters>,
}

#[derive(Debug)]
struct Flow {
    frame: Box<[u8]>,
    /// Sum of what the UDP checksum covers, without the sequence number.
    sum: checksum::Sum,
}

impl TrafficSource {
    /// A source, and the reader of its counters.
    pub fn new(config: TrafficConfig) -> (Self, Arc<TrafficCounters>) {
        let counters = Arc::new(TrafficCounters::default());
        let source = Self {
            flows: (0..config.flows.max(1)).map(|flow| Flow::new(&config, flow)).collect(),
            next_flow: 0,
            limit_frames: config.limit_frames.unwrap_or(u64::MAX),
            counters: Arc::clone(&counters),
        };
        (source, counters)
    }
}

impl Flow {
    fn new(config: &TrafficConfig, flow: u16) -> Self {
        let frame_bytes = config.frame_bytes.clamp(ETH_MIN_FRAME_BYTES, 9014);
        let length = |from: usize| u16::try_from(frame_bytes - from).unwrap_or(u16::MAX).to_be_bytes();
        let mut frame = vec![0; frame_bytes].into_boxed_slice();
        let mut put = |at: usize, bytes: &[u8]| frame[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &config.destination.0);
        put(6, &config.source.0);
        put(12, &ETHERTYPE_IPV4.to_be_bytes());
        put(14, &[0x45, 0]);
        put(16, &length(ETH_HEADER_BYTES));
        // Never fragmented, a time to live of 64.
        put(20, &[0x40, 0, 64, PROTOCOL_UDP]);
        put(26, &SOURCE);
        put(30, &DESTINATION);
        put(UDP_AT, &FIRST_SOURCE_PORT.wrapping_add(flow).to_be_bytes());
        put(UDP_AT + 2, &DISCARD_PORT.to_be_bytes());
        put(UDP_AT + 4, &length(UDP_AT));
        let header = checksum::Sum::of(&frame[ETH_HEADER_BYTES..UDP_AT]).checksum();
        frame[24..26].copy_from_slice(&header.to_be_bytes());
        let pseudo = checksum::pseudo_header_v4(SOURCE, DESTINATION, PROTOCOL_UDP, frame_bytes - UDP_AT);
        Self { sum: pseudo.and(checksum::Sum::of(&frame[UDP_AT..])), frame }
    }

    fn number(&mut self, sequence: u64) {
        let sequence = sequence.to_be_bytes();
        let sum = self.sum.and(checksum::Sum::of(&sequence));
        self.frame[SEQUENCE_AT..SEQUENCE_AT + 8].copy_from_slice(&sequence);
        self.frame[UDP_AT + 6..UDP_AT + 8].copy_from_slice(&sum.udp_checksum().to_be_bytes());
    }
}

impl Wire for TrafficSource {
    fn send(&mut self, frame: &[u8]) {
        // This thread alone counts, so a load and a store do.
        let counters = &self.counters;
        counters.returned_frames.store(counters.returned_frames() + 1, Ordering::Relaxed);
        counters.returned_bytes.store(counters.returned_bytes() + frame.len() as u64, Ordering::Relaxed);
    }

    fn receive(&mut self) -> Option<&[u8]> {
        let sequence = self.counters.sent_frames();
        if sequence == self.limit_frames {
            return None;
        }
        self.counters.sent_frames.store(sequence + 1, Ordering::Relaxed);
        let at = self.next_flow;
        self.next_flow = if at + 1 == self.flows.len() { 0 } else { at + 1 };
        let flow = &mut self.flows[at];
        flow.number(sequence);
        Some(&flow.frame)
    }

    fn pauses(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Headers;

    #[test]
    fn frames_are_numbered_and_their_checksums_right() {
        for frame_bytes in [60, 61, 1514] {
            let config = TrafficConfig { frame_bytes, flows: 3, limit_frames: Some(7), ..TrafficConfig::to(MacAddr([2, 0, 0, 0, 0, 9])) };
            let (mut source, counters) = TrafficSource::new(config);
            for sequence in 0..7u64 {
                let frame = source.receive().expect("below the limit");
                assert_eq!(frame.len(), frame_bytes);
                assert_eq!(frame[..6], [2, 0, 0, 0, 0, 9]);
                assert_eq!(frame[SEQUENCE_AT..SEQUENCE_AT + 8], sequence.to_be_bytes());
                assert_eq!(u64::from(frame[35]), sequence % 3, "the flows take turns");
                let headers = Headers::parse(frame);
                assert_eq!(headers.ip_checksum_is_good(frame), Some(true));
                assert_eq!(headers.l4_checksum_is_good(frame), Some(true));
            }
            assert_eq!(source.receive(), None);
            source.send(&[0; 64]);
            assert_eq!((counters.sent_frames(), counters.returned_frames(), counters.returned_bytes()), (7, 1, 64));
        }
    }
}
