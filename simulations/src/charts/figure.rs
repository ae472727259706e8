//! A chart that is drawn: on a page, or as a file.

use std::fmt::Write;

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
}

impl Figure {
    /// With its caption and legend, for a page.
    pub(crate) fn html(&self) -> String {
        let entry = |(number, name): (usize, &String)| {
            format!("<span><i class=\"b{}\"></i>{}</span>", number % COLOURS, escaped(name))
        };
        let entries: String = self.legend.iter().enumerate().map(entry).collect();
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
            let width = 30.0 + 6.8 * name.chars().count() as f64;
            if x + width > WIDTH && x > 12.0 {
                (x, y) = (12.0, y + ENTRY);
            }
            // Writing to a string does not fail.
            let _ = write!(
                legend,
                "<rect class=\"b{}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" rx=\"2\"/>\
                 <text class=\"entry\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                number % COLOURS,
                y - 9.0,
                x + 15.0,
                y,
                escaped(name)
            );
            x += width;
        }
        let height = if self.legend.is_empty() { TITLE + self.height } else { y + 10.0 };
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
