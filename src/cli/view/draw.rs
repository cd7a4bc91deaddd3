//! Draws a [`Screen`]. Whatever the size of the terminal, nothing is drawn outside it; what does not fit is left out.

use super::screen::{Screen, Tab, rate, short};
use crate::cli::sample::{Drop, QUANTILES, Sample, state_name};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Paragraph, Row, Sparkline, Table},
};
use vfwire::PortState;

/// Colours, or none where `NO_COLOR` is set: then bold and reversed text tell things apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub(super) colors: bool,
}

impl Theme {
    fn colored(self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }

    fn head(self) -> Style {
        self.colored(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    fn good(self) -> Style {
        self.colored(Color::Green)
    }

    fn bad(self) -> Style {
        self.colored(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

/// Most rows of a curve, its title included.
const CURVE_ROWS: u16 = 8;
/// From this width on all columns are shown.
const WIDE: u16 = 90;

pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen, messages: &[String], theme: Theme) {
    let [top, body, news, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(if frame.area().height >= 16 { 5 } else { 0 }),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(head(screen, theme), top);
    match screen.sample() {
        None => frame.render_widget(Paragraph::new("waiting for the first sample"), body),
        Some(sample) => match screen.tab {
            Tab::Ports => ports(frame, body, (screen, sample), theme),
            Tab::Workers => workers(frame, body, (screen, sample), theme),
            Tab::Latency => latency(frame, body, sample, theme),
        },
    }
    if news.height > 0 {
        let room = usize::from(news.height.saturating_sub(1));
        let lines: Vec<_> = messages[messages.len().saturating_sub(room)..].iter().map(|line| Line::raw(line.as_str())).collect();
        frame.render_widget(Paragraph::new(lines).block(titled("messages", theme)), news);
    }
    let keys = "p pause  r reset  tab view  q quit";
    frame.render_widget(Paragraph::new(Span::styled(keys, theme.dim())), foot);
}

fn titled(title: &str, theme: Theme) -> Block<'_> {
    Block::new().borders(Borders::TOP).border_style(theme.dim()).title(Span::styled(format!(" {title} "), theme.head()))
}

fn head(screen: &Screen, theme: Theme) -> Line<'static> {
    let mut spans = Vec::new();
    if screen.paused {
        spans.push(Span::styled(" PAUSED ", theme.bad().add_modifier(Modifier::REVERSED)));
    }
    let s = screen.sample().map_or(0, |sample| sample.at.as_secs());
    spans.push(Span::raw(format!(" {:02}:{:02}:{:02} ", s / 3600, s / 60 % 60, s % 60)));
    for tab in Tab::ALL {
        let style = if tab == screen.tab { Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD) } else { Style::new() };
        spans.push(Span::styled(format!(" {} ", tab.name()), style));
    }
    spans.push(Span::styled(format!("  {}", screen.title), theme.head()));
    if screen.is_reset() {
        spans.push(Span::styled("  counted from a reset", theme.dim()));
    }
    Line::from(spans)
}

fn header(names: &[&str], theme: Theme) -> Row<'static> {
    Row::new(names.iter().map(|name| Cell::from((*name).to_owned())).collect::<Vec<_>>()).style(theme.head())
}

fn ports(frame: &mut Frame<'_>, area: Rect, (screen, sample): (&Screen, &Sample), theme: Theme) {
    let count = u16::try_from(sample.ports.len()).unwrap_or(u16::MAX);
    let rows = sample.ports.iter().enumerate().map(|(at, port)| {
        let (total, last, past) = screen.port(at);
        let well = port.state == PortState::Running && port.link.up;
        let state = if port.state == PortState::Running && !port.link.up { "no link" } else { state_name(port.state) };
        let lost = total.dropped();
        let mut cells = vec![
            Cell::from(port.address.clone()),
            Cell::from(state).style(if well { theme.good() } else { theme.bad() }),
            Cell::from(short(rate(last.rx_frames, past))),
            Cell::from(short(rate(last.tx_frames, past))),
        ];
        if area.width >= WIDE {
            // On the wire a frame has 24 bytes more: FCS, preamble and gap (IEEE 802.3, 3.1.1 and 4.4.2).
            let bits = |bytes: u64, frames: u64| short(rate((bytes + 24 * frames) * 8, past));
            cells.extend([
                Cell::from(bits(last.rx_bytes, last.rx_frames)),
                Cell::from(bits(last.tx_bytes, last.tx_frames)),
                Cell::from(short(port.link.mbps as f64 * 1e6)),
                Cell::from(total.resets.to_string()),
            ]);
        }
        cells.push(Cell::from(short(lost as f64)).style(if lost > 0 { theme.bad() } else { Style::new() }));
        Row::new(cells)
    });
    let wide = area.width >= WIDE;
    let (names, widths): (&[&str], &[u16]) = if wide {
        (&["port", "state", "rx/s", "tx/s", "rx bit/s", "tx bit/s", "link", "resets", "lost"], &[10, 7, 7, 9, 9, 6, 6, 6])
    } else {
        (&["port", "state", "rx/s", "tx/s", "lost"], &[7, 6, 6, 5])
    };
    let widths: Vec<_> = std::iter::once(Constraint::Fill(1)).chain(widths.iter().map(|width| Constraint::Length(*width))).collect();
    let table = Table::new(rows, widths).header(header(names, theme));

    let (table_rows, drop_rows) = (count.saturating_add(1), u16::try_from(Drop::ALL.len()).unwrap_or(0) + 2);
    let left = area.height.saturating_sub(table_rows).saturating_sub(drop_rows);
    // A title and two rows at least, or none.
    let each = left.checked_div(count).filter(|each| *each >= 3).unwrap_or(0).min(CURVE_ROWS);
    let [of_ports, of_drops, of_curves] =
        Layout::vertical([Constraint::Length(table_rows), Constraint::Fill(1), Constraint::Length(each.saturating_mul(count))]).areas(area);
    frame.render_widget(table, of_ports);
    drops(frame, of_drops, (screen, sample), theme);
    if each == 0 {
        return;
    }
    for (at, (port, top)) in sample.ports.iter().zip(of_curves.rows().step_by(usize::from(each))).enumerate() {
        let area = Rect { height: each, ..top }.intersection(of_curves);
        let history = screen.history(at);
        let most = history.iter().copied().max().unwrap_or(0);
        let title = format!("{} rx frames/s, last minute, most {}", port.address, short(most as f64));
        let block = titled(&title, theme);
        let inside = usize::from(area.width);
        // One column a second; as wide as there is room for.
        let wide = (inside / 60).max(1);
        let data: Vec<u64> = history.iter().flat_map(|value| std::iter::repeat_n(*value, wide)).collect();
        let data = &data[data.len().saturating_sub(inside)..];
        frame.render_widget(Sparkline::default().block(block).data(data).style(theme.good()), area);
    }
}

/// Losses by cause, of all ports: the sum and the last second.
fn drops(frame: &mut Frame<'_>, area: Rect, (screen, sample): (&Screen, &Sample), theme: Theme) {
    if area.height < 3 {
        return;
    }
    let of_ports: Vec<_> = (0..sample.ports.len()).map(|at| screen.port(at)).collect();
    let rows = Drop::ALL.into_iter().map(|drop| {
        let cells = of_ports.iter().map(|(total, last, past)| {
            let (lost, now) = (total.lost(drop), rate(last.lost(drop), *past));
            let style = if now > 0.0 {
                theme.bad()
            } else if lost > 0 {
                Style::new()
            } else {
                theme.dim()
            };
            Cell::from(format!("{} ({}/s)", short(lost as f64), short(now))).style(style)
        });
        Row::new(std::iter::once(Cell::from(format!("{} {}", drop.direction(), drop.cause()))).chain(cells).collect::<Vec<_>>())
    });
    let names = sample.ports.iter().enumerate().map(|(at, _)| Cell::from(format!("port {at}")));
    let top = Row::new(std::iter::once(Cell::from("lost")).chain(names).collect::<Vec<_>>()).style(theme.head());
    let widths = std::iter::once(Constraint::Length(22)).chain(of_ports.iter().map(|_| Constraint::Fill(1)));
    frame.render_widget(
        Table::new(rows, widths.collect::<Vec<_>>()).header(top).block(Block::new().borders(Borders::TOP).border_style(theme.dim())),
        area,
    );
}

fn workers(frame: &mut Frame<'_>, area: Rect, (screen, sample): (&Screen, &Sample), theme: Theme) {
    let rows = sample.workers.iter().enumerate().map(|(at, worker)| {
        let (total, last, past) = screen.worker(at);
        let still = last.turns == 0 && !past.is_zero();
        Row::new([
            Cell::from(at.to_string()),
            Cell::from(worker.cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string())),
            Cell::from(short(rate(last.frames, past))),
            Cell::from(format!("{:.1}", last.mean_burst())),
            Cell::from(worker.cycles_per_frame.map_or_else(|| "-".to_owned(), |cycles| format!("{cycles:.1}"))),
            Cell::from(short(rate(last.turns, past))).style(if still { theme.bad() } else { Style::new() }),
            Cell::from(short(total.frames as f64)),
        ])
    });
    let widths = [6, 4, 8, 6, 8, 8, 8].map(Constraint::Length);
    let names = ["worker", "CPU", "frames/s", "burst", "cycles", "turns/s", "frames"];
    frame.render_widget(Table::new(rows, widths).header(header(&names, theme)), area);
}

fn latency(frame: &mut Frame<'_>, area: Rect, sample: &Sample, theme: Theme) {
    if sample.latencies.is_empty() {
        frame.render_widget(Paragraph::new("this command measures no latency"), area);
        return;
    }
    // Where there is little room: median, 99 % and the longest.
    let shown: Vec<_> = (0..QUANTILES.len()).filter(|at| area.width >= WIDE || at % 2 == 0).collect();
    let rows = sample.latencies.iter().map(|latency| {
        let us = |ns: u64| Cell::from(format!("{:.1}", ns as f64 / 1e3));
        let first = [Cell::from(latency.name.clone()), Cell::from(short(latency.count as f64))];
        let quantiles = shown.iter().map(|at| us(latency.quantiles_ns[*at]));
        Row::new(first.into_iter().chain(quantiles).chain([us(latency.max_ns)]).collect::<Vec<_>>())
    });
    let mut names = vec!["of".to_owned(), "frames".to_owned()];
    names.extend(shown.iter().map(|at| format!("p{} us", (QUANTILES[*at] * 1e4).round() / 1e2)));
    names.push("max us".to_owned());
    let widths: Vec<_> = std::iter::once(Constraint::Fill(1)).chain((1..names.len()).map(|_| Constraint::Length(8))).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    frame.render_widget(Table::new(rows, widths).header(header(&names, theme)), area);
}
