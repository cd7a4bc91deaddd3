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

use crate::barrier;
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

/// Typed access to the registers of a BAR.
#[derive(Clone, Debug)]
pub struct Regs<B>(B);

impl<B: Bar> Regs<B> {
    /// Registers of `bar`.
    pub fn new(bar: B) -> Self {
        Self(bar)
    }

    /// Reads a register.
    #[inline(always)]
    pub fn read<V: MmioWord, A: Readable>(&self, reg: Reg<V, A>) -> V {
        self.0.read(reg.offset())
    }

    /// Writes a register.
    #[inline(always)]
    pub fn write<V: MmioWord, A: Writable>(&self, reg: Reg<V, A>, value: V) {
        self.0.write(reg.offset(), value);
    }

    /// Reads a register of `count` times the same layout, changes it, writes it back.
    #[inline]
    pub fn modify<V: MmioWord, A: Readable + Writable>(&self, reg: Reg<V, A>, change: impl FnOnce(V) -> V) {
        self.write(reg, change(self.read(reg)));
    }

    /// A doorbell at a writable register. Tails are readable on real devices, so their registers are declared so; a doorbell only writes.
    ///
    /// # Panics
    /// Where the register does not lie in the BAR.
    pub fn doorbell<A: Writable>(&self, reg: Reg<u32, A>) -> Doorbell<B> {
        let end = reg.offset().checked_add(4);
        assert!(end.is_some_and(|end| end <= self.0.len_bytes()), "a doorbell lies in its BAR");
        Doorbell { bar: self.0.clone(), reg: Reg::at(reg.offset()) }
    }
}

/// The register that tells a device how far its ring was filled.
#[derive(Clone, Debug)]
pub struct Doorbell<B> {
    bar: B,
    reg: Reg<u32, Wo>,
}

impl<B: Bar> Doorbell<B> {
    /// Makes all earlier stores to DMA memory visible to the device, then writes the tail.
    #[inline(always)]
    pub fn ring(&self, tail: u32) {
        barrier::dma_write();
        // SAFETY: `Regs::doorbell` saw that the register lies in the BAR, and `Reg::at` that it is aligned.
        #[expect(unsafe_code, reason = "as `write_unchecked`")]
        unsafe {
            self.bar.write_unchecked(self.reg.offset(), tail);
        }
    }
}
