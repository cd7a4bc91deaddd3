//! The processor's time stamp counter: what `cycles_per_frame` is measured with.
//!
//! It ticks at a constant rate, whatever the core's frequency is (Intel SDM volume 3, 19.17: invariant TSC; Arm ARM D12.1: the system
//! counter), so figures of one machine compare with one another and not with another machine's.
#![cfg_attr(target_arch = "aarch64", expect(unsafe_code, reason = "reading the counter is an instruction without an intrinsic"))]
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "reading the counter is an intrinsic that is declared unsafe"))]

/// The counter now: TSC cycles on x86_64, ticks of the system counter (`CNTVCT_EL0`) on aarch64.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn cycles() -> u64 {
    // SAFETY: every x86_64 processor has RDTSC, and Linux lets user space execute it (CR4.TSD is clear).
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The counter now: TSC cycles on x86_64, ticks of the system counter (`CNTVCT_EL0`) on aarch64.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub fn cycles() -> u64 {
    let ticks: u64;
    // SAFETY: reads a register that Linux lets user space read (CNTKCTL_EL1.EL0VCTEN is set); touches no memory.
    unsafe { core::arch::asm!("mrs {ticks}, cntvct_el0", ticks = out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}

/// What one reading adds to the interval that it ends: the median over runs of back-to-back readings, so that an interrupt is not in it.
pub fn reading_cycles() -> u64 {
    const READINGS: u64 = 256;
    let run = || {
        let start = cycles();
        let mut now = start;
        for _ in 0..READINGS {
            now = cycles();
        }
        now.wrapping_sub(start)
    };
    let mut runs: [u64; 63] = std::array::from_fn(|_| run());
    runs.sort_unstable();
    (runs[runs.len() / 2] + READINGS / 2) / READINGS
}

#[cfg(test)]
mod tests {
    use super::{cycles, reading_cycles};

    #[test]
    fn the_counter_counts() {
        let before = cycles();
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(cycles() > before);
    }

    #[test]
    fn a_reading_costs_what_back_to_back_readings_do() {
        // Wide limits: a counter may tick more slowly than the processor, and a virtual machine may emulate it.
        assert!(reading_cycles() < 1_000_000);
        #[cfg(target_arch = "x86_64")]
        assert!(reading_cycles() > 0);
    }
}
