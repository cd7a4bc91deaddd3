//! The page of metrics: a table with one row for each, and how a sample becomes text.
//!
//! Names and labels are the conventions of Prometheus and of the SR-IOV metrics exporter, whose label `pciAddr` joins its `sriov_vf_*` and
//! `sriov_kubepoddevice` with what is served here. `docs/observe.md` has the same table, and a test compares them.

use crate::cli::sample::{Drop, LatencySample, PortSample, QUANTILES, STATES, Sample, WorkerSample, state_name};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, prometheus_text, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use std::{fmt, sync::Arc};

/// The two formats that Prometheus reads: OpenMetrics 1.0.0, and its older text format for readers that ask for that alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// What a client takes, by its header `Accept`; OpenMetrics where it does not mind.
    pub(super) fn wanted(accept: Option<&str>) -> Self {
        let accept = accept.unwrap_or_default().to_ascii_lowercase();
        if accept.contains("text/plain") && !accept.contains("application/openmetrics-text") { Self::Prometheus } else { Self::OpenMetrics }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// What a page is made from.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) sample: Arc<Sample>,
    pub(super) ready: bool,
    /// Unix time, in seconds.
    pub(super) started_s: f64,
}

/// The page.
pub(super) fn page(facts: Facts, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(facts));
    let mut page = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut page, &registry)?,
        Format::Prometheus => prometheus_text::encode(&mut page, &registry)?,
    }
    Ok(page)
}

/// Labels of one value.
type Labels = Vec<(&'static str, String)>;

enum Value {
    Count(u64),
    Gauge(f64),
}

/// A metric: a row of the table.
pub(super) struct Metric {
    /// As it is served, without what its type adds (`_total`, `_info`), with its unit.
    pub(super) name: &'static str,
    /// The unit, with which the name ends.
    pub(super) unit: Option<&'static str>,
    pub(super) kind: MetricType,
    pub(super) help: &'static str,
    /// Calls `each` with every value.
    values: fn(&Facts, each: &mut dyn FnMut(Labels, Value)),
}

const OF_PORT: [&str; 2] = ["port", "pciAddr"];

/// `port` tells two simulated ports of one address apart.
fn port_labels(at: usize, port: &PortSample) -> Labels {
    vec![(OF_PORT[0], at.to_string()), (OF_PORT[1], port.address.clone())]
}

fn each_port(facts: &Facts, each: &mut dyn FnMut(Labels, Value), value: fn(&PortSample) -> Value) {
    for (at, port) in facts.sample.ports.iter().enumerate() {
        each(port_labels(at, port), value(port));
    }
}

fn each_worker(facts: &Facts, each: &mut dyn FnMut(Labels, Value), value: fn(&WorkerSample) -> Value) {
    for (at, worker) in facts.sample.workers.iter().enumerate() {
        each(vec![("worker", at.to_string())], value(worker));
    }
}

fn each_latency(facts: &Facts, each: &mut dyn FnMut(Labels, Value), value: fn(&LatencySample) -> Value) {
    for latency in &facts.sample.latencies {
        each(vec![("of", latency.name.clone())], value(latency));
    }
}

fn flag(is: bool) -> Value {
    Value::Gauge(f64::from(u8::from(is)))
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

macro_rules! counter {
    ($name:literal, $unit:expr, $help:literal, $values:expr) => {
        Metric { name: $name, unit: $unit, kind: MetricType::Counter, help: $help, values: $values }
    };
}

macro_rules! gauge {
    ($name:literal, $unit:expr, $help:literal, $values:expr) => {
        Metric { name: $name, unit: $unit, kind: MetricType::Gauge, help: $help, values: $values }
    };
}

macro_rules! info {
    ($name:literal, $help:literal, $values:expr) => {
        Metric { name: $name, unit: None, kind: MetricType::Info, help: $help, values: $values }
    };
}

/// All that is served, in this order.
pub(super) const METRICS: &[Metric] = &[
    info!("vfwire_build", "What runs", |_, each| {
        each(vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("arch", std::env::consts::ARCH.to_owned())], Value::Count(1));
    }),
    gauge!("vfwire_start_time_seconds", Some("seconds"), "Unix time at which the command began", |facts, each| {
        each(Vec::new(), Value::Gauge(facts.started_s));
    }),
    gauge!("vfwire_ready", None, "1 while all queues run, every port has its link, and nobody has asked to end", |facts, each| {
        each(Vec::new(), flag(facts.ready));
    }),
    info!("vfwire_port", "What a port is", |facts, each| {
        for (at, port) in facts.sample.ports.iter().enumerate() {
            let mut labels = port_labels(at, port);
            labels.push(("driver", port.driver.to_owned()));
            labels.push(("mac", port.mac.clone()));
            labels.push(("simulated", port.simulated.to_string()));
            each(labels, Value::Count(1));
        }
    }),
    gauge!("vfwire_port_state", None, "1 for the state that the port is in", |facts, each| {
        for (at, port) in facts.sample.ports.iter().enumerate() {
            for state in STATES {
                let mut labels = port_labels(at, port);
                labels.push(("state", state_name(state).to_owned()));
                each(labels, flag(port.state == state));
            }
        }
    }),
    gauge!("vfwire_port_link_up", None, "1 while the port has its link", |facts, each| {
        each_port(facts, each, |port| flag(port.link.up));
    }),
    gauge!(
        "vfwire_port_link_speed_bytes",
        Some("bytes"),
        "Bytes a second of the link; 0 where it is down or the device does not say",
        |facts, each| {
            each_port(facts, each, |port| Value::Gauge(f64::from(port.link.mbps) * 1e6 / 8.0));
        }
    ),
    counter!("vfwire_port_receive_frames", Some("frames"), "Frames received", |facts, each| {
        each_port(facts, each, |port| Value::Count(port.counts.rx_frames));
    }),
    counter!("vfwire_port_receive_bytes", Some("bytes"), "Bytes of the frames received, without FCS", |facts, each| {
        each_port(facts, each, |port| Value::Count(port.counts.rx_bytes));
    }),
    counter!("vfwire_port_transmit_frames", Some("frames"), "Frames given to the device", |facts, each| {
        each_port(facts, each, |port| Value::Count(port.counts.tx_frames));
    }),
    counter!("vfwire_port_transmit_bytes", Some("bytes"), "Bytes of the frames given to the device, without FCS", |facts, each| {
        each_port(facts, each, |port| Value::Count(port.counts.tx_bytes));
    }),
    counter!("vfwire_port_dropped_frames", Some("frames"), "Frames lost, by direction and cause", |facts, each| {
        for (at, port) in facts.sample.ports.iter().enumerate() {
            for (drop, count) in Drop::ALL.into_iter().zip(port.counts.drops) {
                let mut labels = port_labels(at, port);
                labels.extend([("direction", drop.direction().to_owned()), ("cause", drop.cause().to_owned())]);
                each(labels, Value::Count(count));
            }
        }
    }),
    counter!("vfwire_port_resets", None, "Resets that the port has seen", |facts, each| {
        each_port(facts, each, |port| Value::Count(port.counts.resets));
    }),
    counter!("vfwire_port_starved_polls", Some("polls"), "Polls that left frames with the device for want of a buffer", |facts, each| {
        each_port(facts, each, |port| Value::Count(port.counts.starved_polls));
    }),
    counter!("vfwire_port_full_polls", Some("polls"), "Polls that found the transmit ring full", |facts, each| {
        each_port(facts, each, |port| Value::Count(port.counts.full_polls));
    }),
    counter!("vfwire_port_bad_completions", None, "Completions of what the device did not have", |facts, each| {
        each_port(facts, each, |port| Value::Count(port.counts.bad_completions));
    }),
    info!("vfwire_worker", "Where a worker polls", |facts, each| {
        for (at, worker) in facts.sample.workers.iter().enumerate() {
            let cpu = worker.cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string());
            each(vec![("worker", at.to_string()), ("cpu", cpu)], Value::Count(1));
        }
    }),
    counter!("vfwire_worker_turns", None, "Turns of the worker's loop, each a poll of every queue it has", |facts, each| {
        each_worker(facts, each, |worker| Value::Count(worker.counts.turns));
    }),
    counter!("vfwire_worker_polls", Some("polls"), "Polls that received frames", |facts, each| {
        each_worker(facts, each, |worker| Value::Count(worker.counts.polls));
    }),
    counter!("vfwire_worker_frames", Some("frames"), "Frames that the worker received", |facts, each| {
        each_worker(facts, each, |worker| Value::Count(worker.counts.frames));
    }),
    gauge!("vfwire_worker_cycles_per_frame", None, "Time stamp counter for a frame, the median since the command began", |facts, each| {
        for (at, worker) in facts.sample.workers.iter().enumerate() {
            worker.cycles_per_frame.into_iter().for_each(|cycles| each(vec![("worker", at.to_string())], Value::Gauge(cycles)));
        }
    }),
    counter!("vfwire_latency_frames", Some("frames"), "Frames whose latency was measured", |facts, each| {
        each_latency(facts, each, |latency| Value::Count(latency.count));
    }),
    gauge!(
        "vfwire_latency_seconds",
        Some("seconds"),
        "Latency that this share of the frames did not exceed, since the command began",
        |facts, each| {
            for latency in &facts.sample.latencies {
                for (quantile, ns) in QUANTILES.into_iter().zip(latency.quantiles_ns) {
                    let percent = format!("{}", (quantile * 1e4).round() / 1e2);
                    each(vec![("of", latency.name.clone()), ("percentile", percent)], Value::Gauge(seconds(ns)));
                }
            }
        }
    ),
    gauge!("vfwire_latency_max_seconds", Some("seconds"), "Longest latency since the command began", |facts, each| {
        each_latency(facts, each, |latency| Value::Gauge(seconds(latency.max_ns)));
    }),
];

impl Collector for Facts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in METRICS {
            let mut values = Vec::new();
            (metric.values)(self, &mut |labels, value| values.push((labels, value)));
            // A family without a value is none of this command's.
            if !values.is_empty() {
                metric.encode(&values, &mut encoder)?;
            }
        }
        Ok(())
    }
}

impl Metric {
    /// The name that a query uses.
    #[cfg(test)]
    pub(super) fn served_name(&self) -> String {
        match self.kind {
            MetricType::Counter => format!("{}_total", self.name),
            MetricType::Info => format!("{}_info", self.name),
            _ => self.name.to_owned(),
        }
    }

    fn encode(&self, values: &[(Labels, Value)], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let unit = self.unit.map(|unit| Unit::Other(unit.to_owned()));
        // The encoder puts the unit behind the name.
        let name = self.unit.and_then(|unit| self.name.strip_suffix(unit)?.strip_suffix('_')).unwrap_or(self.name);
        let mut family = encoder.encode_descriptor(name, self.help, unit.as_ref(), self.kind)?;
        for (labels, value) in values {
            match value {
                Value::Count(_) if self.kind == MetricType::Info => family.encode_info(labels)?,
                Value::Count(count) => ConstCounter::new(*count).encode(family.encode_family(labels)?)?,
                Value::Gauge(value) => ConstGauge::new(*value).encode(family.encode_family(labels)?)?,
            }
        }
        Ok(())
    }
}
