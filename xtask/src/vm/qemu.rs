//! One QEMU process: a q35 machine with a VT-d IOMMU, network functions and a control channel.
//!
//! It never outlives this process: dropping [`Qemu`] kills it, and the kernel kills it should we die first.

use std::fs;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::devices::Equipment;
use super::namespace::Namespace;
use super::setup::Kernel;

/// Boots take 6 to 10 s; on a machine with ten times more to do than it has CPUs, ten times longer.
const BOOT_LIMIT: Duration = Duration::from_secs(150);

/// How QEMU executes the guest. Emulation is single-threaded: with a thread a CPU one boot in seven stalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accelerator {
    Kvm,
    Tcg,
    /// Emulation in which a tick of the time stamp counter is one instruction, the same in every run. The guest has one CPU.
    Counted,
}

impl Accelerator {
    fn option(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg | Self::Counted => "tcg,thread=single",
        }
    }
}

/// What a machine is made of.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) initramfs: &'a Path,
    pub(super) equipment: Equipment,
    /// Where its tap devices are.
    pub(super) namespace: Option<&'a Namespace>,
}

/// A running machine. Its files are all in one folder: `console.log`, `qemu.log`, `trace.log` and the sockets.
pub(super) struct Qemu {
    child: Child,
    folder: PathBuf,
}

impl Qemu {
    /// Starts a machine and waits until the guest has opened its end of the control channel and said that it is ready.
    pub(super) fn boot(plan: &Plan, folder: &Path, accelerator: Accelerator) -> Result<(Self, UnixStream)> {
        let socket = folder.join("control");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(short_path(folder, "control")?.path()).context("could not listen for the guest")?;
        listener.set_nonblocking(true)?;
        let mut machine = Self { child: command(plan, folder, accelerator)?.spawn()?, folder: folder.to_owned() };
        let deadline = Instant::now() + BOOT_LIMIT;
        let channel = loop {
            match listener.accept() {
                Ok((channel, _)) => break channel,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => machine.check_alive(deadline)?,
                Err(error) => return Err(error.into()),
            }
        };
        channel.set_nonblocking(false)?;
        let result = await_ready(&mut machine, &channel, deadline);
        if result.is_err() {
            let _ = channel.shutdown(Shutdown::Both);
        }
        result.map(|()| (machine, channel))
    }

    fn check_alive(&mut self, deadline: Instant) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("QEMU ended ({status}): {}", fs::read_to_string(self.folder.join("qemu.log"))?.trim());
        }
        if Instant::now() >= deadline {
            bail!("no GUEST READY within {} s", BOOT_LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
        Ok(())
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Fails only where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn await_ready(machine: &mut Qemu, channel: &UnixStream, deadline: Instant) -> Result<()> {
    use std::io::Read;
    let ready = b"GUEST READY\n";
    let mut said = Vec::new();
    channel.set_read_timeout(Some(Duration::from_millis(100)))?;
    while said.len() < ready.len() {
        let mut byte = [0];
        match (&*channel).read(&mut byte) {
            Ok(1) => said.push(byte[0]),
            Ok(_) => bail!("the guest closed its control channel"),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                machine.check_alive(deadline)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if said != ready {
        bail!("the guest said {:?} instead of GUEST READY", String::from_utf8_lossy(&said));
    }
    Ok(())
}

fn command(plan: &Plan, folder: &Path, accelerator: Accelerator) -> Result<Command> {
    let Plan { kernel, initramfs, equipment, namespace } = *plan;
    let mut command = namespace.map_or_else(|| Command::new("setpriv"), |namespace| namespace.command("setpriv"));
    // The folder is the working directory, so that socket paths stay below the 108 bytes that an address may have.
    command.current_dir(folder).args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args(["-M", "q35,kernel-irqchip=split", "-cpu", "max", "-m", "1G", "-accel", accelerator.option()]);
    command.args(["-nodefaults", "-nographic", "-no-reboot", "-serial", "file:console.log"]);
    command.args(["-D", "trace.log", "-trace", "igbvf_wrn_io_addr_unknown"]);
    command.args(["-device", "intel-iommu,intremap=on,caching-mode=on,aw-bits=48"]);
    command.args(equipment.arguments());
    command.args(["-device", "virtio-serial-pci", "-chardev", "socket,id=control,path=control,server=off"]);
    command.args(["-device", "virtserialport,chardev=control,name=vfwire"]);
    command.args(["-qmp", &format!("unix:{},server=on,wait=off", super::qmp::SOCKET)]);
    command.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(initramfs);
    let mut kernel_arguments = "console=ttyS0 intel_iommu=on iommu=pt ipv6.disable_ipv6=1 panic=-1 quiet no_timer_check".to_owned();
    if accelerator == Accelerator::Counted {
        command.args(["-smp", "1", "-icount", "shift=0,sleep=off", "-seed", "1", "-rtc", "base=2024-01-01T00:00:00,clock=vm"]);
        kernel_arguments += " nokaslr norandmaps";
    } else {
        command.args(["-smp", "2"]);
        // A machine that has no time for the guest for seconds is not the guest's fault.
        kernel_arguments += " nowatchdog rcupdate.rcu_cpu_stall_suppress=1";
    }
    command.args(["-append", &kernel_arguments]);
    let log = fs::File::create(folder.join("qemu.log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// A name for a file in `folder` that is short however deep the folder is; good while this value lives.
pub(super) struct ShortPath {
    path: PathBuf,
    _folder: fs::File,
}

impl ShortPath {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

pub(super) fn short_path(folder: &Path, name: &str) -> Result<ShortPath> {
    use std::os::fd::AsRawFd;
    let file = fs::File::open(folder).with_context(|| format!("could not open {}", folder.display()))?;
    Ok(ShortPath { path: PathBuf::from(format!("/proc/self/fd/{}/{name}", file.as_raw_fd())), _folder: file })
}
