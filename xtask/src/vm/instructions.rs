//! `cargo xtask vm --instructions`: instructions a frame, ours and DPDK's, on two 82576 VFs whose frames the device switches between them.
//!
//! The guest has one CPU whose time stamp counter ticks once an instruction, so the figures do not depend on the machine: DMA, the IOMMU and
//! the work of the emulated device cost nothing, and a doorbell costs one instruction. What the guest's kernel does meanwhile is in the
//! figures of both sides; it makes them differ from run to run by a part in a thousand at burst 32, and by two in a hundred at burst 1.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::forwarder::{self, Forwarder};
use super::guest::Vf;
use super::lab::{Lab, Site};
use super::stream::Mac;
use super::{Kernel, image};
use crate::bench::machine::Machine;
use crate::bench::record::{self, Row};
use crate::bench::spread::Spread;
use crate::host::{self, Need};

const NEEDS: [Need; 1] = [Need { what: TESTPMD, package: "dpdk-dev" }];
const TESTPMD: &str = "/usr/bin/dpdk-testpmd";
/// What testpmd needs for an 82576 VF besides what it is linked to.
const PLUGINS: [&str; 2] = ["librte_mempool_ring.so.23", "librte_net_e1000.so.23"];
const MACS: [Mac; 2] = [[0x02, 0, 0, 0, 0, 0x10], [0x02, 0, 0, 0, 0, 0x11]];
/// How long a forwarder runs, on the wall. Emulation manages some ten thousand frames in it.
const RUN: Duration = Duration::from_secs(4);
/// DPDK's side waits mostly, which costs little; a second of polling takes the emulation ten or more.
const DPDK_LIMIT: Duration = Duration::from_secs(180);

/// A case, and the most instructions that vfwire has allowed itself.
struct Case {
    mode: &'static str,
    burst: u8,
    limit: Option<f64>,
}

const CASES: [Case; 6] = [
    Case { mode: "io", burst: 32, limit: Some(70.0) },
    Case { mode: "io", burst: 8, limit: None },
    Case { mode: "io", burst: 1, limit: Some(160.0) },
    Case { mode: "mac-swap", burst: 32, limit: Some(90.0) },
    Case { mode: "mac-swap", burst: 8, limit: None },
    Case { mode: "mac-swap", burst: 1, limit: None },
];

/// Boots the guest, measures every case of both sides, prints the table, and records it where asked to.
pub(super) fn run(folder: &Path, kernel: Kernel, programs: &[PathBuf], is_recorded: bool) -> Result<()> {
    host::need(&NEEDS)?;
    let logs = folder.join(format!("instructions-{}", std::process::id()));
    fs::create_dir_all(&logs)?;
    let dpdk = dpdk_folder(&logs.join("dpdk"))?;
    let initramfs = image::pack(&host::root(), &logs, &kernel, programs, &[dpdk])?;
    let site = Site::new(kernel, initramfs, folder, &logs);
    let rows = site.boot_counted().and_then(measure).with_context(|| format!("logs: {}", logs.display()))?;
    fs::remove_dir_all(&logs)?;
    if is_recorded {
        let dpdk: &[&str] = &["pkg-config", "--modversion", "libdpdk"];
        let machine = Machine::here(&[("DPDK", dpdk), ("", &["qemu-system-x86_64", "--version"]), ("", &["rustc", "--version"])])?;
        println!("recorded in {}", record::write(&host::root(), &machine, "cargo xtask vm --instructions", &rows)?.display());
    }
    Ok(())
}

fn measure(mut lab: Lab) -> Result<Vec<Row>> {
    lab.guest.run("sh /vm/baseline.sh")?;
    // The kernel's own work after a boot would be counted.
    lab.guest.run("sleep 6")?;
    let vfs = lab.pfs[0].clone();
    for (vf, mac) in vfs.iter().zip(MACS) {
        lab.guest.run(&format!("ip link set {} vf {} mac {}", vf.pf, vf.index, forwarder::text(mac)))?;
    }
    let mut rows = Vec::new();
    println!(
        "instructions a frame, received and sent:\n| mode | burst | vfwire | limit | verdict | DPDK | ratio |\n|---|---|---|---|---|---|---|"
    );
    for case in &CASES {
        let ours = vfwire(&mut lab, &vfs, case)?;
        let theirs = dpdk_testpmd(&mut lab, &vfs, case)?;
        let limit = case.limit.map_or_else(String::new, |limit| format!("{limit:.0}"));
        let verdict = case.limit.map_or("", |limit| if ours <= limit { "PASS" } else { "MISS" });
        println!("| {} | {} | {ours:.1} | {limit} | {verdict} | {theirs:.1} | {:.2} |", case.mode, case.burst, ours / theirs);
        rows.extend([("vfwire", ours), ("dpdk", theirs)].map(|(side, value)| Row {
            figure: format!("instructions/{}/{}/{side}", case.mode, case.burst),
            spread: Spread { median: value, min: value, max: value },
            unit: "instructions/frame".to_owned(),
        }));
    }
    lab.guest.check_faults()?;
    Ok(rows)
}

/// Ours: a burst of frames for each VF comes in from the wire, and then goes round between them.
fn vfwire(lab: &mut Lab, vfs: &[Vf], case: &Case) -> Result<f64> {
    let ports = [&vfs[0], &vfs[1]];
    let forwarder = Forwarder::start(&mut lab.guest, &forwarder::command(&ports, case.mode, &format!("--burst {}", case.burst)))?;
    for mac in MACS {
        for _ in 0..case.burst {
            lab.wires[0].send(&frame(mac))?;
        }
    }
    std::thread::sleep(RUN);
    let summary = forwarder.stop(&mut lab.guest)?;
    let (instructions, burst) = (summary.number("cycles_per_frame")?, summary.number("mean_burst")?);
    // The frames come one by one at first, so a few bursts are smaller.
    ensure!(
        burst > 0.97 * f64::from(case.burst),
        "the mean burst was {burst}, so the figure {instructions} is not of bursts of {}",
        case.burst
    );
    Ok(instructions)
}

/// 60 bytes from a station to itself: as it stays when its addresses are exchanged, it always goes to the same VF.
fn frame(mac: Mac) -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].copy_from_slice(&mac);
    frame[6..12].copy_from_slice(&mac);
    // Local experimental EtherType 1 (IEEE 802, 9.2.4).
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

/// DPDK's: testpmd sends the first burst itself.
fn dpdk_testpmd(lab: &mut Lab, vfs: &[Vf], case: &Case) -> Result<f64> {
    // In mode macswap a frame comes back to the port that it was received on; in mode io it goes out by the other.
    let (mode, topology) = if case.mode == "io" { ("io", "paired") } else { ("macswap", "loop") };
    let [mac0, mac1] = MACS.map(forwarder::text);
    let script = format!(
        "mkdir -p /var/run\n\
         (sleep 6; echo set record-core-cycles on; echo start tx_first 1; usleep 300000; echo stop; usleep 300000; echo quit) |\n\
         dpdk-testpmd --lcores '0@0,1@0' -n 1 --in-memory -d {} -d {} -m 64 -a {} -a {} -- -i --total-num-mbufs=4096 --nb-cores=1 --burst={} \
         --forward-mode={mode} --port-topology={topology} --eth-peer=0,{mac1} --eth-peer=1,{mac0}",
        PLUGINS[0], PLUGINS[1], vfs[0].address, vfs[1].address, case.burst
    );
    let exit = lab.guest.exit_of(&script, DPDK_LIMIT)?;
    cycles_per_packet(&exit.output).with_context(|| format!("testpmd ended with {}:\n{}", exit.code, exit.output))
}

/// What testpmd prints where it records the cores' cycles.
fn cycles_per_packet(said: &str) -> Result<f64> {
    let Some((_, rest)) = said.split_once("CPU cycles/packet=") else { bail!("no cycles a packet") };
    let digits = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    digits.parse().with_context(|| format!("{digits:?} is no number of cycles"))
}

/// A folder to copy over the guest's root: testpmd, its plugins and all their libraries. The guest has no cache of library folders, so
/// libraries of DPDK's own folder go to where all the others are.
fn dpdk_folder(root: &Path) -> Result<PathBuf> {
    let program = Path::new(TESTPMD);
    let mut files = image::libraries(program)?;
    let eal =
        files.iter().find(|file| file.to_string_lossy().contains("/librte_eal.so.")).context("testpmd is not linked to librte_eal")?;
    let folder = eal.parent().context("librte_eal is in no folder")?.to_owned();
    for plugin in PLUGINS {
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
    fn the_figure_of_testpmd_is_found() {
        let said = "  ++++ Accumulated\n  CPU cycles/packet=277.31 (total cycles=1 / total io packets=2) at 1000 MHz Clock\n";
        assert_eq!(cycles_per_packet(said).unwrap(), 277.31);
        assert!(cycles_per_packet("EAL: no devices").is_err());
        assert!(cycles_per_packet("CPU cycles/packet=nan").is_err());
    }

    #[test]
    fn a_frame_survives_the_exchange_of_its_addresses() {
        let frame = frame(MACS[1]);
        assert_eq!((frame.len(), &frame[..6]), (60, &frame[6..12]));
    }
}
