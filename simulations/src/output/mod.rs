//! What comes out of a run: a summary, tables, and what is needed to run it again.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `summary.json` | [`Summary`] |
//! | `manifest.json` | [`Manifest`]: version, seed, hashes of all inputs and of the events, the scenario as it was understood |
//! | `jobs.csv`, `tasks.csv` | every job and every run of a task ([`tables`]) |
//! | `roles.csv`, `agents.csv` | means over the intervals of the run ([`tables`]) |
//! | `report.html` | the same as pictures, in one page |
//! | `events.jsonl` | on request: what happened to jobs and tasks ([`events`]) |
//! | `*.parquet` | on request: the tables once more |
//! | `plots/*.svg`, `plots/*.png` | on request: the report's pictures as files |
//!
//! The same model gives the same bytes in all of them but `summary.json`, which also tells how long the run took on the machine
//! (`wall_s`, `events_per_s`).

pub mod events;
mod files;
mod manifest;
mod report;
mod row;
mod summary;
pub mod tables;

pub use files::{Extras, OutputError, PlotFormat};
pub use manifest::Manifest;
pub use summary::{FrameworkSummary, Summary};
