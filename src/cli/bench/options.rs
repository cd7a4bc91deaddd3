//! What `vfwire bench` takes, and what of it is refused before anything is opened.

use crate::cli::{Failure, given::Wanted};
use std::{path::PathBuf, time::Duration};
use vfwire::{BURST_MAX, MacAddr};
use vfwire_measure::{plan::Plan, result::Requirements, search::Goal};

/// Measure what a device bears: throughput, latency, loss and bursts, for each length of frame
///
/// Two ports: the device under test is between them. One: its frames come back to it. None, outside a pod: a forwarder of this process, between
/// simulated ports, on any machine; that takes about a minute.
///
/// Throughput is searched as MLRsearch has it: NDR, without loss, and PDR, with little. The result (-o) has the figures, every trial, and
/// where they were measured; `vfwire report` makes a page of it. A measurement that cannot be trusted is no pass, whatever its figures.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// Write the result to this file
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// What the result is called, beside others
    #[arg(long, value_name = "TEXT", default_value = "vfwire")]
    pub(super) label: String,
    /// Lengths of frames with their FCS, in bytes, as RFC 2544 counts them
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "64,512,1518", value_parser = clap::value_parser!(u32).range(64..=9018))]
    pub(super) sizes: Vec<u32>,
    /// Length of a trial [default: 1s; without ports 250ms]
    #[arg(long, value_name = "TIME", value_parser = time)]
    trial: Option<Duration>,
    /// How long a load is tried before it counts as borne [default: 3 trials]
    #[arg(long, value_name = "TIME", value_parser = time)]
    sum: Option<Duration>,
    /// Share of that time in which more may be lost than a goal allows: 0 as RFC 2544 has it, 0.5 for the median
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share)]
    exceed: f64,
    /// How near the bounds of a throughput are to be, as a share of it
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = width)]
    width: f64,
    /// Searches of each throughput; their median counts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Share of frames that PDR allows to be lost
    #[arg(long, value_name = "SHARE", default_value_t = 0.005, value_parser = share)]
    loss_tolerance: f64,
    /// The highest load that is tried in each direction, such as 1Mpps [default: the line's rate, or what can be sent]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(super) max_load: Option<u64>,
    /// Longest burst that is tried, as time at the highest load; 0s: no bursts [default: 2s; without ports 100ms]
    #[arg(long, value_name = "TIME", value_parser = time_or_none)]
    longest_burst: Option<Duration>,
    /// Send in both directions at once; needs two ports
    #[arg(long)]
    pub(super) bidirectional: bool,
    /// The station that frames are sent to, where the device under test is a router [default: the other port; with one port, itself]
    #[arg(long, value_name = "MAC")]
    pub(super) dst_mac: Option<MacAddr>,
    /// Flows, told apart by their UDP source port
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(super) flows: u16,
    /// CPU of the tester, and, without ports, that of the forwarder
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(super) cores: Vec<usize>,
    /// Most frames sent or taken at once
    #[arg(long, value_name = "FRAMES", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=BURST_MAX as i64))]
    pub(super) burst: u16,
    /// Descriptors of each ring
    #[arg(long, value_name = "DESC", default_value_t = 512)]
    pub(super) desc: u16,
    /// Require this NDR of every length of frame, such as 1Mpps: exit code 1 where it is not met, or cannot be trusted
    #[arg(long, value_name = "RATE", value_parser = rate)]
    require_ndr: Option<u64>,
    /// Require this PDR
    #[arg(long, value_name = "RATE", value_parser = rate)]
    require_pdr: Option<u64>,
    /// Require that 99 % of the frames are no later than that at loads up to half of the PDR, such as 50us
    #[arg(long, value_name = "TIME", value_parser = time)]
    require_p99: Option<Duration>,
    /// DMA memory on normal pages
    #[arg(long)]
    pub(super) no_hugepages: bool,
    /// Keep capabilities and system calls that measuring does not need
    #[arg(long)]
    pub(super) no_sandbox: bool,
}

/// The shortest trial of a search, as a share of a whole one.
const INITIAL: u32 = 4;

impl Options {
    pub(super) fn requirements(&self) -> Requirements {
        let p99_ns = self.require_p99.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        Requirements { ndr_fps: self.require_ndr, pdr_fps: self.require_pdr, p99_ns }
    }

    /// What is measured. `embedded`: no device but ourselves, which is for trying.
    pub(super) fn plan(&self, embedded: bool) -> Plan {
        let trial = self.trial.unwrap_or(Duration::from_millis(if embedded { 250 } else { 1000 }));
        let ndr = Goal {
            loss_ratio: 0.0,
            initial_trial: trial / INITIAL,
            final_trial: trial,
            duration_sum: self.sum.unwrap_or(trial * 3).max(trial),
            exceed_ratio: self.exceed,
            relative_width: self.width,
        };
        Plan {
            sizes: self.sizes.clone(),
            ndr,
            pdr: Goal { loss_ratio: self.loss_tolerance, ..ndr },
            repeat: self.repeat,
            trial,
            latency_shares: vec![0.1, 0.5, 0.9],
            loss_steps: 10,
            longest_burst: self.longest_burst.unwrap_or(Duration::from_millis(if embedded { 100 } else { 2000 })),
            min_load_fps: 1000,
            trials_max: 500,
        }
    }

    /// Refuses what cannot be, whatever the machine.
    pub(super) fn check(&self, ports: usize) -> Result<(), Failure> {
        let mut sizes = self.sizes.clone();
        sizes.sort_unstable();
        if let Some(twice) = sizes.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Failure::usage(format!("--sizes has {} twice: name each length once", twice[0])));
        }
        if self.bidirectional && ports != 2 {
            return Err(Failure::usage("--bidirectional needs two --port: a device between them forwards both ways"));
        }
        if self.dst_mac.is_some() && ports == 0 {
            return Err(Failure::usage("--dst-mac needs a --port: without one, the forwarder of this process is measured"));
        }
        let most = if ports == 0 { 2 } else { 1 };
        if self.cores.len() > most {
            return Err(Failure::usage(format!("--cores names {} CPUs, and {most} can be used here", self.cores.len())));
        }
        // Asked for before: a number beyond the kernel's sets of CPUs cannot even be asked about.
        let ours: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
        if let Some(cpu) = self.cores.iter().find(|cpu| !ours.contains(cpu)) {
            return Err(Failure::usage(format!("--cores: CPU {cpu} is not this process's to use; it has {ours:?}")));
        }
        if let Some(max) = self.max_load.filter(|&max| max < 1000) {
            return Err(Failure::usage(format!("--max-load {max} frames/s is less than the lowest load of 1kpps: give more")));
        }
        Ok(())
    }
}

/// `1Mpps`, `812kpps`, `64000` (frames a second).
fn rate(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix("pps").unwrap_or(text);
    let (number, unit) = match number.as_bytes().last() {
        Some(b'k' | b'K') => (&number[..number.len() - 1], 1e3),
        Some(b'M') => (&number[..number.len() - 1], 1e6),
        Some(b'G') => (&number[..number.len() - 1], 1e9),
        _ => (number, 1.0),
    };
    let rate = number.parse::<f64>().ok().map(|rate| rate * unit).filter(|rate| (1.0..=1e9).contains(rate));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
    rate.map(|rate| rate.round() as u64).ok_or_else(|| "is no rate of 1 to 1000M frames a second, such as 1Mpps or 812kpps".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    time_or_none(text).and_then(|time| if time.is_zero() { Err("must be more than nothing".to_owned()) } else { Ok(time) })
}

/// `50us`, `20ms`, `1.5s`, `2m`, up to an hour.
fn time_or_none(text: &str) -> Result<Duration, String> {
    let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let found = units.iter().find_map(|(unit, seconds)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * seconds));
    let seconds =
        found.filter(|seconds| (0.0..=3600.0).contains(seconds)).ok_or("is no time up to an hour, such as 50us, 20ms, 1s or 2m")?;
    Ok(Duration::from_secs_f64(seconds))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=0.9).contains(share));
    share.ok_or_else(|| "is no share from 0 to 0.9, such as 0.005".to_owned())
}

fn width(text: &str) -> Result<f64, String> {
    share(text).and_then(|width| if width < 1e-4 { Err("is less than 0.0001, which no search can tell".to_owned()) } else { Ok(width) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_are_read_with_their_units() {
        assert_eq!([rate("1Mpps"), rate("812kpps"), rate("64000"), rate("1.5M")], [Ok(1_000_000), Ok(812_000), Ok(64_000), Ok(1_500_000)]);
        for wrong in ["", "pps", "fast", "-1Mpps", "0", "inf", "nan", "40%", "1.1Gpps"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert_eq!([time("50us"), time("20ms"), time("1.5s")], [50_000, 20_000_000, 1_500_000_000].map(|ns| Ok(Duration::from_nanos(ns))));
        for wrong in ["", "5", "0s", "-1s", "nans", "2h", "3601s"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert!(share("1").is_err() && share("-0.1").is_err() && width("0").is_err());
    }
}
