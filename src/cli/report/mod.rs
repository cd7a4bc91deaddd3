//! `vfwire report`: results of `vfwire bench` as a page, and as a table for spreadsheets.

use super::{Failure, print};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use vfwire_measure::{
    report::{self, RESULTS_MAX},
    result::{BYTES_MAX, Measurement},
};

/// Make a page of what `vfwire bench` measured, or of several measurements side by side
///
/// The page is one file: no script, nothing that is loaded from elsewhere. It is light or dark as its reader's system is. With several
/// results, the ratios are those to the first.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Results of `vfwire bench`, one to six
    #[arg(required = true, value_name = "RESULT.json")]
    results: Vec<PathBuf>,
    /// The page
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// Write every figure to this file, too: one a line, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let count = options.results.len();
    if count > RESULTS_MAX {
        return Err(Failure::usage(format!("{count} results: nobody tells so many curves apart, give {RESULTS_MAX} or fewer")));
    }
    let outputs: Vec<&PathBuf> = [Some(&options.output), options.csv.as_ref()].into_iter().flatten().collect();
    if let Some(same) = options.results.iter().find(|input| outputs.iter().any(|output| is_same(input, output))) {
        return Err(Failure::usage(format!("{} is to be read and written: give another -o or --csv", same.display())));
    }
    let results: Vec<Measurement> = options.results.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    write(&options.output, &report::html(&results))?;
    if let Some(path) = &options.csv {
        write(path, &report::csv(&results))?;
    }
    let names: Vec<_> = outputs.iter().map(|path| path.display().to_string()).collect();
    print(names.join("\n"))
}

fn is_same(input: &Path, output: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(output).is_some_and(|output| real(input) == Some(output))
}

fn read(path: &Path) -> Result<Measurement, Failure> {
    let refused = |why: String| Failure::failed(format!("{} {why}", path.display()));
    let unreadable = |error: io::Error| refused(format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // A device or a pipe has no length to be asked for.
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(refused(format!("is longer than {} MiB, which no result is", BYTES_MAX >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("is no text, which a result of `vfwire bench` is".to_owned()))?;
    Measurement::from_json(&text).map_err(|error| refused(error.to_string()))
}

/// A file that cannot be written whole is not left behind as if it were one: what is there is said to be incomplete.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written =
        File::create(path).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_data().or_else(ignore_unsupported)));
    written.map_err(|error| Failure::failed(format!("{} cannot be written: {error}: name a file on a disk with room", path.display())))
}

/// Pipes and devices have nothing to be synchronized.
fn ignore_unsupported(error: io::Error) -> io::Result<()> {
    if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) { Ok(()) } else { Err(error) }
}
