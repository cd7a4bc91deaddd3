//! A repeater: each frame leaves by all ports but the one that it came by.

use crate::{
    BufCache, Burst,
    forward::{Outputs, Switch},
};

/// Copies every frame to all other ports; the last of them gets the frame itself. It learns no addresses. Frames keep their source MAC
/// address, and ports must be joined to each other's loops nowhere else: nothing breaks a loop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flood;

impl Switch for Flood {
    fn switch(&mut self, from: usize, burst: &mut Burst, out: &mut Outputs, cache: &mut BufCache) {
        let ports = out.ports();
        let Some(last) = (0..ports).rfind(|&port| port != from) else { return };
        for port in (0..last).filter(|&port| port != from) {
            for frame in burst.iter_mut() {
                out.copy(&frame, port, cache);
            }
        }
        out.deal(burst, cache, |_| Some(last));
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::test_frames::{Bench, contents},
        *,
    };

    fn flood(bench: &mut Bench, ports: usize, from: usize, frames: &[Vec<u8>]) -> (Vec<Vec<Vec<u8>>>, Vec<u64>) {
        let mut out = Outputs::new(ports, &bench.pool);
        let mut burst = bench.burst(frames);
        Flood.switch(from, &mut burst, &mut out, &mut bench.cache);
        assert_eq!(burst.len(), if ports == 1 { frames.len() } else { 0 });
        burst.clear(&mut bench.cache);
        let (bursts, full) = out.parts();
        let got = bursts.iter_mut().map(contents).collect();
        let full = full.to_vec();
        bursts.iter_mut().for_each(|burst| burst.clear(&mut bench.cache));
        (got, full)
    }

    #[test]
    fn every_other_port_gets_every_frame() {
        let frames = vec![vec![1; 60], vec![2; 1514]];
        let mut bench = Bench::new();
        for from in 0..3 {
            let (got, full) = flood(&mut bench, 3, from, &frames);
            for (port, got) in got.iter().enumerate() {
                assert_eq!(*got, if port == from { vec![] } else { frames.clone() }, "from {from} to {port}");
            }
            assert_eq!(full, [0; 3]);
        }
        assert_eq!(flood(&mut bench, 1, 0, &frames).0, [Vec::<Vec<u8>>::new()], "there is no other port");
        bench.all_are_home();
    }

    #[test]
    fn frames_that_span_buffers_are_copied_whole() {
        let mut bench = Bench::new();
        let mut out = Outputs::new(3, &bench.pool);
        let mut burst = bench.burst(&[vec![1; 1000], vec![2; 700], vec![3; 60]]);
        let (third, second) = (burst.swap_take(2), burst.swap_take(1));
        burst.append_segment(0, second);
        burst.append_segment(0, third);
        Flood.switch(1, &mut burst, &mut out, &mut bench.cache);
        let whole = [[1; 1000].as_slice(), &[2; 700], &[3; 60]].concat();
        let (bursts, _) = out.parts();
        assert_eq!(bursts.iter_mut().map(contents).collect::<Vec<_>>(), [vec![whole.clone()], vec![], vec![whole]]);
        bursts.iter_mut().for_each(|burst| burst.clear(&mut bench.cache));
        bench.all_are_home();
    }

    #[test]
    fn copies_for_which_no_buffer_is_left_are_counted() {
        let mut bench = Bench::new();
        // 64 buffers: 24 frames, and 24 copies for each of two ports are 8 too many.
        let (got, full) = flood(&mut bench, 4, 0, &vec![vec![7; 60]; 24]);
        assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [0, 24, 16, 24]);
        assert_eq!(full, [0, 0, 8, 0]);
        bench.all_are_home();
    }
}
