//! The command line: one file a subcommand.
//!
//! What a subcommand prints as its result goes to stdout, everything else to stderr. An error is a line or two on stderr that say what to
//! do; the exit code is 2 for wrong usage and 1 for the rest. Nobody calls `exit` while a port is open: errors travel up to [`run`], and
//! ports, memory and threads are gone by then.

mod bench;
mod capture;
mod console;
mod control;
mod doctor;
mod flight;
mod forward;
mod generate;
mod given;
mod inspect;
mod life;
mod list;
mod log;
mod metrics;
mod modes;
mod notice;
mod observe;
mod options;
mod ports;
mod report;
mod sample;
mod sandbox;
mod summary;
mod termination;
mod view;
mod watch;
mod workers;

use clap::Parser;
use log::Level;
use std::{env, ffi::OsString, fmt, io, io::Write, panic, process::ExitCode, time::Instant};
use vfwire::{DmaError, OpenError, PortError};

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Frames straight from SR-IOV virtual functions: no kernel network stack, no DPDK
#[derive(clap::Parser)]
#[command(name = "vfwire", version)]
struct Command {
    #[command(subcommand)]
    what: What,
    /// What stderr looks like
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = log::Format::Text)]
    log_format: log::Format,
}

#[derive(clap::Subcommand)]
enum What {
    Forward(Box<options::Options>),
    Generate(Box<generate::Options>),
    Capture(capture::Options),
    List(list::Options),
    Doctor(doctor::Options),
    Inspect(inspect::Options),
    Bench(Box<bench::Options>),
    Report(report::Options),
}

/// Runs the command that the process was started with.
pub(crate) fn run() -> ExitCode {
    let begun = Instant::now();
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => return misused(&error),
    };
    set_format(command.log_format);
    let result = match command.what {
        What::Forward(options) => forward::run(*options, begun),
        What::Generate(options) => generate::run(*options),
        What::Capture(options) => capture::run(&options, begun),
        What::List(options) => list::run(&options),
        What::Doctor(options) => return doctor::run(&options).unwrap_or_else(Failure::exit),
        What::Inspect(options) => inspect::run(&options),
        What::Bench(options) => bench::run(&options),
        What::Report(options) => report::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

/// What the command line's parser has to say: the help that was asked for, or what is wrong.
fn misused(error: &clap::Error) -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    set_format(log::format_of(arguments.iter().cloned()));
    let text = error.render().to_string();
    if error.use_stderr() {
        termination::of_misuse(&arguments, Failure::usage(text.trim_start_matches("error: ").trim_end()));
    }
    if error.use_stderr() && log::is_json() {
        log::message(Level::Error, text.trim_end());
    } else {
        // Whoever reads it may have gone.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// From now on all of stderr looks like this, a panic too.
fn set_format(format: log::Format) {
    log::set_format(format);
    if log::is_json() {
        panic::set_hook(Box::new(|panic| log::message(Level::Error, &panic.to_string())));
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
        log::message(Level::Error, &self.text);
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
