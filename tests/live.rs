//! `--live` on a real terminal, which tmux is here: keys, colours, sizes, and how the terminal is left.

mod running;

use running::{folder, vfwire};
use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A terminal with a shell that runs the command and stays.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn start(name: &str, (columns, rows): (u16, u16), environment: &str, options: &str) -> Self {
        Self::start_command("forward", name, (columns, rows), environment, options)
    }

    fn start_command(subcommand: &str, name: &str, (columns, rows): (u16, u16), environment: &str, options: &str) -> Self {
        // The path of a socket is short (unix(7): 108 bytes).
        let socket = std::env::temp_dir().join(format!("vfwire-{name}-{}", std::process::id()));
        let terminal = Self { socket };
        let command = format!(
            "{environment} {} {} --live {options} >{}/out; echo rc $?; stty -a; echo the end; sleep 120",
            env!("CARGO_BIN_EXE_vfwire"),
            subcommand,
            folder(name).display()
        );
        terminal.tmux(&["new-session", "-d", "-x", &columns.to_string(), "-y", &rows.to_string(), &command]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        let command = command.arg("-S").arg(&self.socket).args(["-f", "/dev/null"]).args(arguments);
        let output = command.output().expect("tmux: apt-get install --no-install-recommends tmux");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What is on the screen once `is_so`, with its escape sequences.
    fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let screen = self.tmux(&["capture-pane", "-e", "-p"]);
            if is_so(&screen) {
                return screen;
            }
            assert!(start.elapsed() < LIMIT, "not {what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_for(&self, words: &str) -> String {
        self.wait_until(words, |screen| screen.contains(words))
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// The number of the command's process.
    fn pid(&self) -> String {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.trim())).expect("the shell runs");
        children.trim().to_owned()
    }

    /// The terminal is as a shell needs it: lines, echo, a cursor, and the first screen.
    fn assert_restored(&self) {
        let screen = self.wait_for("the end");
        for mode in ["icanon", "echo", "isig", "opost"] {
            let off = format!("-{mode}");
            assert!(screen.split_whitespace().any(|word| word == mode) && !screen.contains(&format!("{off} ")), "{off}: {screen}");
        }
        let flags = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(flags.trim(), "0 1");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").status();
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// SGR sequences that set a colour: 30 to 37, 38, 40 to 48, 90 to 107.
fn has_color(screen: &str) -> bool {
    let parameters = screen.split("\x1b[").skip(1).filter_map(|rest| Some(rest.split_once('m')?.0));
    parameters
        .flat_map(|list| list.split(';'))
        .filter_map(|number| number.parse::<u16>().ok())
        .any(|number| matches!(number, 30..=38 | 40..=48 | 90..=107))
}

#[test]
fn keys_work_and_the_terminal_is_set_back() {
    let terminal = Terminal::start("keys", (100, 40), "", "--duration 120s --port sim:igbvf,spoofchk=off");
    let screen = terminal.wait_for("running");
    assert!(has_color(&screen), "{screen}");
    terminal.wait_for("last minute");
    terminal.press("Tab");
    terminal.wait_for("turns/s");
    terminal.press("Tab");
    terminal.wait_for("measures no latency");
    terminal.press("Tab");
    terminal.press("p");
    terminal.wait_for("PAUSED");
    terminal.press("p");
    terminal.wait_until("going on", |screen| !screen.contains("PAUSED"));
    terminal.press("r");
    terminal.wait_for("from a reset");
    terminal.tmux(&["resize-window", "-x", "40", "-y", "10"]);
    terminal.wait_until("drawn for 40 columns", |screen| screen.contains("q quit") && !screen.contains("messages"));
    terminal.tmux(&["resize-window", "-x", "100", "-y", "40"]);
    terminal.press("q");
    let screen = terminal.wait_for("rc 0");
    // What was said meanwhile is said now.
    assert!(screen.contains("forwarding") && screen.contains("no longer ready: SIGINT"), "{screen}");
    terminal.assert_restored();
}

#[test]
fn a_generator_shows_its_latencies() {
    let options = "--duration 120s --rate 1kpps --port sim:igbvf,loop,delay=1ms";
    let terminal = Terminal::start_command("generate", "generate", (100, 40), "NO_COLOR=1", options);
    terminal.wait_for("last minute");
    terminal.press("Tab");
    terminal.wait_for("turns/s");
    terminal.press("Tab");
    terminal.wait_until("latencies", |screen| screen.contains("p99.9 us") && screen.contains("sim:igbvf,loop,delay=1ms to sim:igbvf"));
    terminal.press("q");
    terminal.wait_for("rc 0");
    terminal.assert_restored();
}

#[test]
fn no_color_is_respected() {
    let terminal = Terminal::start("plain", (100, 40), "NO_COLOR=1", "--duration 120s --port sim:igbvf,spoofchk=off");
    let screen = terminal.wait_for("last minute");
    assert!(!has_color(&screen), "{screen}");
    terminal.press("C-c");
    terminal.wait_for("rc 0");
    terminal.assert_restored();
}

#[test]
fn every_end_sets_the_terminal_back() {
    for (signal, end) in [("TERM", "rc 0"), ("HUP", "rc 0")] {
        let terminal = Terminal::start(signal, (100, 40), "", "--duration 120s --port sim:igbvf,spoofchk=off");
        terminal.wait_for("running");
        assert!(Command::new("kill").args(["-s", signal, &terminal.pid()]).status().expect("kill").success());
        terminal.wait_for(end);
        terminal.assert_restored();
    }
    let terminal = Terminal::start("over", (100, 40), "", "--port sim:igbvf,spoofchk=off --duration 2s");
    let screen = terminal.wait_for("rc 0");
    assert!(screen.contains("the time is over"), "{screen}");
    terminal.assert_restored();
}

#[test]
fn elsewhere_it_prints_lines() {
    let output = vfwire(&["forward", "--live", "--duration", "1500ms", "--port", "sim:igbvf,spoofchk=off"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("Mframes/s") && !said.contains('\x1b'), "{said}");
}
