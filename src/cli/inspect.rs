//! `vfwire inspect`: a flight recording for people.

use super::{Failure, print};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};
use vfwire::{
    Address,
    recording::{MAX_FILE_BYTES, Recording, compare_model, decode, describe, describe_model, describe_replay, replay},
};

/// Read a flight recording: what a port and its device said to one another
///
/// One is written by `vfwire forward --flight-recorder FILE`. It holds registers, messages to the PF, resets and events, and no frames.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The recording
    file: PathBuf,
    /// Run the driver of this vfwire on what the device answered, and say where it does something else than was recorded
    #[arg(long)]
    replay: bool,
    /// Drive a simulated device as the recorded one was driven, and say where it answers something else: that of the recorded driver, or
    /// the one at this address, such as sim:igbvf,mac=02:00:00:00:00:05
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, conflicts_with = "replay")]
    model: Option<Option<Address>>,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let recordings = read(&options.file)?;
    if recordings.is_empty() {
        return Err(Failure::failed(format!("{}: no port was opened while it was written", options.file.display())));
    }
    if options.replay {
        return replay_all(&recordings);
    }
    let page = |recording| match &options.model {
        None => Ok(describe(recording)),
        Some(address) => of_model(recording, address.as_ref()),
    };
    let pages: Vec<_> = recordings.iter().map(page).collect::<Result<_, _>>()?;
    print(pages.join("\n\n"))
}

/// An error where a driver does something else than was recorded.
fn replay_all(recordings: &[Recording]) -> Result<(), Failure> {
    let mut differing = 0;
    for recording in recordings {
        let report = replay(recording)?;
        differing += usize::from(!report.differences.is_empty());
        print(describe_replay(recording, &report))?;
    }
    if differing == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!("of {} recorded ports {differing} are driven otherwise today", recordings.len())))
}

fn of_model(recording: &Recording, address: Option<&Address>) -> Result<String, Failure> {
    let address = match address {
        None => None,
        Some(Address::Sim(address)) => Some(address),
        Some(other) => return Err(Failure::usage(format!("--model {other} is no simulated function, such as sim:igbvf"))),
    };
    Ok(describe_model(recording, &compare_model(recording, address)?))
}

fn read(path: &Path) -> Result<Vec<Recording>, Failure> {
    let refused = |why: String| Failure::failed(format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|error| refused(error.to_string()))?;
    let mut bytes = Vec::new();
    // A device or a pipe has no length to be asked for.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| refused(error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(refused(format!("longer than {} MiB, which no flight recording is", MAX_FILE_BYTES >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("not a text, which a flight recording is".to_owned()))?;
    decode(&text).map_err(|error| refused(error.to_string()))
}
