//! Prints what arrives at a port.
//!
//! `cargo run --example receive_dump -- --count 3` shows three frames of a simulated traffic source; with an address
//! (`-- 0000:3b:02.1 --count 3`) those that a VF receives, whoever they are for, where its PF grants that.

use std::error::Error;
use vfwire::{Host, Intent, PoolConfig, Port, PortConfig, PortEvent, RxQueue};

/// Bytes of a frame that are shown.
const SHOWN_BYTES: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut address, mut count) = ("sim:igbvf".to_owned(), u64::MAX);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--count" => count = arguments.next().ok_or("--count needs a number of frames")?.parse()?,
            _ => address = argument,
        }
    }
    let mut host = Host::new();
    let mut port = host.open(&address)?;
    let pool = host.pool(PoolConfig::new(2048))?;
    let intent = Intent { promiscuous: true, ..Intent::default() };
    let mut queues = port.start(&PortConfig { intent, ..PortConfig::new(&pool) })?;
    for refusal in &queues.granted.refused {
        eprintln!("{refusal}");
    }

    let (mut cache, mut burst, mut seen) = (pool.cache(), pool.burst(32), 0);
    while seen < count {
        queues.rx[0].rx_burst(&mut cache, &mut burst);
        for frame in burst.iter_mut() {
            if seen < count {
                seen += 1;
                println!("frame {seen}: {} bytes, {:?}", frame.total_len(), frame.meta());
                dump(frame.data());
            }
        }
        burst.clear(&mut cache);
        while let Some(event) = port.poll_control()? {
            println!("{event:?}");
            if matches!(event, PortEvent::Removed { .. }) {
                return Ok(()); // which gives the function back
            }
        }
    }
    Ok(())
}

fn dump(bytes: &[u8]) {
    for (line, bytes) in bytes.chunks(16).take(SHOWN_BYTES / 16).enumerate() {
        let words: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("  {:04x}  {}", line * 16, words.join(" "));
    }
}
