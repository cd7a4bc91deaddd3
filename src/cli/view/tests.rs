//! The view on terminals of all sizes.

use super::*;
use crate::cli::sample::{Drop as Loss, LatencySample, PortCounts, PortSample, WorkerCounts, WorkerSample};
use ratatui::{Terminal, backend::TestBackend, style::Color};
use vfwire::{Link, PortState};

/// After so many seconds, of a command that moves a million frames a second.
fn sample(s: u64) -> Arc<Sample> {
    let mut counts = PortCounts { rx_frames: s * 1_000_000, rx_bytes: s * 60_000_000, tx_frames: s * 999_000, ..PortCounts::default() };
    counts.drops[Loss::RingFull as usize] = s * 1000;
    let port = |address: &str, up| PortSample {
        address: address.to_owned(),
        driver: "igbvf",
        mac: "02:00:00:00:00:01".to_owned(),
        simulated: true,
        link: Link { up, mbps: 1000 },
        state: PortState::Running,
        counts,
    };
    let latency = LatencySample { name: "all".to_owned(), count: s * 1000, quantiles_ns: [5000, 6000, 7000, 8000], max_ns: 9000 };
    Arc::new(Sample {
        at: Duration::from_secs(s),
        ports: vec![port("0000:3b:02.1", true), port("0000:3b:02.2", false)],
        workers: vec![WorkerSample {
            cpu: Some(3),
            counts: WorkerCounts { frames: s * 1000, polls: s * 40, turns: s * 100 },
            cycles_per_frame: Some(12.5),
        }],
        latencies: vec![latency],
    })
}

fn screen() -> Screen {
    let mut screen = Screen::new("forward mode io".to_owned());
    (0..70).for_each(|s| screen.take(sample(s)));
    screen
}

fn drawn(screen: &Screen, (width, height): (u16, u16), colors: bool) -> (String, bool) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let messages = ["vfwire: a message".to_owned(), "vfwire: the last message".to_owned()];
    terminal.draw(|frame| draw(frame, screen, &messages, Theme { colors })).expect("it is drawn");
    let buffer = terminal.backend().buffer();
    let text = buffer.content().chunks(usize::from(width)).map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n");
    (text.collect(), buffer.content().iter().any(|cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset)))
}

#[test]
fn every_view_fits_every_terminal() {
    for (width, height) in [(1, 1), (5, 3), (40, 10), (40, 24), (60, 16), (80, 24), (120, 40), (200, 60)] {
        let (mut screen, empty) = (screen(), Screen::new("forward".to_owned()));
        drawn(&empty, (width, height), true);
        for words in ["0000:3b:02.1", "cycles", "all"] {
            let (text, _) = drawn(&screen, (width, height), true);
            assert!(width < 40 || text.contains(words), "{words} at {width} x {height}:\n{text}");
            screen.press(Key::Tab);
        }
    }
}

#[test]
fn rates_losses_and_messages_are_shown() {
    let (text, colored) = drawn(&screen(), (120, 40), true);
    for words in [
        "1.00M",
        "999k",
        "running",
        "no link",
        "transmit ring_full",
        "69.0k (1.00k/s)",
        "the last message",
        "00:01:09",
        "last minute",
        "q quit",
        "█",
    ] {
        assert!(text.contains(words), "no {words}:\n{text}");
    }
    assert!(colored);
    assert!(!drawn(&screen(), (120, 40), false).1, "NO_COLOR");
}

#[test]
fn keys_pause_reset_and_switch() {
    let mut screen = screen();
    assert_eq!(Key::all_in(b"prx\tq\x03").collect::<Vec<_>>(), [Key::Pause, Key::Reset, Key::Tab, Key::Quit, Key::Quit]);
    assert_eq!(Key::all_in(b"\x1bq").count(), 0, "Alt-q, or a part of another key");
    screen.press(Key::Pause);
    screen.take(sample(100));
    let (text, _) = drawn(&screen, (120, 40), true);
    assert!(text.contains("PAUSED") && text.contains("00:01:09"), "{text}");
    screen.press(Key::Pause);
    screen.take(sample(101));
    screen.press(Key::Reset);
    screen.take(sample(102));
    let (text, _) = drawn(&screen, (120, 40), true);
    assert!(text.contains("1.00k (1.00k/s)") && text.contains("from a reset") && text.contains("00:01:42"), "{text}");
}
