//! Which compilation of the packet path runs: portable, or one for an instruction set that the processor has.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "a prefetch is an intrinsic on a raw address; compiling for an instruction set is a promise to have it")
)]

use crate::error::PortError;
pub use crate::ring::Isa;
use std::fmt;

/// Forces a path: `VFWIRE_SIMD=scalar`, `avx2` or `avx512`.
pub const PATH_VARIABLE: &str = "VFWIRE_SIMD";

/// A compilation of the packet path. It can be had only where the processor has what it needs, so holding one is the permission to run
/// it. Chosen once, when a queue is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Path(Kind);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Code that is compiled once for each path: [`Path::run`] runs the compilation of its path. Implementations are `#[inline(always)]`, and
/// whatever they call that way is compiled along.
pub trait Kernel {
    /// What it gives.
    type Out;
    /// The code. `isa` is what [`ring`](crate::ring) asks for.
    fn run<I: Isa>(self, isa: I) -> Self::Out;
}

/// Out of line as the others are, so that whoever chooses among them needs no registers for any.
#[inline(never)]
fn run_scalar<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(crate::ring::Scalar::new())
}

impl Path {
    /// The portable path: every processor has it, and it is the reference for the others.
    pub const SCALAR: Self = Self(Kind::Scalar);

    /// All paths of this processor, the portable one first and the fastest last.
    pub fn all() -> Vec<Self> {
        [
            Some(Self::SCALAR),
            #[cfg(target_arch = "x86_64")]
            has_avx2().then_some(Self(Kind::Avx2)),
            #[cfg(target_arch = "x86_64")]
            has_avx512().then_some(Self(Kind::Avx512)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The fastest path of this processor.
    pub fn best() -> Self {
        Self::all().pop().unwrap_or(Self::SCALAR)
    }

    /// The path of that name, where this processor has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|path| path.name() == name)
    }

    /// The path that the environment variable [`PATH_VARIABLE`] names, else the fastest.
    ///
    /// # Errors
    /// [`PortError::Setting`] where the variable names a path that this processor does not have.
    pub fn from_environment() -> Result<Self, PortError> {
        let Some(name) = std::env::var_os(PATH_VARIABLE) else { return Ok(Self::best()) };
        let name = name.to_string_lossy();
        Self::named(&name).ok_or_else(|| {
            let names: Vec<_> = Self::all().into_iter().map(Self::name).collect();
            PortError::setting("the environment variable VFWIRE_SIMD", name, format!("one of {} on this processor", names.join(", ")))
        })
    }

    /// Its name: `scalar`, `avx2`, `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
        }
    }

    /// The path for at most `frames` frames: four are cheaper as a step of four.
    #[inline(always)]
    #[must_use]
    pub fn for_frames(self, frames: usize) -> Self {
        #[cfg(not(target_arch = "x86_64"))]
        let _ = frames;
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 if frames <= 4 => Self(Kind::Avx2),
            _ => self,
        }
    }

    /// Runs the compilation of `kernel` for this path.
    #[inline(always)]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Out {
        match self.0 {
            Kind::Scalar => run_scalar(kernel),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Path` of this kind exists only where the processor has the instructions.
            Kind::Avx2 => unsafe { crate::ring::run_avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Kind::Avx512 => unsafe { crate::ring::run_avx512(kernel) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_had_by_name() {
        assert_eq!(Path::all()[0], Path::SCALAR);
        for path in Path::all() {
            assert_eq!(Path::named(path.name()), Some(path));
        }
        assert_eq!(Path::named("avx1024"), None);
        #[cfg(target_arch = "x86_64")]
        {
            assert_eq!(Path::named("avx2").is_some(), is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2"));
            assert_eq!(Path::named("avx512").is_some(), has_avx512());
        }
        #[cfg(not(target_arch = "x86_64"))]
        assert_eq!(Path::best(), Path::SCALAR);
    }
}
