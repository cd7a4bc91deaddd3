//! `cargo bench --bench generator`: what a test frame costs to build, in TSC cycles a frame, with and without checksums.
//!
//! A turn builds a burst's worth of frames into the same buffers, which stay in the processor's cache; that alone is timed. Ways take turns,
//! so that whatever slows the machine for a while slows all of them. Printed are the median over the turns, and the quartiles.

use std::hint::black_box;
use vfwire::{MacAddr, cycles, reading_cycles};
use vfwire_traffic::{FlowConfig, Sizes, Stream, StreamConfig};

const BURST: usize = 32;
const TURNS: usize = 20_000;
const FLOWS: [u64; 2] = [1, 1000];

struct Way {
    name: String,
    stream: Stream,
}

fn main() {
    let mut ways = Vec::new();
    for size in ["64", "512", "1518", "imix"] {
        for flows in FLOWS {
            for checksums in [true, false] {
                let between = FlowConfig::between(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
                let config = StreamConfig::new(FlowConfig { count: Some(flows), ..between }, size.parse::<Sizes>().expect("sizes"));
                let stream = Stream::new(&StreamConfig { checksums, ..config }).expect("a stream");
                let name = format!("{size} bytes, {flows} flows, checksums {}", if checksums { "on" } else { "off" });
                ways.push(Way { name, stream });
            }
        }
    }
    let reading = reading_cycles();
    let mut buffers = vec![[0u8; 2048]; BURST];
    let mut frames: Vec<_> = ways.iter().map(|way| way.stream.frames()).collect();
    let mut turns: Vec<Vec<u64>> = ways.iter().map(|_| Vec::with_capacity(TURNS)).collect();
    for turn in 0..TURNS {
        for (frames, turns) in frames.iter_mut().zip(&mut turns) {
            let start = cycles();
            for buffer in &mut buffers {
                black_box(frames.build(u32::try_from(turn).unwrap_or(0), black_box(buffer)));
            }
            // What nobody reads need not be written.
            black_box(&buffers);
            turns.push((cycles() - start).saturating_sub(reading));
        }
    }
    for (way, mut turns) in ways.iter().zip(turns) {
        turns.sort_unstable();
        let at = |quarter: usize| turns[TURNS * quarter / 4] as f64 / BURST as f64;
        println!("{:40} {:7.1} cycles a frame ({:.1} to {:.1})", way.name, at(2), at(1), at(3));
    }
}
