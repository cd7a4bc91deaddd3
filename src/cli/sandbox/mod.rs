//! What a command that runs gives up: capabilities, new privileges, and every system call that forwarding does not take.
//!
//! A command opens all that it needs (functions, memory, files), drops its capabilities before it starts its threads, and installs the filter
//! of system calls on all threads once they run. From then on whoever takes the process over through a frame or a device has its ports and
//! its open files, and no way to more: no file, socket, process or executable memory can be had.
//!
//! **A call that is refused is an error (`EPERM`), not the end of the process.** The filter protects as well either way, since the call does
//! not happen; but a C library that one day asks for something new must not take a port down that works without it, and an error has a
//! text ([`hint`]), while a process that is killed has none. Code of another architecture than the process's own is killed.
//!
//! The polling loop makes no system calls, so the filter costs it nothing (`tests/sandbox.rs` holds that).

mod calls;

use super::Failure;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use std::io;

/// Whether there is a sandbox, and what remains to be done for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sandbox {
    on: bool,
    serves: bool,
    draws: bool,
}

/// Beyond the last capability that the kernel's interface has room for (linux/capability.h: two words of 32).
const CAPABILITIES_END: u32 = 64;

impl Sandbox {
    pub(super) fn new(on: bool) -> Self {
        Self { on, serves: false, draws: false }
    }

    /// Clients of a socket that listens may be accepted (`--metrics`).
    pub(super) fn that_serves(self, serves: bool) -> Self {
        Self { serves, ..self }
    }

    /// The terminal may be asked for its size and its keys, and set (`--live`).
    pub(super) fn that_draws(self, draws: bool) -> Self {
        Self { draws, ..self }
    }

    /// Drops the capabilities of this thread and of all threads that it starts from now on, for good.
    ///
    /// Mapping memory may need CAP_IPC_LOCK, opening a node CAP_DAC_OVERRIDE: after this neither can be relied on.
    pub(super) fn drop_capabilities(self) -> Result<(), Failure> {
        if self.on { drop_capabilities().map_err(|error| refusal("capabilities cannot be dropped", &error)) } else { Ok(()) }
    }

    /// Refuses all threads of this process every system call but those that [`calls`] names. All of them run by now: what a thread asks of
    /// the system to begin with is not among those.
    pub(super) fn close(self) -> Result<(), Failure> {
        if !self.on {
            return Ok(());
        }
        let filter = calls::filter(self.serves, self.draws).map_err(|error| refusal("its filter cannot be made", &error))?;
        seccompiler::apply_filter_all_threads(&filter).map_err(|error| refusal("the filter of system calls cannot be installed", &error))
    }

    /// What to add to an error that the sandbox may be the cause of.
    pub(super) fn hint(self, failure: Failure) -> Failure {
        if !self.on || !failure.text.contains(&io::Error::from_raw_os_error(libc::EPERM).to_string()) {
            return failure;
        }
        let hint = "if it works with --no-sandbox, then the sandbox refuses a system call that it should not: please report it";
        Failure { text: format!("{}: {hint}", failure.text), ..failure }
    }
}

fn drop_capabilities() -> rustix::io::Result<()> {
    set_no_new_privs(true)?;
    let all = (0..CAPABILITIES_END).map(|number| CapabilitySet::from_bits_retain(1 << number));
    // The kernel does not know those behind its last one.
    for capability in all.take_while(|&capability| capability_is_in_bounding_set(capability).is_ok()) {
        match remove_capability_from_bounding_set(capability) {
            // Without CAP_SETPCAP the set stays, and is of no use: with no new privileges, executing a program gives nothing of it.
            Ok(()) | Err(rustix::io::Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    // The ambient set goes with the permitted one.
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

fn refusal(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::failed(format!(
        "the sandbox cannot be set up: {what} ({error}): the kernel needs CONFIG_SECCOMP_FILTER, and a container's runtime must allow `seccomp`, \
         `prctl` and `capset`; --no-sandbox runs without it"
    ))
}

#[cfg(test)]
mod tests;
