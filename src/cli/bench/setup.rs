//! Opens and starts the ports, and gives the tester its queues; without a port, embeds a forwarder.

use super::{Options, environment, tester::Direction};
use crate::cli::{Failure, console::Console, given::Given};
use core_affinity::CoreId;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};
use vfwire::{
    DynPort, Host, Intent, Pool, PoolConfig, Port, PortConfig, Queues, RxQueue, TxQueue,
    forward::{Lane, LaneReader, Station, Worker, stages::Mac},
};
use vfwire_measure::result::{PortFacts, Role};

/// Bytes of a frame beside its payload: header and FCS.
const FRAME_OVERHEAD: u32 = 18;
const FCS_BYTES: u32 = 4;
/// Buffers that a polling thread holds back.
const THREAD_BUFFERS: u32 = 512;
/// Tester, forwarder in, forwarder out, tester: two wires.
const EMBEDDED: [(&str, Role); 4] = [
    ("sim:igbvf,link=in", Role::Tester),
    ("sim:igbvf,link=in", Role::DeviceUnderTest),
    ("sim:igbvf,link=out", Role::DeviceUnderTest),
    ("sim:igbvf,link=out", Role::Tester),
];

type Pair = (Box<dyn RxQueue>, Box<dyn TxQueue>);

pub(super) struct Setup {
    pub(super) pool: Pool,
    pub(super) directions: Vec<Direction>,
    pub(super) facts: Vec<PortFacts>,
    pub(super) ports: Vec<DynPort>,
    /// The embedded forwarder, if any, before its thread runs.
    pub(super) forwarder: Option<(Lane, Mac)>,
}

/// The ports' addresses and whose they are.
pub(super) fn addresses(given: &Given) -> Vec<(String, Role)> {
    if given.ports.is_empty() {
        return EMBEDDED.map(|(address, role)| (address.to_owned(), role)).to_vec();
    }
    given.ports.iter().map(|port| (port.to_string(), Role::Tester)).collect()
}

pub(super) fn pool_config(options: &Options, given: &Given) -> PoolConfig {
    let (ports, desc) = (addresses(given).len(), options.desc(given.ports.is_empty()));
    let ports = u32::try_from(ports).unwrap_or(u32::MAX);
    let each = 2 * u32::from(desc) + 2 * u32::from(options.burst);
    // Rings, bursts, and what each thread keeps.
    PoolConfig::new(ports.saturating_mul(each).saturating_add(2 * THREAD_BUFFERS + 2 * u32::from(options.burst)))
}

pub(super) fn start(options: &Options, host: &mut Host, given: &Given, console: &mut Console) -> Result<Setup, Failure> {
    let addresses = addresses(given);
    let mut ports = addresses.iter().map(|(address, _)| host.open(address)).collect::<Result<Vec<_>, _>>()?;
    let largest = options.sizes.iter().copied().max().unwrap_or(64);
    let mtu = largest.saturating_sub(FRAME_OVERHEAD).max(1500);
    for port in &ports {
        let (info, most) = (port.info(), u32::from(port.info().max_mtu_bytes) + FRAME_OVERHEAD);
        if largest > most {
            return Err(Failure::usage(format!(
                "{}: --sizes {largest} is beyond its MTU: frames of {most} bytes with FCS are the longest",
                info.address
            )));
        }
    }
    let pool = host.pool(pool_config(options, given))?;
    if largest - FCS_BYTES > pool.data_bytes() {
        let most = pool.data_bytes() + FCS_BYTES;
        return Err(Failure::usage(format!("--sizes {largest} does not fit a buffer: give {most} or less")));
    }
    host.memory_note().into_iter().for_each(|note| console.warn(note));
    let intent = Intent { mtu_bytes: u16::try_from(mtu).unwrap_or(u16::MAX), ..Intent::default() };
    let desc = options.desc(given.ports.is_empty());
    let config = PortConfig { rx_desc: desc, tx_desc: desc, intent, ..PortConfig::new(&pool) };
    let (mut pairs, mut facts) = (Vec::new(), Vec::new());
    for (port, (_, role)) in ports.iter_mut().zip(&addresses) {
        let address = port.info().address.clone();
        let queues = port.start(&config).map_err(|error| Failure::of_port(&address, &error))?;
        queues.granted.missing().for_each(|refusal| console.warn_once(format!("{address}: {refusal}")));
        let pair = first_pair(queues).ok_or_else(|| Failure::failed(format!("{address}: the port gave no queue pair")))?;
        facts.push(port_facts(port, *role, &pair, given, options));
        pairs.push(pair);
    }
    let macs: Vec<_> = ports.iter().map(|port| port.info().mac).collect();
    let embedded = given.ports.is_empty();
    let mut pairs: Vec<Option<Pair>> = pairs.into_iter().map(Some).collect();
    let mut take = |at: usize| pairs.get_mut(at).and_then(Option::take).ok_or_else(|| Failure::failed("a port is missing"));
    let (directions, forwarder) = if embedded {
        let (source, from, to, sink) = (take(0)?, take(1)?, take(2)?, take(3)?);
        let lane = Lane::new(from.0, to.1, &pool, usize::from(options.burst));
        let stage = Mac::new(macs[3], Station::new(macs[2]));
        (vec![Direction { tx: source.1, rx: sink.0, macs: (macs[1], macs[0]) }], Some((lane, stage)))
    } else if macs.len() == 1 {
        let (rx, tx) = take(0)?;
        (vec![Direction { tx, rx, macs: (options.dst_mac.unwrap_or(macs[0]), macs[0]) }], None)
    } else {
        let (left, right) = (take(0)?, take(1)?);
        let towards = |at: usize| options.dst_mac.unwrap_or(macs[at]);
        let mut directions = vec![Direction { tx: left.1, rx: right.0, macs: (towards(1), macs[0]) }];
        if options.bidirectional {
            directions.push(Direction { tx: right.1, rx: left.0, macs: (towards(0), macs[1]) });
        }
        (directions, None)
    };
    Ok(Setup { pool, directions, facts, ports, forwarder })
}

fn first_pair(queues: Queues<Box<dyn RxQueue>, Box<dyn TxQueue>>) -> Option<Pair> {
    Some((queues.rx.into_iter().next()?, queues.tx.into_iter().next()?))
}

fn port_facts(port: &DynPort, role: Role, pair: &Pair, given: &Given, options: &Options) -> PortFacts {
    let (info, link) = (port.info(), port.link());
    let vf = given.vfs.iter().find(|vf| vf.address.to_string() == info.address);
    PortFacts {
        role,
        address: info.address.clone(),
        driver: info.driver.to_owned(),
        function: info.id.to_string(),
        numa_node: vf.and_then(|vf| vf.numa_node.as_ref()).map(|node| node.value),
        link_mbps: (link.mbps > 0).then_some(link.mbps),
        rx_path: pair.0.path().name().to_owned(),
        tx_path: pair.1.path().name().to_owned(),
        rx_desc: u32::from(options.desc(given.ports.is_empty())),
        tx_desc: u32::from(options.desc(given.ports.is_empty())),
        burst: u32::from(options.burst),
    }
}

/// The IOMMU of the ports, in words.
pub(super) fn iommu(facts: &[PortFacts], simulated: bool) -> Option<String> {
    if simulated { Some("simulated".to_owned()) } else { environment::iommu_of(&facts.first()?.address) }
}

/// The thread of the embedded forwarder.
pub(super) struct Forwarder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    pub(super) reader: LaneReader,
}

/// What the thread is called, as the kernel shows it.
pub(super) const FORWARDER: &str = "vfwire-dut";

impl Forwarder {
    pub(super) fn start((lane, mut stage): (Lane, Mac), pool: &Pool, cpu: Option<usize>) -> Result<Self, Failure> {
        let (stop, reader) = (Arc::new(AtomicBool::new(false)), lane.reader());
        let (ended, pool) = (stop.clone(), pool.clone());
        let (tell, pinned) = std::sync::mpsc::channel();
        let run = move || {
            let is_pinned = cpu.is_none_or(|id| core_affinity::set_for_current(CoreId { id }));
            // The receiver waits for it.
            let _ = tell.send(is_pinned);
            if is_pinned {
                Worker::new(vec![lane], &pool).run(&mut stage, &ended);
            }
        };
        let thread = thread::Builder::new().name(FORWARDER.to_owned()).spawn(run);
        let thread = thread.map_err(|error| Failure::failed(format!("no thread for the forwarder: {error}")))?;
        if pinned.recv() != Ok(true) {
            return Err(Failure::usage(format!("--cores: CPU {} is not this process's to use", cpu.unwrap_or_default())));
        }
        Ok(Self { stop, thread: Some(thread), reader })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
