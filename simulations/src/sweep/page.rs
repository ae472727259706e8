//! `sweep.html`: the cells of a sweep side by side.

use super::{Cell, Values};
use crate::charts::{Estimated, estimates, page_style};

/// The metrics that are drawn, with their titles and units, where a run has them.
const DRAWN: [(&str, &str, &str); 9] = [
    ("wait_s.mean", "Mean waiting time", "seconds"),
    ("wait_s.p99", "99th percentile of waiting time", "seconds"),
    ("jct_s.mean", "Mean completion time", "seconds"),
    ("bounded_slowdown.mean", "Mean bounded slowdown", "slowdown"),
    ("makespan_s", "Makespan", "seconds"),
    ("jain_index", "Jain's index", "index"),
    ("fragmentation", "Fragmentation", "share of what is idle"),
    ("decline_ratio", "Declined offers", "share of offers"),
    ("tasks_pending", "Tasks that wait at the end", "tasks"),
];

/// The page.
pub(super) fn page(cells: &[Cell], runs: usize) -> String {
    let utilisations: Vec<String> = cells
        .first()
        .into_iter()
        .flat_map(|cell| cell.metrics.keys())
        .filter(|name| name.starts_with("utilisation.") && name.ends_with(".mean"))
        .cloned()
        .collect();
    let drawn = DRAWN.iter().map(|(metric, title, unit)| ((*metric).to_owned(), (*title).to_owned(), *unit));
    let used = utilisations.into_iter().map(|metric| {
        let kind = metric.trim_start_matches("utilisation.").trim_end_matches(".mean").to_owned();
        (metric, format!("Utilisation of {kind}"), "share of the cluster")
    });
    let figures: String = drawn
        .chain(used)
        .filter_map(|(metric, title, unit)| {
            let row = |cell: &Cell| {
                let of = cell.metrics.get(&metric)?;
                Some(Estimated { label: label(&cell.values), mean: of.mean, ci95: of.ci95 })
            };
            let rows: Vec<Estimated> = cells.iter().filter_map(row).collect();
            Some(estimates(&metric, &title, unit, &rows)?.html())
        })
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>sweep</title>\
         <style>{}</style></head><body>\n<h1>Sweep</h1><p class=\"faint\">{runs} runs in {} cells; bars are means, whiskers \
         95 % confidence intervals by Student's t distribution</p>\n<main>\n{figures}</main></body></html>\n",
        page_style(),
        cells.len()
    )
}

fn label(values: &Values) -> String {
    if values.is_empty() {
        return "all".to_owned();
    }
    let each = |(path, value): &(String, serde_json::Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{path}={value}")
    };
    values.iter().map(each).collect::<Vec<_>>().join(" ")
}
