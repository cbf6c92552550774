//! Plots as inline SVG: axes, lines, points, bars, bands and cells. Colours and strokes are the
//! page's CSS classes, so that a plot follows the reader's colour scheme.

use maud::{Markup, html};

/// Size of a plot in its own units; the page scales it to the column.
const WIDTH: f64 = 400.0;
/// Height unless told otherwise.
const HEIGHT: f64 = 280.0;
/// Space beside the axes, for their labels.
const LEFT: f64 = 74.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 48.0;
/// How many ticks there are room for: along x, and a tick in so much of y.
const X_TICKS: f64 = 5.0;
const Y_TICK_SPACING: f64 = 48.0;
/// Characters that there is room for beside the axes.
const LONGEST_X: usize = 40;
const LONGEST_Y: usize = 28;
/// Shades of a map.
const SHADES: usize = 12;

/// The quantity along one side of a plot.
#[derive(Clone, Debug)]
pub struct Axis {
    label: String,
    low: f64,
    high: f64,
    doubling: bool,
}

impl Axis {
    /// An axis from `low` to `high`.
    pub fn new(label: impl Into<String>, low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { label: label.into(), low, high, doubling: false }
    }

    /// An axis round all finite `values`, with a little space at both ends.
    pub fn round(label: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return Self::new(label, 0.0, 1.0);
        }
        let room = if high > low { 0.05 * (high - low) } else { 0.5 * low.abs().max(1e-3) };
        Self::new(label, low - room, high + room)
    }

    /// An axis from 1 to `most`, equal steps for equal ratios.
    pub fn doubling(label: impl Into<String>, most: f64) -> Self {
        Self { label: label.into(), low: 0.9, high: 1.1 * most.max(2.0), doubling: true }
    }

    /// The ends, from low to high.
    pub const fn range(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Place of a value between 0 and 1; values beyond the ends lie on them.
    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.doubling { value.max(1e-9).ln() } else { value };
        let (low, high) = (scale(self.low), scale(self.high));
        ((scale(value) - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// Round numbers along the axis, with their labels; about `count` of them.
    fn ticks(&self, count: f64) -> Vec<(f64, String)> {
        if self.doubling {
            let powers = (0..31).map(|power| f64::from(1u32 << power));
            let inside = powers.filter(|value| (self.low..=self.high).contains(value));
            return inside.map(|value| (value, value.to_string())).collect();
        }
        let step = round_step((self.high - self.low) / count);
        // Ends so close have no numbers between them.
        if !step.is_normal() {
            return Vec::new();
        }
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last)
            .map(|index| index as f64 * step)
            .map(|value| (value, number(value, decimals)))
            .collect()
    }
}

/// A number with this many decimals and a proper minus sign.
pub fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) => {
            format!("−{digits}")
        }
        Some(digits) => digits.to_owned(),
        None => text,
    }
}

/// A label of at most `longest` characters: names of columns can be of any length.
fn shortened(label: &str, longest: usize) -> String {
    match label.char_indices().nth(longest) {
        None => label.to_owned(),
        Some((end, _)) => format!("{}…", &label[..end]),
    }
}

/// The next of 1, 2, 5, 10, … times a power of ten.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * 0.999);
    factor.unwrap_or(10.0) * power
}

/// A mark of a plot, in the axes' units.
#[derive(Clone, Debug)]
pub enum Mark {
    /// Points joined by a line.
    Line(Vec<(f64, f64)>),
    /// Thin lines, many, each through some points.
    Threads(Vec<Vec<(f64, f64)>>),
    /// A line, dashed.
    Dashed(Vec<(f64, f64)>),
    /// Full discs.
    Dots(Vec<(f64, f64)>),
    /// Circles round what is marked.
    Rings(Vec<(f64, f64)>),
    /// Small discs, many.
    Dust(Vec<(f64, f64)>),
    /// Crosses.
    Crosses(Vec<(f64, f64)>),
    /// Bars `(left, right, height)` from zero.
    Bars(Vec<(f64, f64, f64)>),
    /// The area between two curves, `(x, low, high)`.
    Band(Vec<(f64, f64, f64)>),
    /// Vertical strokes `(x, low, high)`.
    Spans(Vec<(f64, f64, f64)>),
    /// Squares `(left, right, bottom, top, shade)`, shade from 0 to 1.
    Cells(Vec<(f64, f64, f64, f64, f64)>),
}

/// Series whose colour is a quiet one, for references.
pub const QUIET: usize = 9;

/// One plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Subject in a few words: its heading and its name for a screen reader.
    pub name: String,
    /// Description of what is to be seen, for a screen reader.
    pub description: String,
    /// Height in the plot's units; the width is 400.
    pub height: f64,
    x: Axis,
    y: Axis,
    marks: Vec<(usize, Mark)>,
}

impl Plot {
    /// Empty axes.
    pub fn new(name: impl Into<String>, x: Axis, y: Axis) -> Self {
        let (name, description) = (name.into(), String::new());
        Self { name, description, height: HEIGHT, x, y, marks: Vec::new() }
    }

    /// Adds something in the colour of a series.
    #[must_use]
    pub fn with(mut self, series: usize, mark: Mark) -> Self {
        self.marks.push((series, mark));
        self
    }

    /// Says what is to be seen, for a screen reader.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Changes the height.
    #[must_use]
    pub const fn high(mut self, height: f64) -> Self {
        self.height = height;
        self
    }

    fn at_x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn at_y(&self, value: f64) -> f64 {
        self.height - BOTTOM - self.y.place(value) * (self.height - TOP - BOTTOM)
    }

    /// The SVG element. `id` is unique in the page.
    pub fn svg(&self, id: &str) -> Markup {
        let (title, description) = (format!("{id}-title"), format!("{id}-desc"));
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {}", self.height)) role="img"
                aria-labelledby=(format!("{title} {description}")) {
                title id=(title) { (self.name) }
                desc id=(description) { (self.description) }
                (self.axes())
                @for (series, mark) in &self.marks {
                    g class=(format!("s{series}")) { (self.mark(mark)) }
                }
            }
        }
    }

    fn axes(&self) -> Markup {
        let (bottom, right) = (self.height - BOTTOM, WIDTH - RIGHT);
        let y_ticks = ((bottom - TOP) / Y_TICK_SPACING).max(1.5);
        let middle = 0.5 * (TOP + bottom);
        html! {
            @for (value, label) in self.y.ticks(y_ticks) {
                @let y = units(self.at_y(value));
                line class="grid" x1=(LEFT) x2=(right) y1=(y) y2=(y) {}
                text class="tick" x=(LEFT - 7.0) y=(y) dy="0.32em" text-anchor="end" { (label) }
            }
            @for (value, label) in self.x.ticks(X_TICKS) {
                @let x = units(self.at_x(value));
                line class="axis" x1=(x) x2=(x) y1=(bottom) y2=(bottom + 4.0) {}
                text class="tick" x=(x) y=(bottom + 18.0) text-anchor="middle" { (label) }
            }
            line class="axis" x1=(LEFT) x2=(right) y1=(bottom) y2=(bottom) {}
            text class="label" x=(0.5 * (LEFT + right)) y=(self.height - 8.0)
                text-anchor="middle" { (shortened(&self.x.label, LONGEST_X)) }
            text class="label" text-anchor="middle"
                transform=(format!("translate(14 {middle}) rotate(-90)")) { (shortened(&self.y.label, LONGEST_Y)) }
        }
    }

    fn mark(&self, mark: &Mark) -> Markup {
        match mark {
            Mark::Line(points) => html! { path class="line" d=(self.path(points)) {} },
            Mark::Threads(lines) => {
                let paths: String = lines.iter().map(|points| self.thread(points)).collect();
                html! { path class="thread" d=(paths) {} }
            }
            Mark::Dashed(points) => html! { path class="line dashed" d=(self.path(points)) {} },
            Mark::Dots(points) => self.discs(points, "dot", 4.0),
            Mark::Rings(points) => html! { path class="line" d=(self.rings(points)) {} },
            Mark::Dust(points) => self.discs(points, "dust", 2.2),
            Mark::Crosses(points) => html! { path class="line" d=(self.crosses(points)) {} },
            Mark::Bars(bars) => {
                let corners =
                    bars.iter().map(|&(left, right, top)| self.corners(left, right, 0.0, top));
                html! { path class="bar" d=(corners.collect::<String>()) {} }
            }
            Mark::Band(points) => html! { path class="band" d=(self.outline(points)) {} },
            Mark::Spans(spans) => {
                let strokes = spans.iter().map(|&(x, low, high)| {
                    let [x, low, high] = [self.at_x(x), self.at_y(low), self.at_y(high)].map(units);
                    format!("M{x} {low}V{high}")
                });
                html! { path class="span" d=(strokes.collect::<String>()) {} }
            }
            Mark::Cells(cells) => self.cells(cells),
        }
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let place = |(x, y): (f64, f64)| format!("{} {}", units(self.at_x(x)), units(self.at_y(y)));
        let joined: Vec<String> = points.iter().copied().map(place).collect();
        format!("M{}", joined.join("L"))
    }

    /// A path in steps from point to point, which are shorter to write than places.
    fn thread(&self, points: &[(f64, f64)]) -> String {
        // In tenths of a unit, so that rounding does not add up.
        let tenths = |value: f64| (10.0 * value).round() as i32;
        let places: Vec<[i32; 2]> =
            points.iter().map(|&(x, y)| [self.at_x(x), self.at_y(y)].map(tenths)).collect();
        let Some(&[x, y]) = places.first() else { return String::new() };
        let steps =
            places.windows(2).map(|pair| [pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]]);
        let written = |[x, y]: [i32; 2]| format!("{} {}", f64::from(x) / 10.0, f64::from(y) / 10.0);
        let steps: Vec<String> = steps.map(written).collect();
        format!("M{}l{}", written([x, y]), steps.join(" "))
    }

    /// One path of strokes without length, whose round caps are the discs.
    fn discs(&self, points: &[(f64, f64)], class: &str, radius: f64) -> Markup {
        let place =
            |&(x, y): &(f64, f64)| format!("M{} {}h0", units(self.at_x(x)), units(self.at_y(y)));
        let path: String = points.iter().map(place).collect();
        html! { path class=(class) stroke-width=(2.0 * radius) d=(path) {} }
    }

    fn rings(&self, points: &[(f64, f64)]) -> String {
        let ring = |&(x, y): &(f64, f64)| {
            let (x, y) = (units(self.at_x(x) - 8.0), units(self.at_y(y)));
            format!("M{x} {y}a8 8 0 0 0 16 0a8 8 0 0 0 -16 0")
        };
        points.iter().map(ring).collect()
    }

    fn crosses(&self, points: &[(f64, f64)]) -> String {
        let cross = |&(x, y): &(f64, f64)| {
            let (x, y) = (self.at_x(x), self.at_y(y));
            format!("M{0} {1}l8 8m-8 0l8 -8", units(x - 4.0), units(y - 4.0))
        };
        points.iter().map(cross).collect()
    }

    fn outline(&self, points: &[(f64, f64, f64)]) -> String {
        let above = points.iter().map(|&(x, _, high)| (x, high));
        let below = points.iter().rev().map(|&(x, low, _)| (x, low));
        format!("{}Z", self.path(&above.chain(below).collect::<Vec<_>>()))
    }

    fn corners(&self, left: f64, right: f64, bottom: f64, top: f64) -> String {
        let (left, right) = (self.at_x(left), self.at_x(right));
        let (bottom, top) = (self.at_y(bottom), self.at_y(top));
        format!(
            "M{} {}V{}H{}V{}Z",
            units(left),
            units(bottom),
            units(top),
            units(right),
            units(bottom)
        )
    }

    /// One path a shade; neighbours of one shade in a row are one rectangle.
    fn cells(&self, cells: &[(f64, f64, f64, f64, f64)]) -> Markup {
        let shade = |value: f64| ((value.clamp(0.0, 1.0) * SHADES as f64) as usize).min(SHADES - 1);
        let mut paths = vec![String::new(); SHADES];
        let together = |a: &(f64, f64, f64, f64, f64), b: &(f64, f64, f64, f64, f64)| {
            a.2 == b.2 && shade(a.4) == shade(b.4)
        };
        for run in cells.chunk_by(together) {
            let (left, _, bottom, top, value) = run[0];
            let right = run[run.len() - 1].1;
            paths[shade(value)] += &self.corners(left, right, bottom, top);
        }
        html! {
            @for (shade, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
                path class="cell" style=(format!("--shade:{}%", 100 * shade / (SHADES - 1)))
                    d=(path) {}
            }
        }
    }
}

/// A coordinate with a tenth of a unit, which is less than a pixel.
fn units(value: f64) -> f64 {
    (10.0 * value).round() / 10.0
}

/// Counts of `values` in equal bins over `low..high`, as shares of their number: bars.
pub fn histogram(values: &[f32], low: f64, high: f64, bins: usize) -> Vec<(f64, f64, f64)> {
    let width = (high - low) / bins as f64;
    let mut counts = vec![0usize; bins];
    for &value in values {
        let bin = ((f64::from(value) - low) / width).max(0.0) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    let bar = |(bin, count): (usize, usize)| {
        let left = low + width * bin as f64;
        (left, left + width, count as f64 / values.len().max(1) as f64)
    };
    counts.into_iter().enumerate().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_without_an_extent_has_no_ticks() {
        for (low, high) in [(1e17, 1e17), (0.0, 5e-324), (0.0, f64::INFINITY)] {
            assert_eq!(Axis::new("", low, high).ticks(5.0), [], "{low} to {high}");
        }
        assert_eq!(Axis::new("", 0.0, 1e-300).ticks(5.0).len(), 6);
    }

    #[test]
    fn ticks_are_round_numbers_inside_the_axis() {
        let labels = |low, high| {
            let ticks = Axis::new("", low, high).ticks(5.0);
            ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };
        assert_eq!(labels(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-13.0, 12.0), ["−10", "−5", "0", "5", "10"]);
        let doubling = Axis::doubling("", 16.0).ticks(5.0);
        assert_eq!(doubling.last().map(|(_, label)| label.as_str()), Some("16"));
    }

    #[test]
    fn a_histogram_counts_every_value_once() {
        let bars = histogram(&[-1.0, 0.1, 0.6, 1.0, 7.0], 0.0, 1.0, 2);
        assert_eq!(bars, [(0.0, 0.5, 0.4), (0.5, 1.0, 0.6)]);
    }

    #[test]
    fn a_thread_ends_where_its_last_point_is() {
        let plot = Plot::new("", Axis::new("", 0.0, 1.0), Axis::new("", 0.0, 1.0));
        let points: Vec<(f64, f64)> =
            (0..=40).map(|step| (f64::from(step) / 40.0, (f64::from(step) / 9.0).sin())).collect();
        let path = plot.thread(&points);
        let (start, steps) = path[1..].split_once('l').expect("a start and steps");
        let numbers = |text: &str| -> Vec<f64> {
            text.split(' ').map(|number| number.parse().expect("a number")).collect()
        };
        let (start, steps) = (numbers(start), numbers(steps));
        for (axis, end) in [plot.at_x(1.0), plot.at_y(points[40].1)].into_iter().enumerate() {
            let found = start[axis] + steps.iter().skip(axis).step_by(2).sum::<f64>();
            assert!((found - end).abs() < 0.051, "{found} but {end}");
        }
    }

    #[test]
    fn names_are_escaped_and_values_beyond_the_axes_stay_inside() {
        let axis = || Axis::new("<x>", 0.0, 1.0);
        let plot = Plot::new("a & b", axis(), axis()).with(0, Mark::Line(vec![(-5.0, 9.0)]));
        let svg = plot.svg("p").into_string();
        assert!(svg.contains("a &amp; b") && svg.contains("&lt;x&gt;"), "{svg}");
        assert!(svg.contains("M74 12\""), "{svg}");
    }
}
