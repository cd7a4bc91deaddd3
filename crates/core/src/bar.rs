//! Registers of a device: a BAR, typed access to it, and doorbells.
//!
//! A [`Bar`] is what a bus implements (mapped memory behind VFIO, a model behind the simulated bus). Drivers see only [`Regs`], which
//! takes the typed constants of the `spec` crate: an access of the wrong width or kind does not compile.
//!
//! ```compile_fail,E0277
//! use vfwire_core::bar::{Bar, Regs};
//! use vfwire_spec::reg::{Reg, Ro};
//! const STATUS: Reg<u32, Ro> = Reg::at(0x8);
//! fn f<B: Bar>(regs: &Regs<B>) { regs.write(STATUS, 1) } // STATUS is read-only
//! ```

use crate::{barrier, error::BusError};
use vfwire_spec::reg::{MmioWord, Readable, Reg, Wo, Writable};

/// A BAR of a PCI function. Cloning shares the mapping; the last clone unmaps it.
///
/// Accesses are volatile, of exactly the given width, and stay in program order among themselves.
pub trait Bar: Clone + Send + Sync + 'static {
    /// Length in bytes.
    fn len_bytes(&self) -> u32;

    /// Reads the word at `offset` bytes.
    ///
    /// # Panics
    /// Where the word does not lie inside the BAR or `offset` is not a multiple of its width: offsets are ours (constants of `spec`, or
    /// checked when a capability was parsed), never a device's.
    fn read<V: MmioWord>(&self, offset: u32) -> V;

    /// Writes the word at `offset` bytes.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    fn write<V: MmioWord>(&self, offset: u32, value: V);

    /// As [`write`](Self::write), without looking at the offset again.
    ///
    /// # Safety
    /// The word at `offset` lies in the BAR, at a multiple of its width.
    #[expect(unsafe_code, reason = "a doorbell is checked once and rung for ever")]
    #[inline(always)]
    unsafe fn write_unchecked<V: MmioWord>(&self, offset: u32, value: V) {
        self.write(offset, value);
    }
}

/// Typed access to the registers of a BAR, or of a part of one.
#[derive(Clone, Debug)]
pub struct Regs<B> {
    bar: B,
    /// Where the part begins: the offsets of registers count from there.
    base: u32,
}

impl<B: Bar> Regs<B> {
    /// Registers of `bar`.
    pub fn new(bar: B) -> Self {
        Self { bar, base: 0 }
    }

    /// Registers of the `len_bytes` from `offset` bytes on, where the device says that it has a structure of them. Registers beyond them must
    /// not be used.
    ///
    /// # Errors
    /// [`BusError::NotThere`] where they do not lie in the BAR, or not at a multiple of 4.
    pub fn window(&self, offset: u32, len_bytes: u32) -> Result<Self, BusError> {
        let base = self.base.checked_add(offset).filter(|base| base.is_multiple_of(4));
        let is_inside = |base: &u32| base.checked_add(len_bytes).is_some_and(|end| end <= self.bar.len_bytes());
        let Some(base) = base.filter(is_inside) else {
            let len = self.bar.len_bytes();
            return Err(BusError::NotThere(format!(
                "a structure of {len_bytes} bytes at {offset:#x} does not lie in its BAR of {len} bytes"
            )));
        };
        Ok(Self { bar: self.bar.clone(), base })
    }

    /// Reads a register.
    #[inline(always)]
    pub fn read<V: MmioWord, A: Readable>(&self, reg: Reg<V, A>) -> V {
        self.bar.read(self.base + reg.offset())
    }

    /// Writes a register.
    #[inline(always)]
    pub fn write<V: MmioWord, A: Writable>(&self, reg: Reg<V, A>, value: V) {
        self.bar.write(self.base + reg.offset(), value);
    }

    /// Reads a register of `count` times the same layout, changes it, writes it back.
    #[inline]
    pub fn modify<V: MmioWord, A: Readable + Writable>(&self, reg: Reg<V, A>, change: impl FnOnce(V) -> V) {
        self.write(reg, change(self.read(reg)));
    }

    /// A doorbell at `offset` bytes, where the device says that it is.
    ///
    /// # Errors
    /// [`BusError::NotThere`] where it does not lie in the BAR, or not at a multiple of its width.
    pub fn doorbell_at<V: MmioWord>(&self, offset: u32) -> Result<Doorbell<B, V>, BusError> {
        let is_inside = |at: &u32| at.checked_add(V::BYTES).is_some_and(|end| end <= self.bar.len_bytes());
        let at = self.base.checked_add(offset).filter(is_inside).filter(|at| at.is_multiple_of(V::BYTES));
        let Some(at) = at else {
            let len = self.bar.len_bytes();
            return Err(BusError::NotThere(format!(
                "a doorbell of {} bytes at {offset:#x} does not lie in its BAR of {len} bytes",
                V::BYTES
            )));
        };
        Ok(Doorbell { bar: self.bar.clone(), reg: Reg::at(at) })
    }

    /// A doorbell at a writable register. Tails are readable on real devices, so their registers are declared so; a doorbell only writes.
    ///
    /// # Panics
    /// Where the register does not lie in the BAR.
    pub fn doorbell<A: Writable>(&self, reg: Reg<u32, A>) -> Doorbell<B> {
        let at = self.base + reg.offset();
        assert!(at.checked_add(4).is_some_and(|end| end <= self.bar.len_bytes()), "a doorbell lies in its BAR");
        Doorbell { bar: self.bar.clone(), reg: Reg::at(at) }
    }
}

/// The register that tells a device how far its ring was filled.
#[derive(Clone, Debug)]
pub struct Doorbell<B, V = u32> {
    bar: B,
    reg: Reg<V, Wo>,
}

impl<B: Bar, V: MmioWord> Doorbell<B, V> {
    /// Makes all earlier stores to DMA memory visible to the device, then writes the tail.
    #[inline(always)]
    pub fn ring(&self, tail: V) {
        barrier::dma_write();
        // SAFETY: `Regs::doorbell` saw that the register lies in the BAR, and `Reg::at` that it is aligned.
        #[expect(unsafe_code, reason = "as `write_unchecked`")]
        unsafe {
            self.bar.write_unchecked(self.reg.offset(), tail);
        }
    }
}
