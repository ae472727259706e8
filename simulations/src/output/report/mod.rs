//! A run as one page: `report.html`, self-contained, readable in light and dark.

use std::io::{self, Write};

use crate::charts::{Bar, Chart, Figure, Series, escaped, gantt, page_style};
use crate::engine::Outcome;
use crate::gpus::label;
use crate::metrics::{self, JobTimes, RoleSample, Timeline, jobs_of, seconds_of};
use crate::run::Run;

/// More roles or frameworks than that are too many lines for a chart: the first ones by name are drawn.
const LINES: usize = 16;

/// A distribution is drawn by so many points.
const CDF_POINTS: usize = 200;

/// The Gantt chart shows so many agents and tasks: the first.
const GANTT_AGENTS: usize = 30;
const GANTT_TASKS: usize = 600;

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

/// All figures that there is something to show in.
pub(super) fn figures(run: &Run, timeline: &Timeline) -> Vec<Figure> {
    let charts = [
        utilisation(timeline),
        shares(timeline),
        framework_shares(run, timeline),
        waiting(timeline),
        running(timeline),
        offer_rate(timeline),
    ];
    let seconds = "seconds from arrival to";
    let distributions = [
        cdf(run, "wait", "Waiting time", &format!("{seconds} first start"), JobTimes::wait_s),
        cdf(run, "completion", "Completion time", &format!("{seconds} last end"), JobTimes::jct_s),
        cdf(run, "slowdown", "Bounded slowdown", "slowdown", JobTimes::slowdown),
    ];
    let charts = charts.iter().map(Chart::figure);
    let others = [offers(run), fragmentation(timeline).figure(), tasks(run)];
    charts.chain(distributions).chain(others).flatten().collect()
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
        let cells = [spread.mean, spread.p50, spread.p90, spread.p99, spread.max]
            .map(|value| format!("<td>{value:.3}</td>"));
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
    writeln!(
        out,
        "<h2>Frameworks</h2><div class=\"scroll\"><table><tr><th>framework</th><th>role</th><th>tasks finished</th><th>failed</th>\
         <th>pending</th><th>most at a time</th><th>offers</th><th>declines</th><th>busy, %</th><th>mean wait, s</th></tr>"
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
    writeln!(out, "</table></div>")
}

/// A line per interval, stepped: a mean holds for its interval.
fn steps(timeline: &Timeline, values: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let length = timeline.interval.secs();
    values.flat_map(|(at, value)| [(at, value), (at + length, value)]).collect()
}

fn by_role(timeline: &Timeline, of: impl Fn(&RoleSample) -> f64) -> Vec<Series> {
    let series = |(place, (role, _)): (usize, &(apportion::resources::Role, crate::metrics::RoleUse))| {
        let samples = timeline.role_series.iter().filter(|sample| sample.role == place);
        let values = samples.map(|sample| (seconds_of(sample.at), of(sample)));
        Series { name: role.to_string(), points: steps(timeline, values) }
    };
    timeline.roles.iter().enumerate().take(LINES).map(series).collect()
}

/// Sums over all roles at the top, which have what those below them have, by time.
fn sums_over_roles(timeline: &Timeline, of: impl Fn(&RoleSample) -> f64) -> Vec<(f64, f64)> {
    let is_top: Vec<bool> = timeline.roles.iter().map(|(role, _)| role.parent().is_none()).collect();
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for sample in timeline.role_series.iter().filter(|sample| is_top[sample.role]) {
        let at = seconds_of(sample.at);
        match sums.last_mut().filter(|(last, _)| *last == at) {
            Some((_, sum)) => *sum += of(sample),
            None => sums.push((at, of(sample))),
        }
    }
    sums
}

fn utilisation(timeline: &Timeline) -> Chart<'static> {
    let series = timeline.kinds.iter().enumerate().map(|(place, kind)| {
        let sums = sums_over_roles(timeline, |sample| sample.used[place]);
        Series { name: label(kind).to_owned(), points: steps(timeline, sums.into_iter()) }
    });
    Chart {
        name: "utilisation",
        title: "Utilisation",
        x: "time in s",
        y: "share of the cluster",
        top: Some(1.0),
        series: series.collect(),
    }
}

fn shares(timeline: &Timeline) -> Chart<'static> {
    let series = by_role(timeline, |sample| sample.dominant_share);
    Chart {
        name: "share-by-role",
        title: "Dominant share by role",
        x: "time in s",
        y: "share of the cluster",
        top: Some(1.0),
        series,
    }
}

fn framework_shares(run: &Run, timeline: &Timeline) -> Chart<'static> {
    let shares = metrics::framework_shares(run.model(), run.record(), timeline.interval);
    let series = run.model().frameworks.iter().zip(shares).take(LINES).map(|(framework, means)| {
        let length = timeline.interval.secs();
        let values = means.into_iter().enumerate().map(|(place, mean)| (place as f64 * length, mean));
        Series { name: framework.id.to_string(), points: steps(timeline, values) }
    });
    Chart {
        name: "share-by-framework",
        title: "Dominant share by framework",
        x: "time in s",
        y: "share of the cluster",
        top: Some(1.0),
        series: series.collect(),
    }
}

fn waiting(timeline: &Timeline) -> Chart<'static> {
    let series = by_role(timeline, |sample| sample.waiting);
    Chart {
        name: "waiting",
        title: "Tasks that wait, by role",
        x: "time in s",
        y: "tasks",
        top: None,
        series,
    }
}

fn running(timeline: &Timeline) -> Chart<'static> {
    let series = by_role(timeline, |sample| sample.running);
    Chart { name: "running", title: "Tasks that run, by role", x: "time in s", y: "tasks", top: None, series }
}

/// Offers and declines of all roles together.
fn offer_rate(timeline: &Timeline) -> Chart<'static> {
    let length = timeline.interval.secs();
    let series = |name: &str, of: fn(&RoleSample) -> u64| {
        let values = sums_over_roles(timeline, |sample| of(sample) as f64 / length);
        Series { name: name.to_owned(), points: steps(timeline, values.into_iter()) }
    };
    Chart {
        name: "offer-rate",
        title: "Offers and declines over time",
        x: "time in s",
        y: "per second",
        top: None,
        series: vec![series("offers", |sample| sample.offers), series("declines", |sample| sample.declines)],
    }
}

fn fragmentation(timeline: &Timeline) -> Chart<'static> {
    let length = timeline.interval.secs();
    let values = timeline.fragmentation_series.iter().enumerate();
    let points = steps(timeline, values.map(|(place, value)| (place as f64 * length, *value)));
    let series = vec![Series { name: "fragmentation".to_owned(), points }];
    Chart {
        name: "fragmentation",
        title: "Fragmentation",
        x: "time in s",
        y: "share of what is idle",
        top: Some(1.0),
        series,
    }
}

/// How many jobs have at most a value, by framework.
fn cdf(run: &Run, name: &str, title: &str, x: &str, of: fn(&JobTimes) -> Option<f64>) -> Option<Figure> {
    let series = run.model().frameworks.iter().enumerate().take(LINES).map(|(place, framework)| {
        let mut values: Vec<f64> = jobs_of(run.jobs(), place).iter().filter_map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        let step = values.len().div_ceil(CDF_POINTS).max(1);
        let last = values.len().saturating_sub(1);
        let kept = (0..values.len()).filter(|rank| rank % step == 0 || *rank == last);
        let points = kept.map(|rank| (values[rank], (rank + 1) as f64 / values.len() as f64)).collect();
        Series { name: framework.id.to_string(), points }
    });
    let title = format!("{title}: share of jobs");
    Chart { name, title: &title, x, y: "share of jobs", top: Some(1.0), series: series.collect() }.figure()
}

/// What each framework was offered, and how much of it it declined.
fn offers(run: &Run) -> Option<Figure> {
    let frameworks = run.model().frameworks.iter().zip(&run.record().frameworks).take(LINES);
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (known, record) in frameworks {
        for (colour, (what, count)) in
            [("offers", record.offers), ("declines", record.declines)].into_iter().enumerate()
        {
            let label = format!("{} {what}: {count}", known.id);
            bars.push(Bar { row: rows.len(), from: 0.0, to: count as f64, colour, label });
            rows.push(if colour == 0 { known.id.to_string() } else { String::new() });
        }
    }
    let legend = vec!["offers".to_owned(), "declines".to_owned()];
    gantt("offers", "Offers and declines by framework", "offers", &rows, &bars, legend)
}

/// The first tasks on the first agents.
fn tasks(run: &Run) -> Option<Figure> {
    let shown =
        run.record().tasks.iter().filter(|task| (task.agent as usize) < GANTT_AGENTS).take(GANTT_TASKS);
    let bars: Vec<Bar> = shown
        .filter_map(|task| {
            let framework = run.model().frameworks.get(task.framework as usize)?;
            let job = framework.workload.jobs.get(task.job as usize)?;
            let end = if task.outcome == Outcome::Running { run.record().end } else { task.end };
            Some(Bar {
                row: task.agent as usize,
                from: seconds_of(task.start),
                to: seconds_of(end),
                colour: task.framework as usize,
                label: format!("{} of {}, {}", task.index, job.id, task.outcome.as_str()),
            })
        })
        .collect();
    let rows = bars.iter().map(|bar| bar.row + 1).max().unwrap_or(0);
    let names: Vec<String> = run.model().agents.iter().take(rows).map(|agent| agent.id.to_string()).collect();
    let legend: Vec<String> =
        run.model().frameworks.iter().take(LINES).map(|known| known.id.to_string()).collect();
    gantt("tasks", "The first tasks on the first agents", "time in s", &names, &bars, legend)
}
