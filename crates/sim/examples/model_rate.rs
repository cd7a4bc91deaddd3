//! How many frames a second the igbvf model moves on one core: received from its traffic source and sent back, 60 bytes each.
//!
//! `cargo run --release -p vfwire-sim --example model_rate`. Two figures: the model's own time, and that of the whole loop.
//!
//! The driver here is the least that keeps the rings turning. It reaches their memory as a second device of the same IOMMU domain, so
//! it is safe code, and its part of the time means nothing.

use std::time::{Duration, Instant};
use vfwire_core::{
    bar::Regs,
    bus::{BarIndex, PciFunction},
    dma::DmaSpace,
};
use vfwire_sim::{
    DeviceModel, DmaFault, HostMemory, IgbvfModel, IgbvfOptions, SimBar, SimDevice, SimHost, TestWire, TrafficConfig, TrafficSource, Width,
    Wire,
};
use vfwire_spec::{
    igbvf::{control::Request, regs},
    intel::{
        adv::{rx, tx},
        mailbox::{PFACK, PFSTS, REQ, VFU},
    },
    net::MacAddr,
    pci::PciId,
    reg::{RegArray, Rw},
};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const RING_DESC: u32 = 512;
const BURST_DESC: u32 = 32;
const BUFFER_BYTES: u64 = 2112;
const RUN: Duration = Duration::from_secs(2);

/// A device that writes descriptors for us.
#[derive(Default)]
struct Hand(Vec<(u64, [u64; 2])>);

impl DeviceModel for Hand {
    fn id(&self) -> PciId {
        PciId { vendor: 0, device: 0 }
    }
    fn bar_len_bytes(&self, _: BarIndex) -> Option<u32> {
        None
    }
    fn mmio_read(&mut self, _: BarIndex, _: u32, _: Width) -> u64 {
        0
    }
    fn mmio_write(&mut self, _: BarIndex, _: u32, _: Width, _: u64) {}
    fn step(&mut self, memory: &dyn HostMemory, _: &mut dyn Wire) -> Result<bool, DmaFault> {
        self.0.drain(..).try_for_each(|(iova, words)| memory.write_back(iova, words))?;
        Ok(true)
    }
    fn reset(&mut self) {}
}

struct Ring {
    iova: u64,
    buffers: u64,
    tail: u32,
}

impl Ring {
    /// Descriptors at the tail, which moves on.
    fn post(&mut self, hand: &SimDevice<Hand>, count: u32, words: impl Fn(u64) -> [u64; 2]) -> u32 {
        hand.with(|hand| {
            for _ in 0..count {
                let index = u64::from(self.tail);
                hand.0.push((self.iova + index * 16, words(self.buffers + index * BUFFER_BYTES)));
                self.tail = (self.tail + 1) % RING_DESC;
            }
        });
        hand.step();
        self.tail
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = SimHost::new();
    let (source, counters) = TrafficSource::new(TrafficConfig::to(MAC));
    let options = IgbvfOptions { pf_mac: Some(MAC), spoofchk: false, ..IgbvfOptions::default() };
    let vf = host.add("sim:igbvf", IgbvfModel::new(options), source);
    let hand = host.add("sim:hand", Hand::default(), TestWire::new());
    let (function, _hand) = (vf.open()?, hand.open()?);
    let registers = Regs::new(function.map_bar(BarIndex::ZERO)?);
    reset(&registers);
    let dma = host.dma();
    let memory = memory(&*dma)?;
    let [mut rx_ring, mut tx_ring] = [0, 2].map(|at| Ring { iova: memory[at].iova().0, buffers: memory[at + 1].iova().0, tail: 0 });
    registers.write(regs::SRRCTL.index(0), 2 | regs::SRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER | regs::SRRCTL_DROP_EN);
    enable(&registers, [regs::RDBAL, regs::RDBAH, regs::RDLEN, regs::RXDCTL], rx_ring.iova, regs::dctl_thresholds(16, 8, 1));
    enable(&registers, [regs::TDBAL, regs::TDBAH, regs::TDLEN, regs::TXDCTL], tx_ring.iova, 0);
    let (rx_doorbell, tx_doorbell) = (registers.doorbell(regs::RDT.index(0)), registers.doorbell(regs::TDT.index(0)));

    let start = Instant::now();
    let mut in_model = Duration::ZERO;
    while start.elapsed() < RUN {
        rx_doorbell.ring(rx_ring.post(&hand, BURST_DESC, rx::read_format));
        let sent = |buffer| [buffer, tx::data(60, 60) | tx::EOP];
        tx_doorbell.ring(tx_ring.post(&hand, BURST_DESC, sent));
        let before = Instant::now();
        vf.step();
        in_model += before.elapsed();
    }
    let violations = vf.with(|model| model.violations().to_vec());
    assert!(violations.is_empty() && host.faults().is_empty(), "{violations:?} {:?}", host.faults());
    let frames = u32::try_from(counters.returned_frames().min(counters.sent_frames()))?;
    println!(
        "{frames} frames received and sent; the model takes {:?} a frame, the whole loop {:?}",
        in_model / frames,
        start.elapsed() / frames
    );
    println!("{:.2} M frames/s in the model alone", f64::from(frames) / in_model.as_secs_f64() / 1e6);
    Ok(())
}

/// RX ring, RX buffers, TX ring, TX buffers.
fn memory(dma: &dyn DmaSpace) -> Result<Vec<vfwire_core::dma::DmaRegion>, vfwire_core::error::DmaError> {
    let ring_bytes = RING_DESC as usize * 16;
    let buffer_bytes = usize::try_from(u64::from(RING_DESC) * BUFFER_BYTES).unwrap_or(usize::MAX);
    [ring_bytes, buffer_bytes, ring_bytes, buffer_bytes].into_iter().map(|bytes| dma.alloc(bytes, 128)).collect()
}

fn reset(registers: &Regs<SimBar>) {
    registers.write(regs::CTRL, regs::CTRL_RST);
    registers.write(regs::VFMAILBOX, VFU);
    registers.write(regs::VMBMEM.index(0), Request::Reset.encode().words()[0]);
    registers.write(regs::VFMAILBOX, REQ);
    let mut seen = 0;
    while seen & (PFACK | PFSTS) != PFACK | PFSTS {
        seen |= registers.read(regs::VFMAILBOX);
    }
}

fn enable(registers: &Regs<SimBar>, [low, high, length, control]: [RegArray<u32, Rw>; 4], iova: u64, thresholds: u32) {
    let [a, b, c, d, e, f, g, h] = iova.to_le_bytes();
    registers.write(low.index(0), u32::from_le_bytes([a, b, c, d]));
    registers.write(high.index(0), u32::from_le_bytes([e, f, g, h]));
    registers.write(length.index(0), RING_DESC * 16);
    registers.write(control.index(0), thresholds | regs::DCTL_ENABLE);
    while registers.read(control.index(0)) & regs::DCTL_ENABLE == 0 {}
}
