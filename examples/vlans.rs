//! Joins VLANs, leaves one of them while it runs, and sends every frame that comes back to where it came from.
//!
//! `vlans ADDRESS JOINED LEFT [MAC]`: ADDRESS is a PCI address or `sim:igbvf`, JOINED and LEFT are VLAN IDs. What the device had to say to the
//! changes is printed. It runs until it is killed or the function is taken away.

use std::error::Error;
use vfwire::{Host, Intent, PoolConfig, Port, PortConfig, PortEvent, RxQueue, TxQueue};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, joined, left, mac) = match &arguments[..] {
        [address, joined, left] => (address, joined.parse()?, left.parse()?, None),
        [address, joined, left, mac] => (address, joined.parse()?, left.parse()?, Some(mac.parse()?)),
        _ => return Err("usage: vlans ADDRESS JOINED LEFT [MAC]".into()),
    };
    let mut host = Host::new();
    let mut port = host.open(address)?;
    let pool = host.pool(PoolConfig::new(4096))?;
    let mut intent = Intent { mac, vlans: [joined, left].into(), ..Intent::default() };
    let mut queues = port.start(&PortConfig { intent: intent.clone(), ..PortConfig::new(&pool) })?;
    queues.granted.missing().for_each(|refusal| eprintln!("vlans: {refusal}"));
    intent.vlans.remove(&left);
    port.apply(&intent)?.missing().for_each(|refusal| eprintln!("vlans: {refusal}"));
    eprintln!("vlans: at {address}, {}: joined {joined}, left {left}", port.info().mac);

    let (mut cache, mut burst) = (pool.cache(), pool.burst(32));
    for round in 0_u64.. {
        queues.rx[0].rx_burst(&mut cache, &mut burst);
        for mut frame in burst.iter_mut() {
            frame.data_mut()[..12].rotate_left(6);
        }
        queues.tx[0].tx_burst(&mut cache, &mut burst);
        if round % 4096 == 0
            && let Some(event) = port.poll_control()?
        {
            eprintln!("vlans: {event:?}");
            if matches!(event, PortEvent::Removed { .. }) {
                break;
            }
        }
    }
    Ok(())
}
