//! Developer commands, run as `cargo xtask COMMAND`. Each command is one file; `host.rs` holds what they share.

use std::process::ExitCode;

use clap::Parser;

mod aarch64;
mod bench;
mod faults;
mod fuzz;
mod host;
mod image;
mod release;
mod report;
mod sanitize;
mod soak;
mod test;
mod tidy;
mod vm;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of vfwire")]
enum Command {
    /// Run every check and every test; install what they need (as root on Debian) or name it
    Test(test::Args),
    /// Check the rules that the compiler does not: floors, driver files, SAFETY comments, invariants
    Tidy,
    /// Measure vfwire beside DPDK, draw the figures
    Bench(bench::Args),
    /// Put every fault at every step of a port's life, for every driver
    Faults(faults::Args),
    /// Fuzz the drivers from the device's side, and everything that reads what others wrote
    Fuzz(fuzz::Args),
    /// Build the OCI image of the command, reproducibly and without a container tool
    Image(image::Args),
    /// Make reports of measurements and have a browser look at them
    Report,
    /// Run the test suites under AddressSanitizer
    Sanitize,
    /// Simulated ports under everything that can go wrong, and the command killed and started; looks for what leaks or drifts
    Soak(soak::Args),
    /// Run the guest tests: a real kernel, real VFIO, emulated VFs
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Test(args) => test::run(&args),
        Command::Tidy => tidy::run(),
        Command::Bench(args) => bench::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Report => report::run(),
        Command::Sanitize => sanitize::run(),
        Command::Soak(args) => soak::run(&args),
        Command::Vm(args) => vm::run(&args),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("xtask: {error:#}");
    ExitCode::FAILURE
}
