//! The VF itself: it is opened, asked for its MAC address, given one hugepage and started; then everything is put back.
//!
//! Each VF has a host of its own, so that one is closed before the next is opened. The function is reset when it is opened and when it is
//! closed, as ever.

use super::{Check, Context, report::Verdict};
use crate::cli::{given, notice};
use std::{
    thread,
    time::{Duration, Instant},
};
use vfwire::{Address, DynPort, Host, HugepageChoice, OpenError, PoolConfig, Port, PortConfig, RxQueue};
use vfwire_pod::Vf;

/// How long the link may take to come up: PFs take up to 1.5 s.
const LINK_LIMIT: Duration = Duration::from_secs(3);
const LINK_PERIOD: Duration = Duration::from_millis(20);
/// Rings that fit into one hugepage of 2 MiB, with their buffers.
const RING_DESC: u16 = 128;
const BUFFERS: u32 = 512;

/// What is done to a VF, in this order; the rest is skipped from the first that fails on.
const IDS: [&str; 8] = ["vfio.open", "port.driver", "port.mac", "memory.map", "port.start", "port.granted", "port.link", "port.spoofchk"];

pub(super) fn checks(context: &Context, before: &[Check]) -> Vec<Check> {
    let of = |subject: &Vf| {
        let mut checks = blocked(subject, before).map_or_else(|| attempt(context, subject), |_| Vec::new());
        let why = blocked(subject, before).or_else(|| checks.iter().find(|check| check.is_failure())).map(|check| check.id);
        for id in IDS {
            if !checks.iter().any(|check| check.id == id) {
                checks.push(Check::skipped(id, format!("see {}", why.unwrap_or(IDS[0]))));
            }
        }
        checks.into_iter().map(|check| check.of(subject.address)).collect::<Vec<_>>()
    };
    context.subjects.iter().flat_map(of).collect()
}

/// What was found before that makes opening useless, or a disturbance.
fn blocked<'a>(subject: &Vf, before: &'a [Check]) -> Option<&'a Check> {
    let ours = |check: &&Check| check.subject.as_ref().is_none_or(|of| *of == subject.address.to_string());
    let bad = |check: &&Check| check.is_failure() || check.verdict == Verdict::Skipped;
    before.iter().filter(|check| check.id.starts_with("vfio.")).filter(ours).find(bad)
}

fn attempt(context: &Context, subject: &Vf) -> Vec<Check> {
    let mut host = Host::with_pages(context.need.pages);
    host.grant(subject.address, given::grant(subject));
    let opened = Check::ok("vfio.open", "opened and reset");
    match host.open(&subject.address.to_string()) {
        Ok(port) => {
            let driver = Check::ok("port.driver", format!("{} ({})", port.info().driver, port.info().id));
            let mut checks = vec![opened, driver, mac(subject, &port)];
            checks.extend(start(context, subject, &host, port));
            checks
        }
        Err(OpenError::NoDriver { id, .. }) => {
            let remedy = "a VF that `vfwire list --supported` names: `selectors: [{vendors: [\"8086\"], devices: [10ed, 1520]}]` of the device plugin's resource";
            vec![opened, Check::failure("port.driver", format!("no driver knows {id}"), remedy)]
        }
        Err(OpenError::Port { source, .. }) => {
            let known = Check::ok("port.driver", "known");
            vec![opened, known, Check::failed_with("port.mac", source)]
        }
        Err(error) => {
            let text = error.to_string();
            // The check names the VF anyway.
            vec![Check::failed_with("vfio.open", text.strip_prefix(&format!("{}: ", subject.address)).unwrap_or(&text))]
        }
    }
}

fn mac(subject: &Vf, port: &DynPort) -> Check {
    const ID: &str = "port.mac";
    let mac = port.info().mac.to_string();
    let other = subject.networks.iter().find(|network| network.mac.as_ref().is_some_and(|wanted| *wanted != mac));
    match other {
        Some(network) => {
            let wanted = network.mac.as_deref().unwrap_or_default();
            let found = format!("the PF gives {mac}, and {} says {wanted}", network.source);
            Check::warning(
                ID,
                found,
                format!("on the host: `ip link set PF vf N mac {wanted}`; or delete the pod, so that the CNI plugin sets it"),
            )
        }
        None => Check::ok(ID, format!("the PF gives {mac}")),
    }
}

fn start(context: &Context, subject: &Vf, host: &Host, mut port: DynPort) -> Vec<Check> {
    let buffers = if context.need.pages == HugepageChoice::None { u32::from(RING_DESC) * 2 } else { BUFFERS };
    let pool = match host.pool(PoolConfig::new(buffers)) {
        Ok(pool) => pool,
        Err(error) => return vec![Check::failed_with("memory.map", error)],
    };
    let mut checks = vec![Check::ok("memory.map", "one hugepage was mapped for the device")];
    let config = PortConfig { rx_desc: RING_DESC, tx_desc: RING_DESC, ..PortConfig::new(&pool) };
    let queues = match port.start(&config) {
        Ok(queues) => queues,
        Err(error) => {
            checks.push(Check::failed_with("port.start", error));
            return checks;
        }
    };
    let (most, path) = (port.info().max_queue_pairs, queues.rx.first().map_or("none", |queue| queue.path().name()));
    let missing: Vec<_> = queues.granted.missing().map(ToString::to_string).collect();
    let link = link(&mut port);
    drop(queues);
    let started = format!("{} of {most} queue pairs, {RING_DESC} descriptors a ring, path {path}", config.queue_pairs);
    checks.push(match port.stop() {
        Ok(()) => Check::ok("port.start", format!("{started}; stopped again")),
        Err(error) => Check::failed_with("port.start", error),
    });
    checks.push(match missing.first() {
        None => Check::ok("port.granted", "everything that was asked for"),
        Some(first) => {
            let remedy = first.split_once(": ").map_or(first.as_str(), |(_, remedy)| remedy).to_owned();
            Check::warning("port.granted", missing.join("; "), remedy)
        }
    });
    checks.push(link);
    checks.push(spoofchk(subject));
    checks
}

fn link(port: &mut DynPort) -> Check {
    const ID: &str = "port.link";
    let start = Instant::now();
    while !port.link().up && start.elapsed() < LINK_LIMIT {
        if let Err(error) = port.poll_control() {
            return Check::failed_with(ID, error);
        }
        thread::sleep(LINK_PERIOD);
    }
    let link = port.link();
    if link.up {
        return Check::ok(ID, format!("up, {} Mbit/s", link.mbps));
    }
    let remedy =
        "on the host: `ip link set PF up`, `ip link set PF vf N state auto`; in the network's configuration: `\"link_state\": \"enable\"`";
    Check::warning(ID, format!("down for {} s", LINK_LIMIT.as_secs()), remedy).needs("a link")
}

/// No VF can ask whether its PF drops frames with a foreign source address.
fn spoofchk(subject: &Vf) -> Check {
    let command = notice::remedy(&Address::Pci(subject.address)).unwrap_or_default();
    Check {
        remedy: Some(format!(
            "only where frames keep their source MAC (mode io): {command} on the host, or `\"spoofchk\": \"off\"` in the network's configuration"
        )),
        ..Check::skipped("port.spoofchk", "a VF cannot ask whether its PF drops frames with a foreign source MAC")
    }
}
