//! Colours, readable on light and on dark ground.

use std::fmt::Write;

/// More lines than colours repeat them.
pub(super) const COLOURS: usize = 8;

/// The colours of a page or figure.
struct Palette {
    ground: &'static str,
    ink: &'static str,
    faint: &'static str,
    grid: &'static str,
    card: &'static str,
    lines: [&'static str; COLOURS],
}

const LIGHT: Palette = Palette {
    ground: "#fbfbf9",
    ink: "#1d2024",
    faint: "#6a7078",
    grid: "#e3e4e0",
    card: "#ffffff",
    lines: ["#1f6fb4", "#d2691e", "#2e8b57", "#a03a8c", "#b8860b", "#c0392b", "#2c8c99", "#5b6472"],
};

const DARK: Palette = Palette {
    ground: "#15181c",
    ink: "#e6e8ea",
    faint: "#98a0a9",
    grid: "#2b3138",
    card: "#1c2025",
    lines: ["#62aeea", "#f0a05a", "#67c794", "#d98ac9", "#e0bd57", "#ef7d70", "#6fcad6", "#a9b3bf"],
};

/// The style of a page, which follows what its reader prefers.
pub(crate) fn page_style() -> String {
    let variables = |palette: &Palette| {
        let Palette { ground, ink, faint, grid, card, lines } = palette;
        let mut text =
            format!("--ground: {ground}; --ink: {ink}; --faint: {faint}; --grid: {grid}; --card: {card};");
        for (number, colour) in lines.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = write!(text, " --c{number}: {colour};");
        }
        text
    };
    format!(
        ":root {{ color-scheme: light dark; {} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {} }} }}\n{}",
        variables(&LIGHT),
        variables(&DARK),
        include_str!("style.css")
    )
}

/// The style of a figure that is a file: light, and dark where that is preferred, if it may follow.
pub(super) fn figure_style(follows: bool) -> String {
    let rules = |palette: &Palette| {
        let Palette { ground, ink, faint, grid, lines, .. } = palette;
        let mut text = format!(
            ".ground {{ fill: {ground}; }} .title, .entry {{ fill: {ink}; }} .grid {{ stroke: {grid}; }} \
             .rule {{ stroke: {faint}; }} .whisker {{ stroke: {ink}; stroke-width: 1.4; }} .tick, .axis {{ fill: {faint}; }}"
        );
        for (number, colour) in lines.iter().enumerate() {
            let _ = write!(text, " .c{number} {{ stroke: {colour}; }} .b{number} {{ fill: {colour}; }}");
        }
        text
    };
    let dark = if follows {
        format!("@media (prefers-color-scheme: dark) {{ {} }}", rules(&DARK))
    } else {
        String::new()
    };
    format!(
        "text {{ font-family: sans-serif; }} .title {{ font-size: 14px; font-weight: bold; }} \
         .tick, .axis {{ font-size: 12px; }} .entry {{ font-size: 12px; }} .line {{ fill: none; stroke-width: 1.6; \
         stroke-linejoin: round; }} .over {{ stroke-dasharray: 10 10; }} .again {{ stroke-dasharray: 2 3; }} \
         .bar {{ fill-opacity: 0.85; }} .bar.again {{ fill-opacity: 0.4; }} {} {dark}",
        rules(&LIGHT)
    )
}
