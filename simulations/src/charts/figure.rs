//! A chart that is drawn: on a page, or as a file.

use std::fmt::Write;

use super::chart::again;
use super::palette::{COLOURS, figure_style};

/// How wide every figure is.
pub(super) const WIDTH: f64 = 640.0;

/// Above and below the chart of a figure that is a file.
const TITLE: f64 = 28.0;
const ENTRY: f64 = 18.0;

/// A chart that is drawn.
pub(crate) struct Figure {
    /// What its file is called, without an ending.
    pub(crate) name: String,
    pub(super) title: String,
    /// What is within the `svg` element.
    pub(super) body: String,
    pub(super) height: f64,
    /// What each colour stands for; nothing when there is one.
    pub(super) legend: Vec<String>,
    /// Whether the colours are those of lines, or of bars.
    pub(super) of_lines: bool,
    /// What stands below the legend.
    pub(super) note: Option<String>,
}

impl Figure {
    /// The sample of a legend's entry, 16 wide and 10 high.
    fn sample(&self, number: usize, x: f64, y: f64) -> String {
        let (colour, again) = (number % COLOURS, again(number));
        if self.of_lines {
            let (to, middle) = (x + 16.0, y + 5.0);
            format!(
                "<line class=\"line c{colour}{again}\" x1=\"{x:.1}\" x2=\"{to:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>"
            )
        } else {
            format!(
                "<rect class=\"bar b{colour}{again}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"16\" height=\"10\" rx=\"2\"/>"
            )
        }
    }

    /// With its caption and legend, for a page.
    pub(crate) fn html(&self) -> String {
        let entry = |(number, name): (usize, &String)| {
            let sample = self.sample(number, 0.0, 0.0);
            format!("<span><svg viewBox=\"0 0 16 10\">{sample}</svg>{}</span>", escaped(name))
        };
        let note = self.note.iter().map(|note| format!("<span class=\"faint\">{}</span>", escaped(note)));
        let entries: String = self.legend.iter().enumerate().map(entry).chain(note).collect();
        let legend =
            if entries.is_empty() { String::new() } else { format!("<p class=\"legend\">{entries}</p>") };
        let title = escaped(&self.title);
        format!(
            "<figure><figcaption>{title}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{title}\">{}</svg>{legend}</figure>\n",
            self.height, self.body
        )
    }

    /// As a file of its own; in light and dark, if it may follow what its reader prefers.
    pub(crate) fn svg(&self, follows: bool) -> String {
        let (mut legend, mut x, mut y) = (String::new(), 12.0, TITLE + self.height + 10.0);
        for (number, name) in self.legend.iter().enumerate() {
            // Letters are about so wide.
            let width = 36.0 + 6.8 * name.chars().count() as f64;
            if x + width > WIDTH && x > 12.0 {
                (x, y) = (12.0, y + ENTRY);
            }
            // Writing to a string does not fail.
            let _ = write!(
                legend,
                "{}<text class=\"entry\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                self.sample(number, x, y - 9.0),
                x + 21.0,
                escaped(name)
            );
            x += width;
        }
        if let Some(note) = &self.note {
            y += if self.legend.is_empty() { 0.0 } else { ENTRY };
            let _ = write!(legend, "<text class=\"axis\" x=\"12\" y=\"{y:.1}\">{}</text>", escaped(note));
        }
        let height = if legend.is_empty() { TITLE + self.height } else { y + 10.0 };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">\
             <style>{}</style><rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\
             <text class=\"title\" x=\"12\" y=\"19\">{}</text><g transform=\"translate(0 {TITLE})\">{}</g>{legend}</svg>\n",
            figure_style(follows),
            escaped(&self.title),
            self.body
        )
    }
}

/// Text that a page shows as it is.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
