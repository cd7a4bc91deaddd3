//! Drawings: axes, lines and bars as SVG that takes its colours from the page.
//!
//! What a drawing is made of is laid out here, in pixels of its own; plotters writes it. Colours are written as keys, and replaced by the
//! page's CSS variables, so that one drawing serves light and dark.

use plotters::{
    prelude::{Circle, DrawingBackend, IntoDrawingArea, PathElement, RGBColor, Rectangle, SVGBackend, Text},
    style::{
        Color, FontTransform, IntoFont, ShapeStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// Pixels. Small, so that text is still read where the drawing is as wide as a telephone.
const SIZE: (i32, i32) = (560, 350);
const LEFT: i32 = 74;
const RIGHT: i32 = 14;
const TOP: i32 = 14;
const BOTTOM: i32 = 58;
const FONT_PX: i32 = 15;

/// A colour of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ink {
    /// Text and axes.
    Text,
    /// Grid lines.
    Grid,
    /// What figures are to be held against.
    Mark,
    /// One of [`SERIES`] colours.
    Series(usize),
}

/// Colours that are told apart.
pub(super) const SERIES: usize = 6;

impl Ink {
    /// Everyone, with the key that stands for it in a drawing.
    fn all() -> impl Iterator<Item = (Self, RGBColor)> {
        let series = (0..SERIES).map(Self::Series);
        // Nothing else in a drawing has such a colour.
        [Self::Text, Self::Grid, Self::Mark].into_iter().chain(series).zip(1_u8..).map(|(ink, key)| (ink, RGBColor(1, 2, key)))
    }

    fn key(self) -> RGBColor {
        Self::all().find(|(ink, _)| *ink == self).map_or(RGBColor(0, 0, 0), |(_, key)| key)
    }

    /// The CSS variable.
    fn variable(self) -> String {
        match self {
            Self::Text => "--text".to_owned(),
            Self::Grid => "--grid".to_owned(),
            Self::Mark => "--mark".to_owned(),
            Self::Series(number) => format!("--series-{number}"),
        }
    }
}

/// An axis: from least to most, and what is written where.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Axis {
    pub(super) title: String,
    pub(super) min: f64,
    pub(super) max: f64,
    /// Places on the axis, and what stands there.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero to a little more than `most`, with ticks at round numbers.
    pub(super) fn from_zero(title: impl Into<String>, most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let rough = most / 5.0;
        let decade = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|round| round * decade).into_iter().find(|&step| step >= rough * 0.999).unwrap_or(rough);
        let count = (most / step).ceil().clamp(1.0, 12.0);
        let ticks = (0..=12).map(f64::from).take_while(|&at| at <= count + 1e-9).map(|at| (at * step, number(at * step))).collect();
        Self { title: title.into(), min: 0.0, max: count * step, ticks }
    }

    /// Logarithmic, over `values`, which are positive: places are decimal logarithms. Ticks at 1, 2 and 5 of each decade, or at each decade.
    pub(super) fn logarithmic(title: impl Into<String>, values: impl Iterator<Item = f64>, name: impl Fn(f64) -> String) -> Self {
        let (least, most) =
            values.filter(|&value| value > 0.0).fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
        let (least, most) = if least <= most { (least.log10(), most.log10()) } else { (0.0, 1.0) };
        let (first, last) = (least.floor(), most.ceil().max(least.floor() + 1.0));
        let steps: &[f64] = if last - first <= 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let decades = (0..20).map(f64::from).map(|at| first + at).take_while(|&decade| decade <= last);
        let all: Vec<f64> = decades.flat_map(|decade| steps.iter().map(move |step| decade + step.log10())).collect();
        // The nearest ticks around the values.
        let min = all.iter().copied().rfind(|&at| at <= least + 1e-9).unwrap_or(first);
        let max = all.iter().copied().find(|&at| at >= most - 1e-9 && at > min).unwrap_or(last);
        let ticks = all.into_iter().filter(|at| (min..=max).contains(at)).map(|at| (at, name(10_f64.powf(at)))).collect();
        Self { title: title.into(), min, max, ticks }
    }

    /// Where on the axis a value is, 0 to 1; what is beyond its ends is at them.
    fn place(&self, at: f64) -> f64 {
        ((at - self.min) / (self.max - self.min)).clamp(0.0, 1.0)
    }
}

/// A number with as many digits as it needs.
pub(super) fn number(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A drawing in the making.
pub(super) struct Chart {
    x: Axis,
    y: Axis,
    shapes: Vec<Shape>,
}

enum Shape {
    Line { points: Vec<(i32, i32)>, ink: Ink, width: u32 },
    Box { corners: [(i32, i32); 2], ink: Ink, opacity: f64 },
    Marker { at: (i32, i32), ink: Ink, form: usize },
    Text { at: (i32, i32), text: String, place: (HPos, VPos), upright: bool },
}

impl Chart {
    /// Empty axes.
    pub(super) fn new(x: Axis, y: Axis) -> Self {
        let mut chart = Self { x, y, shapes: Vec::new() };
        chart.axes();
        chart
    }

    fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let (width, height) = (f64::from(SIZE.0 - LEFT - RIGHT), f64::from(SIZE.1 - TOP - BOTTOM));
        (LEFT + pixels(self.x.place(x) * width), SIZE.1 - BOTTOM - pixels(self.y.place(y) * height))
    }

    fn axes(&mut self) {
        let (left, right, top, bottom) = (LEFT, SIZE.0 - RIGHT, TOP, SIZE.1 - BOTTOM);
        for (at, text) in self.y.ticks.clone() {
            let y = self.at(self.x.min, at).1;
            self.shapes.push(Shape::Line { points: vec![(left, y), (right, y)], ink: Ink::Grid, width: 1 });
            self.shapes.push(Shape::Text { at: (left - 8, y), text, place: (HPos::Right, VPos::Center), upright: false });
        }
        for (at, text) in self.x.ticks.clone() {
            let x = self.at(at, self.y.min).0;
            self.shapes.push(Shape::Line { points: vec![(x, bottom), (x, bottom + 5)], ink: Ink::Text, width: 1 });
            self.shapes.push(Shape::Text { at: (x, bottom + 9), text, place: (HPos::Center, VPos::Top), upright: false });
        }
        self.shapes.push(Shape::Line { points: vec![(left, bottom), (right, bottom)], ink: Ink::Text, width: 1 });
        let middle = (i32::midpoint(left, right), i32::midpoint(top, bottom));
        let (x, y) = (self.x.title.clone(), self.y.title.clone());
        self.shapes.push(Shape::Text { at: (middle.0, SIZE.1 - 6), text: x, place: (HPos::Center, VPos::Bottom), upright: false });
        self.shapes.push(Shape::Text { at: (4, middle.1), text: y, place: (HPos::Center, VPos::Top), upright: true });
    }

    /// A line through points, with a marker at each where `markers` says so.
    pub(super) fn line(&mut self, series: usize, points: &[(f64, f64)], markers: bool) {
        let ink = Ink::Series(series % SERIES);
        let places: Vec<_> = points.iter().map(|&(x, y)| self.at(x, y)).collect();
        if markers {
            self.shapes.extend(places.iter().map(|&at| Shape::Marker { at, ink, form: series }));
        }
        self.shapes.push(Shape::Line { points: places, ink, width: 2 });
    }

    /// A bar from the bottom, between two places of the horizontal axis.
    pub(super) fn bar(&mut self, series: usize, (from, to): (f64, f64), (low, high): (f64, f64), opacity: f64) {
        let corners = [self.at(from, high), self.at(to, low)];
        self.shapes.push(Shape::Box { corners, ink: Ink::Series(series % SERIES), opacity });
    }

    /// A mark across a stretch of the horizontal axis.
    pub(super) fn mark(&mut self, (from, to): (f64, f64), y: f64) {
        let points = vec![self.at(from, y), self.at(to, y)];
        self.shapes.push(Shape::Line { points, ink: Ink::Mark, width: 3 });
    }

    /// The drawing as SVG, for a page. `id` is its own in the page; `title` and `description` are what is read aloud.
    pub(super) fn svg(&self, id: &str, title: &str, description: &str) -> String {
        let mut text = String::new();
        {
            let size = (SIZE.0.unsigned_abs(), SIZE.1.unsigned_abs());
            let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
            for shape in &self.shapes {
                // Writing to a string does not fail.
                let _ = shape.draw(&area);
            }
            let _ = area.present();
        }
        let body = text.find("<svg").and_then(|start| text[start..].find('>').map(|end| &text[start + end + 1..])).unwrap_or_default();
        let (title, description) = (maud::html! { (title) }.into_string(), maud::html! { (description) }.into_string());
        let head = format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\"><title id=\"{id}-title\">{title}</title><desc id=\"{id}-desc\">{description}</desc>",
            SIZE.0, SIZE.1
        );
        Ink::all().fold(head + body, |text, (ink, RGBColor(red, green, blue))| {
            let key = format!("\"#{red:02X}{green:02X}{blue:02X}\"");
            let variable = ink.variable();
            let text = text.replace(&format!("fill={key}"), &format!("style=\"fill:var({variable})\""));
            text.replace(&format!("stroke={key}"), &format!("style=\"stroke:var({variable})\""))
        })
    }
}

fn pixels(value: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "places in a drawing are small")]
    let pixels = value.round() as i32;
    pixels
}

type Area<'a> = plotters::drawing::DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn<'a> = Result<(), plotters::drawing::DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

impl Shape {
    fn draw<'a>(&self, area: &Area<'a>) -> Drawn<'a> {
        match self {
            Self::Line { points, ink, width } => {
                area.draw(&PathElement::new(points.clone(), ShapeStyle { stroke_width: *width, ..ink.key().stroke_width(*width) }))
            }
            Self::Box { corners, ink, opacity } => area.draw(&Rectangle::new(*corners, ink.key().mix(*opacity).filled())),
            Self::Marker { at, ink, form } => marker(area, *at, *ink, *form),
            Self::Text { at, text, place, upright } => {
                let font = ("sans-serif", FONT_PX).into_font();
                let font = if *upright { font.transform(FontTransform::Rotate270) } else { font };
                area.draw(&Text::new(text.clone(), *at, font.color(&Ink::Text.key()).pos(Pos::new(place.0, place.1))))
            }
        }
    }
}

/// Forms differ as colours do: a disc, a square, a triangle, and the same with a hole.
fn marker<'a>(area: &Area<'a>, (x, y): (i32, i32), ink: Ink, form: usize) -> Drawn<'a> {
    const R: i32 = 4;
    let style = if form % 6 < 3 { ink.key().filled() } else { ink.key().stroke_width(2) };
    match form % 3 {
        0 => area.draw(&Circle::new((x, y), R, style)),
        1 => area.draw(&Rectangle::new([(x - R, y - R), (x + R, y + R)], style)),
        _ => area.draw(&PathElement::new(vec![(x - R, y + R), (x + R, y + R), (x, y - R), (x - R, y + R)], style.filled())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_ticks_around_all_values() {
        for most in [0.0, 0.03, 0.9, 1.0, 3.3, 14.88, 99.0, 1e6] {
            let axis = Axis::from_zero("x", most);
            assert!(axis.max >= most && axis.min == 0.0 && (2..=13).contains(&axis.ticks.len()), "{most}: {axis:?}");
        }
        for (least, most) in [(1.0, 1.0), (900.0, 14_000.0), (3.0, 5e6), (700.0, 750.0)] {
            let axis = Axis::logarithmic("y", [least, most].into_iter(), number);
            assert!(10_f64.powf(axis.min) <= least * 1.001 && 10_f64.powf(axis.max) >= most * 0.999, "{axis:?}");
            assert!((2..=13).contains(&axis.ticks.len()), "{axis:?}");
        }
        assert!(Axis::logarithmic("y", [].into_iter(), number).ticks.len() > 1);
    }

    #[test]
    fn colours_are_the_pages_own() {
        let mut chart = Chart::new(Axis::from_zero("load", 5.0), Axis::from_zero("loss", 1.0));
        chart.line(0, &[(0.0, 0.0), (5.0, 1.0)], true);
        chart.line(5, &[(0.0, 0.5)], true);
        chart.bar(2, (1.0, 2.0), (0.0, 0.7), 0.4);
        chart.mark((0.0, 1.0), 0.3);
        let svg = chart.svg("a", "a < b", "what it shows");
        assert!(!svg.contains("\"#"), "a colour was left: {svg}");
        for variable in ["--text", "--grid", "--mark", "--series-0", "--series-2", "--series-5"] {
            assert!(svg.contains(variable), "{variable}");
        }
        assert!(svg.contains("<title id=\"a-title\">a &lt; b</title>") && svg.ends_with("</svg>\n") | svg.ends_with("</svg>"));
        let doubled = svg.split('<').filter(|element| element.matches("style=").count() > 1).count();
        assert_eq!(doubled, 0, "no element has two styles: {svg}");
    }
}
