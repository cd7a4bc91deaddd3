//! `--live`: a view of a running command on the terminal that stderr is.
//!
//! It runs on the control thread, between two rounds of looking after the ports, and waits for nothing: keys are read where there are
//! some. The terminal is set back on every way out: the end of the view, an error (the view is dropped), and a panic of any thread (its
//! hook). A signal that asks to end comes that way too; only a second one ends the process on the spot once the terminal is set back.

mod draw;
mod screen;
#[cfg(test)]
mod tests;

use super::{Failure, console::Console, log, sample::Sample};
use draw::{Theme, draw};
use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::read,
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};
use screen::{Key, Screen};
use std::{
    env,
    io::{self, IsTerminal, Stderr, Write},
    panic,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The other screen of a terminal, without a cursor, and back (xterm: DECSET 1049, DECTCEM 25).
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";
/// The whole screen (ECMA-48: SGR 0, ED 2).
const CLEAR: &str = "\x1b[0m\x1b[2J";
/// What a terminal that does not say its size has.
const USUAL: (u16, u16) = (80, 24);

/// How the terminal was before the view, while there is one. A process has one terminal.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Sets the terminal back, where it is not.
fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(LEAVE.as_bytes()).and_then(|()| stderr.flush());
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

fn is_shown() -> bool {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Whether a view can be shown: keys come from stdin, and stderr shows it.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal() && !log::is_json()
}

/// A view that is shown.
pub(super) struct View {
    terminal: Terminal<CrosstermBackend<Stderr>>,
    size: (u16, u16),
    screen: Screen,
    theme: Theme,
}

impl View {
    /// Takes the terminal.
    ///
    /// # Errors
    /// A terminal that cannot be set.
    pub(super) fn show(title: String) -> Result<Self, Failure> {
        let failed = |error: &dyn std::error::Error| Failure::failed(format!("--live: the terminal cannot be set: {error}"));
        let before = tcgetattr(io::stdin()).map_err(|error| failed(&error))?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            hook(panic);
        }));
        // Dropped on every way out from here on.
        let size = size();
        let terminal = terminal(size);
        let set = tcsetattr(io::stdin(), OptionalActions::Now, &raw);
        let entered = io::stderr().lock().write_all(ENTER.as_bytes());
        let colors = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        match (terminal, set, entered) {
            (Ok(terminal), Ok(()), Ok(())) => Ok(Self { terminal, size, screen: Screen::new(title), theme: Theme { colors } }),
            (terminal, set, entered) => {
                restore();
                let error = terminal.err().or(set.err().map(io::Error::from)).or(entered.err());
                Err(failed(&error.unwrap_or_else(|| io::Error::other("it did not say why"))))
            }
        }
    }

    /// Shows how things are now.
    pub(super) fn take(&mut self, sample: Arc<Sample>, console: &Console) {
        self.screen.take(sample);
        self.draw(console);
    }

    fn draw(&mut self, console: &Console) {
        // A panic elsewhere has set the terminal back.
        if !is_shown() {
            return;
        }
        let now = size();
        if now != self.size {
            self.size = now;
            // A terminal may have wrapped what was drawn for its old width: from an empty screen anew.
            let _ = io::stderr().lock().write_all(CLEAR.as_bytes());
            if let Ok(terminal) = terminal(now) {
                self.terminal = terminal;
            }
        }
        // Where it cannot be written nobody looks.
        let _ = self.terminal.draw(|frame| draw(frame, &self.screen, console.held(), self.theme));
    }

    /// Waits so long, or until a signal or a key comes. Whether it is to end.
    pub(super) fn wait(&mut self, time: Duration, console: &Console) -> bool {
        let stdin = io::stdin();
        let mut keys = [PollFd::new(&stdin, PollFlags::IN)];
        let polled = poll(&mut keys, Timespec::try_from(time).ok().as_ref());
        if !matches!(polled, Ok(1..)) {
            return false;
        }
        let mut bytes = [0; 64];
        let count = match read(&stdin, &mut bytes) {
            // The terminal is gone, and with it whoever looked.
            Ok(0) | Err(rustix::io::Errno::IO) => return true,
            Ok(count) => count,
            Err(_) => return false,
        };
        let mut quit = false;
        for key in Key::all_in(&bytes[..count]) {
            quit |= key == Key::Quit;
            self.screen.press(key);
        }
        self.draw(console);
        quit
    }
}

impl Drop for View {
    fn drop(&mut self) {
        restore();
    }
}

/// Draws on as much of stderr's terminal, which is taken for empty.
fn terminal((columns, rows): (u16, u16)) -> io::Result<Terminal<CrosstermBackend<Stderr>>> {
    let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
    Terminal::with_options(CrosstermBackend::new(io::stderr()), TerminalOptions { viewport })
}

/// Columns and rows; the library asks by opening the terminal anew, which a sandbox refuses.
fn size() -> (u16, u16) {
    let told = tcgetwinsize(io::stderr()).map_or((0, 0), |size| (size.ws_col, size.ws_row));
    if told.0 == 0 || told.1 == 0 { USUAL } else { told }
}
