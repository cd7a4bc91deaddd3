//! Opens and starts the ports of `vfwire forward`, and joins their queues to lanes.

use super::{Failure, console::Console, options::Options};
use vfwire::{Address, DynPort, Host, Path, Pool, PoolConfig, Port, PortConfig, PortStats, forward::Lane};

/// What runs where no port is named.
const SIMULATED: &str = "sim:igbvf,spoofchk=off";
/// Buffers that a worker holds back beside its bursts.
const WORKER_BUFFERS: u32 = 512;

/// A started port, and how fast its queues run.
pub(super) struct Started {
    pub(super) port: DynPort,
    pub(super) rx_path: Path,
    pub(super) tx_path: Path,
}

impl Started {
    pub(super) fn address(&self) -> &str {
        &self.port.info().address
    }

    pub(super) fn stats(&mut self) -> PortStats {
        self.port.stats()
    }
}

/// Ports that run, and lanes for the workers: lane `i` takes frames from port `i`.
pub(super) struct Ports {
    pub(super) started: Vec<Started>,
    pub(super) lanes: Vec<Lane>,
    pub(super) pool: Pool,
}

/// Opens all ports, then starts them.
pub(super) fn start(options: &Options, console: &mut Console) -> Result<Ports, Failure> {
    let mut host = Host::with_pages(options.pages());
    let addresses = addresses(options);
    let buffers = buffers(options, addresses.len())?;
    let ports = addresses.iter().map(|address| host.open(address)).collect::<Result<Vec<_>, _>>()?;
    let pool = host.pool(PoolConfig::new(buffers))?;
    if let Some(note) = host.memory_note() {
        console.say(note);
    }
    let config = PortConfig {
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
        for refusal in &queues.granted.refused {
            console.say_once(format!("{address}: {refusal}"));
        }
        let (Some(receive), Some(transmit)) = (queues.rx.into_iter().next(), queues.tx.into_iter().next()) else {
            return Err(Failure::failed(format!("{address}: the port gave no queue pair")));
        };
        started.push(Started { port, rx_path: receive.path(), tx_path: transmit.path() });
        rx.push(receive);
        tx.push(transmit);
    }
    // One port: back to itself. Two: each to the other.
    tx.rotate_left(started.len() / 2);
    let lanes = rx.into_iter().zip(tx).map(|(rx, tx)| Lane::new(rx, tx, &pool, usize::from(options.burst))).collect();
    Ok(Ports { started, lanes, pool })
}

/// The port that the frames of lane `lane` leave by.
pub(super) fn leaves_by(lane: usize, ports: usize) -> usize {
    (lane + ports / 2) % ports
}

fn addresses(options: &Options) -> Vec<String> {
    if options.ports.is_empty() {
        return vec![SIMULATED.to_owned(); 2];
    }
    let text = |address: &Address| match (address, options.mac) {
        // The traffic source sends to the address that the PF gave, so the PF gives the one that is asked for.
        (Address::Sim(simulated), Some(mac)) if simulated.mac.is_none() => format!("{address},mac={mac}"),
        _ => address.to_string(),
    };
    options.ports.iter().map(text).collect()
}

/// Those asked for; otherwise enough for full rings, a full burst in each lane, and a worker's reserve. No more: buffers that are used again
/// soon are still in the processor's cache.
fn buffers(options: &Options, ports: usize) -> Result<u32, Failure> {
    let ports = u32::try_from(ports).unwrap_or(u32::MAX);
    let all = |each: u32| ports.saturating_mul(each);
    let (receive, transmit, burst) = (u32::from(options.rx_desc), u32::from(options.tx_desc), u32::from(options.burst));
    // With fewer the receive rings take all of them, and nothing is ever received again.
    let least = all(receive + burst);
    match options.buffers {
        None => Ok(all(receive + transmit + burst).saturating_add(WORKER_BUFFERS)),
        Some(buffers) if buffers >= least => Ok(buffers),
        Some(buffers) => Err(Failure::usage(format!(
            "--buffers {buffers} is too few for {ports} receive rings of {receive} descriptors and bursts of {burst}: give {least} or more, or fewer --rx-desc"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::leaves_by;

    #[test]
    fn frames_go_back_or_to_the_other() {
        assert_eq!(leaves_by(0, 1), 0);
        assert_eq!([leaves_by(0, 2), leaves_by(1, 2)], [1, 0]);
    }
}
