//! Shows how a device spreads frames over receive queues (RSS): for each frame the queue it came by, its hash and what the device says of
//! its checksums.
//!
//! `rx_queues ADDRESS [--queues N] [--count N]`, where ADDRESS is a PCI address or `sim:igbvf`. The key and the table that the hash is made and used
//! with come first, where the device tells them.

use std::{collections::BTreeSet, error::Error};
use vfwire::{Host, Intent, Offload, PoolConfig, Port, PortConfig, PortEvent, RxQueue};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut address, mut queue_pairs, mut count) = ("sim:igbvf".to_owned(), 1, u64::MAX);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--queues" => queue_pairs = arguments.next().ok_or("--queues needs a number of queues")?.parse()?,
            "--count" => count = arguments.next().ok_or("--count needs a number of frames")?.parse()?,
            _ => address = argument,
        }
    }
    let mut host = Host::new();
    let mut port = host.open(&address)?;
    let pool = host.pool(PoolConfig::new(4096))?;
    let intent = Intent { offloads: BTreeSet::from([Offload::RssHash, Offload::RxChecksum]), ..Intent::default() };
    let mut queues = port.start(&PortConfig { intent, queue_pairs, ..PortConfig::new(&pool) })?;
    for refusal in &queues.granted.refused {
        eprintln!("rx_queues: {refusal}");
    }
    match port.rss() {
        Ok(rss) => {
            let key: String = rss.key.iter().map(|byte| format!("{byte:02x}")).collect();
            let table: Vec<_> = rss.table.iter().map(u8::to_string).collect();
            println!("key {key}\ntable {}", table.join(","));
        }
        Err(error) => eprintln!("rx_queues: {error}"),
    }
    eprintln!("rx_queues: receiving at {address}, {}", port.info().mac);

    let (mut cache, mut burst, mut seen) = (pool.cache(), pool.burst(32), 0);
    while seen < count {
        for (queue, rx) in queues.rx.iter_mut().enumerate() {
            rx.rx_burst(&mut cache, &mut burst);
            for frame in burst.iter_mut() {
                seen += 1;
                let (meta, bytes) = (frame.meta(), frame.data());
                let hash = meta.rss_hash.map_or_else(|| "none".to_owned(), |hash| format!("{hash:08x}"));
                // Enough of an IPv4 frame to tell its flow: addresses and ports.
                let flow: String = bytes.get(26..38).unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
                println!("queue {queue} hash {hash} ip {:?} l4 {:?} flow {flow}", meta.ip_checksum, meta.l4_checksum);
            }
            burst.clear(&mut cache);
        }
        if let Some(PortEvent::Removed { cause }) = port.poll_control()? {
            return Err(format!("{address} is gone: {cause}").into());
        }
    }
    Ok(())
}
