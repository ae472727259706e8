//! How long a framework takes to get its slots and to finish: the Mesos paper's analysis (Hindman et al., NSDI 2011, section 4).

use apportion::time::Time;

use super::{Case, CaseError, Checks, Pace, run};
use crate::random::Stream;

pub(super) const CASES: &[Case] = &[
    Case {
        number: "16",
        title: "Mesos' table 2: elastic and rigid jobs, constant tasks",
        pace: Pace::Slow,
        play: constant,
    },
    Case { number: "16b", title: "The same, exponential tasks", pace: Pace::Slow, play: exponential },
];

/// Slots of the cluster, all taken by tasks of others when the job arrives.
const SLOTS: usize = 20;
/// The mean length T of tasks, in seconds.
const LENGTH_S: f64 = 100.0;
/// The job has β·k·T of work: so much time on each of its k slots.
const BETA: f64 = 3.0;
/// Clusters that means are of.
const CLUSTERS: usize = 400;

/// What came of a job, in units of T, and means over clusters.
#[derive(Clone, Copy, Default)]
struct Outcome {
    /// From its arrival until it had all slots.
    ramp_up: f64,
    /// From its arrival to its end.
    completion: f64,
    /// The part of the time of the slots that the others left to it, until its end, for which its tasks ran; no unit.
    used: f64,
}

/// Plays the job in clusters whose other tasks have these times left. Elastic: of many small tasks, which use each slot as it becomes
/// free; rigid: a gang.
fn play(is_elastic: bool, left_s: impl Fn(&mut Stream) -> f64) -> Result<Outcome, CaseError> {
    let mut stream = Stream::named(16, "validate/ramp");
    let mut mean = Outcome::default();
    for _ in 0..CLUSTERS {
        let others: String = (0..SLOTS)
            .map(|_| format!("{{ resources = \"cpus:1\", duration = \"{:.6}s\" }},", left_s(&mut stream)))
            .collect();
        // Small tasks are a fiftieth of T, so that the last ones end together.
        let (tasks, length_s) =
            if is_elastic { (SLOTS * 50, BETA * LENGTH_S / 50.0) } else { (SLOTS, BETA * LENGTH_S) };
        let gang = !is_elastic;
        let run = run(&format!(
            r#"
            schema = 1
            name = "ramp"
            fidelity = "placement"
            agents = [{{ resources = "cpus:{SLOTS}" }}]
            [[frameworks]]
            name = "others"
            role = "others"
            per_offer = "all"
            jobs = [{others}]
            [[frameworks]]
            name = "job"
            role = "job"
            per_offer = "all"
            jobs = [{{ at = "1us", tasks = {tasks}, gang = {gang}, resources = "cpus:1", duration = "{length_s}s" }}]
            "#
        ))?;
        let of_job = |start: &&crate::engine::TaskRun| start.framework == 1;
        let mut starts = run.record().tasks.iter().filter(of_job).map(|task| seconds(task.start));
        // It has all slots when the last of the others has ended.
        let others = || run.record().tasks.iter().filter(|task| task.framework == 0);
        let last = others().map(|task| seconds(task.end)).fold(0.0, f64::max);
        let ramp_up = starts.find(|start| *start >= last).unwrap_or(f64::NAN);
        let completion = run.jobs().iter().filter(|job| job.framework == 1).find_map(|job| job.jct_s());
        let end = completion.unwrap_or(f64::NAN);
        let left: f64 = others().map(|task| (end - seconds(task.end)).max(0.0)).sum();
        mean.used += BETA * LENGTH_S * SLOTS as f64 / left / CLUSTERS as f64;
        mean.ramp_up += ramp_up / LENGTH_S / CLUSTERS as f64;
        mean.completion += completion.unwrap_or(f64::NAN) / LENGTH_S / CLUSTERS as f64;
    }
    Ok(mean)
}

fn seconds(at: Time) -> f64 {
    at.since(Time::ZERO).as_secs_f64()
}

/// The part of its slots' time from its first slot to its end that a rigid job uses: what it holds before it has all of them, it holds
/// in vain.
fn used(wasted: f64) -> f64 {
    BETA / (wasted + BETA)
}

fn constant(checks: &mut Checks) -> Result<(), CaseError> {
    let slots = SLOTS as f64;
    // The others' tasks are of length T and have begun at any time.
    let left = |stream: &mut Stream| stream.unit() * LENGTH_S;
    let elastic = play(true, left)?;
    checks.so(
        "elastic: ramp-up, in T",
        "at most 1",
        format!("{:.3}", elastic.ramp_up),
        elastic.ramp_up <= 1.0,
    );
    checks.close("elastic: completion, in T (1/2 + β)", 0.5 + BETA, elastic.completion, 0.05);
    checks.close("elastic: utilisation", 1.0, elastic.used, 0.02);
    let rigid = play(false, left)?;
    // The last of k slots is free after k/(k+1) T; the paper says T.
    let last = slots / (slots + 1.0);
    checks.close("rigid: ramp-up, in T (k/(k+1))", last, rigid.ramp_up, 0.02);
    checks.close("rigid: completion, in T (k/(k+1) + β)", last + BETA, rigid.completion, 0.02);
    checks.close("rigid: utilisation (β/(1/2 + β))", used(0.5), used(rigid.ramp_up - 0.5), 0.02);
    Ok(())
}

fn exponential(checks: &mut Checks) -> Result<(), CaseError> {
    let harmonic: f64 = (1..=SLOTS).map(|slot| 1.0 / slot as f64).sum();
    // The paper says T ln k, which is about T times the k-th harmonic number; this is exact.
    let left = |stream: &mut Stream| stream.exponential() * LENGTH_S;
    let elastic = play(true, left)?;
    // The job may be done before the last of the others ends: its slots are then free without it having had all.
    checks.close("elastic: completion, in T (1 + β)", 1.0 + BETA, elastic.completion, 0.15);
    checks.close("elastic: utilisation", 1.0, elastic.used, 0.02);
    let rigid = play(false, left)?;
    checks.close("rigid: ramp-up, in T (H_k)", harmonic, rigid.ramp_up, 0.2);
    checks.close("rigid: completion, in T (H_k + β)", harmonic + BETA, rigid.completion, 0.2);
    checks.close(
        "rigid: utilisation (β/(H_k - 1 + β))",
        used(harmonic - 1.0),
        used(rigid.ramp_up - 1.0),
        0.03,
    );
    Ok(())
}
