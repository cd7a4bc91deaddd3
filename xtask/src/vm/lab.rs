//! Where scenarios run: a booted guest, the wires of its PFs and its virtual functions.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::guest::{Guest, Vf};
use super::qemu::{Accelerator, Qemu};
use super::setup::Kernel;
use super::wire::Wire;

/// Everything that a boot needs, and what was learnt about this machine.
pub(super) struct Site {
    kernel: Kernel,
    pub(super) initramfs: PathBuf,
    logs: PathBuf,
    /// Says that KVM failed to boot a guest since this machine started.
    kvm_verdict: PathBuf,
}

impl Site {
    pub(super) fn new(kernel: Kernel, initramfs: PathBuf, folder: &Path, logs: &Path) -> Self {
        Self { kernel, initramfs, logs: logs.to_owned(), kvm_verdict: folder.join("kvm-unusable") }
    }

    /// Boots a guest: with KVM where that works, and a second time where the first did not become ready.
    pub(super) fn boot(&self) -> Result<Lab> {
        let mut accelerator = self.accelerator();
        if accelerator == Accelerator::Kvm {
            match self.try_boot(accelerator) {
                Ok(lab) => return Ok(lab),
                Err(error) => {
                    println!("guest: KVM is there but does not boot a guest ({error:#}); emulating instead");
                    fs::write(&self.kvm_verdict, boot_id())?;
                    accelerator = Accelerator::Tcg;
                }
            }
        }
        self.try_boot(accelerator).or_else(|error| {
            println!("guest: the boot failed and is retried once ({error:#})");
            self.keep_logs("boot")?;
            self.try_boot(accelerator).context("the guest did not boot in two attempts")
        })
    }

    /// Boots a guest whose time stamp counter counts instructions.
    pub(super) fn boot_counted(&self) -> Result<Lab> {
        self.try_boot(Accelerator::Counted).or_else(|error| {
            println!("guest: the boot failed and is retried once ({error:#})");
            self.try_boot(Accelerator::Counted).context("the guest did not boot in two attempts")
        })
    }

    /// Opening the node proves nothing: only a boot does, and one failure is remembered until the machine restarts.
    fn accelerator(&self) -> Accelerator {
        let refused = fs::read_to_string(&self.kvm_verdict).is_ok_and(|verdict| verdict == boot_id());
        let opens = fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
        if opens && !refused { Accelerator::Kvm } else { Accelerator::Tcg }
    }

    fn try_boot(&self, accelerator: Accelerator) -> Result<Lab> {
        let start = Instant::now();
        let wires = [Wire::new(&self.logs, "a")?, Wire::new(&self.logs, "b")?];
        let (machine, channel) = Qemu::boot(&self.kernel, &self.initramfs, &self.logs, accelerator)?;
        let mut guest = Guest::new(machine, channel, self.logs.join("trace.log"));
        let pfs: Vec<Vec<Vf>> = guest.vfs()?;
        if pfs.len() != 3 || pfs.iter().any(|vfs| vfs.len() != 2) {
            bail!("the guest has other VFs than expected: {pfs:?}");
        }
        println!("guest: Linux {} ready after {:.1} s ({accelerator:?})", self.kernel.version, start.elapsed().as_secs_f64());
        Ok(Lab { guest, wires, pfs, streams: 0 })
    }

    /// Puts the logs of a guest aside before the next one overwrites them.
    pub(super) fn keep_logs(&self, name: &str) -> Result<()> {
        for log in ["console.log", "qemu.log", "trace.log"] {
            let file = self.logs.join(log);
            if file.exists() {
                fs::copy(&file, self.logs.join(format!("{name}.{log}")))?;
            }
        }
        Ok(())
    }

    /// Saves what the programs of a failed scenario said, if the guest still answers.
    pub(super) fn keep_guest_files(&self, name: &str, lab: &mut Lab) -> Result<()> {
        let said = lab.guest.exit_of("tail -n 100 /tmp/program-*; ps; cat /proc/meminfo", Duration::from_secs(5));
        let text = said.map_or_else(|error| format!("{error:#}"), |exit| exit.output);
        Ok(fs::write(self.logs.join(format!("{name}.programs.log")), text)?)
    }
}

/// Changes whenever the machine restarts.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// A booted guest and what is plugged into it.
pub(super) struct Lab {
    pub(super) guest: Guest,
    /// Wires of the first two PFs.
    pub(super) wires: [Wire; 2],
    /// The VFs of each PF. The third PF has no wire and shares one IOMMU group with its VFs.
    pub(super) pfs: Vec<Vec<Vf>>,
    streams: u32,
}

impl Lab {
    /// Runs a scenario from the baseline and looks for complaints afterwards, also where it failed by itself.
    pub(super) fn run(&mut self, scenario: fn(&mut Self) -> Result<()>) -> Result<()> {
        self.guest.run("sh /vm/baseline.sh")?;
        self.guest.check_faults().context("before the scenario began")?;
        let result = scenario(self);
        let faults = self.guest.check_faults();
        match (result, faults) {
            (Err(error), Err(faults)) => Err(error.context(faults)),
            (result, faults) => result.and(faults),
        }
    }

    /// A number that no stream of this guest had before.
    pub(super) fn next_stream(&mut self) -> u32 {
        self.streams += 1;
        self.streams
    }
}
