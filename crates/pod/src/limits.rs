//! What the process may do: locked memory, capabilities, seccomp, its user.

use crate::{Fact, Root, Source};

/// CAP_IPC_LOCK (linux/capability.h): its holder may lock any amount of memory.
pub const CAP_IPC_LOCK: u32 = 14;
/// CAP_SYS_RAWIO, which VFIO asks for in its no-IOMMU mode.
pub const CAP_SYS_RAWIO: u32 = 17;
const STATUS: &str = "/proc/self/status";
const LIMITS: &str = "/proc/self/limits";

/// How system calls are filtered (linux/seccomp.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// Not at all: `Unconfined`.
    Disabled,
    /// Only read, write, exit and sigreturn.
    Strict,
    /// By a program, as `RuntimeDefault` does.
    Filter,
}

/// What this process may do. A fact that the kernel does not show is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its effective user.
    pub user: Option<Fact<u32>>,
    /// Effective capabilities, a bit each.
    pub capabilities: Option<Fact<u64>>,
    /// Whether it lives in a user namespace of its own, where its capabilities do not count for locked memory.
    pub user_namespace: bool,
    /// Its system call filter.
    pub seccomp: Option<Fact<Seccomp>>,
    /// Whether it can gain no privileges.
    pub no_new_privileges: Option<Fact<bool>>,
    /// The limit on locked memory.
    pub memlock: Memlock,
}

/// What this process may lock. VFIO charges every mapped byte to it, hugepages too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memlock {
    /// The limit in bytes; `u64::MAX` for none. Absent where the kernel does not say.
    pub limit_bytes: Option<Fact<u64>>,
    /// What is locked already, in bytes.
    pub locked_bytes: u64,
    /// Whether the limit does not count for this process.
    pub exempt: bool,
}

impl Memlock {
    /// Whether `need_bytes` more can be locked, as far as is known.
    pub fn allows(&self, need_bytes: u64) -> bool {
        let total = self.locked_bytes.saturating_add(need_bytes);
        self.exempt || self.limit_bytes.as_ref().is_none_or(|limit| total <= limit.value)
    }
}

impl Process {
    /// Whether it has a capability, by its number.
    pub fn has(&self, capability: u32) -> bool {
        self.capabilities.as_ref().is_some_and(|set| set.value.checked_shr(capability).unwrap_or(0) & 1 == 1)
    }

    pub(crate) fn of(root: &Root) -> Self {
        let status = root.read(STATUS).unwrap_or_default();
        let field = |name: &str| {
            let (index, rest) = status.lines().enumerate().find_map(|(index, line)| Some((index, line.strip_prefix(name)?)))?;
            Some((rest.trim().to_owned(), Source::line(STATUS, index)))
        };
        let user = field("Uid:").and_then(|(ids, source)| Some(Fact::new(ids.split_whitespace().nth(1)?.parse().ok()?, source)));
        let capabilities = field("CapEff:").and_then(|(bits, source)| Some(Fact::new(u64::from_str_radix(&bits, 16).ok()?, source)));
        let locked_kib: u64 = field("VmLck:").and_then(|(text, _)| text.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        let seccomp = field("Seccomp:").and_then(|(mode, source)| {
            let mode = [Seccomp::Disabled, Seccomp::Strict, Seccomp::Filter].get(mode.parse::<usize>().ok()?).copied();
            Some(Fact::new(mode?, source))
        });
        let no_new_privileges = field("NoNewPrivs:").map(|(flag, source)| Fact::new(flag == "1", source));
        let mut process = Self {
            user,
            capabilities,
            user_namespace: in_user_namespace(root),
            seccomp,
            no_new_privileges,
            memlock: Memlock { limit_bytes: memlock_limit(root), locked_bytes: locked_kib.saturating_mul(1024), exempt: false },
        };
        process.memlock.exempt = process.has(CAP_IPC_LOCK) && !process.user_namespace;
        process
    }
}

/// In the first user namespace every user is itself.
fn in_user_namespace(root: &Root) -> bool {
    let map = root.read("/proc/self/uid_map").unwrap_or_default();
    let fields: Vec<_> = map.split_whitespace().collect();
    !fields.is_empty() && fields != ["0", "0", "4294967295"]
}

fn memlock_limit(root: &Root) -> Option<Fact<u64>> {
    let text = root.read(LIMITS)?;
    let (index, rest) = text.lines().enumerate().find_map(|(index, line)| Some((index, line.strip_prefix("Max locked memory")?)))?;
    let limit = match rest.split_whitespace().next()? {
        "unlimited" => u64::MAX,
        number => number.parse().ok()?,
    };
    Some(Fact::new(limit, Source::line(LIMITS, index)))
}
