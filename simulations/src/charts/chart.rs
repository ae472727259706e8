//! Charts as SVG: lines, steps and bars of time. Colours are classes, so that the page decides them in light and dark.

use std::fmt::Write;

use super::Figure;
use super::axis::{Scale, number, round_above, ticks};
use super::figure::{WIDTH, escaped};
use super::palette::COLOURS;

/// A line: its name, and its points from left to right.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A chart of lines.
pub(crate) struct Chart<'a> {
    /// What its file is called.
    pub(crate) name: &'a str,
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// The top of the vertical axis; by default the round number above the largest value.
    pub(crate) top: Option<f64>,
    /// Whether the horizontal axis is logarithmic. What is below its left end, such as zero, is drawn there.
    pub(crate) logarithmic: bool,
    pub(crate) series: Vec<Series>,
    /// What else there would be to draw.
    pub(crate) note: Option<String>,
}

/// A span of time on a row.
pub(crate) struct Bar {
    pub(crate) row: usize,
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) colour: usize,
    pub(crate) label: String,
}

const HEIGHT: f64 = 260.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 42.0;

impl Chart<'_> {
    /// The chart; nothing when it has no points.
    pub(crate) fn figure(&self) -> Option<Figure> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        points().next()?;
        let right = points().map(|point| point.0).fold(0.0, f64::max);
        let left = points().map(|point| point.0).fold(right, f64::min);
        let highest = || points().map(|point| point.1).fold(0.0, f64::max);
        let top = self.top.unwrap_or_else(|| round_above(highest()));
        let scale = match self.logarithmic {
            true => Scale::logarithmic(points().map(|point| point.0).filter(|x| *x > 0.0), right),
            false => Scale::linear(left, right),
        };
        let frame = Frame { scale, top: if top > 0.0 { top } else { 1.0 }, margin: LEFT };
        let mut svg = String::new();
        frame.axes(&mut svg, self.x, self.y, HEIGHT);
        for (number, series) in self.series.iter().enumerate() {
            let place = |(x, y): &(f64, f64)| format!("{:.1},{:.1}", frame.x(*x), frame.y(*y));
            let line: Vec<String> = series.points.iter().map(place).collect();
            // Writing to a string does not fail.
            let _ = write!(
                svg,
                "<polyline class=\"line c{}{}{}\" points=\"{}\"><title>{}</title></polyline>",
                number % COLOURS,
                again(number),
                // What lies under it shows through: a role whose only child this is, say.
                if self.series[..number].iter().any(|under| under.points == series.points) {
                    " over"
                } else {
                    ""
                },
                line.join(" "),
                escaped(&series.name)
            );
        }
        let many = self.series.len() > 1;
        let legend = self.series.iter().filter(|_| many).map(|series| series.name.clone()).collect();
        Some(Figure {
            name: self.name.to_owned(),
            title: self.title.to_owned(),
            body: svg,
            height: HEIGHT,
            legend,
            of_lines: true,
            note: self.note.clone(),
        })
    }
}

/// What tells a line or bar from the one that has its colour already.
pub(super) fn again(number: usize) -> &'static str {
    if number % (2 * COLOURS) < COLOURS { "" } else { " again" }
}

/// Spans on rows, such as tasks on agents; nothing when there are none. Those of a row that overlap are below each other.
pub(crate) fn gantt(
    name: &str,
    title: &str,
    x: &str,
    rows: &[String],
    bars: &[Bar],
    legend: Vec<String>,
) -> Option<Figure> {
    /// How high a row is at least, and each lane: less where there are many.
    const ROW: f64 = 14.0;
    const LANE: (f64, f64) = (3.0, 11.0);
    const ALL_LANES: f64 = 200.0;
    /// Longer names are shortened; about so wide is a letter.
    const LETTERS: usize = 22;
    const LETTER: f64 = 7.4;
    let (Some(left), Some(right)) =
        (bars.iter().map(|bar| bar.from).reduce(f64::min), bars.iter().map(|bar| bar.to).reduce(f64::max))
    else {
        return None;
    };
    let names: Vec<String> = rows.iter().map(|name| shortened(name, LETTERS)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let margin = LEFT.max(longest as f64 * LETTER + 8.0);
    let (placed, counts) = lanes(bars, rows.len());
    let lane = (ALL_LANES / counts.iter().sum::<usize>().max(1) as f64).clamp(LANE.0, LANE.1);
    let heights = counts.iter().map(|lanes| ROW.max(*lanes as f64 * lane + 2.0));
    let tops: Vec<f64> = heights
        .scan(TOP, |top, height| {
            let this = *top;
            *top += height;
            Some(this)
        })
        .collect();
    let bottom = |row: usize| tops[row] + ROW.max(counts[row] as f64 * lane + 2.0);
    let height = BOTTOM + rows.len().checked_sub(1).map_or(TOP, bottom);
    let frame = Frame { scale: Scale::linear(left, right), top: 1.0, margin };
    let mut svg = String::new();
    frame.time_axis(&mut svg, x, height);
    for (row, name) in names.iter().enumerate() {
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            margin - 4.0,
            (tops[row] + bottom(row)) / 2.0 + 4.0,
            escaped(name)
        );
    }
    for (bar, lane) in bars.iter().zip(placed) {
        let (x, to) = (frame.x(bar.from), frame.x(bar.to));
        let high = (bottom(bar.row) - tops[bar.row] - 2.0) / counts[bar.row].max(1) as f64;
        let _ = write!(
            svg,
            "<rect class=\"bar b{}{}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            bar.colour % COLOURS,
            again(bar.colour),
            tops[bar.row] + 1.0 + high * lane as f64,
            (to - x).max(0.5),
            // A little of the ground between two.
            high - (high * 0.15).min(1.0),
            escaped(&bar.label)
        );
    }
    Some(Figure {
        name: name.to_owned(),
        title: title.to_owned(),
        body: svg,
        height,
        legend,
        of_lines: false,
        note: None,
    })
}

/// A name that has no more letters than this; its end tells more than its beginning.
fn shortened(name: &str, letters: usize) -> String {
    match name.chars().count() {
        count if count > letters => {
            format!("…{}", name.chars().skip(count + 1 - letters).collect::<String>())
        }
        _ => name.to_owned(),
    }
}

/// The lane of each bar in its row, the first that is free; and how many lanes each row has. Of a row, bars come by their beginnings.
fn lanes(bars: &[Bar], rows: usize) -> (Vec<usize>, Vec<usize>) {
    let mut ends: Vec<Vec<f64>> = vec![Vec::new(); rows];
    let mut place = |bar: &Bar| {
        let ends = &mut ends[bar.row];
        let lane = ends.iter().position(|end| *end <= bar.from).unwrap_or(ends.len());
        match ends.get_mut(lane) {
            Some(end) => *end = bar.to,
            None => ends.push(bar.to),
        }
        lane
    };
    let placed = bars.iter().map(&mut place).collect();
    (placed, ends.iter().map(Vec::len).collect())
}

/// A value with its confidence interval to both sides.
pub(crate) struct Estimated {
    pub(crate) label: String,
    pub(crate) mean: f64,
    pub(crate) ci95: f64,
}

/// Values beside each other, as bars with whiskers; nothing when there are none.
pub(crate) fn estimates(name: &str, title: &str, x: &str, rows: &[Estimated]) -> Option<Figure> {
    const ROW: f64 = 34.0;
    const LABELS: f64 = 12.0;
    let whisker = |row: &Estimated| if row.ci95.is_finite() { row.ci95 } else { 0.0 };
    let right = rows.iter().map(|row| row.mean + whisker(row)).reduce(f64::max)?;
    let left = rows.iter().map(|row| row.mean - whisker(row)).fold(0.0, f64::min);
    let height = TOP + BOTTOM + ROW * rows.len() as f64;
    let frame = Frame { scale: Scale::linear(left, right), top: 1.0, margin: LEFT };
    let mut svg = String::new();
    frame.time_axis(&mut svg, x, height);
    for (place, row) in rows.iter().enumerate() {
        let y = TOP + ROW * place as f64;
        let (zero, to) = (frame.x(0.0), frame.x(row.mean));
        let middle = y + LABELS + 12.0;
        let _ = write!(
            svg,
            "<text class=\"entry\" x=\"{LEFT}\" y=\"{:.1}\">{}: {}</text>\
             <rect class=\"bar b0\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\"/>\
             <line class=\"whisker\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>",
            y + LABELS,
            escaped(&row.label),
            told(row),
            zero.min(to),
            y + LABELS + 6.0,
            (to - zero).abs().max(0.5),
            frame.x(row.mean - whisker(row)),
            frame.x(row.mean + whisker(row)),
        );
    }
    Some(Figure {
        name: name.to_owned(),
        title: title.to_owned(),
        body: svg,
        height,
        legend: Vec::new(),
        of_lines: false,
        note: None,
    })
}

/// A mean with as many decimals as make four digits, and its interval alike.
fn told(row: &Estimated) -> String {
    if row.mean == 0.0 && !(row.ci95.is_finite() && row.ci95 > 0.0) {
        return "0".to_owned();
    }
    let digits = libm::floor(libm::log10(row.mean.abs().max(1e-3)));
    let decimals = (3.0 - digits).clamp(0.0, 6.0) as usize;
    if row.ci95.is_finite() {
        format!("{:.decimals$} ± {:.decimals$}", row.mean, row.ci95)
    } else {
        format!("{:.decimals$}", row.mean)
    }
}

/// The part of the plane that a chart shows, from zero upwards.
struct Frame {
    scale: Scale,
    top: f64,
    /// What is left of it, for labels.
    margin: f64,
}

impl Frame {
    fn x(&self, x: f64) -> f64 {
        self.margin + self.scale.part(x) * (WIDTH - self.margin - RIGHT)
    }

    fn y(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - y / self.top * (HEIGHT - TOP - BOTTOM)
    }

    fn axes(&self, svg: &mut String, x: &str, y: &str, height: f64) {
        self.time_axis(svg, x, height);
        for tick in ticks(0.0, self.top) {
            let at = self.y(tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                number(tick)
            );
        }
        let middle = (HEIGHT - BOTTOM + TOP) / 2.0;
        let _ = write!(
            svg,
            "<text class=\"axis\" transform=\"translate(13 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escaped(y)
        );
    }

    fn time_axis(&self, svg: &mut String, name: &str, height: f64) {
        let base = height - BOTTOM;
        let _ = write!(
            svg,
            "<line class=\"rule\" x1=\"{}\" x2=\"{}\" y1=\"{base}\" y2=\"{base}\"/>",
            self.margin,
            WIDTH - RIGHT
        );
        for tick in self.scale.ticks() {
            let _ = write!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                self.x(tick),
                base + 15.0,
                number(tick)
            );
        }
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            (self.margin + WIDTH - RIGHT) / 2.0,
            height - 6.0,
            escaped(name)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_lines_than_colours_are_told_apart() {
        let series = |number: usize| Series {
            name: format!("s{number}"),
            points: vec![(0.0, 0.0), (1.0, number as f64)],
        };
        let chart = Chart {
            name: "many",
            title: "Many",
            x: "x",
            y: "y",
            top: None,
            logarithmic: false,
            series: (0..12).map(series).collect(),
            note: Some("and 188 more".to_owned()),
        };
        let figure = chart.figure().unwrap();
        assert_eq!(figure.svg(false).matches("line c3 again\"").count(), 2, "the line and its entry");
        assert!(figure.html().contains("and 188 more") && figure.svg(false).contains("and 188 more"));
    }

    #[test]
    fn bars_that_overlap_are_below_each_other() {
        let bar = |row, from, to| Bar { row, from, to, colour: 0, label: String::new() };
        let bars = [bar(0, 0.0, 2.0), bar(0, 1.0, 3.0), bar(1, 1.0, 2.0), bar(0, 2.0, 4.0)];
        assert_eq!(lanes(&bars, 2), (vec![0, 1, 0, 0], vec![2, 1]));
        let rows = ["agent000001".to_owned(), "a".repeat(40)];
        let svg = gantt("tasks", "Tasks", "s", &rows, &bars, Vec::new()).unwrap().svg(false);
        assert!(svg.contains(">agent000001<") && svg.contains(">…aaa"), "{svg}");
    }

    #[test]
    fn values_are_drawn_with_their_intervals() {
        let row = |mean, ci95| Estimated { label: "seed".to_owned(), mean, ci95 };
        let figure = estimates("wait", "Wait", "s", &[row(2.0, 0.5), row(1.0, f64::INFINITY)]).unwrap();
        let svg = figure.svg(true);
        assert!(svg.contains("2.000 ± 0.500") && svg.contains("prefers-color-scheme"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(estimates("wait", "Wait", "s", &[]).is_none());
    }

    #[test]
    fn names_can_not_break_the_page() {
        let chart = Chart {
            name: "b",
            title: "<b>",
            x: "x",
            y: "y",
            top: None,
            logarithmic: false,
            note: None,
            series: vec![Series { name: "a\"<script>".to_owned(), points: vec![(0.0, 0.0), (1.0, 1.0)] }],
        };
        let html = chart.figure().unwrap().html();
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"));
    }
}
