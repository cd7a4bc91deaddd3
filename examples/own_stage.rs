//! A stage of one's own: forwards between two ports and drops what comes from a list of IPv4 sources.
//!
//! `own_stage ADDRESS ADDRESS [SOURCE…]`; without arguments two simulated ports, for a second, without the source that they send from.

use std::{
    env,
    error::Error,
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};
use vfwire::{
    BufCache, Burst, Host, PoolConfig, Port, PortConfig,
    forward::{Lane, Stage, Worker},
};

/// Drops frames of some sources. A stage is a type with one method; it is compiled into the worker's loop.
struct Deny {
    sources: Vec<[u8; 4]>,
}

impl Stage for Deny {
    fn process(&mut self, burst: &mut Burst, cache: &mut BufCache) {
        // The headers will be looked at.
        burst.prefetch();
        burst.retain(cache, |frame| match frame.data() {
            // IPv4 (RFC 894), whose source address is at byte 12 of its header.
            [_, _, _, _, _, _, _, _, _, _, _, _, 0x08, 0x00, packet @ ..] => {
                packet.get(12..16).is_some_and(|source| !self.sources.iter().any(|denied| denied == source))
            }
            _ => true,
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let simulated = arguments.is_empty();
    if simulated {
        arguments = ["sim:igbvf,spoofchk=off", "sim:igbvf,spoofchk=off", "198.18.0.1"].map(str::to_owned).to_vec();
    }
    let [first, second, sources @ ..] = &arguments[..] else { return Err("usage: own_stage ADDRESS ADDRESS [SOURCE…]".into()) };
    let sources = sources.iter().map(|source| Ok(source.parse::<Ipv4Addr>()?.octets())).collect::<Result<_, Box<dyn Error>>>()?;

    let mut host = Host::new();
    let mut ports = [host.open(first)?, host.open(second)?];
    let pool = host.pool(PoolConfig::new(4096))?;
    let (mut rx, mut tx) = (Vec::new(), Vec::new());
    for port in &mut ports {
        let queues = port.start(&PortConfig::new(&pool))?;
        rx.extend(queues.rx);
        tx.extend(queues.tx);
    }
    // Each to the other.
    tx.reverse();
    let lanes: Vec<_> = rx.into_iter().zip(tx).map(|(rx, tx)| Lane::new(rx, tx, &pool, 32)).collect();
    let readers: Vec<_> = lanes.iter().map(Lane::reader).collect();

    let (mut worker, mut stage, stop) = (Worker::new(lanes, &pool), Deny { sources }, AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| worker.run(&mut stage, &stop));
        // Whoever controls the ports looks after them meanwhile.
        for _ in 0..if simulated { 10 } else { u32::MAX } {
            thread::sleep(Duration::from_millis(100));
            for port in &mut ports {
                match port.poll_control() {
                    Ok(None) => {}
                    Ok(Some(event)) => println!("{}: {event:?}", port.info().address),
                    Err(error) => println!("{}: {error}", port.info().address),
                }
            }
        }
        stop.store(true, Relaxed);
    });
    for (port, reader) in ports.iter().zip(&readers) {
        let stats = reader.read();
        println!("{}: {} frames received, {} of them denied", port.info().address, stats.frames, stats.dropped_by_stage);
    }
    Ok(())
}
