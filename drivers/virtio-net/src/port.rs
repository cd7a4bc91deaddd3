//! The function as the life of a port wants it ([`Hardware`]): what is done to the device at each step of its life.

use crate::{
    VirtioNet,
    control::Control,
    rx::{self, Rx},
    stats,
    tx::{self, Tx},
};
use std::ops::RangeInclusive;
use vfwire_core::{
    bar::Bar,
    bus::PciFunction,
    dma::DmaSpace,
    error::PortError,
    gate::Pass,
    life::{Hardware, LivePort, Setback},
    path::Path,
    port::{Driver, Granted, Intent, Link, PortConfig, Rss},
    ring::Deposit,
    stats::DeviceStats,
};
use vfwire_spec::{
    net::MacAddr,
    virtio::{
        features::Features,
        net::{rx_queue, tx_queue},
        pci::status,
    },
};
use vfwire_virtq::{CommandQueue, Places, RxRing, Shape, Transport, TxRing, VirtRx, VirtTx};

/// A port on a virtio network function.
pub type VirtioNetPort<F> = LivePort<F, VirtioNetFunction<<F as PciFunction>::Bar>>;

/// Descriptors of the control queue, at most: one command is under way at a time.
const COMMAND_DESC: u16 = 16;

/// Takes a function and makes a stopped port of it.
pub(crate) fn probe<F: PciFunction>(function: F) -> Result<VirtioNetPort<F>, PortError> {
    let transport = Transport::find(&function)?;
    LivePort::probe(function, VirtioNetFunction { control: Control::new(transport), notifies: Vec::new(), was_up: false })
}

/// A virtio network function.
#[derive(Debug)]
pub struct VirtioNetFunction<B> {
    control: Control<B>,
    /// Of the queues of the current start, in the order of their indices.
    notifies: Vec<vfwire_virtq::Notify<B>>,
    was_up: bool,
}

/// What the device is told of the rings of a start.
#[derive(Debug)]
pub struct Layout {
    /// Index, size, place.
    queues: Vec<(u16, u16, Places)>,
    pairs: u16,
    /// What was negotiated when the rings were made: after a reset it must be the same.
    features: Features,
}

impl<B: Bar> VirtioNetFunction<B> {
    /// A queue of at most `desc` descriptors.
    fn shape(&self, queue: u16, desc: u16) -> Result<Shape, PortError> {
        let has = |feature| self.control.features.contains(feature);
        let is_packed = has(Features::RING_PACKED);
        let most = self.control.transport.queue_max(queue, is_packed)?;
        let size = desc.min(1 << most.ilog2());
        Ok(Shape { size, is_packed, is_in_order: has(Features::IN_ORDER) })
    }
}

impl<B: Bar> Hardware for VirtioNetFunction<B> {
    type Rx = Rx<B>;
    type Tx = Tx<B>;
    type Layout = Layout;
    type Rings = Vec<(RxRing, TxRing)>;
    const NAME: &'static str = VirtioNet::NAME;
    const RING_DESC: RangeInclusive<usize> = 32..=4096;

    fn mac(&self) -> MacAddr {
        self.control.mac()
    }

    fn max_queue_pairs(&self) -> u16 {
        self.control.max_queue_pairs()
    }

    fn max_mtu_bytes(&self) -> u16 {
        self.control.max_mtu_bytes()
    }

    fn begin(&mut self, _intent: Option<&Intent>) -> Result<Granted, Setback> {
        self.control.begin()?;
        Ok(Granted::default())
    }

    fn rings(&mut self, config: &PortConfig, space: &dyn DmaSpace, deposit: &Deposit) -> Result<(Layout, Self::Rings), PortError> {
        let frame_bytes = tx::max_frame_bytes(config.intent.mtu_bytes);
        let header = self.control.header(frame_bytes);
        rx::check_room(header, frame_bytes, config.pool.data_bytes())?;
        let (mut rings, mut queues) = (Vec::new(), Vec::new());
        for pair in 0..config.queue_pairs {
            let (rx_shape, tx_shape) = (self.shape(rx_queue(pair), config.rx_desc)?, self.shape(tx_queue(pair), config.tx_desc)?);
            let rx = RxRing::new(space, &config.pool, rx_shape, header, deposit)?;
            let tx = TxRing::new(space, &config.pool, tx_shape, header, deposit)?;
            queues.push((rx_queue(pair), rx_shape.size, rx.places()));
            queues.push((tx_queue(pair), tx_shape.size, tx.places()));
            rings.push((rx, tx));
        }
        if let Some(index) = self.control.command_queue_index() {
            let shape = self.shape(index, COMMAND_DESC)?;
            let commands = self.control.commands();
            let fits = |queue: &CommandQueue| queue.shape() == shape;
            if !commands.as_ref().is_some_and(|(queue, _)| fits(queue)) {
                *commands = Some((CommandQueue::new(space, shape)?, None));
            }
            queues.extend(commands.as_ref().map(|(queue, _)| (index, shape.size, queue.places())));
        }
        Ok((Layout { queues, pairs: config.queue_pairs, features: self.control.features }, rings))
    }

    fn enable(&mut self, layout: &Layout) -> Result<(), Setback> {
        if self.control.features != layout.features {
            let detail = "other features after a reset than before, so its rings do not fit any more: stop the port and start it anew";
            return Err(PortError::Protocol { what: "its features", detail: detail.into() }.into());
        }
        let with_data = layout.features.contains(Features::NOTIFICATION_DATA);
        let transport = &self.control.transport;
        let mut notifies = Vec::new();
        for &(index, size, places) in &layout.queues {
            transport.enable_queue(index, size, places);
            notifies.push(transport.notify(index, with_data)?);
        }
        transport.add_status(status::DRIVER_OK).map_err(PortError::from)?;
        self.control.set_pairs(layout.pairs);
        let command_notify = notifies.split_off(usize::from(layout.pairs) * 2).pop();
        if let Some((_, notify)) = self.control.commands() {
            *notify = command_notify;
        }
        self.notifies = notifies;
        Ok(())
    }

    fn settle(&mut self, intent: &Intent, _granted: Granted) -> Result<Granted, Setback> {
        self.ask(intent)
    }

    fn queues(&mut self, rings: Self::Rings, passes: Vec<(Pass, Pass)>, config: &PortConfig, path: Path) -> (Vec<Rx<B>>, Vec<Tx<B>>) {
        let mut cache = config.pool.cache();
        let (mut rx, mut tx) = (Vec::new(), Vec::new());
        for ((rings, passes), notifies) in rings.into_iter().zip(passes).zip(self.notifies.chunks_exact(2)) {
            rx.push(VirtRx::new(rings.0, notifies[0].clone(), passes.0, path, &mut cache));
            tx.push(VirtTx::new(rings.1, notifies[1].clone(), passes.1, path));
        }
        (rx, tx)
    }

    fn disable(&mut self) -> Result<(), PortError> {
        self.control.transport.reset()
    }

    fn abandon(&mut self) {
        if let Some((queue, _)) = self.control.commands() {
            queue.abandon();
        }
    }

    fn listen(&mut self) -> Result<(), Setback> {
        let bits = self.control.transport.status()?;
        if bits & status::NEEDS_RESET != 0 {
            return Err(Setback::BeginAgain("the device says that it needs a reset (NEEDS_RESET)"));
        }
        if bits & status::DRIVER_OK == 0 {
            return Err(Setback::BeginAgain("the function was reset by somebody else: its status is not DRIVER_OK"));
        }
        if self.control.link()?.1 {
            self.control.acknowledge_announcement()?;
        }
        Ok(())
    }

    fn ask(&mut self, intent: &Intent) -> Result<Granted, Setback> {
        match self.control.ask(intent) {
            Ok(granted) => Ok(granted),
            Err(error) => {
                // A device that was reset meanwhile answers nothing.
                self.listen()?;
                Err(error.into())
            }
        }
    }

    fn link(&mut self) -> Result<Link, PortError> {
        let link = self.control.link()?.0;
        let was_up = std::mem::replace(&mut self.was_up, link.up);
        if link.up && !was_up {
            // With the link down a device may have stopped to listen for good: QEMU's does with packed rings, drops what there is to send,
            // and says that it needs a reset when it is told of more (seen with 10.0.2).
            self.notifies.iter().for_each(vfwire_virtq::Notify::remind);
        }
        Ok(link)
    }

    fn rss(&mut self) -> Result<Rss, Setback> {
        Ok(self.control.rss()?)
    }

    fn device_stats(&self) -> DeviceStats {
        stats::of_device()
    }
}
