//! What `vfwire forward` says at its end: one JSON object, or a few lines.

use super::{
    capture::Captured,
    life::Life,
    log::whole_us,
    modes::Mode,
    options::Options,
    ports::{LaneDrops, Started},
    watch::Watch,
    workers::{Place, worker_of},
};
use hdrhistogram::Histogram;
use std::{fmt, time::Duration};
use vfwire::{
    Port,
    forward::{LaneReader, LaneStats, cycles_per_frame},
};

/// The object that `--json` prints, in this order.
#[derive(serde::Serialize)]
pub(super) struct Summary {
    version: &'static str,
    simulated: bool,
    mode: &'static str,
    burst: u16,
    elapsed_s: f64,
    /// Frames given to transmit queues; in mode drop, frames received.
    frames_per_s: f64,
    /// Time stamp counter, in polls that moved frames, for each frame received: the median over batches of polls.
    cycles_per_frame: f64,
    /// Frames received, for each poll that received any.
    mean_burst: f64,
    /// From the start of the program until all queues ran.
    start_to_forwarding_us: u64,
    /// From the start of the program to the first frame received; nothing where none was.
    start_to_first_frame_us: Option<u64>,
    /// Of the former, what the kernel took to open and reset the functions.
    start_in_resets_us: u64,
    /// Memory that the devices reached: buffers and rings, in whole pages on real ports.
    dma_mapped_bytes: usize,
    ports: Vec<PortSummary>,
    /// Where frames were captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    capture: Option<Captured>,
}

/// What a run took, beside frames.
pub(super) struct Taken<'a> {
    pub(super) elapsed: Duration,
    pub(super) life: &'a Life,
    /// In the kernel's resets before all queues ran.
    pub(super) in_resets: Duration,
    pub(super) dma_mapped_bytes: usize,
}

#[derive(serde::Serialize)]
struct PortSummary {
    address: String,
    driver: &'static str,
    rx_path: &'static str,
    tx_path: &'static str,
    mac: String,
    link_mbps: u32,
    rx_frames: u64,
    rx_bytes: u64,
    /// For want of a descriptor, by the device.
    rx_dropped: u64,
    /// Damaged, too long or without an end, by the driver.
    rx_errors: u64,
    /// Received, and not sent on because of what the mode does.
    rx_dropped_by_mode: u64,
    tx_frames: u64,
    tx_bytes: u64,
    /// Frames that were to leave by this port and did not: its ring stayed full, or no device can send them.
    tx_dropped: u64,
    /// From the event ResetStarted to the first frame received after Recovered.
    reset_to_first_frame_us: Quantiles,
}

/// A histogram in short: all zero where nothing was counted.
#[derive(Clone, Copy, serde::Serialize)]
struct Quantiles {
    count: u64,
    p50: u64,
    p99: u64,
    max: u64,
}

impl Quantiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { count: histogram.len(), p50: at(0.5), p99: at(0.99), max: histogram.max() }
    }
}

impl Summary {
    /// Of a run whose workers have ended, and whose ports are still there.
    pub(super) fn of(options: &Options, taken: &Taken<'_>, started: &mut [Started], watches: &[Watch], readers: &[LaneReader]) -> Self {
        let lanes = &read(readers);
        let port_count = started.len();
        let topology = options.modes.mode.topology();
        let watched = started.iter_mut().zip(watches).enumerate();
        let ports: Vec<_> =
            watched.map(|(at, (port, watch))| PortSummary::of(port, watch, LaneDrops::of(at, port_count, topology, lanes))).collect();
        let sum = |value: fn(&LaneStats) -> u64| lanes.iter().map(value).sum::<u64>();
        let frames = sum(|lane| lane.frames);
        let elapsed_s = taken.elapsed.as_secs_f64();
        let moved = if options.modes.mode == Mode::Drop { frames } else { ports.iter().map(|port| port.tx_frames).sum() };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            simulated: started.iter().any(|port| port.port.info().simulated),
            mode: options.modes.mode.name(),
            burst: options.burst,
            elapsed_s,
            frames_per_s: moved as f64 / elapsed_s.max(f64::MIN_POSITIVE),
            cycles_per_frame: cycles_per_frame(readers.iter()),
            mean_burst: ratio(frames, sum(|lane| lane.polls)),
            start_to_forwarding_us: taken.life.to_forwarding().map_or(0, whole_us),
            start_to_first_frame_us: taken.life.to_first_frame().map(whole_us),
            start_in_resets_us: whole_us(taken.in_resets),
            dma_mapped_bytes: taken.dma_mapped_bytes,
            ports,
            capture: None,
        }
    }

    /// And of what was captured meanwhile.
    pub(super) fn with(self, capture: Option<Captured>) -> Self {
        Self { capture, ..self }
    }

    /// What was captured.
    pub(super) fn capture(&self) -> Option<&Captured> {
        self.capture.as_ref()
    }
}

/// What each worker did, a line each: nothing where there is but one.
pub(super) fn of_workers(places: &[Place], readers: &[LaneReader]) -> Vec<String> {
    if places.len() < 2 {
        return Vec::new();
    }
    let line = |(worker, place): (usize, &Place)| {
        let own = readers.iter().enumerate().filter(|(lane, _)| worker_of(*lane, places.len()) == worker).map(|(_, lane)| lane);
        let lanes: Vec<_> = own.clone().map(LaneReader::read).collect();
        let sum = |value: fn(&LaneStats) -> u64| lanes.iter().map(value).sum::<u64>();
        let (cpu, frames) = (place.map_or_else(String::new, |core| format!(" on CPU {}", core.id)), sum(|lane| lane.frames));
        if frames == 0 {
            return format!("worker {worker}{cpu}: 0 frames: the device gave its queues none");
        }
        let (cycles, burst, dropped) = (cycles_per_frame(own), ratio(frames, sum(|lane| lane.polls)), sum(|lane| lane.dropped));
        format!("worker {worker}{cpu}: {frames} frames, {cycles:.1} cycles a frame, mean burst {burst:.1}, {dropped} dropped")
    };
    places.iter().enumerate().map(line).collect()
}

impl PortSummary {
    fn of(started: &mut Started, watch: &Watch, dropped: LaneDrops) -> Self {
        let stats = started.stats();
        let (rx, tx) = (stats.rx_total(), stats.tx_total());
        let (info, link) = (started.port.info(), started.port.link());
        Self {
            address: info.address.clone(),
            driver: info.driver,
            rx_path: started.rx_path.name(),
            tx_path: started.tx_path.name(),
            mac: info.mac.to_string(),
            link_mbps: link.mbps,
            rx_frames: rx.frames,
            rx_bytes: rx.bytes,
            rx_dropped: rx.no_descriptor,
            rx_errors: rx.errors,
            rx_dropped_by_mode: dropped.by_stage,
            tx_frames: tx.frames,
            tx_bytes: tx.bytes,
            tx_dropped: dropped.ring_full + tx.unsendable,
            reset_to_first_frame_us: Quantiles::of(watch.reset_to_first_frame_us()),
        }
    }
}

fn read(lanes: &[LaneReader]) -> Vec<LaneStats> {
    lanes.iter().map(LaneReader::read).collect()
}

/// Zero where there is nothing to divide by: JSON has no NaN.
fn ratio(sum: u64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum as f64 / count as f64 }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}mode {}, burst {}, {:.3} s: {:.3} Mframes/s, {:.1} cycles a frame, mean burst {:.1}",
            if self.simulated { "simulated, " } else { "" },
            self.mode,
            self.burst,
            self.elapsed_s,
            self.frames_per_s / 1e6,
            self.cycles_per_frame,
            self.mean_burst
        )?;
        let ms = |us: u64| us as f64 / 1e3;
        let first = self.start_to_first_frame_us.map_or_else(|| "no frame yet".into(), |us| format!("first frame after {:.1} ms", ms(us)));
        writeln!(
            f,
            "ready after {:.1} ms ({:.1} ms of it in resets), {first}; {} KiB of DMA memory",
            ms(self.start_to_forwarding_us),
            ms(self.start_in_resets_us),
            self.dma_mapped_bytes.div_ceil(1024)
        )?;
        let last = self.ports.len().saturating_sub(1);
        for (at, port) in self.ports.iter().enumerate() {
            let PortSummary { address, driver, rx_path, tx_path, mac, link_mbps, .. } = port;
            writeln!(f, "{address}: {driver}, {mac}, {link_mbps} Mbit/s, paths rx {rx_path} and tx {tx_path}")?;
            writeln!(
                f,
                "  rx {:>14} frames {:>17} bytes, {} dropped, {} errors, {} dropped by the mode",
                port.rx_frames, port.rx_bytes, port.rx_dropped, port.rx_errors, port.rx_dropped_by_mode
            )?;
            write!(f, "  tx {:>14} frames {:>17} bytes, {} dropped", port.tx_frames, port.tx_bytes, port.tx_dropped)?;
            let Quantiles { count, p50, p99, max } = port.reset_to_first_frame_us;
            if count > 0 {
                let (p50, p99, max) = (ms(p50), ms(p99), ms(max));
                write!(f, "\n  {count} resets, to the first frame: p50 {p50:.1} ms, p99 {p99:.1} ms, at most {max:.1} ms")?;
            }
            if at != last {
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
