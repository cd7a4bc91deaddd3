//! The model from the outside: capabilities, registers through a BAR, rings in DMA memory, set up by hand.

mod commands;
mod frames;
mod hand;
mod hostile;
mod rules;
mod setup;

use super::{Hostile, VirtioNetModel, VirtioNetOptions};
use crate::{SimBar, SimDevice, SimFunction, SimHost, TestWire, memory::raw};
use hand::Hand;
use vfwire_core::{
    bar::Regs,
    bus::{BarIndex, PciFunction},
    dma::DmaRegion,
};
use vfwire_spec::{
    net::MacAddr,
    reg::{MmioWord, Readable, Reg, Writable},
    virtio::{
        control::Command,
        features::Features,
        net::{self, Header},
        pci::{common, status},
    },
};

const MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x11]);
const OTHER: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x22]);
const SIZE: u16 = 32;
const BUFFER_BYTES: usize = 2048;
/// The structures of the default layout.
const ISR_AT: u32 = 0x1000;
const DEVICE_AT: u32 = 0x2000;
const NOTIFY_AT: u32 = 0x3000;

/// A host with one function, and what a driver of it would hold.
struct Rig {
    host: SimHost,
    device: SimDevice<VirtioNetModel>,
    wire: TestWire,
    bar: Regs<SimBar>,
    function: SimFunction,
    features: Features,
    queues: Vec<Hand>,
    /// A buffer for each descriptor of each queue.
    buffers: DmaRegion,
}

impl Rig {
    fn new(options: VirtioNetOptions) -> Self {
        let host = SimHost::new();
        let wire = TestWire::new();
        let device = host.add("sim:virtio-net", VirtioNetModel::new(options), wire.clone());
        let function = device.open().expect("closed");
        let bar = Regs::new(function.map_bar(BarIndex::new(4).expect("a BAR")).expect("a BAR"));
        let buffers = function.dma().alloc(16 * usize::from(SIZE) * BUFFER_BYTES, 64).expect("memory");
        Self { host, device, wire, bar, function, features: Features::NONE, queues: Vec::new(), buffers }
    }

    /// With a known address.
    fn options() -> VirtioNetOptions {
        VirtioNetOptions { mac: Some(MAC), ..VirtioNetOptions::default() }
    }

    fn packed() -> VirtioNetOptions {
        VirtioNetOptions { packed: true, ..Self::options() }
    }

    /// Everything that is offered is accepted, all queues are on, every RX descriptor is posted, only frames for the device arrive.
    fn up(options: VirtioNetOptions) -> Self {
        let mut rig = Self::new(options);
        rig.negotiate(Features(u64::MAX));
        rig.set_up_queues();
        rig.write_status(status::DRIVER_OK);
        rig.post_receive_buffers();
        if rig.features.contains(Features::CTRL_RX) {
            assert!(rig.command(Command::Rx(vfwire_spec::virtio::control::rx::PROMISC, false)));
        }
        rig
    }

    fn read<V: MmioWord, A: Readable>(&self, register: Reg<V, A>) -> V {
        self.bar.read(register)
    }

    fn write<V: MmioWord, A: Writable>(&self, register: Reg<V, A>, value: V) {
        self.bar.write(register, value);
    }

    /// A field of the device's configuration.
    fn config<V: MmioWord, A: Readable>(&self, register: Reg<V, A>) -> V {
        self.bar.window(DEVICE_AT, 0x1000).expect("inside").read(register)
    }

    /// Adds a bit to the status; says what it is then.
    fn write_status(&self, bit: u8) -> u8 {
        let now = self.read(common::DEVICE_STATUS);
        self.write(common::DEVICE_STATUS, now | bit);
        self.read(common::DEVICE_STATUS)
    }

    fn reset(&self) {
        self.write(common::DEVICE_STATUS, 0);
        assert!((0..8).any(|_| self.read(common::DEVICE_STATUS) == 0));
    }

    fn offered(&self) -> Features {
        Features::from_words([0, 1].map(|word| {
            self.write(common::DEVICE_FEATURE_SELECT, word);
            self.read(common::DEVICE_FEATURE)
        }))
    }

    /// Accepts what of `wanted` is offered; says whether the device agrees.
    fn negotiate(&mut self, wanted: Features) -> bool {
        self.write_status(status::ACKNOWLEDGE);
        self.write_status(status::DRIVER);
        self.features = self.offered() & wanted;
        self.accept(self.features);
        self.write_status(status::FEATURES_OK) & status::FEATURES_OK != 0
    }

    fn accept(&self, features: Features) {
        for (word, value) in (0..).zip(features.to_words()) {
            self.write(common::DRIVER_FEATURE_SELECT, word);
            self.write(common::DRIVER_FEATURE, value);
        }
    }

    fn queue_count(&self) -> u16 {
        let several = self.features.0 & (Features::MQ | Features::RSS).0 != 0;
        let pairs = if several { self.config(net::config::MAX_VIRTQUEUE_PAIRS) } else { 1 };
        2 * pairs + u16::from(self.features.contains(Features::CTRL_VQ))
    }

    fn set_up_queues(&mut self) {
        self.queues = (0..self.queue_count()).map(|number| self.set_up_queue(number)).collect();
    }

    fn set_up_queue(&self, number: u16) -> Hand {
        let hand = Hand::new(number, SIZE, self.features, &*self.function.dma());
        self.write(common::QUEUE_SELECT, number);
        self.write(common::QUEUE_SIZE, SIZE);
        for (address, [low, high]) in hand.addresses().into_iter().zip([
            [common::QUEUE_DESC_LO, common::QUEUE_DESC_HI],
            [common::QUEUE_DRIVER_LO, common::QUEUE_DRIVER_HI],
            [common::QUEUE_DEVICE_LO, common::QUEUE_DEVICE_HI],
        ]) {
            let [a, b] = Features(address).to_words();
            self.write(low, a);
            self.write(high, b);
        }
        self.write(common::QUEUE_ENABLE, 1);
        hand
    }

    fn buffer_at(&self, queue: u16, index: u16) -> usize {
        (usize::from(queue) * usize::from(SIZE) + usize::from(index)) * BUFFER_BYTES
    }

    fn buffer_iova(&self, queue: u16, index: u16) -> u64 {
        self.buffers.iova().0 + self.buffer_at(queue, index) as u64
    }

    fn post_receive_buffers(&mut self) {
        let count = self.queues.len();
        for queue in (0..count).step_by(2).filter(|queue| *queue + 1 < count) {
            let number = u16::try_from(queue).expect("few");
            for index in 0..SIZE {
                let part = (self.buffer_iova(number, index), 2048, true);
                self.queues[queue].post(&[part]);
            }
            self.notify(number);
        }
    }

    fn notify(&self, queue: u16) {
        self.write(common::QUEUE_SELECT, queue);
        let at = NOTIFY_AT + 4 * u32::from(self.read(common::QUEUE_NOTIFY_OFF));
        if self.features.contains(Features::NOTIFICATION_DATA) {
            self.write(Reg::<u32, vfwire_spec::reg::Wo>::at(at), net::notification(queue, self.queues[usize::from(queue)].position()));
        } else {
            self.write(Reg::<u16, vfwire_spec::reg::Wo>::at(at), queue);
        }
    }

    /// Sends a command; whether it was done.
    fn command(&mut self, command: Command<'_>) -> bool {
        let mut bytes = [0; 1024];
        let len = command.encode(&mut bytes).expect("it fits");
        self.raw_command(&bytes[..len])
    }

    fn raw_command(&mut self, bytes: &[u8]) -> bool {
        let number = self.queue_count() - 1;
        let (out, ack) = (self.buffer_at(number, 0), self.buffer_at(number, 1));
        raw::write(&self.buffers, out, bytes);
        raw::write(&self.buffers, ack, &[0xee]);
        let parts =
            [(self.buffer_iova(number, 0), u32::try_from(bytes.len()).expect("short"), false), (self.buffer_iova(number, 1), 1, true)];
        let queue = &mut self.queues[usize::from(number)];
        let id = queue.post(&parts);
        self.notify(number);
        assert_eq!(self.queues[usize::from(number)].used(), Some((u32::from(id), 1)), "answered");
        match raw::read(&self.buffers, ack, 1)[0] {
            0 => true,
            1 => false,
            other => panic!("{other:#x} is no acknowledgement"),
        }
    }

    /// Puts a frame behind a header into the buffer of a TX queue and makes it available.
    fn post_frame(&mut self, pair: u16, header: Header, frame: &[u8]) -> u16 {
        let queue = net::tx_queue(pair);
        let index = self.queues[usize::from(queue)].next_buffer();
        let header_bytes = self.header_bytes();
        let mut bytes = header.encode().to_vec();
        bytes.resize(header_bytes, 0);
        bytes.extend_from_slice(frame);
        // Long runs take the buffers that follow: tests post few of them.
        raw::write(&self.buffers, self.buffer_at(queue, index), &bytes);
        let part = (self.buffer_iova(queue, index), u32::try_from(bytes.len()).expect("a frame"), false);
        self.queues[usize::from(queue)].post(&[part])
    }

    /// Posts, notifies, steps.
    fn send(&mut self, header: Header, frame: &[u8]) {
        self.post_frame(0, header, frame);
        self.notify(1);
        self.host.step();
    }

    fn header_bytes(&self) -> usize {
        if self.features.contains(Features::HASH_REPORT) { net::HEADER_HASH_BYTES } else { net::HEADER_BYTES }
    }

    /// The next frame of a receive queue: its header's bytes, and itself. Its buffers are not posted again.
    fn received(&mut self, pair: u16) -> Option<(Vec<u8>, Vec<u8>)> {
        let queue = net::rx_queue(pair);
        let take = |rig: &mut Self| {
            let (id, len_bytes) = rig.queues[usize::from(queue)].used()?;
            let index = rig.queues[usize::from(queue)].buffer_of(id);
            Some(raw::read(&rig.buffers, rig.buffer_at(queue, index), len_bytes as usize))
        };
        let mut bytes = take(self)?;
        let header = Header::decode(*bytes.first_chunk().expect("a header"));
        for _ in 1..header.num_buffers {
            bytes.extend(take(self).expect("as many as num_buffers says"));
        }
        let frame = bytes.split_off(self.header_bytes());
        Some((bytes, frame))
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.wire.pop()).collect()
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

/// A frame whose bytes tell its length apart.
fn frame(destination: MacAddr, source: MacAddr, len_bytes: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..len_bytes).map(|at| at.to_le_bytes()[0] ^ len_bytes.to_le_bytes()[0]).collect();
    frame[..6].copy_from_slice(&destination.0);
    frame[6..12].copy_from_slice(&source.0);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

/// Both layouts of a queue.
fn both() -> [VirtioNetOptions; 2] {
    [Rig::options(), Rig::packed()]
}
