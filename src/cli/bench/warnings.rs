//! What is to be known before a figure is believed.

use super::kernel::Counters;
use vfwire_measure::{
    result::{Environment, Purpose, Role, SizeResult, Trial, Warning, WarningKind},
    search::Ended,
};

/// What warnings are made of.
pub(super) struct Seen<'a> {
    pub(super) simulated: bool,
    pub(super) environment: &'a Environment,
    /// Threads that poll, those of simulated devices too, and CPUs that they may use.
    pub(super) polling: (usize, usize),
    pub(super) trial_s: f64,
    pub(super) elapsed_s: f64,
    pub(super) counters: (Counters, Counters),
    pub(super) sizes: &'a [SizeResult],
    pub(super) partial: Option<&'a str>,
}

/// A tester that looks at its ports less often than that measures itself: at a million frames a second a ring of 512 is full after half of it.
const GAP_MAX_NS: u64 = 500_000;
/// A polling thread is rarely made to wait on a CPU of its own: by the kernel's own threads.
const PREEMPTED_MAX_PER_S: f64 = 2.0;

pub(super) fn all(seen: &Seen<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |about, distrust, text: Option<String>| warnings.extend(text.map(|text| Warning { about, text, distrust }));
    let host = &seen.environment.host;
    let trials = || seen.sizes.iter().flat_map(|size| &size.trials).filter(|trial| trial.purpose != Purpose::WarmUp);

    warn(WarningKind::Partial, true, seen.partial.map(|why| format!("it ended early ({why}): what is missing was not measured")));
    let simulated = "the ports are simulated: the figures are of this processor and of a model, not of a NIC; measure on real ports";
    warn(WarningKind::Simulated, true, seen.simulated.then(|| simulated.to_owned()));
    let (threads, cpus) = seen.polling;
    let few = format!("{threads} threads poll on {cpus} CPUs and keep one another waiting: give this process {threads} CPUs or more");
    warn(WarningKind::SharedCpu, true, (cpus > 0 && threads > cpus).then_some(few));
    let grown = |of: fn(&Counters) -> Option<u64>| of(&seen.counters.1)?.checked_sub(of(&seen.counters.0)?);
    let throttled = grown(|counters| counters.throttled).filter(|&times| times > 0);
    warn(
        WarningKind::Throttled,
        true,
        throttled.map(|times| {
            format!("the cgroup was stopped {times} times for having used up its quota of CPU time: give it whole CPUs, or no quota")
        }),
    );
    let preempted = grown(|counters| counters.preempted).filter(|&times| times as f64 > PREEMPTED_MAX_PER_S * seen.elapsed_s.max(1.0));
    warn(WarningKind::SharedCpu, true, preempted.map(|times| {
        format!("the polling threads had to let others run {times} times: give them CPUs of their own (isolcpus, the kubelet's static policy)")
    }));
    warn(WarningKind::LostTimer, true, lost_timer(trials()));
    let governor = host.governor.as_ref().filter(|governor| *governor != "performance");
    warn(
        WarningKind::Governor,
        true,
        governor.map(|governor| {
            format!("the CPUs' governor is {governor}, so their frequency changes: `cpupower frequency-set -g performance` on the host")
        }),
    );
    for thread in &seen.environment.threads {
        let ports = seen.environment.ports.iter().filter(|port| port.role == thread.role);
        let far = ports.filter(|port| thread.numa_node.zip(port.numa_node).is_some_and(|(ours, its)| ours != its)).map(|port| {
            let (ours, its) = (thread.numa_node.unwrap_or_default(), port.numa_node.unwrap_or_default());
            format!(
                "the {} polls on NUMA node {ours}, and {} is on node {its}: give --cores CPUs of node {its}",
                thread.role.text(),
                port.address
            )
        });
        far.for_each(|text| warn(WarningKind::WrongNode, true, Some(text)));
        let sibling = thread.smt_siblings.as_ref().filter(|_| thread.role == Role::Tester);
        warn(
            WarningKind::SmtSibling,
            false,
            sibling.map(|cpus| format!("the tester's CPU shares its core with CPU {cpus}: leave that one idle")),
        );
    }
    let events: Vec<&str> = trials().flat_map(|trial| &trial.events).map(String::as_str).collect();
    warn(
        WarningKind::PortEvent,
        true,
        (!events.is_empty()).then(|| {
            format!("{} times a port or its link changed during trials ({}): measure again on quiet ports", events.len(), events[0])
        }),
    );
    let damaged: u64 = trials().map(|trial| trial.counts.corrupted).sum();
    warn(WarningKind::Damage, true, (damaged > 0).then(|| format!("{damaged} frames came back damaged: look at the device and the line")));
    let limit = seen.sizes.iter().find(|size| size.ndr.as_ref().is_some_and(|ndr| ndr.ended == Ended::MaxLoad) && below_line(size));
    warn(
        WarningKind::TesterLimit,
        false,
        limit.map(|size| {
            format!(
                "with {} byte frames the tester was the limit: the device may bear more than {} frames/s",
                size.frame_bytes, size.max_load_fps
            )
        }),
    );
    let short = format!(
        "trials of {} s are shorter than the usual 1 s or more (RFC 2544: 60 s): good for trying, --trial 1s or more for figures",
        seen.trial_s
    );
    warn(WarningKind::ShortTrials, false, (seen.trial_s < 1.0).then_some(short));
    warnings
}

fn below_line(size: &SizeResult) -> bool {
    size.line_rate_fps.is_none_or(|line| (size.max_load_fps as f64) < line * 0.99)
}

fn lost_timer<'a>(trials: impl Iterator<Item = &'a Trial>) -> Option<String> {
    let (mut all, mut late, mut worst) = (0, 0, 0);
    for trial in trials {
        all += 1;
        late += usize::from(trial.longest_gap_ns > GAP_MAX_NS);
        worst = worst.max(trial.longest_gap_ns);
    }
    (late > 0).then(|| {
        let worst_ms = worst as f64 / 1e6;
        format!(
            "in {late} of {all} trials the tester did not look at its ports for more than 0.5 ms (at most {worst_ms:.1} ms), so loss and latency may be its own: give it a CPU of its own"
        )
    })
}

#[cfg(test)]
mod tests;
