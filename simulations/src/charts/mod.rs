//! Charts as SVG, for pages and as files of their own.
//!
//! A [`Figure`] is drawn with classes for its colours; [`palette`] says what they are, in light and dark. Pages show it with a
//! caption; as a file it carries its title, legend and colours, and can be turned into PNG.

mod axis;
mod chart;
mod figure;
mod palette;
#[cfg(feature = "png")]
mod png;

pub(crate) use chart::{Bar, Chart, Estimated, Series, estimates, gantt};
pub(crate) use figure::{Figure, escaped};
pub(crate) use palette::page_style;
#[cfg(feature = "png")]
pub(crate) use png::png;
