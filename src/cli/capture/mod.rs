//! `vfwire capture`, and `vfwire forward --capture`: frames into pcapng files, without holding up whoever polls.
//!
//! A worker copies what passes the filter into a ring ([`tap`]); a thread of its own empties the rings into a file ([`writer`]). Nothing that
//! the disk does reaches the worker: a full ring costs the frame, which is counted by port and direction and told of in the file.

mod file;
mod summary;
mod tap;
mod writer;

pub(super) use summary::Captured;
pub(super) use tap::{SwitchWithTap, Tap, WithTap};

use super::{
    Failure,
    console::Console,
    forward,
    given::Wanted,
    observe::ObserveOptions,
    options::Options as Forwarding,
    ports::{Started, Work},
};
use clap::{Args, Parser};
use file::Files;
use signal_hook::{consts::SIGXFSZ, flag};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, Release},
        },
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Instant,
};
use tap::InOut;
use vfwire_pcap::{Filter, Interface};
use writer::{Shared, WriterThread};

/// Most bytes that are kept of a frame: all of it.
const SNAP_MAX: u32 = 65_535;

/// What `vfwire forward` takes of captures.
#[derive(Clone, Args)]
pub(super) struct CaptureOptions {
    /// Write the frames that are received and sent to this pcapng file. A frame for which there is no room is counted; forwarding never
    /// waits for the disk
    #[arg(id = "capture", long, value_name = "FILE")]
    path: Option<PathBuf>,
    /// Capture only these frames, in the syntax of pcap-filter(7), with numbers instead of names: `udp port 53`
    #[arg(id = "capture-filter", long, value_name = "EXPRESSION", requires = "capture", value_parser = parse_filter)]
    filter: Option<TextFilter>,
    /// Capture at most so many bytes of each frame
    #[arg(id = "capture-snap", long, value_name = "BYTES", default_value_t = SNAP_MAX, value_parser = clap::value_parser!(u32).range(1..=i64::from(SNAP_MAX)))]
    snap: u32,
    /// Capture into a ring of so many files, the oldest being written again: FILE_00.pcapng, FILE_01.pcapng, …
    #[arg(id = "capture-files", long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    files: u16,
    /// How large a file of a ring becomes: 64MiB, 1GiB, 500000
    #[arg(id = "capture-file-size", long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    file_size: u64,
    /// End once so many frames are captured
    #[arg(id = "capture-count", long, value_name = "N", requires = "capture", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Nothing but capturing was asked for.
    #[arg(skip)]
    pub(super) is_alone: bool,
}

/// Capture frames: receive, write to a pcapng file, drop
///
/// The file has nanoseconds, the port's address as the interface's name, and each frame's direction. A frame that could not be written is counted,
/// and the file says so. `-w -` writes to stdout: `vfwire capture -w - | tshark -r -`.
#[derive(clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    wanted: Wanted,
    /// The pcapng file; `-` is stdout
    #[arg(short = 'w', long = "write", value_name = "FILE")]
    path: PathBuf,
    /// Only these frames, in the syntax of pcap-filter(7), with numbers instead of names: `udp port 53`
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// At most so many bytes of each frame
    #[arg(long, value_name = "BYTES")]
    snap: Option<String>,
    /// End once so many frames are captured
    #[arg(long, value_name = "N")]
    count: Option<String>,
    /// How long to run: 500ms, 10s, 2m, 1h or forever
    #[arg(long, value_name = "TIME", default_value = "forever")]
    duration: String,
    /// A ring of so many files, the oldest being written again: FILE_00.pcapng, FILE_01.pcapng, …
    #[arg(long, value_name = "N")]
    files: Option<String>,
    /// How large a file of a ring becomes [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    file_size: Option<String>,
    /// Print the summary as one JSON object, the one of `vfwire forward`, and each event as one on stderr. With `-w -` both are on stderr
    #[arg(long)]
    json: bool,
    /// Receive the frames of all stations, where the PF grants it
    #[arg(long)]
    promiscuous: bool,
    /// DMA memory on normal pages: nothing to reserve on the host, but slower
    #[arg(long)]
    no_hugepages: bool,
    #[command(flatten)]
    observe: ObserveOptions,
    /// Keep capabilities and system calls that capturing does not need
    #[arg(long)]
    no_sandbox: bool,
}

#[derive(Parser)]
struct Asked {
    #[command(flatten)]
    forwarding: Forwarding,
}

/// A capture is a forwarder of mode drop, with a tap.
pub(super) fn run(options: &Options, begun: Instant) -> Result<(), Failure> {
    let mut words: Vec<OsString> = ["capture", "--mode", "drop", "--capture"].map(Into::into).to_vec();
    words.push(options.path.clone().into());
    let texts = [
        ("--capture-filter", &options.filter),
        ("--capture-snap", &options.snap),
        ("--capture-count", &options.count),
        ("--capture-files", &options.files),
        ("--capture-file-size", &options.file_size),
        ("--duration", &Some(options.duration.clone())),
    ];
    for (option, value) in texts {
        words.extend(value.iter().map(|value| format!("{option}={value}").into()));
    }
    let flags = [
        ("--json", options.json),
        ("--promiscuous", options.promiscuous),
        ("--no-hugepages", options.no_hugepages),
        ("--no-sandbox", options.no_sandbox),
    ];
    words.extend(flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| (*flag).into()));
    let asked = Asked::try_parse_from(words).map_err(|error| {
        let text = error.to_string().replace("--capture-", "--");
        Failure::usage(text.trim_start_matches("error: ").split("\n\nUsage").next().unwrap_or_default().trim_end())
    })?;
    let mut forwarding = asked.forwarding;
    forwarding.capture.is_alone = true;
    forwarding.wanted = options.wanted.clone();
    forwarding.observe = options.observe.clone();
    forward::run(forwarding, begun)
}

#[derive(Clone)]
struct TextFilter {
    text: String,
    filter: Arc<Filter>,
}

fn parse_filter(text: &str) -> Result<TextFilter, String> {
    let filter = Filter::new(text).map_err(|error| error.to_string())?;
    Ok(TextFilter { text: text.to_owned(), filter: Arc::new(filter) })
}

fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let unit = match &text[digits..] {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("expected a size such as 64MiB, 1GiB or a number of bytes".into()),
    };
    let size = text[..digits].parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    // Room for the header, and for what is written at once.
    size.filter(|size| *size >= 1 << 16).ok_or_else(|| "expected a size of 64KiB or more, such as 64MiB".into())
}

/// A capture that runs.
pub(super) struct Capture {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
    taps: Vec<Arc<[InOut]>>,
    names: Vec<String>,
    path: PathBuf,
    is_alone: bool,
    told: bool,
}

impl Capture {
    /// Opens the files, puts a tap into every lane, and starts the thread that writes. None where no capture was asked for.
    pub(super) fn start(options: &Forwarding, started: &[Started], work: &mut Work) -> Result<Option<Self>, Failure> {
        let CaptureOptions { path: Some(path), filter, snap, files, file_size, count, is_alone, .. } = &options.capture else {
            return Ok(None);
        };
        let is_to_stdout = path == Path::new("-");
        if is_to_stdout && *files > 1 {
            return Err(Failure::usage("stdout is no ring of files: give a file's name, or no number of files"));
        }
        if is_to_stdout && !is_alone {
            return Err(Failure::usage("--capture - would mix with the summary on stdout: give a file, or use `vfwire capture -w -`"));
        }
        let names: Vec<String> = started.iter().map(|port| port.address().to_owned()).collect();
        let interface =
            |name: &String| Interface { name: name.clone(), snap_len: *snap, filter: filter.as_ref().map(|filter| filter.text.clone()) };
        let files = Files::open(path, *files, *file_size)?;
        // Where a file's size has a limit, writing beyond it is an error like that of a full disk, and not the end of the process.
        flag::register(SIGXFSZ, Arc::default()).map_err(|error| Failure::failed(format!("SIGXFSZ cannot be caught: {error}")))?;
        let mut tapped = Vec::new();
        work.tap(|| {
            let filter = filter.as_ref().map(|filter| filter.filter.clone());
            let (tap, end) = Tap::new(filter, *snap as usize, names.len());
            tapped.push(end);
            tap
        });
        let counters = || names.iter().map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared { written: counters(), not_written: counters(), ..Shared::default() });
        let taps = tapped.iter().map(|tapped| tapped.counts.clone()).collect();
        let interfaces = names.iter().map(interface).collect();
        let writer = WriterThread { taps: tapped, files, interfaces, count: count.unwrap_or(u64::MAX), shared: shared.clone() };
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::Builder::new().name("vfwire-capture".into()).spawn(move || {
            let _ = ready.send(());
            writer.run();
        });
        let thread = thread.map_err(|error| Failure::failed(format!("no thread that writes the capture: {error}")))?;
        // The beginning of a thread makes system calls that the sandbox refuses; it has to be over by then.
        let _ = is_ready.recv();
        Ok(Some(Self { thread, shared, taps, names, path: path.clone(), is_alone: *is_alone, told: false }))
    }

    fn failure(&self) -> Option<String> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the command ends because of the capture: all that was asked for is written, or, of a command that only captures, nothing can be.
    ///
    /// # Errors
    /// Where it cannot be written and nothing else was asked for.
    pub(super) fn is_over(&self) -> Result<Option<&'static str>, Failure> {
        match self.failure() {
            Some(failure) if self.is_alone => Err(Failure::failed(failure)),
            _ => Ok(self.shared.is_complete.load(Relaxed).then_some("as many frames as asked for are captured")),
        }
    }

    /// What somebody should know now, once.
    pub(super) fn news(&mut self) -> Option<String> {
        if self.told || self.is_alone {
            return None;
        }
        let failure = self.failure();
        self.told = failure.is_some();
        failure
    }

    /// Whether nothing but capturing was asked for.
    pub(super) fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Whether stdout has the frames.
    pub(super) fn is_to_stdout(&self) -> bool {
        self.path == Path::new("-")
    }

    /// Writes what is left, once the workers have ended, and sums up.
    pub(super) fn finish(self, console: &mut Console) -> Result<Captured, Failure> {
        self.shared.is_ending.store(true, Release);
        let Self { thread, shared, taps, names, path, is_alone, told } = self;
        if thread.join().is_err() {
            return Err(Failure::failed(
                "the thread that writes the capture ended in a panic, which is a fault of vfwire: please report it",
            ));
        }
        let captured = Captured::of(path, &names, &taps, &shared);
        // The last of it was written just now.
        captured.failure().filter(|_| !told && !is_alone).iter().for_each(|news| console.warn(news));
        Ok(captured)
    }
}
