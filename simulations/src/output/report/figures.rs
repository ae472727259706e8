//! The figures of a run.

use crate::charts::{Bar, Chart, Figure, Series, gantt};
use crate::engine::Outcome;
use crate::gpus::label;
use crate::metrics::{self, JobTimes, RoleSample, Timeline, jobs_of, seconds_of};
use crate::run::Run;

/// More roles or frameworks than that are too many lines for a chart: those with the largest mean are drawn.
const LINES: usize = 12;

/// A distribution is drawn by so many points.
const CDF_POINTS: usize = 200;

/// A distribution whose largest value is so many times its median is drawn on a logarithmic axis.
const HEAVY_TAIL: f64 = 50.0;

/// The Gantt chart shows so many agents and tasks: the first. It ends when this part of them has ended.
const GANTT_AGENTS: usize = 30;
const GANTT_TASKS: usize = 600;
const GANTT_PART: f64 = 0.9;

/// All figures that there is something to show in.
pub(in crate::output) fn figures(run: &Run, timeline: &Timeline) -> Vec<Figure> {
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

/// A unit of time for an axis: its name, and how many seconds it has.
#[derive(Clone, Copy)]
struct Unit {
    axis: &'static str,
    secs: f64,
}

impl Unit {
    /// The unit in which a length of time is a number of some digits.
    fn for_length(secs: f64) -> Self {
        match secs {
            days if days > 20.0 * 86_400.0 => Unit { axis: "time in days", secs: 86_400.0 },
            hours if hours > 100_000.0 => Unit { axis: "time in hours", secs: 3600.0 },
            _ => Unit { axis: "time in s", secs: 1.0 },
        }
    }
}

/// Lines over the time of a run, given in seconds.
fn over_time(
    name: &'static str,
    title: &'static str,
    y: &'static str,
    top: Option<f64>,
    Lines { mut series, note }: Lines,
) -> Chart<'static> {
    let points = series.iter().flat_map(|series| &series.points);
    let unit = Unit::for_length(points.map(|point| point.0).fold(0.0, f64::max));
    for point in series.iter_mut().flat_map(|series| &mut series.points) {
        point.0 /= unit.secs;
    }
    Chart { name, title, x: unit.axis, y, top, logarithmic: false, series, note }
}

/// Lines, and what is said of those that are not drawn.
struct Lines {
    series: Vec<Series>,
    note: Option<String>,
}

impl Lines {
    /// All of them.
    fn all(series: Vec<Series>) -> Self {
        Lines { series, note: None }
    }

    /// The top of an axis of shares: the whole, unless all of them are small or nothing.
    fn top_of_shares(&self) -> Option<f64> {
        const SMALL: f64 = 0.4;
        let points = self.series.iter().flat_map(|series| &series.points);
        let highest = points.map(|point| point.1).fold(0.0, f64::max);
        (highest == 0.0 || highest > SMALL).then_some(1.0)
    }

    /// The largest, in the order in which they are given.
    fn largest(mut series: Vec<Series>) -> Self {
        let count = series.len();
        if count <= LINES {
            return Lines::all(series);
        }
        let sum = |series: &Series| series.points.iter().map(|point| point.1).sum::<f64>();
        let mut ranked: Vec<(usize, f64)> = series.iter().map(sum).enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let kept: Vec<usize> = ranked.iter().take(LINES).map(|(place, _)| *place).collect();
        let mut place = 0..;
        series.retain(|_| place.next().is_some_and(|place| kept.contains(&place)));
        Lines { series, note: Some(format!("the {LINES} largest of {count}")) }
    }
}

/// A line per interval, stepped: a mean holds for its interval. The last one ends with the run.
fn steps(timeline: &Timeline, values: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let (length, end) = (timeline.interval.secs(), timeline.end.secs());
    values.flat_map(|(at, value)| [(at, value), ((at + length).min(end), value)]).collect()
}

fn by_role(timeline: &Timeline, of: impl Fn(&RoleSample) -> f64) -> Lines {
    let mut values: Vec<Vec<(f64, f64)>> = vec![Vec::new(); timeline.roles.len()];
    for sample in &timeline.role_series {
        values[sample.role].push((seconds_of(sample.at), of(sample)));
    }
    let series = timeline.roles.iter().zip(values).map(|((role, _), values)| Series {
        name: role.to_string(),
        points: steps(timeline, values.into_iter()),
    });
    Lines::largest(series.collect())
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
    let lines = Lines::all(series.collect());
    over_time("utilisation", "Utilisation", "share of the cluster", Some(1.0), lines)
}

fn shares(timeline: &Timeline) -> Chart<'static> {
    let lines = by_role(timeline, |sample| sample.dominant_share);
    let top = lines.top_of_shares();
    over_time("share-by-role", "Dominant share by role", "share of the cluster", top, lines)
}

fn framework_shares(run: &Run, timeline: &Timeline) -> Chart<'static> {
    let shares = metrics::framework_shares(run.model(), run.record(), timeline.interval);
    let series = run.model().frameworks.iter().zip(shares).map(|(framework, means)| {
        let length = timeline.interval.secs();
        let values = means.into_iter().enumerate().map(|(place, mean)| (place as f64 * length, mean));
        Series { name: framework.id.to_string(), points: steps(timeline, values) }
    });
    let lines = Lines::largest(series.collect());
    let top = lines.top_of_shares();
    over_time("share-by-framework", "Dominant share by framework", "share of the cluster", top, lines)
}

fn waiting(timeline: &Timeline) -> Chart<'static> {
    let lines = by_role(timeline, |sample| sample.waiting);
    over_time("waiting", "Tasks that wait, by role", "tasks", None, lines)
}

fn running(timeline: &Timeline) -> Chart<'static> {
    let lines = by_role(timeline, |sample| sample.running);
    over_time("running", "Tasks that run, by role", "tasks", None, lines)
}

/// Offers and declines of all roles together.
fn offer_rate(timeline: &Timeline) -> Chart<'static> {
    let (length, end) = (timeline.interval.secs(), timeline.end.secs());
    let series = |name: &str, of: fn(&RoleSample) -> u64| {
        let values = sums_over_roles(timeline, |sample| of(sample) as f64);
        // The last interval may be shorter than the others.
        let rates = values.into_iter().map(|(at, count)| (at, count / length.min(end - at).max(1e-9)));
        Series { name: name.to_owned(), points: steps(timeline, rates) }
    };
    let lines = Lines::all(vec![
        series("offers", |sample| sample.offers),
        series("declines", |sample| sample.declines),
    ]);
    over_time("offer-rate", "Offers and declines over time", "offers per second", None, lines)
}

fn fragmentation(timeline: &Timeline) -> Chart<'static> {
    let length = timeline.interval.secs();
    let values = timeline.fragmentation_series.iter().enumerate();
    let points = steps(timeline, values.map(|(place, value)| (place as f64 * length, *value)));
    let lines = Lines::all(vec![Series { name: "fragmentation".to_owned(), points }]);
    let top = lines.top_of_shares();
    over_time("fragmentation", "Fragmentation", "share of what is idle", top, lines)
}

/// How many jobs have at most a value, by framework: those with the most jobs.
fn cdf(run: &Run, name: &str, title: &str, x: &str, of: fn(&JobTimes) -> Option<f64>) -> Option<Figure> {
    let of_framework = |place| (place, jobs_of(run.jobs(), place).iter().filter_map(of).collect());
    let mut values: Vec<(usize, Vec<f64>)> = (0..run.model().frameworks.len()).map(of_framework).collect();
    values.retain(|(_, own)| !own.is_empty());
    let count = values.len();
    values.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then(a.0.cmp(&b.0)));
    values.truncate(LINES);
    values.sort_by_key(|(place, _)| *place);
    for (_, own) in &mut values {
        own.sort_unstable_by(f64::total_cmp);
    }
    let largest = values.iter().filter_map(|(_, own)| own.last().copied()).fold(0.0, f64::max);
    let logarithmic = values.iter().any(|(_, own)| {
        let positive = &own[own.partition_point(|value| *value <= 0.0)..];
        positive.get(positive.len() / 2).is_some_and(|median| largest > HEAVY_TAIL * median)
    });
    let least = values.iter().filter_map(|(_, own)| own.first().copied()).fold(largest, f64::min);
    // One value has to its right what an axis of it has.
    let right = if largest > least { largest } else { least + 1.0 };
    let series = values.iter().map(|(place, own)| Series {
        name: run.model().frameworks[*place].id.to_string(),
        points: distribution(own, right),
    });
    let title = format!("{title}: share of jobs");
    let axis = if logarithmic { format!("{x}, logarithmic") } else { x.to_owned() };
    let note = (count > LINES).then(|| format!("the {LINES} of {count} with the most jobs"));
    let series = series.collect();
    Chart { name, title: &title, x: &axis, y: "share of jobs", top: Some(1.0), logarithmic, series, note }
        .figure()
}

/// The steps of a distribution of sorted values, as far as the axis goes.
fn distribution(sorted: &[f64], right: f64) -> Vec<(f64, f64)> {
    let step = sorted.len().div_ceil(CDF_POINTS).max(1);
    let last = sorted.len().saturating_sub(1);
    let (mut points, mut height) = (Vec::new(), 0.0);
    for rank in (0..sorted.len()).filter(|rank| (rank + 1) % step == 0 || *rank == last) {
        points.push((sorted[rank], height));
        height = (rank + 1) as f64 / sorted.len() as f64;
        points.push((sorted[rank], height));
    }
    points.push((right, height));
    points
}

/// What each framework was offered, and how much of it it declined: those with the most offers.
fn offers(run: &Run) -> Option<Figure> {
    let all = run.model().frameworks.iter().zip(&run.record().frameworks);
    let mut shown: Vec<_> = all.enumerate().collect();
    shown.sort_by(|a, b| b.1.1.offers.cmp(&a.1.1.offers).then(a.0.cmp(&b.0)));
    shown.truncate(LINES);
    shown.sort_by_key(|(place, _)| *place);
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (_, (known, record)) in shown {
        for (colour, (what, count)) in
            [("offers", record.offers), ("declines", record.declines)].into_iter().enumerate()
        {
            let label = format!("{} {what}: {count}", known.id);
            bars.push(Bar { row: rows.len(), from: 0.0, to: count as f64, colour, label });
            rows.push(if colour == 0 { known.id.to_string() } else { String::new() });
        }
    }
    let legend = vec!["offers".to_owned(), "declines".to_owned()];
    let title = match run.model().frameworks.len() {
        count if count > LINES => {
            format!("Offers and declines: the {LINES} of {count} frameworks with the most")
        }
        _ => "Offers and declines by framework".to_owned(),
    };
    gantt("offers", &title, "offers", &rows, &bars, legend)
}

/// The first tasks on the first agents, until most of them have ended.
fn tasks(run: &Run) -> Option<Figure> {
    let (record, model) = (run.record(), run.model());
    let shown: Vec<_> =
        record.tasks.iter().filter(|task| (task.agent as usize) < GANTT_AGENTS).take(GANTT_TASKS).collect();
    let end_of = |task: &crate::engine::TaskRun| {
        seconds_of(if task.outcome == Outcome::Running { record.end } else { task.end })
    };
    let mut ends: Vec<f64> = shown.iter().map(|task| end_of(task)).collect();
    ends.sort_unstable_by(f64::total_cmp);
    let last = ends.last().copied()?;
    let most = ends[((ends.len() - 1) as f64 * GANTT_PART) as usize];
    // A few that last much longer would leave no room for the others.
    let window = if last > 2.0 * most && most > 0.0 { most } else { last };
    let unit = Unit::for_length(window);
    // Colours are for frameworks in the order in which they come, so that few frameworks have colours of their own.
    let mut colours: Vec<u32> = Vec::new();
    let bars: Vec<Bar> = shown
        .iter()
        .filter(|task| seconds_of(task.start) < window || window == last)
        .filter_map(|task| {
            let job = model.frameworks.get(task.framework as usize)?.workload.jobs.get(task.job as usize)?;
            let colour = colours.iter().position(|known| *known == task.framework).unwrap_or_else(|| {
                colours.push(task.framework);
                colours.len() - 1
            });
            Some(Bar {
                row: task.agent as usize,
                from: seconds_of(task.start) / unit.secs,
                to: end_of(task).min(window) / unit.secs,
                colour,
                label: format!("{} of {}, {}", task.index, job.id, task.outcome.as_str()),
            })
        })
        .collect();
    let rows = bars.iter().map(|bar| bar.row + 1).max().unwrap_or(0);
    let names: Vec<String> = model.agents.iter().take(rows).map(|agent| agent.id.to_string()).collect();
    let name = |place: &u32| model.frameworks[*place as usize].id.to_string();
    let mut legend: Vec<String> = colours.iter().take(LINES).map(name).collect();
    if colours.len() > LINES {
        // Colours repeat, and say nothing any more.
        legend.clear();
    }
    gantt("tasks", "The first tasks on the first agents", unit.axis, &names, &bars, legend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_steps_from_nothing_to_all() {
        assert_eq!(
            distribution(&[1.0, 3.0], 4.0),
            [(1.0, 0.0), (1.0, 0.5), (3.0, 0.5), (3.0, 1.0), (4.0, 1.0)]
        );
        assert_eq!(distribution(&[0.0], 1.0), [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]);
        let many: Vec<f64> = (0..100_001).map(f64::from).collect();
        let points = distribution(&many, 100_000.0);
        assert!(points.len() < 3 * CDF_POINTS && points.last() == Some(&(100_000.0, 1.0)));
    }

    #[test]
    fn of_many_lines_the_largest_are_drawn_in_their_order() {
        let series =
            |number: usize| Series { name: number.to_string(), points: vec![(0.0, (number % 50) as f64)] };
        let lines = Lines::largest((0..100).map(series).collect());
        let names: Vec<&str> = lines.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["44", "45", "46", "47", "48", "49", "94", "95", "96", "97", "98", "99"]);
        assert_eq!(lines.note.as_deref(), Some("the 12 largest of 100"));
        assert!(Lines::largest((0..3).map(series).collect()).note.is_none());
    }

    #[test]
    fn small_shares_fill_their_chart() {
        let lines = |share: f64| Lines::all(vec![Series { name: String::new(), points: vec![(0.0, share)] }]);
        assert_eq!([0.0, 0.05, 0.7].map(|share| lines(share).top_of_shares()), [Some(1.0), None, Some(1.0)]);
    }

    #[test]
    fn long_runs_are_drawn_in_long_units() {
        let unit = |secs| Unit::for_length(secs).axis;
        assert_eq!(
            (unit(30_345.0), unit(604_800.0), unit(12_902_960.0)),
            ("time in s", "time in hours", "time in days")
        );
    }
}
