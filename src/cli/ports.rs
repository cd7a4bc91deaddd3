//! Opens and starts the ports of `vfwire forward`, and joins their queues to lanes.

use super::{
    Failure,
    capture::Tap,
    console::Console,
    modes::{Plan, Topology},
    options::Options,
};
use vfwire::{
    Address, BURST_MAX, DynPort, Host, Path, Pool, PoolConfig, Port, PortConfig, PortInfo, PortStats, RxQueue, TxQueue,
    forward::{Hub, Lane, LaneReader, LaneStats, Station},
};

/// What runs where no port is named.
const SIMULATED: &str = "sim:igbvf,spoofchk=off";
/// Buffers that a worker holds back beside its bursts.
const WORKER_BUFFERS: u32 = 512;

/// A started port, and how fast its queues run.
pub(super) struct Started {
    pub(super) port: DynPort,
    pub(super) rx_path: Path,
    pub(super) tx_path: Path,
    /// Its address as the stages know it.
    pub(super) station: Station,
}

impl Started {
    pub(super) fn address(&self) -> &str {
        &self.port.info().address
    }

    pub(super) fn stats(&mut self) -> PortStats {
        self.port.stats()
    }
}

/// Ports that run, and what the workers poll.
pub(super) struct Ports {
    pub(super) started: Vec<Started>,
    pub(super) work: Work,
    pub(super) pool: Pool,
}

/// What workers poll.
pub(super) enum Work {
    /// Those of the first port's queue pairs, then those of the second's, and so on.
    Lanes(Vec<JoinedLane>),
    /// One for each queue pair of a port.
    Hubs(Vec<JoinedHub>),
}

/// A lane, and which ports it joins.
pub(super) struct JoinedLane {
    pub(super) lane: Lane,
    pub(super) from: usize,
    pub(super) leaves_by: usize,
    /// Where its frames are captured.
    pub(super) tap: Option<Tap>,
}

/// A hub of all ports.
pub(super) struct JoinedHub {
    pub(super) hub: Hub,
    /// Where its frames are captured.
    pub(super) tap: Option<Tap>,
}

impl Work {
    /// Puts a tap into each lane or hub.
    pub(super) fn tap(&mut self, mut tap: impl FnMut() -> Tap) {
        match self {
            Self::Lanes(lanes) => lanes.iter_mut().for_each(|lane| lane.tap = Some(tap())),
            Self::Hubs(hubs) => hubs.iter_mut().for_each(|hub| hub.tap = Some(tap())),
        }
    }

    /// Of all queue pairs: those of the first port, then those of the second, and so on.
    pub(super) fn readers(&self) -> Vec<LaneReader> {
        match self {
            Self::Lanes(lanes) => lanes.iter().map(|joined| joined.lane.reader()).collect(),
            Self::Hubs(hubs) => {
                let of_hubs: Vec<_> = hubs.iter().map(|joined| joined.hub.readers()).collect();
                let ports = of_hubs.first().map_or(0, Vec::len);
                (0..ports).flat_map(|port| of_hubs.iter().map(move |readers| readers[port].clone())).collect()
            }
        }
    }
}

/// Opens all ports, then starts them.
pub(super) fn start(options: &Options, plan: &mut Plan, host: &mut Host, console: &mut Console) -> Result<Ports, Failure> {
    let addresses = addresses(options);
    let buffers = buffers(options, addresses.len())?;
    let ports = addresses.iter().map(|address| host.open(address)).collect::<Result<Vec<_>, _>>()?;
    ports.iter().try_for_each(|port| check_queue_pairs(port.info(), options))?;
    let pool = host.pool(PoolConfig::new(buffers))?;
    if let Some(note) = host.memory_note() {
        console.warn(note);
    }
    let config = PortConfig {
        queue_pairs: options.queue_pairs(),
        rx_desc: options.rx_desc,
        tx_desc: options.tx_desc,
        path: options.path(),
        intent: options.intent(),
        ..PortConfig::new(&pool)
    };
    let mut started = Vec::new();
    let (mut rx, mut tx) = (Vec::new(), Vec::new());
    for mut port in ports {
        let address = port.info().address.clone();
        let queues = port.start(&config).map_err(|error| Failure::of_port(&address, &error))?;
        for refusal in queues.granted.missing() {
            console.warn_once(format!("{address}: {refusal}"));
        }
        let pairs = usize::from(config.queue_pairs);
        let (Some(receive), Some(transmit)) = (queues.rx.first(), queues.tx.first()) else {
            return Err(Failure::failed(format!("{address}: the port gave no queue pair")));
        };
        if (queues.rx.len(), queues.tx.len()) != (pairs, pairs) {
            let given = queues.rx.len().min(queues.tx.len());
            return Err(Failure::failed(format!("{address}: the port gave {given} of {pairs} queue pairs: give --workers {given}")));
        }
        started.push(Started { rx_path: receive.path(), tx_path: transmit.path(), station: Station::new(port.info().mac), port });
        rx.push(queues.rx);
        tx.push(queues.tx);
    }
    let addresses: Vec<_> = started.iter().map(Started::address).collect();
    plan.run_on(&addresses, started.iter().map(|port| port.station.clone()).collect())?;
    let work = join(options.modes.mode.topology(), (rx, tx), &pool, usize::from(options.burst));
    Ok(Ports { started, work, pool })
}

type Rings<Q> = Vec<Vec<Box<Q>>>;

/// Joins the queues of all ports, which have equally many.
fn join(topology: Topology, (rx, tx): (Rings<dyn RxQueue>, Rings<dyn TxQueue>), pool: &Pool, burst: usize) -> Work {
    let ports = rx.len();
    if topology == Topology::Any {
        let mut hubs = Vec::new();
        let (mut rx, mut tx): (Vec<_>, Vec<_>) =
            (rx.into_iter().map(Vec::into_iter).collect(), tx.into_iter().map(Vec::into_iter).collect());
        loop {
            let pairs: Vec<_> = rx.iter_mut().zip(&mut tx).filter_map(|(rx, tx)| rx.next().zip(tx.next())).collect();
            if pairs.len() < ports || pairs.is_empty() {
                return Work::Hubs(hubs);
            }
            hubs.push(JoinedHub { hub: Hub::new(pairs, pool, burst), tap: None });
        }
    }
    let mut tx: Vec<_> = tx.into_iter().map(Some).collect();
    let mut lanes = Vec::new();
    for (from, rx) in rx.into_iter().enumerate() {
        let leaves_by = topology.leaves_by(from, ports);
        let tx = tx.get_mut(leaves_by).and_then(Option::take).unwrap_or_default();
        lanes.extend(rx.into_iter().zip(tx).map(|(rx, tx)| JoinedLane {
            lane: Lane::new(rx, tx, pool, burst),
            from,
            leaves_by,
            tap: None,
        }));
    }
    Work::Lanes(lanes)
}

/// Whether a port has a queue pair for each worker. Before the pool is made, which grows with them.
fn check_queue_pairs(port: &PortInfo, options: &Options) -> Result<(), Failure> {
    let (asked, most) = (options.queue_pairs(), port.max_queue_pairs);
    if asked <= most {
        return Ok(());
    }
    let address = &port.address;
    Err(Failure::usage(format!("{address}: --workers {asked} needs as many queue pairs, and this port has {most}: give --workers {most}")))
}

/// What lanes dropped of one port's frames.
#[derive(Clone, Copy, Default)]
pub(super) struct LaneDrops {
    /// They were to leave by it, and its ring stayed full.
    pub(super) ring_full: u64,
    /// They came by it, and the stage dropped them.
    pub(super) by_stage: u64,
}

impl LaneDrops {
    /// Of port `port` of `ports`, whose lanes are `lanes`.
    pub(super) fn of(port: usize, ports: usize, topology: Topology, lanes: &[LaneStats]) -> Self {
        lanes.iter().enumerate().fold(Self::default(), |sum, (lane, stats)| {
            let from = comes_by(lane, lanes.len(), ports);
            let (leaves, comes) = (topology.leaves_by(from, ports) == port, from == port);
            Self {
                ring_full: sum.ring_full + if leaves { stats.dropped } else { 0 },
                by_stage: sum.by_stage + if comes { stats.dropped_by_stage } else { 0 },
            }
        })
    }
}

/// The port whose queue pair lane `lane` polls, of `lanes` lanes.
fn comes_by(lane: usize, lanes: usize, ports: usize) -> usize {
    lane / (lanes / ports.max(1)).max(1)
}

fn addresses(options: &Options) -> Vec<String> {
    if options.ports().is_empty() {
        return vec![SIMULATED.to_owned(); 2];
    }
    let text = |address: &Address| match (address, options.mac) {
        // The traffic source sends to the address that the PF gave, so the PF gives the one that is asked for.
        (Address::Sim(simulated), Some(mac)) if simulated.mac.is_none() => format!("{address},mac={mac}"),
        _ => address.to_string(),
    };
    options.ports().iter().map(text).collect()
}

/// DMA memory of `ports` ports with these options, in bytes, before it is rounded up to pages.
pub(super) fn need_bytes(options: &Options, ports: usize) -> Result<u64, Failure> {
    /// Of a descriptor and what belongs to it: 16 in Intel's rings, and up to 46 in a virtqueue with headers of its own.
    const DESC_BYTES: u64 = 64;
    let pool = PoolConfig::new(buffers(options, ports)?).len_bytes() as u64;
    let descriptors = u64::from(options.rx_desc) + u64::from(options.tx_desc);
    Ok(pool + ports as u64 * u64::from(options.queue_pairs()) * descriptors * DESC_BYTES)
}

/// Those asked for; otherwise enough for full rings, a full burst in each lane, and each worker's reserve. No more: buffers that are used
/// again soon are still in the processor's cache.
fn buffers(options: &Options, ports: usize) -> Result<u32, Failure> {
    let lanes = u32::try_from(ports).unwrap_or(u32::MAX).saturating_mul(u32::from(options.queue_pairs()));
    let all = |each: u32| lanes.saturating_mul(each);
    let (receive, transmit, burst) = (u32::from(options.rx_desc), u32::from(options.tx_desc), u32::from(options.burst));
    // What waits for a port that is full.
    let waiting = if options.modes.mode.topology() == Topology::Any { u32::try_from(BURST_MAX).unwrap_or(u32::MAX) } else { 0 };
    // With fewer the receive rings take all of them, and nothing is ever received again.
    let least = all(receive + burst);
    match options.buffers {
        None => {
            let workers = u32::try_from(options.cores().len()).unwrap_or(u32::MAX).max(u32::from(options.queue_pairs()));
            Ok(all(receive + transmit + burst + waiting).saturating_add(workers.saturating_mul(WORKER_BUFFERS)))
        }
        Some(buffers) if buffers >= least => Ok(buffers),
        Some(buffers) => Err(Failure::usage(format!(
            "--buffers {buffers} is too few for {lanes} receive rings of {receive} descriptors and bursts of {burst}: give {least} or more, or fewer --rx-desc or --workers"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::comes_by;

    #[test]
    fn lanes_are_those_of_the_first_port_and_then_the_next() {
        let ports = |lanes, ports| (0..lanes).map(|lane| comes_by(lane, lanes, ports)).collect::<Vec<_>>();
        assert_eq!((ports(1, 1), ports(3, 1)), (vec![0], vec![0, 0, 0]));
        assert_eq!((ports(2, 2), ports(6, 3)), (vec![0, 1], vec![0, 0, 1, 1, 2, 2]));
    }
}
