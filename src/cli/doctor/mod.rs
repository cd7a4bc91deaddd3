//! `vfwire doctor`: checks what a VF needs, by doing it, and puts everything back.
//!
//! A check is a [`Check`]: what was found, what is needed, a verdict, and for everything that is not well the line that mends it. Checks of
//! one kind live in one file and are made by one function; [`FAMILIES`] lists them in the order in which they run, since what opens a device
//! looks at what was found before. docs/doctor.md lists every id; a test compares.

mod cpu;
mod device;
mod memory;
mod pod;
mod process;
mod report;
mod sim;
mod vfio;

use super::{
    Failure,
    given::{self, Wanted},
    options, ports, print,
};
use report::{Check, Report};
use std::process::ExitCode;
use vfwire::{Address, HugepageChoice};
use vfwire_pod::{Environment, Root, Vf};

/// Check what a VF needs, by doing it, and put everything back; for each thing that is missing, print the line that mends it
///
/// In a pod it checks the VFs that the pod was granted, elsewhere those that --port names. The needs are those of `vfwire forward` with its
/// defaults. A VF that another process of this container has open is not disturbed: what takes opening it is skipped.
///
/// Exit code: 0 where no check failed (warnings and skipped checks do not count), 1 where one did, 2 for wrong usage.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Print one JSON object: docs/doctor.md describes it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wanted: Wanted,
}

type Family = fn(&Context, &[Check]) -> Vec<Check>;

/// Every family of checks. A family is told what was found before it.
const FAMILIES: &[Family] = &[pod::checks, process::checks, cpu::checks, memory::checks, vfio::checks, device::checks, sim::checks];

/// What the checks look at.
struct Context<'a> {
    wanted: &'a Wanted,
    environment: &'a Environment,
    /// The VFs to check.
    subjects: &'a [Vf],
    need: Need,
}

/// DMA memory that `vfwire forward` takes with its defaults.
#[derive(Clone, Copy)]
struct Need {
    pages: HugepageChoice,
    /// A whole number of pages.
    bytes: u64,
}

impl Context<'_> {
    fn in_pod(&self) -> bool {
        self.environment.pod.is_some()
    }
}

/// Runs all checks. The exit code says how they went.
pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let root = Root::of_this_process();
    let (environment, subjects) = subjects(&options.wanted, &root)?;
    let need = need(&environment, subjects.len())?;
    let context = Context { wanted: &options.wanted, environment: &environment, subjects: &subjects, need };
    let report = Report::new(environment.pod.as_ref(), examine(&context, FAMILIES));
    if options.json {
        let json = serde_json::to_string(&report).map_err(|error| Failure::failed(format!("no JSON of the report: {error}")))?;
        print(json)?;
    } else {
        print(&report)?;
    }
    Ok(report.exit_code())
}

fn examine(context: &Context, families: &[Family]) -> Vec<Check> {
    families.iter().fold(Vec::new(), |mut checks, family| {
        let found = family(context, &checks);
        checks.extend(found);
        checks
    })
}

/// The VFs to check: those that are named, or all that were granted, whether it is clear which of them is meant or not.
fn subjects(wanted: &Wanted, root: &Root) -> Result<(Environment, Vec<Vf>), Failure> {
    if let Some(port) = wanted.ports.iter().find(|port| matches!(port, Address::Sim(_))) {
        return Err(Failure::usage(format!("--port {port} is simulated, and needs nothing that could be checked: name a VF")));
    }
    let given = given::Given::find_all(wanted, root);
    Ok((given.environment, given.vfs))
}

/// What the defaults take for so many ports, two at most, and one where there is none.
fn need(environment: &Environment, ports: usize) -> Result<Need, Failure> {
    let ports = ports.clamp(1, options::PAIR);
    let defaults = options::Options::defaults()?;
    let bytes = ports::need_bytes(&defaults, ports)?;
    let pages = given::pages(environment, bytes);
    Ok(Need { pages, bytes: bytes.next_multiple_of(pages.page_bytes() as u64) })
}

/// What of the CPUs will hurt, a line each, for whoever is about to poll on them.
pub(super) fn cpu_warnings(environment: &Environment, vfs: &[Vf]) -> Vec<String> {
    let checks = cpu::of(environment, vfs);
    checks.iter().filter_map(Check::warning_line).collect()
}

#[cfg(test)]
mod tests;
