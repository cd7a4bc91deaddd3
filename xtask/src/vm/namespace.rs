//! A private network namespace with the other ends of tap devices. It goes with this process, whatever way that ends.
//!
//! In it, each tap device of the machine is bridged to a second one that `socat` joins to a pair of datagram sockets. The second knows
//! no offloads: the kernel computes every checksum and cuts every segment that the machine left to it before a frame reaches the socket, so
//! that what was asked for wrongly is seen as wrong bytes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::devices::{Backend, VIRTIO, tap};
use crate::host::{self, Need};

const NEEDS: [Need; 4] = [
    Need { what: "socat", package: "socat" },
    Need { what: "unshare", package: "util-linux" },
    Need { what: "nsenter", package: "util-linux" },
    Need { what: "/usr/bin/ip", package: "iproute2" },
];
const LIMIT: Duration = Duration::from_secs(5);
const MTU: u32 = 9000;

/// A namespace; dropping it ends what runs in it.
pub(super) struct Namespace {
    /// Keeps the namespace alive.
    holder: Child,
    relays: Vec<Child>,
}

impl Namespace {
    /// Makes the tap devices of every function that has one, and their sockets in `folder`.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        host::need(&NEEDS)?;
        let mut holder = Command::new("setpriv");
        holder.args(["--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]);
        let holder = holder.stdin(Stdio::null()).spawn().context("cannot start setpriv")?;
        let mut namespace = Self { holder, relays: Vec::new() };
        namespace.await_it().context("no network namespace for tap devices, which need root or CAP_SYS_ADMIN and CAP_NET_ADMIN")?;
        for (index, function) in VIRTIO.iter().enumerate().filter(|(_, function)| function.backend == Backend::Tap) {
            namespace.join(folder, function.name, index).with_context(|| format!("no tap device for {}", function.name))?;
        }
        Ok(namespace)
    }

    /// A command that runs in the namespace.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg("--").arg(program);
        command
    }

    /// Runs a shell script in the namespace and gives what it says.
    pub(super) fn run(&self, script: &str) -> Result<String> {
        host::stdout(self.command("sh").args(["-ec", script]).stdin(Stdio::null()))
    }

    fn await_it(&mut self) -> Result<()> {
        let ours = std::fs::read_link("/proc/self/ns/net")?;
        let deadline = Instant::now() + LIMIT;
        let path = format!("/proc/{}/ns/net", self.holder.id());
        loop {
            if let Some(status) = self.holder.try_wait()? {
                anyhow::bail!("unshare ended with {status}");
            }
            if std::fs::read_link(&path).is_ok_and(|theirs| theirs != ours) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "unshare made none within {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A tap device for the machine, a bridge, and a second tap device whose frames are datagrams.
    fn join(&mut self, folder: &Path, name: &str, index: usize) -> Result<()> {
        let (guest, bridge, host) = (tap(index), format!("bridge{index}"), format!("host{index}"));
        self.run(&format!(
            "for file in /proc/sys/net/ipv6/conf/[ad]*l*/disable_ipv6; do [ ! -e $file ] || echo 1 > $file; done\n\
             ip tuntap add {guest} mode tap multi_queue vnet_hdr\nip link add {bridge} type bridge\nip tuntap add {host} mode tap\n\
             for device in {guest} {host}; do ip link set $device mtu {MTU} master {bridge} up; done\nip link set {bridge} mtu {MTU} up"
        ))?;
        let socket = folder.join(format!("{name}.guest"));
        let _ = std::fs::remove_file(&socket);
        let mut relay = self.command("setpriv");
        relay.current_dir(folder).args(["--pdeathsig", "KILL", "socat", "-b", "70000"]);
        relay.arg(format!("UNIX-RECV:{name}.guest!!UNIX-SENDTO:{name}.host")).arg(format!("TUN,tun-name={host},tun-type=tap,iff-no-pi"));
        self.relays.push(relay.stdin(Stdio::null()).spawn().context("cannot start socat")?);
        let deadline = Instant::now() + LIMIT;
        while !socket.exists() {
            ensure!(Instant::now() < deadline, "socat made no {} within {LIMIT:?}", socket.display());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        for child in self.relays.iter_mut().chain([&mut self.holder]) {
            // Fails only where it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
