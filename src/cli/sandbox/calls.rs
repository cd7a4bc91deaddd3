//! The system calls that a running command makes, each with its reason. All others are refused.
//!
//! They are meant for glibc and musl, on x86_64 and AArch64. None of them opens a file or a socket, starts a thread or a process, changes who
//! the process is, reaches another process, or makes memory executable.

use libc::c_long;
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule};
use std::{collections::BTreeMap, env::consts::ARCH};

/// What a call's arguments must be. Of an argument only the named 32 bits are looked at, which is all that the kernel reads of these.
enum Only {
    /// Anything.
    Any,
    /// The second argument is one of these.
    Request(&'static [u32]),
    /// The argument of this number has none of `clear` and all of `set`, for each of them.
    Bits(&'static [Bits]),
}

struct Bits {
    argument: u8,
    clear: u32,
    set: u32,
}

/// Requests of linux/vfio.h: `_IO(';', 100 + number)`.
const VFIO_DEVICE_RESET: u32 = 0x3b6f;
const VFIO_IOMMU_UNMAP_DMA: u32 = 0x3b72;

// asm-generic/ioctls.h, which x86_64 and AArch64 share
const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TIOCGWINSZ: u32 = 0x5413;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;

// linux/mman.h
const PROT_EXEC: u32 = 4;
const MAP_ANONYMOUS: u32 = 0x20;

const NOT_EXECUTABLE: Bits = Bits { argument: 2, clear: PROT_EXEC, set: 0 };

const ALLOWED: &[(c_long, Only)] = &[
    // What a port does: the interrupts that it polls, its configuration space, its resets, and memory that it gives back.
    (libc::SYS_read, Only::Any),
    (libc::SYS_pread64, Only::Any),
    (libc::SYS_pwrite64, Only::Any),
    (libc::SYS_ioctl, Only::Request(&[VFIO_DEVICE_RESET, VFIO_IOMMU_UNMAP_DMA])),
    (libc::SYS_close, Only::Any),
    (libc::SYS_munmap, Only::Any),
    // What a command says, and the files that it was asked to write, which are open.
    (libc::SYS_write, Only::Any),
    (libc::SYS_ftruncate, Only::Any),
    (libc::SYS_lseek, Only::Any),
    // How a control thread waits, a wait for a device pauses, and a simulated device idles. The clock is a call where the vDSO cannot read it.
    (libc::SYS_clock_nanosleep, Only::Any),
    (libc::SYS_nanosleep, Only::Any),
    (libc::SYS_clock_gettime, Only::Any),
    (libc::SYS_sched_yield, Only::Any),
    // Locks, and waiting for a thread that ends.
    (libc::SYS_futex, Only::Any),
    // The heap. Each process and thread seeds its hash tables, and glibc its heap, once.
    (libc::SYS_brk, Only::Any),
    (libc::SYS_mmap, Only::Bits(&[NOT_EXECUTABLE, Bits { argument: 3, clear: 0, set: MAP_ANONYMOUS }])),
    (libc::SYS_mprotect, Only::Bits(&[NOT_EXECUTABLE])),
    (libc::SYS_mremap, Only::Any),
    (libc::SYS_madvise, Only::Any),
    (libc::SYS_getrandom, Only::Any),
    // Signals that have come: the end of their handlers, and going on with the call that they interrupted.
    (libc::SYS_rt_sigreturn, Only::Any),
    (libc::SYS_restart_syscall, Only::Any),
    // The end of a thread and of the process. A panic names its thread.
    (libc::SYS_rt_sigprocmask, Only::Any),
    (libc::SYS_sigaltstack, Only::Any),
    (libc::SYS_gettid, Only::Any),
    (libc::SYS_exit, Only::Any),
    (libc::SYS_exit_group, Only::Any),
];

/// What `--metrics` takes beyond reading and writing: clients of the socket that listens. It cannot connect to anybody, or listen elsewhere.
const SERVING: &[(c_long, Only)] = &[
    (libc::SYS_accept4, Only::Any),
    (libc::SYS_shutdown, Only::Any),
    // Which of them has something to say.
    (libc::SYS_ppoll, Only::Any),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, Only::Any),
];

/// What `--live` takes beyond reading and writing: whether a key was pressed, the terminal's size, and its modes. Not TIOCSTI, which would
/// type into the shell behind it.
const DRAWING: &[(c_long, Only)] = &[
    (libc::SYS_ppoll, Only::Any),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, Only::Any),
    (libc::SYS_ioctl, Only::Request(&[TIOCGWINSZ, TCGETS, TCSETS, TCGETS2, TCSETS2])),
];

/// What the kernel runs at each system call, of a command that serves or draws, or does not.
pub(super) fn filter(serves: bool, draws: bool) -> Result<BpfProgram, BackendError> {
    let serving = if serves { SERVING } else { &[] };
    let drawing = if draws { DRAWING } else { &[] };
    let mut rules = BTreeMap::<_, Vec<_>>::new();
    for (call, only) in ALLOWED.iter().chain(serving).chain(drawing) {
        rules.entry(*call).or_default().extend(only.rules()?);
    }
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, ARCH.try_into()?)?.try_into()
}

impl Only {
    /// Any of these allows the call; no rule at all allows it whatever its arguments.
    fn rules(&self) -> Result<Vec<SeccompRule>, BackendError> {
        let rule = |conditions: Result<Vec<_>, BackendError>| SeccompRule::new(conditions?);
        match self {
            Self::Any => Ok(Vec::new()),
            Self::Request(requests) => {
                requests.iter().map(|&request| rule(condition(1, SeccompCmpOp::Eq, request).map(|one| vec![one]))).collect()
            }
            Self::Bits(all) => {
                let masked = |bits: &Bits| condition(bits.argument, SeccompCmpOp::MaskedEq(u64::from(bits.clear | bits.set)), bits.set);
                rule(all.iter().map(masked).collect()).map(|rule| vec![rule])
            }
        }
    }
}

fn condition(argument: u8, is: SeccompCmpOp, value: u32) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is, u64::from(value))
}
