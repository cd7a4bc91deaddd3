//! Where scenarios run: a booted guest, the wires of its PFs and its virtual functions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::devices::{At, Equipment};
use super::guest::{Guest, Vf};
use super::namespace::Namespace;
use super::qemu::{Accelerator, Plan, Qemu};
use super::qmp::Qmp;
use super::setup::Kernel;
use super::wire::Wire;

/// Rounds of an ordinary run.
const ROUNDS: u32 = 3;

/// Everything that a boot needs, and what was learnt about this machine.
pub(super) struct Site {
    kernel: Kernel,
    pub(super) initramfs: PathBuf,
    /// The initramfs of [`Equipment::Containers`], where it is needed.
    pub(super) with_containers: Option<PathBuf>,
    logs: PathBuf,
    /// See [`Lab::rounds`].
    pub(super) rounds: u32,
    /// Says that KVM failed to boot a guest since this machine started.
    kvm_verdict: PathBuf,
}

impl Site {
    pub(super) fn new(kernel: Kernel, initramfs: PathBuf, folder: &Path, logs: &Path) -> Self {
        Self { kernel, initramfs, with_containers: None, logs: logs.to_owned(), rounds: ROUNDS, kvm_verdict: folder.join("kvm-unusable") }
    }

    /// Boots a guest: with KVM where that works, and a second time where the first did not become ready.
    pub(super) fn boot(&self, equipment: Equipment) -> Result<Lab> {
        let mut accelerator = self.accelerator();
        if accelerator == Accelerator::Kvm {
            match self.try_boot(equipment, accelerator) {
                Ok(lab) => return Ok(lab),
                Err(error) => {
                    println!("guest: KVM is there but does not boot a guest ({error:#}); emulating instead");
                    fs::write(&self.kvm_verdict, boot_id())?;
                    accelerator = Accelerator::Tcg;
                }
            }
        }
        self.try_boot(equipment, accelerator).or_else(|error| {
            println!("guest: the boot failed and is retried once ({error:#})");
            self.keep_logs("boot")?;
            self.try_boot(equipment, accelerator).context("the guest did not boot in two attempts")
        })
    }

    /// Boots a guest whose time stamp counter counts instructions.
    pub(super) fn boot_counted(&self, equipment: Equipment) -> Result<Lab> {
        self.try_boot(equipment, Accelerator::Counted).or_else(|error| {
            println!("guest: the boot failed and is retried once ({error:#})");
            self.try_boot(equipment, Accelerator::Counted).context("the guest did not boot in two attempts")
        })
    }

    /// Opening the node proves nothing: only a boot does, and one failure is remembered until the machine restarts.
    fn accelerator(&self) -> Accelerator {
        let refused = fs::read_to_string(&self.kvm_verdict).is_ok_and(|verdict| verdict == boot_id());
        let opens = fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
        if opens && !refused { Accelerator::Kvm } else { Accelerator::Tcg }
    }

    fn try_boot(&self, equipment: Equipment, accelerator: Accelerator) -> Result<Lab> {
        let start = Instant::now();
        let wires = [Wire::new(&self.logs, "a")?, Wire::new(&self.logs, "b")?];
        let virtio_wires: Vec<_> = equipment.virtio_wires().map(|name| Wire::new(&self.logs, name)).collect::<Result<_>>()?;
        // After the wires: its relays send to them at once.
        let namespace = (equipment == Equipment::Virtio).then(|| Namespace::new(&self.logs)).transpose()?;
        let containers = self.with_containers.as_ref().filter(|_| equipment == Equipment::Containers);
        let initramfs = containers.unwrap_or(&self.initramfs);
        let plan = Plan { kernel: &self.kernel, initramfs, equipment, namespace: namespace.as_ref() };
        let (machine, channel) = Qemu::boot(&plan, &self.logs, accelerator)?;
        let qmp = Qmp::connect(&self.logs)?;
        let mut guest = Guest::new(machine, channel, &self.logs);
        let (pfs, virtio) = functions(&mut guest, equipment)?;
        println!("guest: Linux {} ready after {:.1} s ({accelerator:?})", self.kernel.version, start.elapsed().as_secs_f64());
        Ok(Lab {
            guest,
            qmp,
            equipment,
            wires,
            pfs,
            virtio,
            virtio_wires,
            rounds: self.rounds,
            _namespace: namespace,
            used: BTreeSet::new(),
            streams: 0,
            artefacts: self.kvm_verdict.parent().unwrap_or(&self.logs).to_owned(),
        })
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

/// The VFs of each PF, and the virtio-net functions; an error unless they are those of the equipment.
fn functions(guest: &mut Guest, equipment: Equipment) -> Result<(Vec<Vec<Vf>>, Vec<Vf>)> {
    let (pfs, virtio) = (guest.vfs()?, guest.virtio_functions()?);
    if pfs.len() != equipment.pfs() || pfs.iter().any(|vfs| vfs.len() != 2) || virtio.len() != equipment.virtio_functions() {
        bail!("the guest has other functions than expected: {pfs:?} {virtio:?}");
    }
    Ok((pfs, virtio))
}

/// Changes whenever the machine restarts.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// A booted guest and what is plugged into it.
pub(super) struct Lab {
    pub(super) guest: Guest,
    pub(super) qmp: Qmp,
    /// Wires of the first two PFs.
    pub(super) wires: [Wire; 2],
    /// The VFs of each PF. The third PF has no wire and shares one IOMMU group with its VFs.
    pub(super) pfs: Vec<Vec<Vf>>,
    /// How often a scenario does to a port what it must recover from.
    pub(super) rounds: u32,
    pub(super) equipment: Equipment,
    /// The virtio-net functions.
    pub(super) virtio: Vec<Vf>,
    /// Their wires; a pair has one.
    pub(super) virtio_wires: Vec<Wire>,
    /// Where the tap devices are; dropped after the machine.
    _namespace: Option<Namespace>,
    /// The functions that the scenario has used.
    pub(super) used: BTreeSet<String>,
    streams: u32,
    artefacts: PathBuf,
}

impl Lab {
    /// Where what scenarios measure stays.
    pub(super) fn artefacts(&self) -> &Path {
        &self.artefacts
    }

    /// Runs a scenario from the baseline and looks for complaints afterwards, also where it failed by itself.
    pub(super) fn run(&mut self, scenario: fn(&mut Self) -> Result<()>) -> Result<()> {
        self.guest.run("sh /vm/baseline.sh")?;
        self.guest.check_faults().context("before the scenario began")?;
        self.used.clear();
        self.guest.expected = None;
        let result = scenario(self);
        let faults = self.guest.check_faults();
        match (result, faults) {
            (Err(error), Err(faults)) => Err(error.context(faults)),
            (result, faults) => result.and(faults),
        }
    }

    /// Looks what functions there are now: one that was plugged in anew may have other addresses.
    pub(super) fn look_again(&mut self) -> Result<()> {
        (self.pfs, self.virtio) = functions(&mut self.guest, self.equipment)?;
        Ok(())
    }

    /// The function at a place, which something is to be proven on.
    pub(super) fn function(&mut self, at: At) -> Vf {
        let function = match at {
            At::Pf(index) => &self.pfs[index][0],
            At::Virtio(index) => &self.virtio[index],
        };
        self.used.insert(format!("{} {} ({})", function.id, function.address, at.name()));
        function.clone()
    }

    /// The wire that ends at a place.
    pub(super) fn wire(&self, at: At) -> &Wire {
        match at {
            At::Pf(index) => &self.wires[index],
            At::Virtio(index) => &self.virtio_wires[index],
        }
    }

    /// The guest, the machine and the wire that ends at a place.
    pub(super) fn parts(&mut self, at: At) -> (&mut Guest, &mut Qmp, &Wire) {
        let wire = match at {
            At::Pf(index) => &self.wires[index],
            At::Virtio(index) => &self.virtio_wires[index],
        };
        (&mut self.guest, &mut self.qmp, wire)
    }

    /// A number that no stream of this guest had before.
    pub(super) fn next_stream(&mut self) -> u32 {
        self.streams += 1;
        self.streams
    }
}
