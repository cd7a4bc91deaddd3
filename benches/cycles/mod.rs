//! A criterion measurement in ticks of the processor's cycle counter, which time only those sections that a benchmark names.

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter};
use vfwire::cycles;

/// Ticks of [`vfwire::cycles`]: TSC cycles on x86_64.
pub(crate) struct Cycles;

impl Measurement for Cycles {
    type Intermediate = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        cycles()
    }

    fn end(&self, start: u64) -> u64 {
        cycles() - start
    }

    fn add(&self, one: &u64, other: &u64) -> u64 {
        one + other
    }

    fn zero(&self) -> u64 {
        0
    }

    fn to_f64(&self, value: &u64) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Cycles
    }
}

impl ValueFormatter for Cycles {
    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        "cycles"
    }

    /// Cycles an element, not elements a cycle: it is what is compared.
    fn scale_throughputs(&self, _typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        if let Throughput::Elements(count) = throughput {
            values.iter_mut().for_each(|value| *value /= *count as f64);
        }
        "cycles/frame"
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "cycles"
    }
}

/// What one reading of the counter adds to a section.
pub(crate) fn reading() -> u64 {
    const READINGS: u64 = 20_000;
    let start = cycles();
    let mut now = start;
    for _ in 0..READINGS {
        now = cycles();
    }
    (now - start) / READINGS
}

/// Cycles of `turns` turns, had each of them taken as long as it typically does: the median of sums over 64 turns. So an interrupt, or
/// another process on the core, is not in the figure.
pub(crate) fn typical(turns: u64, mut turn: impl FnMut() -> u64) -> u64 {
    const SUMMED: u64 = 64;
    let mut sums: Vec<u64> = (0..turns.div_ceil(SUMMED)).map(|_| (0..SUMMED).map(|_| turn()).sum()).collect();
    sums.sort_unstable();
    sums[sums.len() / 2] * turns / SUMMED
}
