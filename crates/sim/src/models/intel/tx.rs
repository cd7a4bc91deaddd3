//! Transmit: from the descriptors' buffers, through offloads, to frames ("Intel 82576EB Gigabit Ethernet Controller Datasheet", rev.
//! 2.63, and "Intel 82599 10 GbE Controller Datasheet", rev. 3.4: 7.2 of both).

use super::{
    Rules, offload,
    ring::{Ring, RingPart, Stop},
    segments,
};
use crate::{model::HostMemory, models::Violations};
use vfwire_spec::{
    intel::adv::{
        Desc,
        tx::{self, Context},
    },
    ixgbevf::desc::TX_CC,
    net::{ETH_FCS_BYTES, ETH_MIN_FRAME_BYTES, MAC_BYTES, VLAN_TAG_BYTES},
};

/// Contexts that a queue holds (7.2, Advanced Transmit Context Descriptor, IDX).
const CONTEXTS: usize = 2;
/// The shortest frame that software may send; the device pads it to 60.
const MIN_FRAME_BYTES: usize = 17;
/// The longest run that is cut into segments: headers, and what PAYLEN's 18 bits hold.
const MAX_RUN_BYTES: usize = (1 << 18) + 1024;
/// Control register: the write-back threshold.
const WRITE_BACK_THRESHOLD: u32 = 0x7f << 16;
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
    | TX_CC
    | tx::IXSM
    | tx::TXSM
    | u64::MAX << tx::PAYLEN_SHIFT;

/// A TX queue.
#[derive(Debug, Default)]
pub(crate) struct TxQueue {
    pub(crate) ring: Ring,
    contexts: [Option<Context>; CONTEXTS],
    /// The frame so far begins at [`VLAN_TAG_BYTES`], so that a tag can be inserted without moving it all.
    stage: Vec<u8>,
    staged_bytes: usize,
    staged_desc: usize,
    /// Word 1 of the frame's first descriptor.
    first: Option<u64>,
    /// A segment of a run.
    segment: Vec<u8>,
}

/// What a descriptor led to.
pub(crate) enum Taken {
    /// There was none.
    Nothing,
    /// More of the frame, or a context.
    Part,
    /// The last part of a frame.
    Frame,
}

impl TxQueue {
    pub(crate) fn stop(&mut self) {
        self.ring.stop();
        self.forget();
    }

    pub(crate) fn wipe(&mut self) {
        self.ring.wipe();
        self.forget();
    }

    pub(crate) fn read(&mut self, part: RingPart) -> u32 {
        self.ring.read(part)
    }

    /// Says whether the queue was off and no longer is: then the device checks the rest.
    pub(crate) fn write(&mut self, part: RingPart, value: u32, enable_polls: u32, violations: &mut Violations) -> bool {
        let was_off = self.ring.is_off();
        self.ring.write(part, value, enable_polls, violations);
        if self.ring.is_off() {
            self.forget();
        }
        was_off && !self.ring.is_off()
    }

    /// What must be right when the queue is enabled, beyond its ring. Otherwise it stays off.
    pub(crate) fn check_enabled(&mut self, rules: &[(bool, &'static str)], violations: &mut Violations) {
        for (_, rule) in rules.iter().filter(|(holds, _)| !holds) {
            violations.record(rule, format_args!("TXDCTL = {:#x}", self.ring.control()));
            self.stop();
        }
    }

    fn forget(&mut self) {
        self.contexts = [None; CONTEXTS];
        (self.staged_bytes, self.staged_desc) = (0, 0);
        self.first = None;
    }

    /// Takes the descriptor at the head.
    pub(crate) fn take(&mut self, rules: &Rules, memory: &dyn HostMemory) -> Result<Taken, Stop> {
        let Some(descriptor) = self.ring.fetch(memory)? else { return Ok(Taken::Nothing) };
        let word1 = descriptor[1];
        Stop::unless(word1 & tx::DEXT != 0, "transmit descriptors are advanced", || format!("{word1:#x}"))?;
        let taken = match word1 & tx::TYPE_MASK {
            tx::TYPE_CONTEXT => {
                self.set_context(descriptor)?;
                Taken::Part
            }
            tx::TYPE_DATA => {
                self.stage(descriptor, rules, memory)?;
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

    /// The context that a data descriptor refers to.
    fn context_of(&self, word1: u64) -> Option<Context> {
        self.contexts.get(usize::from(tx::index(word1))).copied().flatten()
    }

    /// Reads a data descriptor's buffer behind the frame so far.
    #[inline]
    fn stage(&mut self, [buffer, word1]: Desc, rules: &Rules, memory: &dyn HostMemory) -> Result<(), Stop> {
        let detail = || format!("{buffer:#x} {word1:#x}");
        Stop::unless(word1 & !DATA_BITS == 0, "reserved bits of a data descriptor are 0", detail)?;
        Stop::unless(buffer != 0, "a data descriptor has a buffer", detail)?;
        Stop::unless(word1 & tx::RS == 0 || word1 & tx::EOP != 0, "RS is set on the last descriptor of a frame only", detail)?;
        Stop::unless(word1 & tx::TSE == 0 || rules.segments, "segmentation is not modelled", detail)?;
        self.check_context(word1, rules)?;
        self.check_report(word1, rules)?;
        let len_bytes = usize::from(tx::length_bytes(word1));
        Stop::unless(len_bytes != 0, "a data descriptor has bytes", detail)?;
        let first = *self.first.get_or_insert(word1);
        self.staged_desc += 1;
        Stop::unless(self.staged_desc <= rules.frame_desc, "a frame has no more descriptors than the device takes", detail)?;
        let (longest_bytes, rule) = if first & tx::TSE == 0 { rules.longest } else { (MAX_RUN_BYTES, "PAYLEN holds the whole payload") };
        let start = VLAN_TAG_BYTES + self.staged_bytes;
        let end = start + len_bytes;
        Stop::unless(end <= VLAN_TAG_BYTES + longest_bytes, rule, detail)?;
        // Room for padding, too.
        if self.stage.len() < end + ETH_MIN_FRAME_BYTES {
            self.stage.resize(end + ETH_MIN_FRAME_BYTES, 0);
        }
        memory.read(buffer, &mut self.stage[start..end])?;
        self.staged_bytes += len_bytes;
        Ok(())
    }

    /// Check context, and malicious-driver detection, which wants it everywhere.
    #[inline]
    fn check_context(&self, word1: u64, rules: &Rules) -> Result<(), Stop> {
        if !rules.checks_context {
            return Ok(());
        }
        let detail = || format!("{word1:#x}");
        let has_context = self.context_of(word1).is_some();
        if rules.detects_malice {
            Stop::unless(word1 & TX_CC != 0, "malicious driver: a data descriptor without CC", detail)?;
            Stop::unless(has_context, "malicious driver: a data descriptor before its context", detail)?;
        }
        Stop::unless(word1 & TX_CC == 0 || has_context, "CC goes with a context that was set", detail)
    }

    #[inline]
    fn check_report(&self, word1: u64, rules: &Rules) -> Result<(), Stop> {
        let every_frame = rules.reports_need_no_threshold && self.ring.control() & WRITE_BACK_THRESHOLD != 0;
        let holds = !every_frame || word1 & (tx::EOP | tx::RS) != tx::EOP;
        Stop::unless(holds, "RS is set on every frame where WTHRESH is not 0", || format!("{word1:#x}"))
    }

    /// Hands out the staged frame as it leaves: checksums and tag inserted, padded, cut into segments.
    #[inline]
    pub(crate) fn finish(&mut self, rules: &Rules, leave: &mut impl FnMut(&[u8])) -> Result<(), Stop> {
        let first = self.first.take().unwrap_or(0);
        let len_bytes = std::mem::take(&mut self.staged_bytes);
        self.staged_desc = 0;
        let detail = || format!("{len_bytes} bytes, first descriptor {first:#x}");
        Stop::unless(first & tx::IFCS != 0, "IFCS is set, or the frame leaves without its FCS", detail)?;
        if first & tx::TSE != 0 {
            let context = self.context_of(first).ok_or_else(|| Stop::Rule("TSE goes with a context that was set", detail()))?;
            let run = &self.stage[VLAN_TAG_BYTES..VLAN_TAG_BYTES + len_bytes];
            return segments::cut(run, first, &context, rules, &mut self.segment, leave);
        }
        Stop::unless(len_bytes >= MIN_FRAME_BYTES, "a frame has at least 17 bytes", detail)?;
        Stop::unless(tx::payload_bytes(first) as usize == len_bytes, "PAYLEN is the length of the frame", detail)?;
        let mut start = VLAN_TAG_BYTES;
        if first & (tx::IXSM | tx::TXSM | tx::VLE) != 0 {
            let context = self.context_of(first);
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
        let frame = &self.stage[start..padded_end];
        let (longest_bytes, rule) = rules.longest;
        Stop::unless(frame.len() + ETH_FCS_BYTES <= longest_bytes, rule, || format!("{} with its FCS", frame.len() + ETH_FCS_BYTES))?;
        leave(frame);
        Ok(())
    }
}
