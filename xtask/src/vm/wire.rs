//! The host's end of a wire: a datagram socket, one datagram is one Ethernet frame without FCS.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::qemu::{ShortPath, short_path};
use super::stream::{Checker, Stream};

/// Silence after which what is outstanding counts as lost. An emulated guest may not run for hundreds of milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a frame is offered before others are looked after.
const SOON: Duration = Duration::from_millis(2);
/// How long frames that must not come are waited for.
const GRACE: Duration = Duration::from_millis(300);
/// More than any frame of the device: 9,018 bytes.
const BUFFER_BYTES: usize = 16 << 10;

/// One end of a wire.
pub(super) struct Wire {
    socket: UnixDatagram,
    guest: ShortPath,
}

impl Wire {
    /// Makes `NAME.host` in `folder`; the machine has `NAME.guest`.
    pub(super) fn new(folder: &Path, name: &str) -> Result<Self> {
        let file = format!("{name}.host");
        let _ = fs::remove_file(folder.join(&file));
        let socket = UnixDatagram::bind(short_path(folder, &file)?.path()).with_context(|| format!("could not bind {file}"))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, guest: short_path(folder, &format!("{name}.guest"))? })
    }

    pub(super) fn send(&self, frame: &[u8]) -> Result<()> {
        match self.socket.send_to(frame, self.guest.path()) {
            Ok(length) if length == frame.len() => Ok(()),
            Ok(length) => bail!("the wire took {length} of {} bytes", frame.len()),
            Err(error) if is_timeout(&error) => bail!("the machine took no frame from the wire for {PATIENCE:?}"),
            Err(error) => Err(error).context("the wire is cut"),
        }
    }

    /// Frames that may have been sent and not yet taken by the device: a socket's full of them, and those in QEMU's hands.
    pub(super) fn waiting_max() -> Result<usize> {
        let setting = "/proc/sys/net/unix/max_dgram_qlen";
        let text = fs::read_to_string(setting).with_context(|| format!("could not read {setting}"))?;
        Ok(text.trim().parse::<usize>().with_context(|| format!("{setting} says {text:?}"))? + 2)
    }

    /// From now on [`offer_now`](Self::offer_now) and [`take`](Self::take) don't wait; until it is switched off again, nothing else may be used.
    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        Ok(self.socket.set_nonblocking(nonblocking)?)
    }

    /// Sends a frame if the machine takes it now.
    pub(super) fn offer_now(&self, frame: &[u8]) -> Result<bool> {
        match self.socket.send_to(frame, self.guest.path()) {
            Ok(_) => Ok(true),
            Err(error) if is_timeout(&error) => Ok(false),
            Err(error) => Err(error).context("the wire is cut"),
        }
    }

    /// Sends a frame if the machine takes it within the limit.
    pub(super) fn offer(&self, frame: &[u8], limit: Duration) -> Result<bool> {
        self.socket.set_write_timeout(Some(limit))?;
        let sent = self.offer_now(frame);
        self.socket.set_write_timeout(Some(PATIENCE))?;
        sent
    }

    /// The next frame, if one comes within the limit.
    pub(super) fn receive(&self, limit: Duration) -> Result<Option<Vec<u8>>> {
        self.socket.set_read_timeout(Some(limit))?;
        self.take()
    }

    /// The next frame, if one is there.
    pub(super) fn take(&self) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; BUFFER_BYTES];
        match self.socket.recv(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(error) if is_timeout(&error) => Ok(None),
            Err(error) => Err(error).context("the wire is cut"),
        }
    }

    /// The next frame, if one is there, however long the socket is told to wait.
    fn take_now(&self) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; BUFFER_BYTES];
        match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error).context("the wire is cut"),
        }
    }

    /// The first frame that `wanted` picks, within the patience of a wire.
    pub(super) fn receive_where<T>(&self, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> Result<Option<T>> {
        // Others' frames are few: the limit is on silence, the count keeps it finite.
        for _ in 0..1000 {
            let Some(frame) = self.receive(PATIENCE)? else { return Ok(None) };
            if let Some(value) = wanted(&frame) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Throws away what is waiting.
    pub(super) fn drain(&self) -> Result<()> {
        while self.receive(Duration::from_millis(1))?.is_some() {}
        Ok(())
    }
}

/// Carries frames between two wires, both ways, while `during` runs.
pub(super) fn bridged<T>(a: &Wire, b: &Wire, during: impl FnOnce() -> Result<T>) -> Result<T> {
    let over = AtomicBool::new(false);
    let carry = |from: &Wire, to: &Wire| -> Result<()> {
        while !over.load(Ordering::Relaxed) {
            if let Some(frame) = from.receive(Duration::from_millis(20))? {
                to.send(&frame)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let carriers = [scope.spawn(|| carry(a, b)), scope.spawn(|| carry(b, a))];
        let result = during();
        over.store(true, Ordering::Relaxed);
        let carried: Result<Vec<()>> = carriers.into_iter().map(|carrier| carrier.join().expect("carrying does not panic")).collect();
        let value = result?;
        carried.map(|_| value)
    })
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Sends a stream into one wire, never more than `window` frames ahead of what came out of the other (which may be the same).
/// An error unless all came back whole, once and in order.
pub(super) fn exchange(stream: &Stream, window: u32, from: &Wire, to: &Wire) -> Result<()> {
    let checker = run(stream, window, from, to)?;
    checker.verdict().with_context(|| format!("window {window}, lengths {:?}", stream.lengths_bytes))
}

/// Sends a whole stream at once and gives how many frames came back. An error unless those came back whole, once and in order.
pub(super) fn exchange_with_losses(stream: &Stream, from: &Wire, to: &Wire) -> Result<u32> {
    let checker = run(stream, stream.frames, from, to)?;
    checker.verdict_but_for_losses()
}

fn run<'a>(stream: &'a Stream, window: u32, from: &Wire, to: &Wire) -> Result<Checker<'a>> {
    to.drain()?;
    let mut checker = Checker::new(stream);
    loop {
        while checker.outstanding() < window
            && let Some(frame) = checker.next()
        {
            // What comes back is taken meanwhile: a relay that finds our socket full takes no more until there is room in it.
            while !from.offer(&frame, SOON)? {
                let Some(back) = to.receive(PATIENCE)? else { bail!("the machine takes no frame from the wire, and gives none") };
                checker.take(&back);
            }
            while let Some(back) = to.take_now()? {
                checker.take(&back);
            }
        }
        if checker.outstanding() == 0 {
            break;
        }
        let Some(frame) = to.receive(PATIENCE)? else { break };
        checker.take(&frame);
    }
    // Duplicates of the last frames would come about now.
    while let Some(frame) = to.receive(Duration::from_millis(20))? {
        checker.take(&frame);
    }
    Ok(checker)
}

/// Sends a stream of which nothing may come out.
pub(super) fn expect_silence(stream: &Stream, from: &Wire, to: &Wire) -> Result<()> {
    to.drain()?;
    let mut checker = Checker::new(stream);
    while let Some(frame) = checker.next() {
        from.send(&frame)?;
    }
    let sent = checker.outstanding();
    while let Some(frame) = to.receive(GRACE)? {
        checker.take(&frame);
    }
    let came = sent - checker.outstanding();
    if came > 0 {
        bail!("{came} of {sent} frames came through that should have been dropped");
    }
    Ok(())
}
