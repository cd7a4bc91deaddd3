//! Transmit: from the descriptors' buffers, through offloads and anti-spoofing, to the wire ("Intel 82576EB Gigabit Ethernet Controller
//! Datasheet", rev. 2.63, 7.2).

use super::{
    IgbvfModel, IgbvfOptions, STEP_BUDGET, offload,
    queue::{Ring, Stop},
    registers::RingPart,
    rx::tag,
};
use crate::{fault::DmaFault, model::HostMemory, models::Violations, wire::Wire};
use vfwire_spec::{
    igbvf::MAX_FRAME_BYTES,
    intel::adv::{
        Desc,
        tx::{self, Context},
    },
    net::{ETH_FCS_BYTES, ETH_MIN_FRAME_BYTES, MAC_BYTES, VLAN_TAG_BYTES},
};

/// Contexts that a queue holds (7.2, Advanced Transmit Context Descriptor, IDX).
const CONTEXTS: usize = 2;
/// The shortest frame that software may send; the device pads it to 60 (register TCTL, PSP).
const MIN_FRAME_BYTES: usize = 17;
/// Room for the longest frame, and for a VLAN tag in front of it.
const STAGE_BYTES: usize = VLAN_TAG_BYTES + MAX_FRAME_BYTES as usize;
/// Word 1 of a data descriptor: the bits that mean something.
const DATA_BITS: u64 = 0xffff
    | tx::TYPE_MASK
    | tx::EOP
    | tx::IFCS
    | tx::RS
    | tx::DEXT
    | tx::VLE
    | tx::TSE
    | 0x7 << tx::INDEX_SHIFT
    | 1 << 39
    | tx::IXSM
    | tx::TXSM
    | u64::MAX << tx::PAYLEN_SHIFT;

/// A TX queue.
#[derive(Debug)]
pub(super) struct TxQueue {
    pub(super) ring: Ring,
    contexts: [Option<Context>; CONTEXTS],
    /// The frame so far begins at [`VLAN_TAG_BYTES`], so that a tag can be inserted without moving it all.
    stage: Box<[u8]>,
    staged_bytes: usize,
    /// Word 1 of the frame's first descriptor.
    first: Option<u64>,
}

impl Default for TxQueue {
    fn default() -> Self {
        let stage = vec![0; STAGE_BYTES].into();
        Self { ring: Ring::default(), contexts: [None; CONTEXTS], stage, staged_bytes: 0, first: None }
    }
}

/// What a descriptor led to.
enum Taken {
    /// There was none.
    Nothing,
    /// More of the frame, or a context.
    Part,
    /// The last part of a frame.
    Frame,
}

impl TxQueue {
    pub(super) fn stop(&mut self) {
        self.ring.stop();
        self.forget();
    }

    pub(super) fn wipe(&mut self) {
        self.ring.wipe();
        self.forget();
    }

    pub(super) fn read(&mut self, part: RingPart) -> u32 {
        self.ring.read(part)
    }

    pub(super) fn write(&mut self, part: RingPart, value: u32, options: &IgbvfOptions, violations: &mut Violations) {
        self.ring.write(part, value, options, violations);
        if self.ring.is_off() {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.contexts = [None; CONTEXTS];
        self.staged_bytes = 0;
        self.first = None;
    }

    /// Takes the descriptor at the head.
    fn take(&mut self, memory: &dyn HostMemory) -> Result<Taken, Stop> {
        let Some(descriptor) = self.ring.fetch(memory)? else { return Ok(Taken::Nothing) };
        let word1 = descriptor[1];
        Stop::unless(word1 & tx::DEXT != 0, "transmit descriptors are advanced", || format!("{word1:#x}"))?;
        let taken = match word1 & tx::TYPE_MASK {
            tx::TYPE_CONTEXT => {
                self.set_context(descriptor)?;
                Taken::Part
            }
            tx::TYPE_DATA => {
                self.stage(descriptor, memory)?;
                if word1 & tx::EOP != 0 { Taken::Frame } else { Taken::Part }
            }
            _ => return Err(Stop::Rule("a transmit descriptor is of type data or context", format!("{word1:#x}"))),
        };
        if word1 & tx::RS != 0 {
            memory.write_back(self.ring.head_iova(), [0, tx::DD])?;
        }
        self.ring.advance();
        Ok(taken)
    }

    fn set_context(&mut self, descriptor: Desc) -> Result<(), Stop> {
        let context = Context::decode(descriptor);
        let detail = || format!("{:#x} {:#x}", descriptor[0], descriptor[1]);
        Stop::unless(self.first.is_none(), "a context descriptor stands between frames", detail)?;
        let reserved = Some(descriptor) != context.encode();
        Stop::unless(!reserved, "reserved bits of a context descriptor are 0", detail)?;
        Stop::unless(context.maclen_bytes >= 14, "MACLEN of a context is at least 14", detail)?;
        let slot = self.contexts.get_mut(usize::from(context.index));
        *slot.ok_or_else(|| Stop::Rule("a queue has two contexts", detail()))? = Some(context);
        Ok(())
    }

    /// Reads a data descriptor's buffer behind the frame so far.
    fn stage(&mut self, [buffer, word1]: Desc, memory: &dyn HostMemory) -> Result<(), Stop> {
        let detail = || format!("{buffer:#x} {word1:#x}");
        Stop::unless(word1 & !DATA_BITS == 0, "reserved bits of a data descriptor are 0", detail)?;
        Stop::unless(buffer != 0, "a data descriptor has a buffer", detail)?;
        Stop::unless(word1 & tx::RS == 0 || word1 & tx::EOP != 0, "RS is set on the last descriptor of a frame only", detail)?;
        Stop::unless(word1 & tx::TSE == 0, "segmentation is not modelled", detail)?;
        let len_bytes = usize::from(tx::length_bytes(word1));
        Stop::unless(len_bytes != 0, "a data descriptor has bytes", detail)?;
        let start = VLAN_TAG_BYTES + self.staged_bytes;
        let into = self.stage.get_mut(start..start + len_bytes);
        memory.read(buffer, into.ok_or_else(|| Stop::Rule("a frame has at most 16383 bytes", detail()))?)?;
        self.staged_bytes += len_bytes;
        self.first.get_or_insert(word1);
        Ok(())
    }

    /// The staged frame as it leaves: checksums and tag inserted, padded.
    fn finish(&mut self) -> Result<&mut [u8], Stop> {
        let first = self.first.take().unwrap_or(0);
        let len_bytes = std::mem::take(&mut self.staged_bytes);
        let detail = || format!("{len_bytes} bytes, first descriptor {first:#x}");
        Stop::unless(len_bytes >= MIN_FRAME_BYTES, "a frame has at least 17 bytes", detail)?;
        Stop::unless(tx::payload_bytes(first) as usize == len_bytes, "PAYLEN is the length of the frame", detail)?;
        Stop::unless(first & tx::IFCS != 0, "IFCS is set, or the frame leaves without its FCS", detail)?;
        let mut start = VLAN_TAG_BYTES;
        if first & (tx::IXSM | tx::TXSM | tx::VLE) != 0 {
            let context = self.contexts.get(usize::from(tx::index(first))).copied().flatten();
            let context = context.ok_or_else(|| Stop::Rule("a frame with offloads refers to a context that was set", detail()))?;
            offload::insert_checksums(&mut self.stage[start..start + len_bytes], first, &context)?;
            if first & tx::VLE != 0 {
                start = 0;
                self.stage.copy_within(VLAN_TAG_BYTES..VLAN_TAG_BYTES + 2 * MAC_BYTES, 0);
                self.stage[2 * MAC_BYTES..2 * MAC_BYTES + VLAN_TAG_BYTES].copy_from_slice(&offload::tag_bytes(&context));
            }
        }
        let end = VLAN_TAG_BYTES + len_bytes;
        let padded_end = end.max(start + ETH_MIN_FRAME_BYTES);
        self.stage[end..padded_end].fill(0);
        Ok(&mut self.stage[start..padded_end])
    }
}

impl IgbvfModel {
    /// Sends what was posted. Says whether there was anything.
    pub(super) fn transmit(&mut self, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, DmaFault> {
        if !self.is_passing() {
            return Ok(false);
        }
        let mut moved = false;
        for queue in 0..self.tx.len() {
            for _ in 0..STEP_BUDGET {
                if !self.tx[queue].ring.is_running() {
                    break;
                }
                match self.transmit_one(queue, memory, wire) {
                    Ok(true) => moved = true,
                    Ok(false) => break,
                    Err(stop) => {
                        self.tx[queue].ring.halt();
                        self.report(stop)?;
                    }
                }
            }
        }
        Ok(moved)
    }

    /// One descriptor, and the frame that it completes.
    fn transmit_one(&mut self, queue: usize, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, Stop> {
        let queue = &mut self.tx[queue];
        match queue.take(memory)? {
            Taken::Nothing => return Ok(false),
            Taken::Part => return Ok(true),
            Taken::Frame => {}
        }
        let frame = queue.finish()?;
        Stop::unless(frame.len() + ETH_FCS_BYTES <= usize::from(MAX_FRAME_BYTES), "a frame has at most 16383 bytes", || {
            format!("{} with its FCS", frame.len() + ETH_FCS_BYTES)
        })?;
        if self.pf.filters.may_send(frame, tag(frame)) {
            self.counters.count_sent(frame);
            wire.send(frame);
        } else {
            self.counters.of.spoofed_frames += 1;
        }
        Ok(true)
    }
}
