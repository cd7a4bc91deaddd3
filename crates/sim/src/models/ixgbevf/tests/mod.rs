//! The model from the outside: registers through a BAR, rings in DMA memory, set up by hand.

mod life;
mod mailbox;
mod rings;
mod rules;
mod segments;

use super::{IxgbevfModel, IxgbevfOptions};
use crate::{SimBar, SimDevice, SimFunction, SimHost, TestWire, memory::raw};
use vfwire_core::{
    bar::Regs,
    bus::{BarIndex, PciFunction},
    dma::DmaRegion,
};
use vfwire_spec::{
    intel::{
        adv::{
            rx,
            tx::{self, Context},
        },
        mailbox::{Message, PFACK, PFSTS, REQ, VFU, WORDS},
    },
    ixgbevf::{Family, control::Request, desc::TX_CC, regs},
    net::MacAddr,
};

const MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x11]);
const OTHER: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x22]);
const RING_DESC: u32 = 32;
const BUFFER_BYTES: usize = 2048;
/// What a driver writes into VFSRRCTL.
const SPLIT: u32 = 2 | regs::VFSRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER | regs::VFSRRCTL_DROP_EN;

/// A host with one VF, and what a driver of it would hold.
struct Rig {
    host: SimHost,
    device: SimDevice<IxgbevfModel>,
    wire: TestWire,
    regs: Regs<SimBar>,
    function: SimFunction,
    /// A ring for each RX queue that is on.
    rx_rings: Vec<DmaRegion>,
    tx_ring: DmaRegion,
    /// A buffer for each TX descriptor, then one for each RX descriptor of each queue.
    buffers: DmaRegion,
    tx_tail: u32,
}

impl Rig {
    fn new(options: IxgbevfOptions) -> Self {
        let host = SimHost::new();
        let wire = TestWire::new();
        let device = host.add("sim:ixgbevf", IxgbevfModel::new(options), wire.clone());
        let function = device.open().expect("closed");
        let regs = Regs::new(function.map_bar(BarIndex::ZERO).expect("a BAR"));
        let dma = function.dma();
        let ring = || dma.alloc(RING_DESC as usize * 16, 128).expect("memory");
        let buffers = dma.alloc(5 * RING_DESC as usize * BUFFER_BYTES, 64).expect("memory");
        Self { rx_rings: (0..4).map(|_| ring()).collect(), tx_ring: ring(), host, device, wire, regs, function, buffers, tx_tail: 0 }
    }

    /// With a MAC address that the PF assigned.
    fn options() -> IxgbevfOptions {
        IxgbevfOptions { pf_mac: Some(MAC), ..IxgbevfOptions::default() }
    }

    fn of(device: Family) -> IxgbevfOptions {
        IxgbevfOptions { device, ..Self::options() }
    }

    /// Reset, both rings of pair 0 on, every RX buffer but one posted.
    fn up(options: IxgbevfOptions) -> Self {
        let rig = Self::new(options);
        rig.regs.write(regs::VFCTRL, regs::VFCTRL_RST);
        rig.ask(Request::Reset);
        rig.start_rx(0);
        rig.set_up_tx();
        assert!(rig.enable_tx(0), "{:?}", rig.rules_broken());
        rig
    }

    fn start_rx(&self, queue: u32) {
        self.set_up_rx(queue);
        assert!(self.enable_rx(queue, regs::VFRXDCTL_VME), "{:?}", self.rules_broken());
        self.regs.doorbell(regs::VFRDT.index(queue)).ring(RING_DESC - 1);
    }

    fn set_up_rx(&self, queue: u32) {
        let ring = &self.rx_rings[queue as usize];
        for index in 0..RING_DESC as usize {
            raw::set_descriptor(ring, index, rx::read_format(self.buffer_iova(self.rx_buffer(queue, index))));
        }
        let iova = ring.iova().0.to_le_bytes();
        self.regs.write(regs::VFRDBAL.index(queue), u32::from_le_bytes([iova[0], iova[1], iova[2], iova[3]]));
        self.regs.write(regs::VFRDBAH.index(queue), u32::from_le_bytes([iova[4], iova[5], iova[6], iova[7]]));
        self.regs.write(regs::VFRDLEN.index(queue), RING_DESC * 16);
        self.regs.write(regs::VFRDH.index(queue), 0);
        self.regs.write(regs::VFRDT.index(queue), 0);
        self.regs.write(regs::VFSRRCTL.index(queue), SPLIT);
    }

    fn set_up_tx(&self) {
        let iova = self.tx_ring.iova().0.to_le_bytes();
        self.regs.write(regs::VFTDBAL.index(0), u32::from_le_bytes([iova[0], iova[1], iova[2], iova[3]]));
        self.regs.write(regs::VFTDBAH.index(0), u32::from_le_bytes([iova[4], iova[5], iova[6], iova[7]]));
        self.regs.write(regs::VFTDLEN.index(0), RING_DESC * 16);
        self.regs.write(regs::VFTDH.index(0), 0);
        self.regs.write(regs::VFTDT.index(0), 0);
        self.regs.write(regs::VFDCA_TXCTRL.index(0), 0);
    }

    /// Enables and waits; says whether it came on.
    fn enable_rx(&self, queue: u32, flags: u32) -> bool {
        self.regs.write(regs::VFRXDCTL.index(queue), regs::DCTL_ENABLE | flags);
        (0..4).any(|_| self.regs.read(regs::VFRXDCTL.index(queue)) & regs::DCTL_ENABLE != 0)
    }

    fn enable_tx(&self, thresholds: u32) -> bool {
        self.regs.write(regs::VFTXDCTL.index(0), regs::DCTL_ENABLE | thresholds);
        (0..4).any(|_| self.regs.read(regs::VFTXDCTL.index(0)) & regs::DCTL_ENABLE != 0)
    }

    fn rx_buffer(&self, queue: u32, index: usize) -> usize {
        (1 + queue as usize) * RING_DESC as usize + index
    }

    fn buffer_iova(&self, index: usize) -> u64 {
        self.buffers.iova().0 + (index * BUFFER_BYTES) as u64
    }

    /// The bytes that the device wrote into the buffer of descriptor `index` of RX queue 0.
    fn received(&self, index: usize) -> Vec<u8> {
        let word1 = self.rx_word1(index);
        assert_ne!(word1 & rx::DD, 0, "descriptor {index} is not done");
        raw::read(&self.buffers, self.rx_buffer(0, index) * BUFFER_BYTES, usize::from(rx::length_bytes(word1)))
    }

    fn rx_word1(&self, index: usize) -> u64 {
        raw::descriptor(&self.rx_rings[0], index)[1]
    }

    /// Gives the device a frame; says whether it wrote it into queue 0.
    fn takes(&self, frame: Vec<u8>) -> bool {
        let before = self.regs.read(regs::VFRDH.index(0));
        self.wire.push(frame);
        self.host.step();
        self.regs.read(regs::VFRDH.index(0)) != before
    }

    /// Writes a descriptor at the TX tail, which moves on; the doorbell is not rung.
    fn post(&mut self, words: [u64; 2]) -> usize {
        let index = self.tx_tail as usize;
        raw::set_descriptor(&self.tx_ring, index, words);
        self.tx_tail = (self.tx_tail + 1) % RING_DESC;
        index
    }

    fn post_context(&mut self, context: Context) {
        self.post(context.encode().expect("it fits"));
    }

    /// Posts `frame` in a buffer of its own, with these flags beyond the usual ones.
    fn post_frame(&mut self, frame: &[u8], flags: u64) -> usize {
        let buffer = self.tx_tail as usize;
        raw::write(&self.buffers, buffer * BUFFER_BYTES, frame);
        let len_bytes = u16::try_from(frame.len()).expect("a frame");
        self.post([self.buffer_iova(buffer), tx::data(len_bytes, len_bytes.into()) | tx::EOP | flags])
    }

    fn ring_tx(&self) {
        self.regs.doorbell(regs::VFTDT.index(0)).ring(self.tx_tail);
    }

    /// Posts, rings, steps: one frame sent.
    fn send(&mut self, frame: &[u8], flags: u64) {
        self.post_frame(frame, flags);
        self.ring_tx();
        self.host.step();
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.wire.pop()).collect()
    }

    fn write_message(&self, message: &Message) {
        self.regs.write(regs::VFMAILBOX, VFU);
        for (at, word) in (0..).zip(message.words()) {
            self.regs.write(regs::VFMBMEM.index(at), *word);
        }
        self.regs.write(regs::VFMAILBOX, REQ);
    }

    fn read_message(&self) -> Message {
        let mut words = [0; WORDS];
        for (at, word) in (0..).zip(&mut words) {
            *word = self.regs.read(regs::VFMBMEM.index(at));
        }
        Message::new(words)
    }

    /// Polls until `flags` were all seen; says what else was seen with them.
    fn poll(&self, flags: u32) -> Option<u32> {
        let mut seen = 0;
        (0..16).find_map(|_| {
            seen |= self.regs.read(regs::VFMAILBOX);
            (seen & flags == flags).then_some(seen)
        })
    }

    /// A request and its answer.
    fn ask(&self, request: Request) -> Message {
        self.write_message(&request.encode());
        self.poll(PFACK | PFSTS).expect("the PF answers");
        self.read_message()
    }

    fn rules_broken(&self) -> Vec<&'static str> {
        self.device.with(|model| model.violations().iter().map(|violation| violation.rule).collect())
    }

    /// Neither a violation nor a fault.
    fn assert_clean(&self) {
        assert_eq!(self.device.with(|model| model.violations().to_vec()), []);
        assert_eq!(self.host.faults(), []);
    }
}

/// A frame from `OTHER` to `destination` whose bytes tell its length apart.
fn frame_to(destination: MacAddr, len_bytes: usize) -> Vec<u8> {
    frame(destination, OTHER, len_bytes)
}

fn frame(destination: MacAddr, source: MacAddr, len_bytes: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..len_bytes).map(|at| at.to_le_bytes()[0] ^ len_bytes.to_le_bytes()[0]).collect();
    frame[..6].copy_from_slice(&destination.0);
    frame[6..12].copy_from_slice(&source.0);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

/// `frame` with a VLAN tag.
fn tagged(frame: &[u8], tci: u16) -> Vec<u8> {
    [&frame[..12], &[0x81, 0], &tci.to_be_bytes(), &frame[12..]].concat()
}
