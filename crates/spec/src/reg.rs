//! Registers as typed constants: width and access kind are in the type.
//!
//! A register is a number (its offset in a BAR, in bytes) that knows how wide it is and what may be done with it. Writing a
//! read-only register does not compile:
//!
//! ```
//! use vfwire_spec::reg::{Readable, Reg, Ro, Rw, Writable};
//! const STATUS: Reg<u32, Ro> = Reg::at(0x8);
//! const CTRL: Reg<u32, Rw> = Reg::at(0x0);
//! fn read<A: Readable>(reg: Reg<u32, A>) -> u32 { reg.offset() }
//! fn write<A: Writable>(reg: Reg<u32, A>) -> u32 { reg.offset() }
//! assert_eq!(read(STATUS), 8);
//! assert_eq!(write(CTRL), 0);
//! ```
//!
//! ```compile_fail,E0277
//! use vfwire_spec::reg::{Reg, Ro, Writable};
//! const STATUS: Reg<u32, Ro> = Reg::at(0x8);
//! fn write<A: Writable>(reg: Reg<u32, A>) -> u32 { reg.offset() }
//! write(STATUS);
//! ```

use core::marker::PhantomData;

/// Read-only.
#[derive(Debug)]
pub enum Ro {}
/// Read and write.
#[derive(Debug)]
pub enum Rw {}
/// Write-only: what a read returns means nothing.
#[derive(Debug)]
pub enum Wo {}
/// Read-only, and the read clears it: what a read saw must be kept.
#[derive(Debug)]
pub enum ClearOnRead {}
/// Read and write, and some bits are cleared by the read: what a read saw must be kept.
#[derive(Debug)]
pub enum RwClearOnRead {}
/// A written one clears the bit.
#[derive(Debug)]
pub enum WriteOneToClear {}

/// Access kinds whose value may be read.
pub trait Readable: sealed::Access {}
/// Access kinds that may be written.
pub trait Writable: sealed::Access {}

impl Readable for Ro {}
impl Readable for Rw {}
impl Readable for ClearOnRead {}
impl Readable for RwClearOnRead {}
impl Readable for WriteOneToClear {}
impl Writable for Rw {}
impl Writable for Wo {}
impl Writable for RwClearOnRead {}
impl Writable for WriteOneToClear {}

/// A word that a bus carries in one access: `u8`, `u16`, `u32` or `u64`.
pub trait MmioWord: sealed::Word + Copy + Send + Sync + 'static {
    /// Width in bytes.
    const BYTES: u32;
    /// All ones: what a read returns when the device is gone (PCI Express Base 6.0, 2.3.2: completion time-out).
    const ALL_ONES: Self;
    /// Widens with zeros.
    fn to_u64(self) -> u64;
    /// Keeps the low bits.
    fn from_u64(value: u64) -> Self;
}

macro_rules! mmio_word {
    ($($word:ty),*) => { $(
        impl sealed::Word for $word {}
        impl MmioWord for $word {
            const BYTES: u32 = <$word>::BITS / 8;
            const ALL_ONES: Self = <$word>::MAX;
            #[inline(always)]
            fn to_u64(self) -> u64 {
                u64::from(self)
            }
            #[inline(always)]
            #[expect(clippy::cast_possible_truncation, reason = "keeping the low bits is what the method promises")]
            #[allow(trivial_numeric_casts)]
            fn from_u64(value: u64) -> Self {
                value as $word
            }
        }
    )* };
}
mmio_word!(u8, u16, u32);
impl sealed::Word for u64 {}
impl MmioWord for u64 {
    const BYTES: u32 = 8;
    const ALL_ONES: Self = u64::MAX;
    #[inline(always)]
    fn to_u64(self) -> u64 {
        self
    }
    #[inline(always)]
    fn from_u64(value: u64) -> Self {
        value
    }
}

mod sealed {
    pub trait Word {}
    pub trait Access {}
    impl Access for super::Ro {}
    impl Access for super::Rw {}
    impl Access for super::Wo {}
    impl Access for super::ClearOnRead {}
    impl Access for super::RwClearOnRead {}
    impl Access for super::WriteOneToClear {}
}

/// One register: `V` is its width, `A` its access kind.
pub struct Reg<V, A> {
    offset: u32,
    kind: PhantomData<fn() -> (V, A)>,
}

impl<V, A> Clone for Reg<V, A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<V, A> Copy for Reg<V, A> {}
impl<V, A> core::fmt::Debug for Reg<V, A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Reg({:#06x})", self.offset)
    }
}

impl<V: MmioWord, A> Reg<V, A> {
    /// The register at `offset` bytes from the start of its BAR. The offset must be a multiple of the register's width.
    pub const fn at(offset: u32) -> Self {
        assert!(offset.is_multiple_of(V::BYTES), "a register lies at a multiple of its width");
        Self { offset, kind: PhantomData }
    }

    /// Bytes from the start of the BAR.
    #[inline(always)]
    pub const fn offset(self) -> u32 {
        self.offset
    }
}

/// A register that a device has several times, at equal distances: one a queue, one a mailbox word.
pub struct RegArray<V, A> {
    base: u32,
    stride: u32,
    count: u32,
    kind: PhantomData<fn() -> (V, A)>,
}

impl<V, A> Clone for RegArray<V, A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<V, A> Copy for RegArray<V, A> {}
impl<V, A> core::fmt::Debug for RegArray<V, A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RegArray({:#06x} + {:#x} * 0..{})", self.base, self.stride, self.count)
    }
}

impl<V: MmioWord, A> RegArray<V, A> {
    /// `count` registers, the first at `base`, each `stride` bytes after the one before.
    pub const fn at(base: u32, stride: u32, count: u32) -> Self {
        assert!(base.is_multiple_of(V::BYTES) && stride.is_multiple_of(V::BYTES), "a register lies at a multiple of its width");
        assert!(stride >= V::BYTES && count > 0, "the registers of an array are apart");
        Self { base, stride, count, kind: PhantomData }
    }

    /// The `index`-th register.
    ///
    /// # Panics
    /// Where `index` is not below [`count`](Self::count): an index is ours, never a device's.
    #[inline(always)]
    pub const fn index(self, index: u32) -> Reg<V, A> {
        assert!(index < self.count, "index of a register array out of range");
        Reg { offset: self.base + self.stride * index, kind: PhantomData }
    }

    /// How many registers there are.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Which register of the array lies at `offset`: for models, that are told offsets.
    pub const fn index_of(self, offset: u32) -> Option<u32> {
        if offset < self.base || !(offset - self.base).is_multiple_of(self.stride) {
            return None;
        }
        let index = (offset - self.base) / self.stride;
        if index < self.count { Some(index) } else { None }
    }
}

/// What a register is called, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegName {
    /// The constant's name.
    pub name: &'static str,
    /// Which of an array.
    pub index: Option<u32>,
}

impl core::fmt::Display for RegName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}[{index}]", self.name),
            None => f.write_str(self.name),
        }
    }
}

/// Makes `name_of` of a module's constants, and a test that fails where one of them was forgotten: a constant of the file with that indent.
macro_rules! register_names {
    (in $file:literal, indented $indent:literal; one: $($one:ident)*; array: $($array:ident)*) => {
        /// What the register at `offset` bytes is called; nothing where there is none.
        pub fn name_of(offset: u32) -> Option<crate::reg::RegName> {
            $(if $one.offset() == offset {
                return Some(crate::reg::RegName { name: stringify!($one), index: None });
            })*
            $(if let Some(index) = $array.index_of(offset) {
                return Some(crate::reg::RegName { name: stringify!($array), index: Some(index) });
            })*
            None
        }

        #[cfg(test)]
        mod names {
            #[test]
            fn every_register_has_a_name() {
                const NAMED: &[&str] = &[$(stringify!($one),)* $(stringify!($array),)*];
                let head = concat!($indent, "pub const ");
                let constants = include_str!($file).lines().filter_map(|line| line.strip_prefix(head)?.split_once(": Reg"));
                let unnamed: std::vec::Vec<_> = constants.map(|(name, _)| name).filter(|name| !NAMED.contains(name)).collect();
                assert!(unnamed.is_empty(), "{unnamed:?}");
            }
        }
    };
}
pub(crate) use register_names;

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: RegArray<u32, Rw> = RegArray::at(0x2818, 0x100, 2);

    #[test]
    fn arrays_go_both_ways() {
        assert_eq!(TAIL.index(1).offset(), 0x2918);
        assert_eq!(TAIL.index_of(0x2918), Some(1));
        assert_eq!(TAIL.index_of(0x2a18), None);
        assert_eq!(TAIL.index_of(0x2819), None);
        assert_eq!(TAIL.index_of(0), None);
    }

    #[test]
    fn words_widen_and_narrow() {
        assert_eq!(u16::from_u64(0x1_2345), 0x2345);
        assert_eq!(0xffu8.to_u64(), 255);
    }
}
