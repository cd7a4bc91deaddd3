//! Which compilation of the packet path runs: portable, or one for an instruction set that the processor has.
#![expect(unsafe_code, reason = "a prefetch is an intrinsic on a raw address")]

use std::fmt;

/// A compilation of the packet path. It can be had only where the processor has what it needs, so holding one is the permission to run
/// it. Chosen once, when a queue is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Path(Kind);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The instructions that the AVX-512 path needs, for `target_feature` and for the test at run time.
#[cfg(target_arch = "x86_64")]
macro_rules! with_avx512 {
    ($($item:item)*) => { $( #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi1,bmi2")] $item )* };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use with_avx512;

impl Path {
    /// The portable path: every processor has it, and it is the reference for the others.
    pub const SCALAR: Self = Self(Kind::Scalar);

    /// All paths of this processor, the portable one first and the fastest last.
    pub fn all() -> Vec<Self> {
        let mut paths = vec![Self::SCALAR];
        #[cfg(target_arch = "x86_64")]
        if has_avx512() {
            paths.push(Self(Kind::Avx512));
        }
        paths
    }

    /// The fastest path of this processor.
    pub fn best() -> Self {
        Self::all().pop().unwrap_or(Self::SCALAR)
    }

    /// The path of that name, where this processor has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|path| path.name() == name)
    }

    /// Its name: `scalar`, `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
        }
    }

    #[inline(always)]
    pub(crate) fn kind(self) -> Kind {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Asks for the cache line at `address`. A hint: any address is allowed.
#[inline(always)]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch neither faults nor changes anything, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}
