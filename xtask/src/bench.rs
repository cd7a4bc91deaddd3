//! `cargo xtask bench`: figures that a user can repeat. `--peers` measures vfwire and DPDK in turn on a software device that is foreign to
//! both; `--sandbox` measures the command with and without its sandbox; `--plot` draws the newest record; `--record` keeps what was measured under `benches/record`.
//!
//! `cargo bench` is the other benchmark: of vfwire alone, on simulated devices.

mod comparison;
pub(crate) mod machine;
mod peers;
mod plot;
pub(crate) mod record;
mod sandbox;
pub(crate) mod spread;
mod table;

use anyhow::{Result, bail};

use crate::host;
use comparison::{Measured, Side};
use machine::Machine;
use record::Row;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure vfwire and DPDK in turn on the software 82599 VF of benches/peers
    #[arg(long)]
    peers: bool,
    /// Measure the command with and without its sandbox in turn, on simulated ports
    #[arg(long, conflicts_with = "peers")]
    sandbox: bool,
    /// Rounds; each measures every case of both sides once
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    reps: u32,
    /// Only the cases that have a limit, and three rounds
    #[arg(long, requires = "peers")]
    quick: bool,
    /// Write the figures to benches/record
    #[arg(long)]
    record: bool,
    /// Draw benches/record/plot.svg from the newest record (after measuring, where --peers and --record are given too)
    #[arg(long)]
    plot: bool,
}

/// Measures and draws as asked.
///
/// # Errors
/// Where something could not be measured or drawn. A limit that was missed is no error: the table says so.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !args.peers && !args.sandbox && !args.plot {
        bail!("nothing to do: give --peers or --sandbox, --plot, or two of them; `cargo bench` measures vfwire alone");
    }
    let root = host::root();
    if args.sandbox {
        let (machine, rows) = sandbox::measure(args.reps)?;
        for Row { figure, spread, unit } in &rows {
            println!("{figure:<24} {:.3} ({:.3} to {:.3}) {unit}", spread.median, spread.min, spread.max);
        }
        if args.record {
            println!("recorded in {}", record::write(&root, &machine, "cargo xtask bench --sandbox", &rows)?.display());
        }
    }
    if args.peers {
        let rounds = if args.quick { 3 } else { args.reps };
        peers::install()?;
        let tools: [(&str, &[&str]); 3] =
            [("DPDK", &["pkg-config", "--modversion", "libdpdk"]), ("", &["gcc", "--version"]), ("", &["rustc", "--version"])];
        let machine = Machine::here(&tools)?;
        let (measured, forward) = peers::measure(rounds, args.quick)?;
        println!("{}\n{}", table::markdown(&machine, rounds, &measured), table::agreement(&measured, &forward));
        if args.record {
            let rows = measured.iter().flat_map(rows).collect::<Vec<_>>();
            println!("recorded in {}", record::write(&root, &machine, "cargo xtask bench --peers", &rows)?.display());
        }
    }
    if args.plot {
        println!("drawn: {}", plot::draw(&root)?.display());
    }
    Ok(())
}

/// The figures of a comparison, as they are recorded.
fn rows(measured: &Measured) -> Vec<Row> {
    let row = |figure, spread: Option<_>, unit: &str| spread.map(|spread| Row { figure, spread, unit: unit.to_owned() });
    let sides = [Side::Vfwire, Side::Dpdk];
    let cycles = sides.map(|side| row(measured.comparison.figure(side), measured.cycles(side), "TSC cycles/frame"));
    let ratio = row(measured.comparison.ratio_figure(), measured.ratio(), "ratio");
    cycles.into_iter().chain([ratio]).flatten().collect()
}
