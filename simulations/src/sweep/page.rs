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

/// What a cell is called: its values, by the ends of their paths.
fn label(values: &Values) -> String {
    if values.is_empty() {
        return "all".to_owned();
    }
    let each = |(path, value): &(String, serde_json::Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{}={value}", short(path, values))
    };
    values.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// The shortest end of a path that no other path has, from a dot on.
fn short<'a>(path: &'a str, values: &Values) -> &'a str {
    let others = || values.iter().map(|(other, _)| other.as_str()).filter(|other| *other != path);
    let is_known = |end: &str| others().any(|other| other == end || other.ends_with(&format!(".{end}")));
    let mut ends = path.rmatch_indices('.').map(|(dot, _)| &path[dot + 1..]);
    ends.find(|end| !is_known(end)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_as_short_as_they_can_be() {
        let cell = |values: &[(&str, serde_json::Value)]| {
            label(&values.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect())
        };
        assert_eq!(cell(&[]), "all");
        assert_eq!(
            cell(&[
                ("frameworks.0.placement", json!("fgd")),
                ("frameworks.0.workload.time_scale", json!(0.5))
            ]),
            "placement=fgd, time_scale=0.5"
        );
        assert_eq!(
            cell(&[("frameworks.0.placement", json!("fgd")), ("frameworks.1.placement", json!("random"))]),
            "0.placement=fgd, 1.placement=random"
        );
        assert_eq!(cell(&[("seed", json!(1)), ("a.seed", json!(2))]), "seed=1, a.seed=2");
    }
}
