//! DPDK's side: testpmd in the guest, and what it says of cycles and bursts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Case, Figure, Subject};
use crate::host::Need;
use crate::vm::forwarder;
use crate::vm::image;
use crate::vm::lab::Lab;

pub(super) const NEEDS: [Need; 1] = [Need { what: TESTPMD, package: "dpdk-dev" }];
const TESTPMD: &str = "/usr/bin/dpdk-testpmd";
/// What testpmd needs besides what it is linked to.
const MEMPOOL: &str = "librte_mempool_ring.so.23";
pub(super) const E1000: &str = "librte_net_e1000.so.23";
pub(super) const VIRTIO: &str = "librte_net_virtio.so.23";
/// DPDK's side waits mostly, which costs little; a second of polling takes the emulation ten or more.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs testpmd, which sends the first burst itself, thrice for the cycles and once for the bursts: counting those takes cycles, too.
pub(super) fn measure(lab: &mut Lab, subject: &Subject, case: &Case) -> Result<Figure> {
    // In mode macswap a frame comes back to the port that it was received on; in mode io it goes out by the other.
    let (mode, topology) = if case.mode == "io" { ("io", "paired") } else { ("macswap", "loop") };
    let [mac0, mac1] = subject.macs.map(forwarder::text);
    let [vf0, vf1] = subject.vfs.each_ref().map(|vf| format!("{}{}", vf.address, subject.device_options));
    let script = format!(
        "mkdir -p /var/run\n\
         (sleep 6; echo set record-core-cycles on;\n\
         for window in 1 2 3; do echo start tx_first 1; usleep 100000; echo stop; usleep 300000; done\n\
         echo set record-core-cycles off; echo set record-burst-stats on; echo start tx_first 1; usleep 100000; echo stop; sleep 1; echo quit) |\n\
         dpdk-testpmd --lcores '0@0,1@0' -n 1 --in-memory -d {MEMPOOL} -d {plugin} -m 64 -a {vf0} -a {vf1} -- \
         -i --total-num-mbufs=4096 --nb-cores=1 --burst={burst} \
         --forward-mode={mode} --port-topology={topology} --eth-peer=0,{mac1} --eth-peer=1,{mac0}",
        plugin = subject.plugin,
        burst = case.burst,
    );
    let exit = lab.guest.exit_of(&script, LIMIT)?;
    let output = without_prompts(&exit.output);
    let said = cycles_per_packet(&output).and_then(|instructions| Ok(Figure { instructions, mean_burst: mean_burst(&output)? }));
    said.with_context(|| format!("testpmd ended with {}:\n{}", exit.code, exit.output))
}

/// What testpmd prints goes out in blocks, and its prompt with the command's echo at once: they come in the middle of lines.
fn without_prompts(said: &str) -> String {
    let mut parts = said.split("testpmd> ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('\n').map_or("", |(_, rest)| rest))
}

/// The least of what testpmd prints where it records the cores' cycles: what the guest's kernel does meanwhile is only ever added.
fn cycles_per_packet(said: &str) -> Result<f64> {
    let mut least: Option<f64> = None;
    for (at, words) in said.match_indices("CPU cycles/packet=") {
        let digits = said[at + words.len()..].split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
        let cycles: f64 = digits.parse().with_context(|| format!("{digits:?} is no number of cycles"))?;
        least = Some(least.map_or(cycles, |least| least.min(cycles)));
    }
    least.context("no cycles a packet")
}

/// Frames by bursts sent: testpmd prints both for each port where it records bursts.
fn mean_burst(said: &str) -> Result<f64> {
    let (mut frames, mut bursts, mut of_port) = (0, 0, 0);
    for line in said.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("TX-packets:") {
            of_port = leading_number(rest)?;
        } else if let Some(rest) = line.strip_prefix("TX-bursts :") {
            frames += of_port;
            bursts += leading_number(rest)?;
        }
    }
    ensure!(bursts > 0, "no bursts sent");
    Ok(f64::from(frames) / f64::from(bursts))
}

fn leading_number(text: &str) -> Result<u32> {
    let word = text.split_whitespace().next().unwrap_or_default();
    word.parse().with_context(|| format!("{word:?} is no count"))
}

/// A folder to copy over the guest's root: testpmd, its plugins and all their libraries. The guest has no cache of library folders, so
/// libraries of DPDK's own folder go to where all the others are.
pub(super) fn folder(root: &Path) -> Result<PathBuf> {
    let program = Path::new(TESTPMD);
    let mut files = image::libraries(program)?;
    let eal =
        files.iter().find(|file| file.to_string_lossy().contains("/librte_eal.so.")).context("testpmd is not linked to librte_eal")?;
    let folder = eal.parent().context("librte_eal is in no folder")?.to_owned();
    for plugin in [MEMPOOL, E1000, VIRTIO] {
        let plugin = folder.join(plugin);
        files.extend(image::libraries(&plugin).context("DPDK is installed without its plugins")?);
        files.push(plugin);
    }
    for file in &files {
        let name = file.file_name().context("a library without a name")?;
        let place = if file.starts_with("/lib64") { file.clone() } else { folder.join(name) };
        copy(file, &root.join(place.strip_prefix("/")?))?;
    }
    copy(program, &root.join(program.strip_prefix("/")?))?;
    Ok(root.to_owned())
}

fn copy(file: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(target.parent().context("a file in no folder")?)?;
    fs::copy(file, target).with_context(|| format!("could not copy {}", file.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_figure_of_testpmd_is_found() {
        let said = "  ++++ Accumulated\n  CPU cycles/packet=277.31 (total cycles=1 / total io packets=2) at 1000 MHz Clock\n";
        assert_eq!(cycles_per_packet(said).unwrap(), 277.31);
        assert_eq!(cycles_per_packet(&format!("{said}  CPU cycles/packet=270.5 (\n")).unwrap(), 270.5);
        assert!(cycles_per_packet("EAL: no devices").is_err());
        assert!(cycles_per_packet("CPU cycles/packet=nan").is_err());
    }

    #[test]
    fn lines_are_put_together_around_prompts() {
        assert_eq!(without_prompts("testpmd> stop\nTX-packets: 9testpmd> quit\n6 \n"), "TX-packets: 96 \n");
        assert_eq!(without_prompts("Done\ntestpmd> "), "Done\n");
    }

    #[test]
    fn the_mean_burst_of_testpmd_is_found() {
        let said =
            "  TX-packets: 999    TX-dropped: 0\n  TX-packets: 96    TX-dropped: 0\n  TX-bursts : 4 [50% of 32 pkts + 50% of 16 pkts]\n";
        assert_eq!(mean_burst(said).unwrap(), 24.0);
        assert!(mean_burst("  TX-packets: 96    TX-dropped: 0").is_err());
        assert!(mean_burst("").is_err());
    }
}
