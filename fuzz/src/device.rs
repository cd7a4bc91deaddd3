//! A function between the driver and a model: what the driver reads is the model's answer, unless the fuzzer gives another one.
//!
//! An input that is used up leaves a device that works, so the empty input is a whole life of a port, and each byte of a longer one is a
//! deviation from it. Every register and every byte of configuration space can be given any value.

use crate::{
    input::Input,
    memory::{FuzzDma, Regions},
};
use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use vfwire_core::{
    bar::Bar,
    bus::{BarIndex, BusEvent, ConfigWord, PciFunction},
    dma::DmaSpace,
    error::BusError,
};
use vfwire_sim::{SimBar, SimFunction};
use vfwire_spec::{pci::PciId, reg::MmioWord};

/// What the device does by itself while it is read or written: one pass of the model.
pub type Step = Arc<dyn Fn() + Send + Sync>;

/// The device's will. Clones share it.
#[derive(Clone)]
pub struct Will(Arc<Shared>);

struct Shared {
    input: Input,
    regions: Regions,
    step: Step,
    state: Mutex<State>,
    reset_failed: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Reads that are left as they are.
    plain: u32,
    /// Writes that go nowhere.
    swallowed: u8,
    /// Writes at which the device does what it has to do at once.
    busy: u8,
    /// Registers that show the same value for a while: the value, and for how many reads.
    stuck: HashMap<u32, (u64, u8)>,
    gone: bool,
}

impl Will {
    /// The will that `input` says, over these regions.
    pub fn new(input: Input, regions: Regions, step: Step) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Shared { input, regions, step, state, reset_failed: AtomicBool::new(false) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next<const N: usize>(&self) -> [u8; N] {
        self.0.input.device().unwrap_or([0; N])
    }

    /// Whether a function-level reset was refused: what the device may still use is never freed then.
    pub fn reset_failed(&self) -> bool {
        self.0.reset_failed.load(Ordering::Relaxed)
    }

    /// The device vanishes for good, or comes back.
    pub fn set_gone(&self, gone: bool) {
        self.state().gone = gone;
    }

    /// What a read of `offset` shows in place of the model's `plain`.
    fn answer(&self, offset: u32, plain: u64) -> u64 {
        let mut state = self.state();
        if state.gone {
            return u64::MAX;
        }
        if let Some((value, left)) = state.stuck.get_mut(&offset)
            && *left > 0
        {
            *left -= 1;
            return *value;
        }
        if state.plain > 0 {
            state.plain -= 1;
            return plain;
        }
        let [choice] = self.next();
        match choice {
            1 => u64::from(u32::from_le_bytes(self.next())),
            2 => u64::MAX,
            3 => 0,
            4 => plain ^ 1 << (self.next::<1>()[0] & 63),
            5 => {
                let ([left], value) = (self.next(), u64::from(u32::from_le_bytes(self.next())));
                state.stuck.insert(offset, (value, left));
                value
            }
            6 => {
                let [bit, left] = self.next();
                let value = plain ^ 1 << (bit & 63);
                state.stuck.insert(offset, (value, left));
                value
            }
            7 => {
                state.swallowed = self.next::<1>()[0];
                plain
            }
            8 => {
                state.gone = true;
                u64::MAX
            }
            9 => {
                let [region, first, count] = self.next();
                let words = [u64::from_le_bytes(self.next()), u64::from_le_bytes(self.next())];
                self.0.regions.write_back(region.into(), first.into(), count.into(), words);
                plain
            }
            10 => {
                state.busy = self.next::<1>()[0];
                plain
            }
            11 => plain.wrapping_add(u64::from(self.next::<1>()[0])),
            16.. => {
                state.plain = u32::from(choice - 15);
                plain
            }
            _ => plain,
        }
    }

    /// Whether the device works while its driver does, and not only when it has its turn.
    fn works_now(&self) -> bool {
        let mut state = self.state();
        let works = state.busy > 0;
        state.busy = state.busy.saturating_sub(1);
        works
    }

    /// Whether a write arrives.
    fn takes_write(&self) -> bool {
        let mut state = self.state();
        if state.swallowed > 0 {
            state.swallowed -= 1;
            return false;
        }
        !state.gone
    }
}

/// A function whose device does what the fuzzer wants.
pub struct FuzzFunction {
    inner: SimFunction,
    id: PciId,
    will: Will,
}

impl FuzzFunction {
    /// `inner` under the fuzzer's will, known as `id`.
    pub fn new(inner: SimFunction, id: PciId, will: Will) -> Self {
        Self { inner, id, will }
    }
}

impl PciFunction for FuzzFunction {
    type Bar = FuzzBar;

    fn address(&self) -> &str {
        self.inner.address()
    }

    fn id(&self) -> PciId {
        self.id
    }

    fn config_read<V: ConfigWord>(&self, offset: u16) -> Result<V, BusError> {
        let plain = self.inner.config_read::<V>(offset)?;
        Ok(V::from_u64(self.will.answer(u32::from(offset) | 1 << 31, plain.to_u64())))
    }

    fn config_write<V: ConfigWord>(&self, offset: u16, value: V) -> Result<(), BusError> {
        if self.will.takes_write() { self.inner.config_write(offset, value) } else { Ok(()) }
    }

    fn poll_event(&self) -> Option<BusEvent> {
        self.inner.poll_event()
    }

    fn map_bar(&self, index: BarIndex) -> Result<FuzzBar, BusError> {
        Ok(FuzzBar { inner: self.inner.map_bar(index)?, bar: index, will: self.will.clone() })
    }

    fn dma(&self) -> Arc<dyn DmaSpace> {
        Arc::new(FuzzDma::new(self.inner.dma(), self.will.0.regions.clone()))
    }

    fn reset(&self) -> Result<(), BusError> {
        let [choice] = self.will.next();
        match choice {
            1 => {
                self.will.0.reset_failed.store(true, Ordering::Relaxed);
                Err(BusError::Io { what: "the fuzzer refuses a reset".into(), source: io::ErrorKind::Other.into() })
            }
            2 => Err(BusError::Gone),
            _ => self.inner.reset(),
        }
    }
}

/// A BAR whose registers show what the fuzzer wants.
#[derive(Clone)]
pub struct FuzzBar {
    inner: SimBar,
    bar: BarIndex,
    will: Will,
}

impl Bar for FuzzBar {
    fn len_bytes(&self) -> u32 {
        self.inner.len_bytes()
    }

    fn read<V: MmioWord>(&self, offset: u32) -> V {
        let plain = self.inner.read::<V>(offset).to_u64();
        V::from_u64(self.will.answer(offset | u32::from(self.bar.get()) << 24, plain))
    }

    fn write<V: MmioWord>(&self, offset: u32, value: V) {
        if self.will.takes_write() {
            self.inner.write(offset, value);
        }
        if self.will.works_now() {
            (self.will.0.step)();
        }
    }
}
