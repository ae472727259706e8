//! A run as one page: `report.html`, self-contained, readable in light and dark.

mod figures;

use std::io::{self, Write};

pub(super) use figures::figures;

use crate::charts::{escaped, page_style};
use crate::metrics::Timeline;
use crate::run::Run;

/// A longer table of frameworks is folded.
const ROWS: usize = 24;

/// Writes the page.
///
/// # Errors
/// When the writer fails.
pub(super) fn write(out: &mut dyn Write, run: &Run, timeline: &Timeline) -> io::Result<()> {
    let summary = run.summary();
    let name = escaped(&summary.name);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{name}</title><style>{}</style></head><body>\n\
         <h1>{name}</h1><p class=\"faint\">{:.3} s of virtual time, {} events, seed {}, events' hash {}, version {}</p>\n",
        page_style(),
        summary.virtual_s,
        summary.events,
        summary.seed,
        summary.events_hash,
        summary.version
    )?;
    tables(out, run)?;
    writeln!(out, "<main>")?;
    for figure in figures(run, timeline) {
        out.write_all(figure.html().as_bytes())?;
    }
    writeln!(out, "</main></body></html>")
}

fn tables(out: &mut dyn Write, run: &Run) -> io::Result<()> {
    let summary = run.summary();
    writeln!(
        out,
        "<h2>Numbers</h2><div class=\"scroll\"><table><tr><th></th><th>mean</th><th>p50</th><th>p90</th><th>p99</th><th>max</th></tr>"
    )?;
    for (name, spread) in [
        ("waiting time, s", &summary.wait_s),
        ("completion time, s", &summary.jct_s),
        ("bounded slowdown", &summary.bounded_slowdown),
    ] {
        let cells = [spread.mean, spread.p50, spread.p90, spread.p99, spread.max].map(|value| {
            if spread.count > 0 { format!("<td>{value:.3}</td>") } else { "<td>–</td>".to_owned() }
        });
        writeln!(out, "<tr><td>{name}</td>{}</tr>", cells.concat())?;
    }
    writeln!(out, "</table></div><p>")?;
    for (kind, used) in &summary.utilisation {
        write!(
            out,
            "{} used {:.2} % (at most {:.2} %); ",
            escaped(kind),
            used.mean * 100.0,
            used.max * 100.0
        )?;
    }
    writeln!(
        out,
        "makespan {:.3} s; Jain's index {:.4}; fragmentation {:.4}</p>",
        summary.makespan_s, summary.jain_index, summary.fragmentation
    )?;
    let folded = summary.frameworks.len() > ROWS;
    writeln!(
        out,
        "<h2>Frameworks</h2>{}<div class=\"scroll\"><table><tr><th>framework</th><th>role</th><th>tasks finished</th><th>failed</th>\
         <th>pending</th><th>most at a time</th><th>offers</th><th>declines</th><th>busy, %</th><th>mean wait, s</th></tr>",
        if folded {
            format!("<details><summary>all {}</summary>", summary.frameworks.len())
        } else {
            String::new()
        }
    )?;
    for (name, own) in &summary.frameworks {
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.2}</td><td>{:.3}</td></tr>",
            escaped(name),
            escaped(&own.role),
            own.tasks_finished,
            own.tasks_failed,
            own.tasks_pending,
            own.running_max,
            own.offers,
            own.declines,
            own.busyness * 100.0,
            own.wait_s.mean
        )?;
    }
    writeln!(out, "</table></div>{}", if folded { "</details>" } else { "" })
}
