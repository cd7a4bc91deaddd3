//! What split and packed rings have in common: the shape of a virtqueue, where the device finds it, and what a queue does with it.

use crate::{ids::Ids, packed::Packed, split::Split};
use vfwire_core::{
    dma::{DmaSpace, Iova},
    error::{DmaError, PortError},
    pool::Pool,
    ring::{
        Deposit,
        table::{BufTable, Words},
    },
};

/// Smallest and greatest number of descriptors of a queue. The specification allows 32,768 (2.7, 2.8); more than this only costs cache.
pub const SIZES: std::ops::RangeInclusive<u16> = 2..=4096;
/// Most descriptors of one frame: as many segments as the longest frame has, and its header.
pub(crate) const PARTS_MAX: usize = 17;

/// The shape of a virtqueue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Descriptors: a power of two within [`SIZES`].
    pub size: u16,
    /// VIRTIO_F_RING_PACKED was negotiated.
    pub is_packed: bool,
    /// VIRTIO_F_IN_ORDER was negotiated.
    pub is_in_order: bool,
}

impl Shape {
    pub(crate) fn check(self) -> Result<Self, PortError> {
        if !self.size.is_power_of_two() || !SIZES.contains(&self.size) {
            let allowed = format!("a power of two from {} to {}", SIZES.start(), SIZES.end());
            return Err(PortError::setting("the size of a virtqueue", self.size, allowed));
        }
        Ok(self)
    }
}

/// Where a device finds a queue (virtio 1.2, 4.1.4.3: queue_desc, queue_driver, queue_device).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Places {
    /// The descriptors.
    pub desc: Iova,
    /// What the driver writes: available ring, or event suppression of the driver.
    pub driver: Iova,
    /// What the device writes: used ring, or event suppression of the device.
    pub device: Iova,
}

/// One segment: its address and its length in bytes.
pub(crate) type Part = (u64, u32);

/// The words of a ring, behind which nobody knows whether it is split or packed.
pub(crate) trait Virtqueue: Send + Sized {
    /// How far the device is says how many frames it has used, whichever it names (a split ring's index).
    const COUNTS_ALL: bool;

    /// A ring's words, held by value.
    type Run<'a>: Words + Copy
    where
        Self: 'a;

    /// Bytes that the ring takes, and their alignment.
    fn bytes(shape: Shape) -> (usize, usize);

    /// A ring in memory whose words `cells` gives.
    fn new(shape: Shape, memory: &Memory<'_>) -> Result<Self, DmaError>;

    fn places(&self) -> Places;

    /// Everything as the device expects it of a queue that it is told of.
    fn reset(&mut self);

    /// Sees how far the device is. What [`used`](Self::used) gives is what was to be seen then. True where the device says, since the last
    /// look, what cannot be.
    fn look(&mut self) -> bool;

    /// The `ahead`-th buffer that the device has used and that was not advanced over: its id and the bytes written.
    fn used(&self, ahead: u16) -> Option<(u32, u32)>;

    /// Goes past a used buffer that took `descs` descriptors.
    fn advance(&mut self, descs: u16);

    /// Makes one buffer available; to be published. The caller has seen that there is a vacant descriptor.
    fn offer(&mut self, id: u16, part: Part, is_written: bool);

    /// Makes a frame of several parts available under the first of `ids`, as many as there are parts where the ring is split; to be published.
    fn offer_chain(&mut self, ids: &[u16], parts: &[Part], written_from: usize);

    /// Ids that a frame of `parts` parts takes.
    fn ids_of(parts: usize) -> usize;

    /// The device may see what was offered.
    fn publish(&mut self);

    /// Whether the device wants to be told. Everything is published.
    fn wants_notice(&self) -> bool;

    /// The words, for a run of receive whose buffers are of `len_bytes`, or of transmit.
    fn run(&self, len_bytes: u32) -> Self::Run<'_>;

    /// A run went past so many used buffers and made so many available.
    fn ran(&mut self, used: usize, offered: usize);

    /// What is told with VIRTIO_F_NOTIFICATION_DATA (4.1.5.2): where the next buffer will be.
    fn next_offset(&self) -> u16;
}

/// The memory of a ring: a part of its table's, or a region of its own.
pub(crate) enum Memory<'a> {
    Table(&'a BufTable),
    Region(&'a std::sync::Arc<vfwire_core::dma::DmaRegion>),
}

impl Memory<'_> {
    pub(crate) fn cells<T: vfwire_core::cells::Cell>(
        &self,
        offset_bytes: usize,
        count: usize,
    ) -> Result<vfwire_core::cells::DmaCells<T>, DmaError> {
        match self {
            Self::Table(table) => table.cells(offset_bytes, count),
            Self::Region(region) => vfwire_core::cells::DmaCells::new(region, offset_bytes, count),
        }
    }
}

/// A ring, its buffers and its free ids.
#[derive(Debug)]
pub(crate) struct Base<Q> {
    pub(crate) ring: Q,
    pub(crate) table: BufTable,
    pub(crate) ids: Ids,
    pub(crate) shape: Shape,
}

impl<Q: Virtqueue> Base<Q> {
    /// With `extra_bytes` behind the ring, aligned to 64 bytes; says where they begin.
    pub(crate) fn new(
        space: &dyn DmaSpace,
        pool: &Pool,
        shape: Shape,
        extra_bytes: usize,
        deposit: &Deposit,
    ) -> Result<(Self, usize), PortError> {
        let (bytes, align) = Q::bytes(shape.check()?);
        let extra_at = bytes.next_multiple_of(64);
        let table = BufTable::new(space, pool, shape.size, (extra_at + extra_bytes, align.max(64)), deposit)?;
        let mut ring = Q::new(shape, &Memory::Table(&table))?;
        ring.reset();
        Ok((Self { ring, table, ids: Ids::new(shape.size), shape }, extra_at))
    }

    /// The device has forgotten the ring: everything begins anew. How many buffers came home.
    pub(crate) fn reset(&mut self, cache: &mut vfwire_core::pool::BufCache) -> usize {
        self.ring.reset();
        self.ids.reset();
        self.table.reset(cache)
    }
}

/// One of both kinds.
#[derive(Debug)]
pub(crate) enum Either<S, P> {
    Split(S),
    Packed(P),
}

/// Runs the same expression on whichever it is.
macro_rules! both {
    ($either:expr, $it:pat => $does:expr) => {
        match $either {
            $crate::ring::Either::Split($it) => $does,
            $crate::ring::Either::Packed($it) => $does,
        }
    };
}
pub(crate) use both;

pub(crate) type AnyBase = Either<Base<Split>, Base<Packed>>;
