//! Frames go to a given station.

use crate::{
    BufCache, Burst, MacAddr,
    forward::{Stage, Station},
};

/// Sends every frame to one station, from the address of the port that it leaves by: no PF takes it for spoofed.
#[derive(Clone, Debug)]
pub struct Mac {
    destination: MacAddr,
    source: Station,
}

impl Mac {
    /// To `destination`, from `source`, which is the port that the frames leave by.
    pub fn new(destination: MacAddr, source: Station) -> Self {
        Self { destination, source }
    }
}

impl Stage for Mac {
    #[inline(always)]
    fn process(&mut self, burst: &mut Burst, _cache: &mut BufCache) {
        burst.prefetch();
        let (MacAddr(destination), MacAddr(source)) = (self.destination, self.source.mac());
        for mut frame in burst.iter_mut() {
            if let Some(head) = frame.data_mut().first_chunk_mut::<12>() {
                head[..6].copy_from_slice(&destination);
                head[6..].copy_from_slice(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::test_frames::Bench, *};

    #[test]
    fn a_frame_gets_both_addresses_and_the_source_is_the_ports_latest() {
        let station = Station::new(MacAddr([2, 0, 0, 0, 0, 1]));
        let mut stage = Mac::new(MacAddr([2, 0, 0, 0, 0, 9]), station.clone());
        let mut bench = Bench::new();
        let sent = bench.process(&mut stage, &[vec![7; 60]]);
        assert_eq!(sent, [[&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1][..], &[7; 48]].concat()]);
        station.moves(MacAddr([2, 0, 0, 0, 0, 2]));
        assert_eq!(bench.process(&mut stage, &[vec![7; 60]])[0][6..12], [2, 0, 0, 0, 0, 2]);
    }
}
