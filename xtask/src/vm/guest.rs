//! The running guest: commands in it, background programs of it, and what its kernel and its device complain about.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::qemu::Qemu;

/// Most commands take milliseconds; a reset of a function takes 100 ms.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);
/// What the channel and a busy emulated CPU may add.
const CHANNEL_SLACK: Duration = Duration::from_secs(15);

/// How a command ended.
#[derive(Debug)]
pub(super) struct Exit {
    pub(super) code: i32,
    pub(super) output: String,
}

/// A virtual function of the guest.
#[derive(Clone, Debug)]
pub(super) struct Vf {
    /// Vendor and device, as `lspci -n` prints them.
    pub(super) id: String,
    /// PCI address, as the kernel prints it.
    pub(super) address: String,
    /// IOMMU group.
    pub(super) group: String,
    /// The PF's network interface, and the VF's index there.
    pub(super) pf: String,
    pub(super) index: usize,
}

/// A booted guest; dropping it ends the machine.
pub(super) struct Guest {
    _machine: Qemu,
    channel: BufReader<UnixStream>,
    trace: Log,
    /// What QEMU says on stderr.
    complaints: Log,
    programs: u32,
    /// A complaint of QEMU that is none, for the scenario that runs.
    pub(super) expected: Option<&'static str>,
}

impl Guest {
    pub(super) fn new(machine: Qemu, channel: UnixStream, logs: &Path) -> Self {
        let [trace, complaints] = ["trace.log", "qemu.log"].map(|name| Log { file: logs.join(name), seen: 0 });
        Self { _machine: machine, channel: BufReader::new(channel), trace, complaints, programs: 0, expected: None }
    }

    /// Runs a shell script; an error if it fails.
    pub(super) fn run(&mut self, script: &str) -> Result<String> {
        let exit = self.exit_of(script, COMMAND_LIMIT)?;
        ensure!(exit.code == 0, "in the guest, `{script}` ended with {}:\n{}", exit.code, exit.output);
        Ok(exit.output)
    }

    /// Runs a shell script for at most `limit` and tells how it ended, output and errors in one.
    pub(super) fn exit_of(&mut self, script: &str, limit: Duration) -> Result<Exit> {
        let script = format!(". /vm/functions.sh\n{script}\n");
        self.channel.get_ref().set_read_timeout(Some(limit + CHANNEL_SLACK))?;
        let stream = self.channel.get_mut();
        write!(stream, "{} {}\n{script}", limit.as_secs().max(1), script.len())?;
        let mut head = String::new();
        self.channel.read_line(&mut head).context("the guest does not answer")?;
        let (code, length) = head.trim().split_once(' ').with_context(|| format!("the guest answered {head:?}"))?;
        let mut output = vec![0; length.parse()?];
        self.channel.read_exact(&mut output).context("the guest stopped in the middle of an answer")?;
        Ok(Exit { code: code.parse()?, output: String::from_utf8_lossy(&output).into_owned() })
    }

    /// Starts a program in the background.
    pub(super) fn start(&mut self, command: &str) -> Result<Program> {
        self.programs += 1;
        let files = format!("/tmp/program-{}", self.programs);
        self.run(&format!(
            "(sh -c 'echo $$ > {files}.pid; {command}' < /dev/null > {files}.out 2> {files}.err; echo $? > {files}.code) &\n\
             wait_for 5 test -s {files}.pid"
        ))?;
        Ok(Program { files, command: command.to_owned() })
    }

    /// The VFs of every PF, in slot order.
    pub(super) fn vfs(&mut self) -> Result<Vec<Vec<Vf>>> {
        let script = "for pf in $(pfs); do for i in 0 1; do vf=$(basename $(readlink $pf/virtfn$i)); echo $(ls $pf/net) $i $(pci_id $vf) $vf $(group $vf); done; done";
        let mut pfs: Vec<Vec<Vf>> = Vec::new();
        for line in self.run(script)?.lines() {
            let fields: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let [pf, index, id, address, group] = fields.try_into().ok().with_context(|| format!("the guest lists a VF as {line:?}"))?;
            let vf = Vf { id, address, group, pf, index: index.parse()? };
            match pfs.last_mut() {
                Some(vfs) if vfs[0].pf == vf.pf => vfs.push(vf),
                _ => pfs.push(vec![vf]),
            }
        }
        Ok(pfs)
    }

    /// The virtio-net functions, in slot order.
    pub(super) fn virtio_functions(&mut self) -> Result<Vec<Vf>> {
        let listed = self.run("for function in $(virtio_functions); do echo $(pci_id $function) $function $(group $function); done")?;
        let function = |(index, line): (usize, &str)| {
            let fields: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let [id, address, group] = fields.try_into().ok().with_context(|| format!("the guest lists a function as {line:?}"))?;
            Ok(Vf { id, address, group, pf: String::new(), index })
        };
        listed.lines().enumerate().map(function).collect()
    }

    /// An error if the IOMMU refused an access, or the device met a register it does not have, since the last call.
    pub(super) fn check_faults(&mut self) -> Result<()> {
        // Reading with -c empties the kernel's buffer: what comes is new.
        let dmesg = self.run("dmesg -c")?;
        let faults: Vec<_> = dmesg.lines().filter(|line| is_fault(line)).collect();
        let unknown: Vec<_> = self.trace.news().into_iter().filter(|line| line.contains("igbvf_wrn_io_addr_unknown")).collect();
        // A virtio device says what its driver did wrong, and does nothing from then on until it is reset.
        let is_known = |line: &String| line.contains(": warning: ") || self.expected.is_some_and(|words| line.contains(words));
        let mut broken = self.complaints.news();
        broken.retain(|line| !is_known(line));
        if !faults.is_empty() {
            bail!("the IOMMU or the kernel complained:\n{}", faults.join("\n"));
        }
        if !unknown.is_empty() {
            bail!("the device has no such register:\n{}", unknown.join("\n"));
        }
        if !broken.is_empty() {
            bail!("QEMU complained:\n{}", broken.join("\n"));
        }
        Ok(())
    }
}

/// A file that grows by lines.
struct Log {
    file: PathBuf,
    seen: usize,
}

impl Log {
    /// The lines since the last call.
    fn news(&mut self) -> Vec<String> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let lines: Vec<_> = text.lines().skip(self.seen).map(str::to_owned).collect();
        self.seen += lines.len();
        lines
    }
}

fn is_fault(line: &str) -> bool {
    (line.contains("DMAR:") && (line.contains("fault") || line.contains("[DMA") || line.contains("Invalid")))
        || ["BUG:", "Oops", "Call Trace", "general protection"].iter().any(|words| line.contains(words))
}

/// A program in the background of the guest.
pub(super) struct Program {
    files: String,
    command: String,
}

impl Program {
    /// Waits until the program has written a line with these words to stderr.
    pub(super) fn wait_for_words(&self, guest: &mut Guest, words: &str, limit: Duration) -> Result<()> {
        let files = &self.files;
        let script = format!("wait_for {} grep -q '{words}' {files}.err", limit.as_secs());
        let exit = guest.exit_of(&script, limit + Duration::from_secs(5))?;
        if exit.code != 0 {
            bail!("`{}` did not say {words:?} within {limit:?}:\n{}", self.command, self.said(guest)?);
        }
        Ok(())
    }

    /// Asks the program to end and waits for it.
    pub(super) fn stop(self, guest: &mut Guest) -> Result<Ended> {
        self.signal(guest, "TERM")?;
        self.wait(guest, Duration::from_secs(10))
    }

    pub(super) fn signal(&self, guest: &mut Guest, signal: &str) -> Result<()> {
        guest.run(&format!("kill -{signal} $(cat {}.pid)", self.files)).map(drop)
    }

    /// Waits until the program ends by itself.
    pub(super) fn wait(self, guest: &mut Guest, limit: Duration) -> Result<Ended> {
        let files = &self.files;
        let script = format!("wait_for {} test -s {files}.code && cat {files}.code", limit.as_secs());
        let exit = guest.exit_of(&script, limit + Duration::from_secs(5))?;
        if exit.code != 0 {
            bail!("`{}` did not end within {limit:?}:\n{}", self.command, self.said(guest)?);
        }
        let read = |guest: &mut Guest, kind: &str| guest.run(&format!("cat {files}.{kind}"));
        Ok(Ended { code: exit.output.trim().parse()?, stdout: read(guest, "out")?, stderr: read(guest, "err")? })
    }

    /// What the program has written to stderr until now.
    pub(super) fn stderr(&self, guest: &mut Guest) -> Result<String> {
        guest.run(&format!("cat {}.err", self.files))
    }

    fn said(&self, guest: &mut Guest) -> Result<String> {
        guest.run(&format!("cat {0}.err; cat {0}.out", self.files))
    }
}

/// What a background program left behind.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

#[cfg(test)]
mod tests {
    use super::is_fault;

    #[test]
    fn faults_are_told_from_the_lines_of_a_healthy_boot() {
        assert!(is_fault(
            "[   9.1] DMAR: [DMA Write NO_PASID] Request device [01:10.0] fault addr 0x1000 [fault reason 0x05] PTE Write access is not set"
        ));
        assert!(is_fault("[   9.1] DMAR: DRHD: handling fault status reg 2"));
        assert!(is_fault("[   9.1] BUG: kernel NULL pointer dereference"));
        assert!(!is_fault("[   0.1] DMAR: IOMMU enabled"));
        assert!(!is_fault("[   0.1] DMAR: Host address width 39"));
    }
}
