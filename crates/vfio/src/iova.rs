//! Which addresses devices use for memory: the lowest free ones, from 1 MiB.
//!
//! Low, so that they fit the address width of every IOMMU; from 1 MiB, because address 0 means "nothing" to some devices. A pure
//! function: what is in use is known by its caller, so an address is free again as soon as its mapping is gone.

/// The lowest address ever given.
pub(crate) const LOWEST: u64 = 1 << 20;

/// First and last address of the ranges of an x86 IOMMU, for kernels that do not say: 39 bits, less the window in which a write is an
/// interrupt message (Intel 64 Software Developer's Manual, volume 3, 11.11.1).
pub(crate) const RANGES_UNKNOWN: [(u64, u64); 2] = [(0, 0xfedf_ffff), (0xfef0_0000, (1 << 39) - 1)];

/// The lowest address, a multiple of `align_bytes`, from which `len_bytes` lie in one of `ranges` (first and last address, ascending) and
/// outside everything `in_use` (address and length, ascending).
pub(crate) fn find(
    ranges: &[(u64, u64)],
    in_use: impl Iterator<Item = (u64, u64)> + Clone,
    len_bytes: u64,
    align_bytes: u64,
) -> Option<u64> {
    let last_of = |start: u64| start.checked_add(len_bytes.checked_sub(1)?);
    for &(first, last) in ranges {
        let mut start = first.max(LOWEST).checked_next_multiple_of(align_bytes)?;
        for (used, used_bytes) in in_use.clone() {
            if last_of(start)? < used {
                break;
            }
            if start < used + used_bytes {
                start = (used + used_bytes).checked_next_multiple_of(align_bytes)?;
            }
        }
        if last_of(start)? <= last {
            return Some(start);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const PAGE: u64 = 2 << 20;

    #[test]
    fn starts_above_zero_and_jumps_over_the_interrupt_window() {
        assert_eq!(find(&RANGES_UNKNOWN, std::iter::empty(), PAGE, PAGE), Some(PAGE));
        assert_eq!(find(&RANGES_UNKNOWN, std::iter::empty(), 4096, 4096), Some(LOWEST));
        let low = [(PAGE, 0xfea0_0000 - PAGE)]; // all but the last 4 MiB before the window
        assert_eq!(find(&RANGES_UNKNOWN, low.into_iter(), 2 * PAGE, PAGE), Some(0xfea0_0000));
        assert_eq!(find(&RANGES_UNKNOWN, low.into_iter(), 3 * PAGE, PAGE), Some(0xff00_0000));
    }

    #[test]
    fn a_hole_is_used_again() {
        let used = [(PAGE, PAGE), (3 * PAGE, PAGE)];
        assert_eq!(find(&RANGES_UNKNOWN, used.into_iter(), PAGE, PAGE), Some(2 * PAGE));
        assert_eq!(find(&RANGES_UNKNOWN, used.into_iter(), 2 * PAGE, PAGE), Some(4 * PAGE));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(find(&[(0, 0xffff)], std::iter::empty(), 4096, 4096), None);
        assert_eq!(find(&[(0, u64::MAX)], std::iter::empty(), u64::MAX, 4096), None);
        assert_eq!(find(&[(u64::MAX - 10, u64::MAX)], std::iter::empty(), 4096, 4096), None);
        assert_eq!(find(&[], std::iter::empty(), 4096, 4096), None);
    }

    proptest! {
        /// Whatever is allocated and freed in whatever order: never below 1 MiB, never outside a range, never twice, always aligned.
        #[test]
        fn allocations_never_overlap(steps in prop::collection::vec((any::<bool>(), 1u64..64, 12u32..22), 1..200)) {
            let ranges = [(0, 0x3f_ffff), (0x50_0000, 0xfff_ffff)];
            let mut used = BTreeMap::new();
            for (free, pages, shift) in steps {
                if free && let Some(&at) = used.keys().next() {
                    used.remove(&at);
                    continue;
                }
                let (len, align) = (pages * 4096, 1u64 << shift);
                let Some(at) = find(&ranges, used.iter().map(|(&a, &b)| (a, b)), len, align) else { continue };
                prop_assert!(at >= LOWEST && at % align == 0);
                prop_assert!(ranges.iter().any(|&(first, last)| first <= at && at + len - 1 <= last));
                prop_assert!(used.iter().all(|(&other, &other_len): (&u64, &u64)| at + len <= other || other + other_len <= at));
                used.insert(at, len);
            }
        }
    }
}
