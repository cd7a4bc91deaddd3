//! Two simulated ports on one wire, on any machine: an application's tests need no hardware.
//!
//! `cargo run --example sim_pair` sends frames from one port and compares what arrives at the other.

use std::error::Error;
use vfwire::{Host, PoolConfig, Port, PortConfig, RxQueue, TxQueue};

const FRAMES: u32 = 1000;
/// Frames under way at most: fewer than the receiver has descriptors, or a slow receiver would lose some, as on a real wire.
const WINDOW: u32 = 256;
const FRAME_BYTES: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let mut host = Host::new();
    let mut left = host.open("sim:igbvf,link=wire")?;
    let mut right = host.open("sim:igbvf,link=wire")?;
    let pool = host.pool(PoolConfig::new(4096))?;
    let config = PortConfig::new(&pool);
    let (mut sender, mut receiver) = (left.start(&config)?, right.start(&config)?);
    let (from, to) = (left.info().mac, right.info().mac);

    let (mut cache, mut burst, mut arrived) = (pool.cache(), pool.burst(32), pool.burst(32));
    let (mut sent, mut compared) = (0, 0);
    while compared < FRAMES {
        while sent < FRAMES.min(compared + WINDOW) {
            let Some(mut frame) = burst.push_empty(&mut cache) else { break };
            frame.append(FRAME_BYTES).ok_or("a buffer holds the frame")?.copy_from_slice(&numbered(to.octets(), from.octets(), sent));
            sent += 1;
        }
        // What does not fit stays in the burst and goes out the next time round.
        sender.tx[0].tx_burst(&mut cache, &mut burst);
        receiver.rx[0].rx_burst(&mut cache, &mut arrived);
        for frame in arrived.iter_mut() {
            assert_eq!(frame.data(), numbered(to.octets(), from.octets(), compared), "frame {compared}");
            compared += 1;
        }
        arrived.clear(&mut cache);
    }
    println!("{compared} frames of {FRAME_BYTES} bytes went from {from} to {to}, in order and unchanged");
    Ok(())
}

/// A frame with a number in it, of the EtherType for local experiments (IEEE 802, 9.2.4).
fn numbered(to: [u8; 6], from: [u8; 6], number: u32) -> [u8; FRAME_BYTES] {
    let mut frame = [0x5a; FRAME_BYTES];
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame[14..18].copy_from_slice(&number.to_be_bytes());
    frame
}
