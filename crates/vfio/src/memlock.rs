//! The limit on locked memory, which VFIO charges every mapped byte to, hugepages too.
//!
//! The need is compared with the limit before memory is mapped, since the kernel's own answer is a bare "out of memory". The kernel's word
//! stays the last one: where it refuses in spite of the sum made here, the same text is given.

use std::fs;

/// CAP_IPC_LOCK (linux/capability.h): its holder is not limited.
const CAP_IPC_LOCK: u32 = 14;

/// What this process may lock, and what it has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memlock {
    /// `None`: no limit.
    limit_bytes: Option<u64>,
    locked_bytes: u64,
    exempt: bool,
}

impl Memlock {
    /// Reads the limit and the use of this process.
    pub(crate) fn of_this_process() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/self/limits"), &read("/proc/self/status"))
    }

    /// A text that cannot be understood means "no limit known": the kernel decides.
    fn parse(limits: &str, status: &str) -> Self {
        let limit = limits.lines().find_map(|line| line.strip_prefix("Max locked memory")).and_then(|rest| rest.split_whitespace().next());
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let locked_kib: u64 = field("VmLck:").and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        let capabilities = field("CapEff:").and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0);
        Self {
            limit_bytes: limit.and_then(|text| text.parse().ok()),
            locked_bytes: locked_kib.saturating_mul(1024),
            exempt: capabilities >> CAP_IPC_LOCK & 1 == 1,
        }
    }

    /// Whether `need_bytes` more can be locked.
    ///
    /// # Errors
    /// The text of [`refusal`](Self::refusal).
    pub(crate) fn check(self, need_bytes: u64) -> Result<(), String> {
        let fits = self.limit_bytes.is_none_or(|limit| self.locked_bytes.saturating_add(need_bytes) <= limit);
        if self.exempt || fits { Ok(()) } else { Err(self.refusal(need_bytes)) }
    }

    /// Need, limit and remedy.
    pub(crate) fn refusal(self, need_bytes: u64) -> String {
        let total = self.locked_bytes.saturating_add(need_bytes);
        let limit = self.limit_bytes.map_or_else(|| "not known".into(), |limit| format!("{limit} bytes ({})", size(limit)));
        let locked = if self.locked_bytes == 0 { String::new() } else { format!(", {} of them locked already", self.locked_bytes) };
        format!(
            "DMA memory needs {total} bytes ({}) of locked memory{locked}, but the limit is {limit}: raise it with `ulimit -l {}`, systemd's \
             `LimitMEMLOCK={total}`, or, where the container runs as root, IPC_LOCK in its securityContext.capabilities.add",
            size(total),
            total.div_ceil(1024),
        )
    }
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)) } else { format!("{} KiB", bytes / 1024) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units\n\
        Max processes             95978                95978                processes\n\
        Max locked memory         8388608              16777216             bytes\n";
    const STATUS: &str = "Name:\tx\nVmLck:\t    4096 kB\nCapEff:\t0000000000000000\n";

    #[test]
    fn the_limit_is_exact() {
        let memlock = Memlock::parse(LIMITS, STATUS);
        assert_eq!(memlock, Memlock { limit_bytes: Some(8 << 20), locked_bytes: 4 << 20, exempt: false });
        assert_eq!(memlock.check(4 << 20), Ok(()));
        assert!(memlock.check((4 << 20) + 4096).is_err());
    }

    #[test]
    fn the_refusal_names_need_limit_and_remedies() {
        let text = Memlock::parse(LIMITS, STATUS).check(6 << 20).unwrap_err();
        assert!(text.contains("needs 10485760 bytes (10.0 MiB) of locked memory, 4194304 of them locked already"), "{text}");
        assert!(text.contains("the limit is 8388608 bytes (8.0 MiB)") && text.contains("`ulimit -l 10240`"), "{text}");
        assert!(text.contains("LimitMEMLOCK=10485760") && text.contains("IPC_LOCK"), "{text}");
    }

    #[test]
    fn a_privileged_or_unlimited_process_is_not_limited() {
        let privileged = Memlock::parse(LIMITS, "VmLck:\t0 kB\nCapEff:\t0000000000004000\n");
        assert_eq!(privileged.check(1 << 40), Ok(()));
        let unlimited = Memlock::parse("Max locked memory         unlimited            unlimited            bytes", STATUS);
        assert_eq!(unlimited.check(1 << 40), Ok(()));
        assert_eq!(Memlock::parse("", "").check(u64::MAX), Ok(()));
    }

    #[test]
    fn this_process_is_understood() {
        assert!(Memlock::of_this_process().limit_bytes.is_some() || fs::read_to_string("/proc/self/limits").unwrap().contains("unlimited"));
    }
}
