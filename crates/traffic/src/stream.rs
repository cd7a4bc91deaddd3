//! A stream: its flows and sizes as templates, so that building a frame is a copy and a few words.

use crate::{
    error::TrafficError,
    flow::{Flow, FlowConfig, Protocol},
    layout::Layout,
    mark::{MARK_BYTES, Mark, SUMMED_BYTES},
    size::{Sizes, host_bytes},
    sum::Sum,
};

/// Templates of a stream: flows times different sizes.
const TEMPLATES_MAX: usize = 1 << 18;

/// What a stream sends.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Its flows: frames go to them in turn.
    pub flows: FlowConfig,
    /// Its sizes, FCS counted: flow `f` takes number `n + f` of the pattern for its `n`-th frame, so that sizes mix among flows.
    pub sizes: Sizes,
    /// Longest payload of a frame in bytes that the port takes: what comes after the Ethernet header and a VLAN tag.
    pub mtu_bytes: u16,
    /// Put the checksum of UDP or TCP and the CRC of the payload into every frame. Off, only UDP over IPv4 can be sent, with the checksum
    /// that means "none" (RFC 768), and damage is seen by the length alone.
    pub checksums: bool,
}

impl StreamConfig {
    /// Frames of one flow and one size, on an ordinary MTU, with checksums.
    pub fn new(flows: FlowConfig, sizes: Sizes) -> Self {
        Self { flows, sizes, mtu_bytes: 1500, checksums: true }
    }
}

/// A prepared stream.
#[derive(Clone, Debug)]
pub struct Stream {
    flows: Vec<Flow>,
    sizes: Sizes,
    checksums: bool,
    udp: bool,
    /// For each place of the pattern: which of `shapes` it is.
    pattern: Vec<u32>,
    shapes: Vec<Shape>,
    /// Headers of flow after flow, for each of them of shape after shape; all of the same length.
    headers: Vec<u8>,
    header_bytes: usize,
    /// The sum over pseudo header, UDP or TCP header and fill, in the order of `headers`.
    sums: Vec<Sum>,
    /// What the payload holds before the mark: the beginning of this.
    fill: Vec<u8>,
}

/// What frames of one size have in common.
#[derive(Clone, Copy, Debug)]
struct Shape {
    fill_bytes: usize,
    /// CRC of the fill.
    crc: u32,
}

/// Where a frame stands in its stream. Frame `n` is the next of flow `n` modulo their number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cursor {
    pub(crate) flow: u32,
    /// Frames of each flow before this one.
    pub(crate) sequence: u64,
    /// The place in the pattern of sizes of flow 0.
    phase: u32,
}

impl Stream {
    /// Prepares the templates.
    ///
    /// # Errors
    /// Flows that cannot be ([`FlowConfig::flows`]); a size too short for headers and mark, or beyond the MTU; too many templates; checksums
    /// off where they must not be.
    pub fn new(config: &StreamConfig) -> Result<Self, TrafficError> {
        let flows = config.flows.flows()?;
        let layout = Layout::of(&flows[0]);
        if !config.checksums && (layout.six || config.flows.protocol == Protocol::Tcp) {
            let remedy = "leave checksums on, or send UDP over IPv4";
            return Err(TrafficError::new("a stream without checksums", "TCP and IPv6 demand them (RFC 9293, RFC 8200)", remedy));
        }
        let mut distinct = config.sizes.pattern().to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        distinct.iter().try_for_each(|&size| layout.check(size, config.mtu_bytes))?;
        if flows.len() * distinct.len() > TEMPLATES_MAX {
            return Err(TrafficError::new(
                format!("{} flows in {} sizes", flows.len(), distinct.len()),
                format!("more than {TEMPLATES_MAX} templates"),
                "give fewer flows or sizes",
            ));
        }
        // No byte of it is like the next, so that a frame that was shifted is seen.
        let fill: Vec<u8> = (0..host_bytes(config.sizes.longest())).map(|at| at.to_le_bytes()[0]).collect();
        let shape = |&size: &u16| {
            let fill_bytes = host_bytes(size) - layout.header_bytes() - MARK_BYTES;
            Shape { fill_bytes, crc: crc32fast::hash(&fill[..fill_bytes]) }
        };
        let shapes: Vec<_> = distinct.iter().map(shape).collect();
        let place = |size: &u16| distinct.iter().position(|other| other == size).and_then(|at| u32::try_from(at).ok()).unwrap_or(0);
        let mut stream = Self {
            pattern: config.sizes.pattern().iter().map(place).collect(),
            sizes: config.sizes.clone(),
            checksums: config.checksums,
            udp: config.flows.protocol == Protocol::Udp,
            headers: Vec::with_capacity(flows.len() * shapes.len() * layout.header_bytes()),
            header_bytes: layout.header_bytes(),
            sums: Vec::with_capacity(flows.len() * shapes.len()),
            flows,
            shapes,
            fill,
        };
        stream.prepare(layout);
        Ok(stream)
    }

    fn prepare(&mut self, layout: Layout) {
        for flow in &self.flows {
            for shape in &self.shapes {
                let (header, sum) = layout.header(flow, &self.fill[..shape.fill_bytes]);
                self.headers.extend(header);
                self.sums.push(sum);
            }
        }
    }

    /// Its frames one after the other, outside of a tester.
    pub fn frames(&self) -> Frames<'_> {
        Frames { stream: self, cursor: Cursor::default() }
    }

    /// Its flows, in the order in which frames are sent.
    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// Its sizes, FCS counted.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Bytes of its longest frame in a buffer, without FCS.
    pub fn longest_host_bytes(&self) -> usize {
        host_bytes(self.sizes.longest())
    }

    #[inline(always)]
    fn shape_at(&self, phase: u64) -> usize {
        // Patterns are short; one of a single place needs no division.
        let len = self.pattern.len() as u64;
        let at = if len == 1 { 0 } else { usize::try_from(phase % len).unwrap_or(0) };
        self.pattern[at] as usize
    }

    #[inline(always)]
    fn shape_of(&self, flow: u32, sequence: u64) -> usize {
        self.shape_at(sequence + u64::from(flow))
    }

    /// Bytes in a buffer of the frame at `cursor`.
    #[inline(always)]
    pub(crate) fn host_bytes_at(&self, cursor: Cursor) -> usize {
        let Shape { fill_bytes, .. } = self.shapes[self.shape_of(cursor.flow, cursor.sequence)];
        self.header_bytes + fill_bytes + MARK_BYTES
    }

    /// Its place in the pattern of sizes, for which it takes that much time on the line.
    #[inline(always)]
    pub(crate) fn pattern_place(&self, cursor: Cursor) -> usize {
        let len = self.pattern.len();
        if len == 1 { 0 } else { (cursor.phase as usize + cursor.flow as usize % len) % len }
    }

    /// Goes on to the next frame.
    #[inline(always)]
    pub(crate) fn go_on(&self, cursor: &mut Cursor) {
        cursor.flow += 1;
        if cursor.flow as usize == self.flows.len() {
            cursor.flow = 0;
            cursor.sequence += 1;
            cursor.phase += 1;
            if cursor.phase as usize == self.pattern.len() {
                cursor.phase = 0;
            }
        }
    }

    /// Writes the frame at `cursor`, of just the length that it has.
    #[inline(always)]
    pub(crate) fn write(&self, cursor: Cursor, (trial, direction, time_ns): (u8, u8, u32), frame: &mut [u8]) {
        let which = self.shape_of(cursor.flow, cursor.sequence);
        let Shape { fill_bytes, crc, .. } = self.shapes[which];
        let template = cursor.flow as usize * self.shapes.len() + which;
        let header_at = template * self.header_bytes;
        let (header, payload) = frame.split_at_mut(self.header_bytes);
        header.copy_from_slice(&self.headers[header_at..header_at + self.header_bytes]);
        let (fill, mark_place) = payload.split_at_mut(fill_bytes);
        fill.copy_from_slice(&self.fill[..fill_bytes]);
        let summed = Mark { trial, direction, flow: cursor.flow, sequence: low_32(cursor.sequence), time_ns }.encode();
        let mut mark = [0; MARK_BYTES];
        mark[..SUMMED_BYTES].copy_from_slice(&summed);
        if self.checksums {
            let mut hasher = crc32fast::Hasher::new_with_initial(crc);
            hasher.update(&summed);
            mark[SUMMED_BYTES..].copy_from_slice(&hasher.finalize().to_be_bytes());
            let of_mark = Sum::of(&mark);
            let sum = self.sums[template].and(if fill_bytes % 2 == 0 { of_mark } else { of_mark.swapped() });
            let (place, checksum) =
                if self.udp { (self.header_bytes - 2, sum.udp_checksum()) } else { (self.header_bytes - 4, sum.checksum()) };
            header[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
        }
        mark_place.copy_from_slice(&mark);
    }

    /// Whether a payload with this mark is as it was sent.
    #[inline(always)]
    pub(crate) fn is_whole(&self, flow: u32, sequence: u64, payload: &[u8], crc: u32) -> bool {
        let shape = &self.shapes[self.shape_of(flow, sequence)];
        let (len, summed) = (payload.len(), payload.len().saturating_sub(MARK_BYTES - SUMMED_BYTES));
        len == shape.fill_bytes + MARK_BYTES && (!self.checksums || crc32fast::hash(&payload[..summed]) == crc)
    }
}

/// Builds the frames of a stream in their order.
#[derive(Debug)]
pub struct Frames<'a> {
    stream: &'a Stream,
    cursor: Cursor,
}

impl Frames<'_> {
    /// Builds the next frame at the beginning of `place`, without FCS, as one that leaves at `time_ns`. Its length in bytes; nothing, and
    /// nothing is built, where it does not fit.
    #[inline(always)]
    pub fn build(&mut self, time_ns: u32, place: &mut [u8]) -> Option<usize> {
        let bytes = self.stream.host_bytes_at(self.cursor);
        self.stream.write(self.cursor, (0, 0, time_ns), place.get_mut(..bytes)?);
        self.stream.go_on(&mut self.cursor);
        Some(bytes)
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
pub(crate) fn low_32(value: u64) -> u32 {
    value as u32
}
