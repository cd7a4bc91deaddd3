//! Registers that are recorded, and registers that answer from a recording: all but doorbells, which no recording has.
#![expect(unsafe_code, reason = "a doorbell is written by a promise, which is passed on to the BAR below")]

use crate::{
    recorder::Recorder,
    recording::{Access, Space, What, width},
    replay::{Shared, lock},
};
use std::{fmt, sync::Arc};
use vfwire_core::bar::Bar;
use vfwire_spec::reg::MmioWord;

/// A BAR whose reads and writes are recorded.
#[derive(Clone)]
pub struct RecordedBar<B> {
    inner: B,
    /// In one word: queues keep a BAR beside their hot fields.
    log: Arc<Log>,
}

struct Log {
    recorder: Recorder,
    space: Space,
}

impl<B> RecordedBar<B> {
    pub(crate) fn new(inner: B, recorder: Recorder, index: u8) -> Self {
        Self { inner, log: Arc::new(Log { recorder, space: Space::Bar(index) }) }
    }
}

impl<B> fmt::Debug for RecordedBar<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordedBar({})", self.log.space)
    }
}

impl<B: Bar> Bar for RecordedBar<B> {
    #[inline(always)]
    fn len_bytes(&self) -> u32 {
        self.inner.len_bytes()
    }

    fn read<V: MmioWord>(&self, offset: u32) -> V {
        let value: V = self.inner.read(offset);
        let log = &*self.log;
        log.recorder.step(log.recorder.now_ns(), What::Read { access: Access::of(log.space, offset, value), times: 1 });
        value
    }

    fn write<V: MmioWord>(&self, offset: u32, value: V) {
        let log = &*self.log;
        // Before the access: a write that hangs the machine's bus is the last thing that a recording should be able to say.
        log.recorder.step(log.recorder.now_ns(), What::Write(Access::of(log.space, offset, value)));
        self.inner.write(offset, value);
    }

    /// A doorbell: not recorded.
    #[inline(always)]
    unsafe fn write_unchecked<V: MmioWord>(&self, offset: u32, value: V) {
        // SAFETY: the contract is the same, of a BAR of the same length.
        unsafe { self.inner.write_unchecked(offset, value) };
    }
}

/// A BAR whose registers read as they did then.
#[derive(Clone)]
pub struct ReplayBar {
    script: Shared,
    index: u8,
    len_bytes: u32,
}

impl ReplayBar {
    pub(crate) fn new(script: Shared, index: u8, len_bytes: u32) -> Self {
        Self { script, index, len_bytes }
    }
}

impl fmt::Debug for ReplayBar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplayBar({}, {} bytes)", self.index, self.len_bytes)
    }
}

impl Bar for ReplayBar {
    fn len_bytes(&self) -> u32 {
        self.len_bytes
    }

    fn read<V: MmioWord>(&self, offset: u32) -> V {
        let access = Access { space: Space::Bar(self.index), offset, width_bytes: width::<V>(), value: 0 };
        V::from_u64(lock(&self.script).read(access).unwrap_or(u64::MAX))
    }

    fn write<V: MmioWord>(&self, offset: u32, value: V) {
        // A write to a BAR cannot fail.
        let _ = lock(&self.script).change(What::Write(Access::of(Space::Bar(self.index), offset, value)));
    }

    /// A doorbell: not recorded, so there is nothing to compare it with.
    #[inline(always)]
    unsafe fn write_unchecked<V: MmioWord>(&self, _offset: u32, _value: V) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use vfwire_core::bar::Regs;
    use vfwire_spec::{
        pci::PciId,
        reg::{Reg, Rw},
    };

    /// One register, and how often it was written with a promise.
    #[derive(Clone, Default)]
    struct OneWord(Arc<(AtomicU64, AtomicU64)>);

    impl Bar for OneWord {
        fn len_bytes(&self) -> u32 {
            4
        }
        fn read<V: MmioWord>(&self, _offset: u32) -> V {
            V::from_u64(self.0.0.load(Ordering::Relaxed))
        }
        fn write<V: MmioWord>(&self, _offset: u32, value: V) {
            self.0.0.store(value.to_u64(), Ordering::Relaxed);
        }
        unsafe fn write_unchecked<V: MmioWord>(&self, offset: u32, value: V) {
            self.0.1.fetch_add(1, Ordering::Relaxed);
            self.write(offset, value);
        }
    }

    #[test]
    fn doorbells_pass_straight_through() {
        const TAIL: Reg<u32, Rw> = Reg::at(0);
        let (bar, recorder) = (OneWord::default(), Recorder::new("a", PciId::intel(0)));
        let regs = Regs::new(RecordedBar::new(bar.clone(), recorder.clone(), 0));
        let doorbell = regs.doorbell(TAIL);
        regs.write(TAIL, 7);
        (0..100).for_each(|tail| doorbell.ring(tail));
        assert_eq!(regs.read(TAIL), 99);
        assert_eq!(bar.0.1.load(Ordering::Relaxed), 100, "by the same promise, unchecked");
        let steps: Vec<_> = recorder.recording().calls.into_iter().flat_map(|call| call.steps).map(|step| step.what).collect();
        let word = |value| Access { space: Space::Bar(0), width_bytes: 4, offset: 0, value };
        assert_eq!(steps, [What::Write(word(7)), What::Read { access: word(99), times: 1 }]);
    }
}
