//! The command line: one file a subcommand.
//!
//! What a subcommand prints as its result goes to stdout, everything else to stderr. An error is a line or two on stderr that say what to
//! do; the exit code is 2 for wrong usage and 1 for the rest. Nobody calls `exit` while a port is open: errors travel up to [`run`], and
//! ports, memory and threads are gone by then.

mod console;
mod control;
mod doctor;
mod flight;
mod forward;
mod given;
mod inspect;
mod list;
mod notice;
mod options;
mod ports;
mod summary;
mod watch;
mod workers;

use clap::Parser;
use std::{fmt, io, io::Write, process::ExitCode};
use vfwire::{DmaError, OpenError, PortError};

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Frames straight from SR-IOV virtual functions: no kernel network stack, no DPDK
#[derive(clap::Parser)]
#[command(name = "vfwire", version)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Forward(Box<options::Options>),
    List(list::Options),
    Doctor(doctor::Options),
    Inspect(inspect::Options),
}

/// Runs the command that the process was started with.
pub(crate) fn run() -> ExitCode {
    let result = match Command::parse().what {
        What::Forward(options) => forward::run(*options),
        What::List(options) => list::run(&options),
        What::Doctor(options) => return doctor::run(&options).unwrap_or_else(Failure::exit),
        What::Inspect(options) => inspect::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

/// Why the command ends without having done what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// The user asked for something that cannot be.
    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self { code: USAGE, text: text.to_string() }
    }

    /// What was asked did not work.
    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self { code: FAILED, text: text.to_string() }
    }

    /// Says it.
    fn exit(self) -> ExitCode {
        console::say(&self.text);
        ExitCode::from(self.code)
    }

    /// What a port answered. A setting outside its limits is wrong usage.
    pub(crate) fn of_port(address: &str, error: &PortError) -> Self {
        let code = if matches!(error, PortError::Setting { .. }) { USAGE } else { FAILED };
        Self { code, text: format!("{address}: {error}") }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let code = if matches!(error, OpenError::Address(_) | OpenError::Mixed { .. }) { USAGE } else { FAILED };
        Self { code, text: error.to_string() }
    }
}

impl From<DmaError> for Failure {
    fn from(error: DmaError) -> Self {
        let code = if matches!(error, DmaError::Shape { .. }) { USAGE } else { FAILED };
        Self { code, text: error.to_string() }
    }
}

/// Prints a result. Whoever reads it may have gone (`vfwire list | head -1`), which is no error.
fn print(result: impl fmt::Display) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{result}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(format!("cannot write to stdout: {error}"))),
        _ => Ok(()),
    }
}
