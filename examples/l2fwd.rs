//! A forwarder: frames that arrive at either of two ports leave by the other.
//!
//! `cargo run --release --example l2fwd` forwards 200,000 frames between two simulated ports;
//! `cargo run --release --example l2fwd -- 0000:3b:02.1 0000:3b:02.2` forwards between two VFs until it is killed.
//! The frames keep their source MACs, so the PFs must have `spoofchk off`.

use std::error::Error;
use vfwire::{Host, PoolConfig, Port, PortConfig, PortEvent, RxQueue, TxQueue};

fn main() -> Result<(), Box<dyn Error>> {
    let addresses: Vec<String> = std::env::args().skip(1).collect();
    let ([a, b], limit_frames) = match &addresses[..] {
        [] => (["sim:igbvf,spoofchk=off"; 2], 200_000),
        [a, b] => ([a.as_str(), b.as_str()], u64::MAX),
        _ => return Err("give the addresses of two ports, or none for two simulated ones".into()),
    };
    let mut host = Host::new();
    let mut ports = [host.open(a)?, host.open(b)?];
    let pool = host.pool(PoolConfig::new(4096))?;
    let config = PortConfig::new(&pool);
    let [mut a, mut b] = [ports[0].start(&config)?, ports[1].start(&config)?];
    let mut lanes = [(&mut a.rx[0], &mut b.tx[0], pool.burst(32)), (&mut b.rx[0], &mut a.tx[0], pool.burst(32))];

    let (mut cache, mut forwarded, mut polls) = (pool.cache(), 0, 0_u64);
    while forwarded < limit_frames {
        for (rx, tx, burst) in &mut lanes {
            rx.rx_burst(&mut cache, burst);
            // Frames that do not fit stay in the burst; an empty burst brings home the buffers of those that were sent.
            forwarded += tx.tx_burst(&mut cache, burst) as u64;
        }
        polls += 1;
        if polls.is_multiple_of(1 << 20) {
            for port in &mut ports {
                while let Some(event) = port.poll_control()? {
                    println!("{}: {event:?}", port.info().address);
                    if matches!(event, PortEvent::Removed { .. }) {
                        return Ok(()); // which gives the function back
                    }
                }
            }
        }
    }
    println!("{forwarded} frames forwarded");
    Ok(())
}
