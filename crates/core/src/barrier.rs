//! The only memory barriers of the project, for every architecture.
//!
//! Two things must be ordered: our stores to DMA memory before the doorbell that tells the device about them, and our loads of what
//! the device wrote after the load that saw it done. The second is an acquire load of the done word ([`dma_read`] where a plain
//! register read was the sign). On x86-64 both are compiler barriers: stores to write-back memory become visible before a later store
//! to uncacheable memory, and loads are not reordered (Intel SDM volume 3, 9.2.2; AMD APM volume 2, 7.4.2). AArch64 needs a barrier
//! that reaches the outer shareable domain, where devices are (Arm ARM B2.3.8).

/// Stores to DMA memory before this are seen by the device before an MMIO store after it.
#[inline(always)]
pub fn dma_write() {
    #[cfg(target_arch = "aarch64")]
    outer_shareable_store();
    #[cfg(not(target_arch = "aarch64"))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::Release);
}

/// Loads of DMA memory after this see what the device wrote before the MMIO or DMA load that preceded it.
#[inline(always)]
pub fn dma_read() {
    #[cfg(target_arch = "aarch64")]
    outer_shareable_load();
    #[cfg(not(target_arch = "aarch64"))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
}

/// Stores to DMA memory before this are seen by the device before loads of DMA memory after it are done: for the two sides of "I have
/// written, do you still sleep?".
#[inline(always)]
pub fn dma_full() {
    #[cfg(target_arch = "aarch64")]
    outer_shareable_full();
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
#[expect(unsafe_code, reason = "the architecture has no safe intrinsic for an outer shareable barrier")]
fn outer_shareable_full() {
    // SAFETY: as below.
    unsafe { std::arch::asm!("dmb osh", options(nostack, preserves_flags)) }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
#[expect(unsafe_code, reason = "the architecture has no safe intrinsic for an outer shareable barrier")]
fn outer_shareable_store() {
    // SAFETY: a barrier reads and writes nothing and changes no register or flag; `nomem` is left out so that the compiler orders too.
    unsafe { std::arch::asm!("dmb oshst", options(nostack, preserves_flags)) }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
#[expect(unsafe_code, reason = "the architecture has no safe intrinsic for an outer shareable barrier")]
fn outer_shareable_load() {
    // SAFETY: as above.
    unsafe { std::arch::asm!("dmb oshld", options(nostack, preserves_flags)) }
}
