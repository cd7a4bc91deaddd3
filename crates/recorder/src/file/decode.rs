//! Reading. A file is somebody else's: every line is checked, and the first that is wrong is named.

use super::{MAGIC, MAGIC_OF_ANY, NONE};
use crate::recording::{Access, Call, CallKind, Failure, Operation, Outcome, PortName, Recording, Space, StartShape, Step, What};
use std::{collections::BTreeSet, fmt, str::FromStr};
use vfwire_core::{
    bus::BusEvent,
    port::{Intent, Offload, Rss},
};
use vfwire_spec::{net::MacAddr, pci::PciId};

/// The longest file that is read. A recorder of one port holds a hundredth of it.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// A text that is no recording, and where that is seen.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct FileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// What a file holds.
///
/// # Errors
/// [`FileError`] for the first line that does not belong there, or that is missing because the file was cut short.
pub fn decode(text: &str) -> Result<Vec<Recording>, FileError> {
    let mut reader = Reader::default();
    let cut_short = |line: usize| {
        let what = "the file ends here, in the middle of a recording: it was cut short".to_owned();
        FileError { line: line.max(1), what }
    };
    // A last line without its end was cut short, however well it reads.
    let is_whole = text.ends_with('\n');
    let lines = text.lines().count();
    for (line, text) in (1..).zip(text.lines()) {
        reader.take(line, text).map_err(|what| if line == lines && !is_whole { cut_short(line) } else { FileError { line, what } })?;
    }
    if reader.open.is_some() || !is_whole {
        return Err(cut_short(lines));
    }
    Ok(reader.recordings)
}

#[derive(Default)]
struct Reader {
    recordings: Vec<Recording>,
    /// The port that has not ended, and the number of its first line.
    open: Option<(Recording, usize)>,
}

impl Reader {
    fn take(&mut self, line: usize, text: &str) -> Result<(), String> {
        if line == 1 {
            return check_magic(text);
        }
        // None is ever written, and one at the end of a line would be lost when it is written again.
        if text.contains(char::is_control) {
            return Err(format!("a control character in `{}`", short(text)));
        }
        let mut words = Words(text);
        let first = words.next("a line")?;
        let Some((recording, begin)) = &mut self.open else {
            if first != "port" {
                return Err(format!("`{}` where a port must begin", short(first)));
            }
            self.open = Some((Recording { port: port(words)?, calls: Vec::new() }, line));
            return Ok(());
        };
        let call = recording.calls.last_mut();
        match (first, call) {
            ("call", _) => recording.calls.push(call_of(words)?),
            ("end", _) => {
                let (told, counted) = (words.number::<usize>("the number of lines")?, line - *begin - 1);
                if told != counted {
                    return Err(format!("the recording has {counted} lines instead of {told}: some are missing or were added"));
                }
                self.recordings.extend(self.open.take().map(|(recording, _)| recording));
            }
            ("done", Some(call)) if call.outcome.is_none() => call.outcome = Some(outcome(words)?),
            ("done", _) => return Err("`done` without a call".to_owned()),
            (_, Some(call)) => call.steps.push(Step { at_ns: number(first, "a time in nanoseconds")?, what: what(words)? }),
            (_, None) => return Err("a step without a call".to_owned()),
        }
        Ok(())
    }
}

fn check_magic(text: &str) -> Result<(), String> {
    match text.strip_prefix(MAGIC_OF_ANY) {
        Some(_) if text == MAGIC => Ok(()),
        Some(version) => {
            Err(format!("a recording of format {}, and this vfwire reads format 1: use the one that wrote it", short(version)))
        }
        None => Err("not a flight recording of vfwire: one is written by `vfwire forward --flight-recorder FILE`".to_owned()),
    }
}

fn port(mut words: Words<'_>) -> Result<PortName, String> {
    let driver = words.next("a driver")?;
    let id = words.next("vendor and device")?;
    let parsed = id.split_once(':').and_then(|(vendor, device)| {
        let hex = |text: &str| u16::from_str_radix(text, 16).ok();
        Some(PciId { vendor: hex(vendor)?, device: hex(device)? })
    });
    let id = parsed.ok_or_else(|| format!("`{}` is no vendor and device, such as 8086:10ca", short(id)))?;
    Ok(PortName { driver: if driver == NONE { String::new() } else { driver.to_owned() }, id, address: words.0.to_owned() })
}

fn call_of(mut words: Words<'_>) -> Result<Call, String> {
    let at_ns = words.number("a time in nanoseconds")?;
    let (times, lost_before, lost_steps) = (words.named("times")?, words.named("lost")?, words.named("lost-steps")?);
    let kind = match words.next("what was called")? {
        "probe" => CallKind::Probe,
        "start" => CallKind::Start(Box::new(StartShape {
            queue_pairs: words.named("pairs")?,
            rx_desc: words.named("rx-desc")?,
            tx_desc: words.named("tx-desc")?,
            room_bytes: words.named("room")?,
            recovery_limit_ms: words.named("recovery-ms")?,
            intent: intent(&mut words)?,
        })),
        "stop" => CallKind::Stop,
        "apply" => CallKind::Apply(Box::new(intent(&mut words)?)),
        "poll" => CallKind::Poll,
        "stats" => CallKind::Stats,
        "rss" => CallKind::Rss,
        "close" => CallKind::Close,
        other => return Err(format!("`{}` is nothing that a port can be asked", short(other))),
    };
    words.end()?;
    Ok(Call { at_ns, kind, times, lost_before, lost_steps, steps: Vec::new(), outcome: None })
}

fn intent(words: &mut Words<'_>) -> Result<Intent, String> {
    Ok(Intent {
        mac: words.optional("mac")?,
        mtu_bytes: words.named("mtu")?,
        vlans: words.list("vlans")?,
        multicast: words.list("multicast")?,
        all_multicast: words.switch("all-multicast")?,
        promiscuous: words.switch("promiscuous")?,
        rss: words.optional::<Spread>("rss")?.map(|spread| spread.0),
        offloads: words.list::<Named>("offloads")?.into_iter().map(|named| named.0).collect(),
    })
}

/// RSS as files have it.
struct Spread(Rss);

impl FromStr for Spread {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = |text: &str| {
            let digits = text.as_bytes().chunks(2).map(|pair| Some(pair).filter(|pair| pair.len() == 2 && pair.is_ascii()));
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            digits.map(|pair| pair.and_then(byte)).collect::<Option<Vec<u8>>>()
        };
        let both = text.split_once(':').and_then(|(key, table)| Some(Rss { key: bytes(key)?, table: bytes(table)? }));
        both.map(Self).ok_or("key and table are hexadecimal bytes with a colon between")
    }
}

/// An offload by its name.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Named(Offload);

impl FromStr for Named {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALL: [Offload; 4] = [Offload::RxChecksum, Offload::TxChecksum, Offload::Tso, Offload::RssHash];
        ALL.into_iter().find(|offload| format!("{offload:?}") == text).map(Self).ok_or("no such offload")
    }
}

fn outcome(mut words: Words<'_>) -> Result<Outcome, String> {
    let quiet = match words.next("`quiet` or `said`")? {
        "quiet" => true,
        "said" => false,
        other => return Err(format!("`{}` is neither `quiet` nor `said`", short(other))),
    };
    let mac: Option<MacAddr> = words.optional("mac")?;
    Ok(Outcome { quiet, mac, text: words.0.to_owned() })
}

fn what(mut words: Words<'_>) -> Result<What, String> {
    let what = match words.next("a step")? {
        "read" => {
            let access = access(&mut words)?;
            let times = match words.next_if_any() {
                None => 1,
                Some(word) => number(word.strip_prefix('x').unwrap_or(word), "how many times")?,
            };
            What::Read { access, times }
        }
        "write" => What::Write(access(&mut words)?),
        "bar" => What::Bar { index: bar(words.next("a BAR")?)?, len_bytes: words.number("a length in bytes")? },
        "dma" => What::Dma { iova: hex(words.next("an address")?)?, len_bytes: words.number("a length in bytes")? },
        "reset" => What::Reset,
        "event" => What::Event(match words.next("an event")? {
            "remove-requested" => BusEvent::RemoveRequested,
            "error" => BusEvent::Error,
            other => return Err(format!("`{}` is no event of a bus", short(other))),
        }),
        "failed" => return failed(words),
        other => return Err(format!("`{}` is no step", short(other))),
    };
    words.end()?;
    Ok(what)
}

fn access(words: &mut Words<'_>) -> Result<Access, String> {
    let space = match words.next("a space")? {
        "config" => Space::Config,
        other => match other.strip_prefix("bar") {
            Some(index) => Space::Bar(bar(index)?),
            None => return Err(format!("`{}` is neither a BAR, such as bar0, nor `config`", short(other))),
        },
    };
    let offset = hex(words.next("an offset")?)?;
    let offset = u32::try_from(offset).map_err(|_| format!("{offset:#x} is no offset"))?;
    let width_bytes = width(words)?;
    let value = hex(words.next("a value")?)?;
    let fits = width_bytes == 8 || value >> (width_bytes * 8) == 0;
    if !fits {
        return Err(format!("{value:#x} does not fit {width_bytes} bytes"));
    }
    Ok(Access { space, width_bytes, offset, value })
}

fn width(words: &mut Words<'_>) -> Result<u8, String> {
    let width_bytes = words.number("a width in bytes")?;
    if [1, 2, 4, 8].contains(&width_bytes) { Ok(width_bytes) } else { Err(format!("a word has 1, 2, 4 or 8 bytes, not {width_bytes}")) }
}

fn bar(text: &str) -> Result<u8, String> {
    let index = number(text, "the number of a BAR")?;
    if index < 6 { Ok(index) } else { Err(format!("there is no BAR {index}")) }
}

fn failed(mut words: Words<'_>) -> Result<What, String> {
    let operation = match words.next("an operation")? {
        "config-read" => Operation::ConfigRead { offset: words.number("an offset")?, width_bytes: width(&mut words)? },
        "config-write" => Operation::ConfigWrite { offset: words.number("an offset")?, width_bytes: width(&mut words)? },
        "bar" => Operation::Bar(bar(words.next("a BAR")?)?),
        "reset" => Operation::Reset,
        "dma" => Operation::Dma { len_bytes: words.number("a length in bytes")? },
        other => return Err(format!("`{}` is nothing that a bus does", short(other))),
    };
    let gone = match words.next("`gone` or `other`")? {
        "gone" => true,
        "other" => false,
        other => return Err(format!("`{}` is neither `gone` nor `other`", short(other))),
    };
    Ok(What::Failed(Box::new(Failure { operation, gone, text: words.0.to_owned() })))
}

fn hex(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or_else(|| format!("`{}` is no number such as 0x1f", short(text)))
}

fn number<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| format!("`{}` is not {what}", short(text)))
}

/// As much of a text as an error shows.
fn short(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The rest of a line.
struct Words<'t>(&'t str);

impl<'t> Words<'t> {
    fn next_if_any(&mut self) -> Option<&'t str> {
        let (word, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        self.0 = rest;
        Some(word).filter(|word| !word.is_empty())
    }

    fn next(&mut self, what: &str) -> Result<&'t str, String> {
        self.next_if_any().ok_or_else(|| format!("the line ends where {what} must be"))
    }

    fn number<T: FromStr>(&mut self, what: &str) -> Result<T, String> {
        number(self.next(what)?, what)
    }

    /// The text of `NAME=TEXT`.
    fn value(&mut self, name: &str) -> Result<&'t str, String> {
        let word = self.next(name)?;
        let value = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        value.ok_or_else(|| format!("`{}` where `{name}=` must be", short(word)))
    }

    fn named<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        number(self.value(name)?, &format!("a number of `{name}`"))
    }

    fn optional<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Result<Option<T>, String> {
        match self.value(name)? {
            NONE => Ok(None),
            text => text.parse().map(Some).map_err(|error| format!("`{name}={}`: {error}", short(text))),
        }
    }

    fn list<T: FromStr<Err: fmt::Display> + Ord>(&mut self, name: &str) -> Result<BTreeSet<T>, String> {
        match self.value(name)? {
            NONE => Ok(BTreeSet::new()),
            text => text.split(',').map(|item| item.parse().map_err(|error| format!("`{name}={}`: {error}", short(item)))).collect(),
        }
    }

    fn switch(&mut self, name: &str) -> Result<bool, String> {
        match self.value(name)? {
            "on" => Ok(true),
            "off" => Ok(false),
            other => Err(format!("`{name}={}` is neither on nor off", short(other))),
        }
    }

    fn end(self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("`{}` is too much", short(self.0))) }
    }
}
