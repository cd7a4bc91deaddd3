//! `benches/record/plot.svg`: cycles a frame of vfwire and DPDK at each burst, from the newest record.
//!
//! Axes begin at zero. The drawing has a background of its own, so that it reads alike on light and dark pages.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::record::{FOLDER, Record};
use super::spread::Spread;

const SIZE: (u32, u32) = (960, 430);
const BACKGROUND: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x22, 0x26, 0x2b);
const FAINT: RGBColor = RGBColor(0xdd, 0xe1, 0xe6);
const VFWIRE: RGBColor = RGBColor(0x0b, 0x7a, 0x75);
const DPDK: RGBColor = RGBColor(0xe0, 0x8e, 0x45);
const BURSTS: [u32; 6] = [1, 4, 8, 16, 32, 64];
const MODES: [(&str, &str); 2] = [("io", "io: frames are not touched"), ("mac-swap", "mac-swap: addresses exchanged")];
/// Share of a burst's width that a bar takes.
const BAR: f64 = 0.36;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws the newest record of `bench --peers` and gives the drawing's path.
pub(super) fn draw(root: &Path) -> Result<PathBuf> {
    let record = Record::newest(root, "lock-step/")?;
    let path = root.join(FOLDER).join("plot.svg");
    std::fs::write(&path, svg(&record)?)?;
    Ok(path)
}

fn svg(record: &Record) -> Result<String> {
    let panels = MODES.map(|(mode, _)| bars(record, mode));
    ensure!(panels.iter().all(|bars| !bars.is_empty()), "the record lacks figures of one mode: measure without --quick");
    let top = panels.iter().flatten().map(|bar| bar.cycles.max).fold(1.0, f64::max) * 1.12;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&BACKGROUND).map_err(failed)?;
        let (head, body) = root.split_vertically(64);
        heading(&head, &record.title)?;
        let halves = body.split_evenly((1, 2));
        for ((half, (_, caption)), bars) in halves.iter().zip(MODES).zip(&panels) {
            panel(half, caption, bars, top)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(text)
}

/// One bar: whose, at which burst (by its place on the axis), how high, and whether it is a path that the side does not prefer.
#[derive(Clone, PartialEq, Debug)]
struct Bar {
    vfwire: bool,
    place: usize,
    cycles: Spread,
    scalar: bool,
}

fn bars(record: &Record, mode: &str) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (place, burst) in BURSTS.into_iter().enumerate() {
        let figure = |name: &str| record.figure(&format!("lock-step/{mode}/{burst}/{name}"));
        let best = |side: &str| figure(&format!("{side}-best")).map(|cycles| (cycles, false));
        // DPDK's vector path serves bursts of 4 to 32 only.
        let dpdk = best("dpdk").or_else(|| figure("dpdk-scalar").map(|cycles| (cycles, true)));
        for (vfwire, found) in [(true, best("vfwire")), (false, dpdk)] {
            bars.extend(found.map(|(cycles, scalar)| Bar { vfwire, place, cycles, scalar }));
        }
    }
    bars
}

fn heading(area: &Area<'_>, title: &str) -> Result<()> {
    let text = |words: &str, at: (i32, i32), size: u32| Text::new(words.to_owned(), at, font(size, INK, HPos::Left));
    area.draw(&text("TSC cycles a frame: receive, stage, transmit", (24, 12), 20)).map_err(failed)?;
    area.draw(&text(title, (24, 40), 12)).map_err(failed)?;
    for (x, colour, name) in [(640, VFWIRE, "vfwire"), (730, DPDK, "DPDK (* its scalar path)")] {
        area.draw(&Rectangle::new([(x, 14), (x + 14, 28)], colour.filled())).map_err(failed)?;
        area.draw(&text(name, (x + 20, 14), 14)).map_err(failed)?;
    }
    Ok(())
}

fn panel(area: &Area<'_>, caption: &str, bars: &[Bar], top: f64) -> Result<()> {
    let mut chart = ChartBuilder::on(area)
        .caption(caption, font(15, INK, HPos::Left))
        .margin_left(14)
        .margin_right(18)
        .margin_bottom(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..BURSTS.len() as f64, 0.0..top)
        .map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh()
        .disable_x_axis()
        .y_desc("TSC cycles a frame")
        .y_labels(8)
        .y_label_formatter(&|cycles| format!("{cycles:.0}"))
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT);
    mesh.axis_style(INK).label_style(font(12, INK, HPos::Left)).draw().map_err(failed)?;
    for bar in bars {
        draw_bar(&mut chart, area, bar)?;
    }
    let below = |x: f64, y: i32| (chart.backend_coord(&(x, 0.0)).0, chart.backend_coord(&(x, 0.0)).1 + y);
    let place = |at: (i32, i32)| relative(area, at);
    for (at, burst) in BURSTS.into_iter().enumerate() {
        let label = Text::new(burst.to_string(), place(below(at as f64 + 0.5, 8)), font(13, INK, HPos::Center));
        area.draw(&label).map_err(failed)?;
    }
    let axis = Text::new("frames a burst", place(below(BURSTS.len() as f64 / 2.0, 26)), font(12, INK, HPos::Center));
    area.draw(&axis).map_err(failed)
}

/// The bar, a whisker from its least to its greatest measurement, and its value.
fn draw_bar(chart: &mut Chart<'_, '_>, area: &Area<'_>, bar: &Bar) -> Result<()> {
    let (colour, shift) = if bar.vfwire { (VFWIRE, -BAR) } else { (DPDK, 0.0) };
    let left = bar.place as f64 + 0.5 + shift;
    let (middle, Spread { median, min, max }) = (left + BAR / 2.0, bar.cycles);
    let rectangle = Rectangle::new([(left + 0.015, 0.0), (left + BAR - 0.015, median)], colour.filled());
    chart.draw_series([rectangle]).map_err(failed)?;
    let caps = [[(middle, min), (middle, max)], [(middle - 0.06, min), (middle + 0.06, min)], [(middle - 0.06, max), (middle + 0.06, max)]];
    chart.draw_series(caps.map(|line| PathElement::new(line.to_vec(), INK))).map_err(failed)?;
    let (x, y) = chart.backend_coord(&(middle, max));
    let value = format!("{median:.1}{}", if bar.scalar { "*" } else { "" });
    area.draw(&Text::new(value, relative(area, (x, y - 16)), font(11, INK, HPos::Center))).map_err(failed)
}

/// Coordinates of the whole drawing as coordinates of one area of it.
fn relative(area: &Area<'_>, (x, y): (i32, i32)) -> (i32, i32) {
    let (left, top) = area.get_base_pixel();
    (x - left, y - top)
}

/// Sizes are in pixels; without a font library `plotters` writes them smaller by a factor of its own.
fn font(size: u32, colour: RGBColor, align: HPos) -> TextStyle<'static> {
    ("sans-serif", f64::from(size) * 1.24).into_font().color(&colour).pos(Pos::new(align, VPos::Top))
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

#[cfg(test)]
mod tests {
    use super::super::record::Row;
    use super::*;

    fn record(figures: &[&str]) -> Record {
        let spread = Spread { median: 2.34, min: 2.0, max: 3.0 };
        let rows = figures.iter().map(|figure| Row { figure: (*figure).to_owned(), spread, unit: String::new() }).collect();
        Record { title: "2026-01-31, cpu <1>".to_owned(), rows }
    }

    #[test]
    fn dpdk_is_shown_by_its_scalar_path_where_it_has_no_other() {
        let record =
            record(&["lock-step/io/1/vfwire-best", "lock-step/io/1/dpdk-scalar", "lock-step/io/8/dpdk-best", "lock-step/io/8/dpdk-scalar"]);
        let drawn: Vec<_> = bars(&record, "io").iter().map(|bar| (bar.vfwire, bar.place, bar.scalar)).collect();
        assert_eq!(drawn, [(true, 0, false), (false, 0, true), (false, 2, false)]);
    }

    #[test]
    fn the_drawing_has_every_bar_and_its_value() {
        let drawing =
            svg(&record(&["lock-step/io/32/vfwire-best", "lock-step/io/1/dpdk-scalar", "lock-step/mac-swap/4/vfwire-best"])).unwrap();
        assert!(drawing.contains("<svg") && drawing.contains("cpu &lt;1&gt;"), "{drawing}");
        assert_eq!((drawing.matches("\n2.3\n").count(), drawing.matches("\n2.3*\n").count()), (2, 1), "{drawing}");
        // Two bars and the legend.
        assert_eq!(drawing.matches("#0B7A75").count(), 3, "{drawing}");
    }

    #[test]
    fn a_record_of_one_mode_is_not_drawn() {
        assert!(svg(&record(&["lock-step/io/32/vfwire-best"])).is_err());
    }
}
