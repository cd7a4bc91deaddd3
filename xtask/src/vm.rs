//! `cargo xtask vm`: the judge that simulated hardware cannot be. A real kernel, real vfio-pci and an emulated IOMMU with 82576 virtual
//! functions and virtio-net functions; the static `vfwire` runs in the guest, the other ends of the wires are here.
//!
//! One boot serves all scenarios of one machine: those of virtio-net have one with more devices, whose tap devices need root here. Each
//! starts from the same baseline and ends with a look at the kernel's and the device's complaints; after a failed one the guest is booted
//! afresh, so that a failure stays alone.

mod account;
mod bundle;
mod clock;
mod containers;
mod devices;
mod forwarder;
mod guest;
mod image;
mod instructions;
mod lab;
mod load;
mod namespace;
mod qemu;
mod qmp;
mod scenarios;
mod setup;
mod stream;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use devices::Equipment;
use lab::{Lab, Site};
use scenarios::{SCENARIOS, Scenario};
use setup::Kernel;

use crate::host;

/// Rounds of a scenario that has rounds, with `--long`.
const ROUNDS_LONG: u32 = 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Scenarios to run; all that are not long by default
    names: Vec<String>,
    /// Show the scenarios and what each proves
    #[arg(long)]
    list: bool,
    /// Run the long scenarios as well, and more rounds of those that have rounds
    #[arg(long)]
    long: bool,
    /// Instead of scenarios, count the instructions that a frame takes, ours and DPDK's
    #[arg(long, conflicts_with_all = ["names", "list", "long"])]
    instructions: bool,
    /// Write the counted instructions to benches/record
    #[arg(long, requires = "instructions")]
    record: bool,
    /// Keep the guest's console and logs even if all goes well
    #[arg(long)]
    keep_logs: bool,
    /// A folder copied over the guest's root file system, such as another build of a program
    #[arg(long, value_name = "FOLDER")]
    overlay: Vec<PathBuf>,
    /// Run this shell script in the guest instead of scenarios, for at most a minute, and show what it says
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Run the script in the guest that has virtio-net functions
    #[arg(long, requires = "script")]
    virtio: bool,
    /// Run the script in the guest that has container runtimes
    #[arg(long, requires = "script", conflicts_with = "virtio")]
    containers: bool,
}

impl Args {
    /// The machine that a script runs in.
    fn equipment(&self) -> Equipment {
        match (self.virtio, self.containers) {
            (true, _) => Equipment::Virtio,
            (_, true) => Equipment::Containers,
            _ => Equipment::Pfs,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let scenarios = select(args)?;
    if args.list {
        scenarios.iter().for_each(|scenario| println!("{:<21} {}", scenario.name, scenario.proves));
        return Ok(());
    }
    let checkout = &host::root();
    let folder = checkout.join("target/vm");
    fs::create_dir_all(&folder)?;
    let kernel = setup::ensure_ready(&folder)?;
    let programs = image::build_programs()?;
    if args.instructions {
        return instructions::run(&folder, kernel, &programs, args.record);
    }
    remove_old_logs(&folder)?;
    let logs = folder.join(format!("run-{}", std::process::id()));
    fs::create_dir_all(&logs)?;
    let initramfs = image::pack(checkout, &logs, &kernel, &programs, &args.overlay)?;
    let mut site = Site::new(kernel, initramfs, &folder, &logs);
    if args.containers || args.script.is_none() && scenarios.iter().any(|scenario| scenario.equipment == Equipment::Containers) {
        site.with_containers = Some(containers::pack(checkout, &logs, &site.initramfs)?);
    }
    if args.long {
        site.rounds = ROUNDS_LONG;
    }
    if let Some(script) = &args.script {
        let exit = site.boot(args.equipment())?.guest.exit_of(&fs::read_to_string(script)?, Duration::from_secs(60))?;
        println!("{}\nexit code {}", exit.output.trim_end(), exit.code);
        return Ok(fs::remove_dir_all(&logs)?);
    }
    let (passed, failed) = run_all(&scenarios, &mut site)?;
    for initramfs in [Some(&site.initramfs), site.with_containers.as_ref()].into_iter().flatten() {
        fs::remove_file(initramfs)?;
    }
    if failed > 0 || args.keep_logs {
        println!("logs: {}", logs.display());
    } else {
        fs::remove_dir_all(&logs)?;
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        // The count stays the last line.
        std::process::exit(1);
    }
    Ok(())
}

/// Removes what earlier runs left; those that still run keep theirs.
fn remove_old_logs(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_over = |process: &str| process.parse().is_ok_and(|id: u32| !Path::new("/proc").join(id.to_string()).exists());
        if entry.file_name().to_str().and_then(|name| name.strip_prefix("run-")).is_some_and(is_over) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn select(args: &Args) -> Result<Vec<&'static Scenario>> {
    if let Some(unknown) = args.names.iter().find(|name| SCENARIOS.iter().all(|scenario| scenario.name != name.as_str())) {
        bail!("there is no scenario {unknown}; `cargo xtask vm --list --long` shows them");
    }
    let named = |scenario: &&Scenario| args.names.iter().any(|name| name == scenario.name);
    let wanted = |scenario: &&Scenario| if args.names.is_empty() { args.long || !scenario.long } else { named(scenario) };
    Ok(SCENARIOS.iter().filter(wanted).collect())
}

fn run_all(scenarios: &[&Scenario], site: &mut Site) -> Result<(u32, u32)> {
    let (mut passed, mut failed) = (0, 0);
    let mut running: Option<Lab> = None;
    for scenario in scenarios {
        let mut lab = match running.take().filter(|lab| lab.equipment == scenario.equipment) {
            Some(lab) => lab,
            None => site.boot(scenario.equipment)?,
        };
        let start = Instant::now();
        let result = lab.run(scenario.run);
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                passed += 1;
                let functions: Vec<_> = lab.used.iter().map(String::as_str).collect();
                println!("PASS {:<21} {seconds:6.1} s  {}", scenario.name, functions.join(", "));
                running = Some(lab);
            }
            Err(error) => {
                failed += 1;
                println!("FAIL {:<21} {seconds:6.1} s", scenario.name);
                println!("  {}", format!("{error:#}").replace('\n', "\n  "));
                site.keep_logs(scenario.name)?;
                site.keep_guest_files(scenario.name, &mut lab)?;
            }
        }
    }
    Ok((passed, failed))
}
