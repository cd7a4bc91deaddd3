//! `cargo xtask vm --instructions`: instructions a frame, ours and DPDK's, on two functions whose frames go round between them: 82576 VFs, which
//! the device switches, and pairs of virtio-net functions, which a hub joins.
//!
//! The guest has one CPU whose time stamp counter ticks once an instruction, so the figures do not depend on the machine: DMA, the IOMMU and
//! the work of the emulated device cost nothing, and a doorbell costs one instruction. What the guest's kernel does meanwhile is in the
//! figures of both sides; it makes them differ from run to run by a part in a thousand at burst 32, and by two in a hundred at burst 1.

mod dpdk;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::devices::{Equipment, PAIRS, virtio_mac};
use super::forwarder::{self, Forwarder};
use super::guest::Vf;
use super::lab::{Lab, Site};
use super::stream::Mac;
use super::{Kernel, image};
use crate::bench::machine::Machine;
use crate::bench::record::{self, Row};
use crate::bench::spread::Spread;
use crate::host;

const MACS: [Mac; 2] = [[0x02, 0, 0, 0, 0, 0x10], [0x02, 0, 0, 0, 0, 0x11]];
/// How long a forwarder runs, on the wall. Emulation manages some ten thousand frames in it.
const RUN: Duration = Duration::from_secs(4);
/// Boots that virtio-net is measured in: its figures are said to be the same in every run.
const BOOTS: usize = 2;
/// The most that vfwire has allowed itself on virtio-net, of DPDK's instructions, at the largest burst.
const RATIO_LIMIT: f64 = 0.5;

/// A case, and the most instructions that vfwire has allowed itself on an 82576 VF.
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

/// Two functions whose frames go round.
struct Subject {
    /// What its figures begin with.
    name: String,
    vfs: [Vf; 2],
    macs: [Mac; 2],
    /// DPDK's driver, and what it is told beside the address.
    plugin: &'static str,
    device_options: &'static str,
    /// The wire that brings the first frames: this of the pairs, or the first PF's.
    wire: Option<usize>,
    /// Whether this case is measured with it.
    has: fn(&Case) -> bool,
    /// The most instructions that vfwire has allowed itself, given those of DPDK.
    limit: fn(&Case, f64) -> Option<f64>,
}

/// What a side said of a case.
#[derive(Clone, Copy)]
struct Figure {
    instructions: f64,
    mean_burst: f64,
}

/// What was counted in one boot.
struct Counted {
    figure: String,
    ours: Figure,
    theirs: Figure,
}

/// Boots the guests, measures every case of both sides, prints the tables, and records them where asked to.
pub(super) fn run(folder: &Path, kernel: Kernel, programs: &[PathBuf], is_recorded: bool) -> Result<()> {
    host::need(&dpdk::NEEDS)?;
    let logs = folder.join(format!("instructions-{}", std::process::id()));
    fs::create_dir_all(&logs)?;
    let dpdk = dpdk::folder(&logs.join("dpdk"))?;
    let initramfs = image::pack(&host::root(), &logs, &kernel, programs, &[dpdk])?;
    let site = Site::new(kernel, initramfs, folder, &logs);
    let rows = measure_all(&site).with_context(|| format!("logs: {}", logs.display()))?;
    fs::remove_dir_all(&logs)?;
    if is_recorded {
        let dpdk: &[&str] = &["pkg-config", "--modversion", "libdpdk"];
        let machine = Machine::here(&[("DPDK", dpdk), ("", &["qemu-system-x86_64", "--version"]), ("", &["rustc", "--version"])])?;
        println!("recorded in {}", record::write(&host::root(), &machine, "cargo xtask vm --instructions", &rows)?.display());
    }
    Ok(())
}

fn measure_all(site: &Site) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (equipment, boots) in [(Equipment::Pfs, 1), (Equipment::Pairs, BOOTS)] {
        let counted =
            (1..=boots).map(|boot| measure(site, equipment).with_context(|| format!("boot {boot}"))).collect::<Result<Vec<_>>>()?;
        rows.extend(self::rows(&counted));
    }
    Ok(rows)
}

/// Boots a guest and measures every case of every pair of functions in it.
fn measure(site: &Site, equipment: Equipment) -> Result<Vec<Counted>> {
    let mut lab = site.boot_counted(equipment)?;
    lab.guest.run("sh /vm/baseline.sh")?;
    // The kernel's own work after a boot would be counted.
    lab.guest.run("sleep 6")?;
    let subjects = if equipment == Equipment::Pairs { virtio_pairs(&lab) } else { vec![vf_pair(&mut lab)?] };
    println!(
        "instructions a frame, received and sent (mean burst):\n| functions | mode | burst | vfwire | limit | verdict | DPDK | ratio |\n\
         |---|---|---|---|---|---|---|---|"
    );
    let mut all = Vec::new();
    for subject in &subjects {
        for case in CASES.iter().filter(|case| (subject.has)(case)) {
            let ours = vfwire(&mut lab, subject, case)?;
            let theirs = dpdk::measure(&mut lab, subject, case)?;
            let counted = Counted { figure: format!("instructions/{}{}/{}", subject.name, case.mode, case.burst), ours, theirs };
            println!("{}", counted.line(subject, case));
            all.push(counted);
        }
    }
    lab.guest.check_faults()?;
    Ok(all)
}

impl Counted {
    /// A row of the table.
    fn line(&self, subject: &Subject, case: &Case) -> String {
        let Self { ours, theirs, .. } = self;
        let limit = (subject.limit)(case, theirs.instructions);
        let verdict = limit.map_or("", |limit| if ours.instructions <= limit { "PASS" } else { "MISS" });
        format!(
            "| {} | {} | {} | {:.1} ({:.1}) | {} | {verdict} | {:.1} ({:.1}) | {:.2} |",
            subject.name.trim_end_matches('/'),
            case.mode,
            case.burst,
            ours.instructions,
            ours.mean_burst,
            limit.map_or_else(String::new, |limit| format!("{limit:.0}")),
            theirs.instructions,
            theirs.mean_burst,
            ours.instructions / theirs.instructions,
        )
    }
}

/// The rows of a record, of what was counted in one or more boots.
fn rows(boots: &[Vec<Counted>]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, counted) in boots[0].iter().enumerate() {
        let mut row = |side: &str, unit: &str, value: fn(&Counted) -> f64| {
            let values: Vec<_> = boots.iter().map(|boot| value(&boot[at])).collect();
            let spread = Spread::of(&values).expect("a boot at least, and figures that are numbers");
            rows.push(Row { figure: format!("{}/{side}", counted.figure), spread, unit: unit.to_owned() });
        };
        row("vfwire", "instructions/frame", |counted| counted.ours.instructions);
        row("dpdk", "instructions/frame", |counted| counted.theirs.instructions);
        row("vfwire-mean-burst", "frames", |counted| counted.ours.mean_burst);
        row("dpdk-mean-burst", "frames", |counted| counted.theirs.mean_burst);
    }
    rows
}

/// The two VFs of the first PF.
fn vf_pair(lab: &mut Lab) -> Result<Subject> {
    let vfs = [lab.pfs[0][0].clone(), lab.pfs[0][1].clone()];
    for (vf, mac) in vfs.iter().zip(MACS) {
        lab.guest.run(&format!("ip link set {} vf {} mac {}", vf.pf, vf.index, forwarder::text(mac)))?;
    }
    Ok(Subject {
        name: String::new(),
        vfs,
        macs: MACS,
        wire: None,
        plugin: dpdk::E1000,
        device_options: "",
        has: |_| true,
        limit: |case, _| case.limit,
    })
}

/// All pairs of virtio-net functions. DPDK uses vector instructions where it is told to, and merges no buffers then.
fn virtio_pairs(lab: &Lab) -> Vec<Subject> {
    let pair = |(index, (name, _)): (usize, &(&str, &str))| {
        let [first, second] = [2 * index, 2 * index + 1];
        let macs = [virtio_mac(first), virtio_mac(second)];
        Subject {
            name: format!("virtio-{name}/"),
            vfs: [lab.virtio[first].clone(), lab.virtio[second].clone()],
            macs,
            wire: Some(index),
            plugin: dpdk::VIRTIO,
            device_options: if name.ends_with("-single") { ",vectorized=1" } else { "" },
            has: if name.ends_with("-single") { |case| case.burst == 32 } else { |case| case.burst == 32 || case.mode == "io" },
            limit: |case, theirs| (case.burst == 32).then_some(RATIO_LIMIT * theirs),
        }
    };
    PAIRS.iter().enumerate().map(pair).collect()
}

/// Ours: a burst of frames for each function comes in from the wire, and then goes round between them.
fn vfwire(lab: &mut Lab, subject: &Subject, case: &Case) -> Result<Figure> {
    let [first, second] = &subject.vfs;
    let forwarder = Forwarder::start(&mut lab.guest, &forwarder::command(&[first, second], case.mode, &format!("--burst {}", case.burst)))?;
    let wire = subject.wire.map_or(&lab.wires[0], |index| &lab.virtio_wires[index]);
    for mac in subject.macs {
        for _ in 0..case.burst {
            wire.send(&frame(mac))?;
        }
    }
    std::thread::sleep(RUN);
    let summary = forwarder.stop(&mut lab.guest)?;
    let figure = Figure { instructions: summary.number("cycles_per_frame")?, mean_burst: summary.number("mean_burst")? };
    // The frames come one by one at first, so a few bursts are smaller.
    ensure!(
        figure.mean_burst > 0.97 * f64::from(case.burst),
        "the mean burst was {}, so the figure {} is not of bursts of {}",
        figure.mean_burst,
        figure.instructions,
        case.burst
    );
    Ok(figure)
}

/// 60 bytes from a station to itself: as it stays when its addresses are exchanged, it always goes to the same function.
fn frame(mac: Mac) -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].copy_from_slice(&mac);
    frame[6..12].copy_from_slice(&mac);
    // Local experimental EtherType 1 (IEEE 802, 9.2.4).
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

#[cfg(test)]
mod tests {
    use super::{Counted, Figure, rows};

    fn boot(instructions: f64) -> Vec<Counted> {
        let figure = |instructions| Figure { instructions, mean_burst: 32.0 };
        vec![Counted { figure: "instructions/io/32".to_owned(), ours: figure(instructions), theirs: figure(2.0 * instructions) }]
    }

    #[test]
    fn the_figures_of_all_boots_are_recorded() {
        let rows = rows(&[boot(40.0), boot(42.0)]);
        let found: Vec<_> = rows.iter().map(|row| (row.figure.as_str(), row.spread.min, row.spread.max)).collect();
        assert_eq!(found[..2], [("instructions/io/32/vfwire", 40.0, 42.0), ("instructions/io/32/dpdk", 80.0, 84.0)]);
        assert_eq!(rows.len(), 4);
    }
}
