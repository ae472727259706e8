//! What was used when, by whom: step functions over the run, and their integrals.

use std::collections::BTreeMap;

use apportion::resources::{Kind, Resources, Role};
use apportion::time::Time;

use super::changes::{Changes, What};
use super::fragmentation::{Fragmentation, gpu_model};
use super::jain::{JainIndex, JainShare};
use crate::engine::Record;
use crate::scenario::Model;
use crate::values::Span;

/// Mean over time, and the most, of a share.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Use {
    /// Mean over time.
    pub mean: f64,
    /// The most that held for some time.
    pub max: f64,
}

/// What a role used.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct RoleUse {
    /// Its weight.
    pub weight: f64,
    /// Its dominant share, not divided by the weight; its children's tasks count.
    pub dominant_share: Use,
}

/// What a framework ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FrameworkUse {
    /// The most tasks that ran at a time, for some time.
    pub running_max: u64,
}

/// A role in an interval of time.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleSample {
    /// When the interval begins.
    pub at: Time,
    /// The role's place in [`Timeline::roles`].
    pub role: usize,
    /// Mean of its dominant share.
    pub dominant_share: f64,
    /// Means of the shares that it used, by kind.
    pub used: Vec<f64>,
    /// How many of its tasks ran, in the mean.
    pub running: f64,
    /// How many of its tasks waited, in the mean.
    pub waiting: f64,
    /// How many offers its frameworks were made in the interval.
    pub offers: u64,
    /// How many of these, or of those before, they used nothing of.
    pub declines: u64,
}

/// An agent in an interval of time.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSample {
    /// When the interval begins.
    pub at: Time,
    /// The agent's place.
    pub agent: usize,
    /// Means of the shares that were used of it, by kind.
    pub used: Vec<f64>,
    /// How many tasks ran on it, in the mean.
    pub running: f64,
}

/// What was used when, by whom.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The kinds of resources that agents have, sorted.
    pub kinds: Vec<Kind>,
    /// By kind: the share of the cluster that was used.
    pub utilisation: Vec<Use>,
    /// Roles of frameworks, their ancestors, and those that the scenario describes; by name.
    pub roles: Vec<(Role, RoleUse)>,
    /// By the place of the framework.
    pub frameworks: Vec<FrameworkUse>,
    /// Mean over time of Jain's index.
    pub jain_index: f64,
    /// Mean over time of the share of what was idle that was fragmented.
    pub fragmentation: f64,
    /// The length of the run.
    pub end: Span,
    /// The length of the intervals of the series.
    pub interval: Span,
    /// Roles over time.
    pub role_series: Vec<RoleSample>,
    /// Agents over time.
    pub agent_series: Vec<AgentSample>,
    /// Means of the share of idle resources that was fragmented, by interval.
    pub fragmentation_series: Vec<f64>,
}

impl Timeline {
    /// Goes through a run once. Series are made only when asked for.
    pub fn of(model: &Model, record: &Record, with_series: bool) -> Self {
        let mut walk = Walk::new(model, record, with_series);
        for (at, change) in Changes::of(model, record) {
            walk.apply(at, &change);
        }
        walk.finish()
    }
}

/// A step function and its integral.
#[derive(Clone, Debug, Default)]
struct Step {
    value: i64,
    max: i64,
    since: u64,
    integral: i128,
}

impl Step {
    fn settle(&mut self, now: u64) {
        if now > self.since {
            self.max = self.max.max(self.value);
            self.integral += i128::from(self.value) * i128::from(now - self.since);
            self.since = now;
        }
    }

    fn add(&mut self, now: u64, by: i64) {
        self.settle(now);
        self.value += by;
    }

    /// Its mean over the `length` that has passed since its integral was what is marked; the mark moves to `now`.
    fn mean_since(&mut self, mark: &mut i128, now: u64, length: f64) -> f64 {
        self.settle(now);
        (self.integral - std::mem::replace(mark, self.integral)) as f64 / length
    }
}

/// The same of each kind, as shares of what there is.
fn shares_since(used: &mut [Step], marks: &mut [i128], totals: &[i64], now: u64, length: f64) -> Vec<f64> {
    let steps = used.iter_mut().zip(marks).zip(totals);
    steps.map(|((used, mark), total)| used.mean_since(mark, now, length) / (*total).max(1) as f64).collect()
}

/// The same of a share, which is no whole number.
#[derive(Clone, Debug, Default)]
struct Ratio {
    value: f64,
    max: f64,
    since: u64,
    integral: f64,
}

impl Ratio {
    fn set(&mut self, now: u64, value: f64) {
        if now > self.since {
            self.max = self.max.max(self.value);
            self.integral += self.value * (now - self.since) as f64;
            self.since = now;
        }
        self.value = value;
    }

    /// The integral up to a time at which nothing changes. Settling it there would round otherwise: what is sampled must not show.
    fn integral_until(&self, now: u64) -> f64 {
        self.integral + self.value * (now - self.since) as f64
    }
}

/// A role while the walk goes on.
#[derive(Clone, Debug, Default)]
struct RoleState {
    used: Vec<Step>,
    share: Ratio,
    running: Step,
    waiting: Step,
    weight: f64,
    /// Whether frameworks are in the role itself.
    has_frameworks: bool,
    changed: bool,
    /// Its share by its weight, as Jain's index counts it.
    counted: Option<JainShare>,
}

/// An agent while the walk goes on.
#[derive(Clone, Debug)]
struct AgentState {
    total: Vec<i64>,
    used: Vec<Step>,
    /// What is free of each GPU that is shared, in thousandths.
    gpus: Vec<u32>,
    running: Step,
    idle: i64,
    fragmented: f64,
    changed: bool,
}

/// What an idle agent has of each GPU that is shared, in thousandths.
fn free_gpus(resources: &Resources) -> Vec<u32> {
    let parts = resources.gpu_parts();
    let mut gpus = vec![0; parts.last().map_or(0, |(device, _)| device + 1)];
    parts.into_iter().for_each(|(device, milli)| gpus[device] = milli);
    gpus
}

struct Walk<'a> {
    model: &'a Model,
    record: &'a Record,
    kinds: Vec<Kind>,
    totals: Vec<i64>,
    /// Amounts of each framework's classes, in the order of the kinds.
    amounts: Vec<Vec<Vec<i64>>>,
    names: Vec<Role>,
    roles: Vec<RoleState>,
    /// Of each framework, its role and the roles above it.
    chains: Vec<Vec<usize>>,
    frameworks: Vec<Step>,
    agents: Vec<AgentState>,
    used: Vec<Step>,
    measure: Fragmentation,
    idle: i64,
    fragmented: f64,
    fragmentation: Ratio,
    jain: Ratio,
    jain_index: JainIndex,
    /// For how long Jain's index was defined.
    jain_time: u64,
    now: u64,
    dirty_roles: Vec<usize>,
    dirty_agents: Vec<usize>,
    /// What is free of an agent that is looked at.
    free: Vec<i64>,
    interval: u64,
    next_sample: u64,
    with_series: bool,
    series: Series,
}

#[derive(Default)]
struct Series {
    roles: Vec<RoleSample>,
    agents: Vec<AgentSample>,
    fragmentation: Vec<f64>,
    /// Integrals at the beginning of the interval.
    role_marks: Vec<RoleMark>,
    agent_marks: Vec<AgentMark>,
    fragmentation_mark: f64,
}

#[derive(Clone)]
struct RoleMark {
    share: f64,
    used: Vec<i128>,
    running: i128,
    waiting: i128,
}

#[derive(Clone)]
struct AgentMark {
    used: Vec<i128>,
    running: i128,
}

impl<'a> Walk<'a> {
    fn new(model: &'a Model, record: &'a Record, with_series: bool) -> Self {
        let mut totals = apportion::resources::Quantities::new();
        let per_agent: Vec<_> = model.agents.iter().map(|agent| agent.resources.quantities()).collect();
        per_agent.iter().for_each(|amounts| totals.add(amounts));
        let mut kinds: Vec<Kind> = totals.iter().map(|(kind, _)| kind.clone()).collect();
        kinds.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        let vector = |amounts: &apportion::resources::Quantities| -> Vec<i64> {
            kinds.iter().map(|kind| amounts.get(kind).milli()).collect()
        };
        let measure = Fragmentation::new(model, &kinds);
        let steps = || vec![Step::default(); kinds.len()];
        let agents: Vec<AgentState> = per_agent
            .iter()
            .zip(&model.agents)
            .map(|(total, agent)| AgentState {
                total: vector(total),
                used: steps(),
                gpus: free_gpus(&agent.resources),
                running: Step::default(),
                idle: 0,
                fragmented: 0.0,
                changed: false,
            })
            .collect();
        let mut weights: BTreeMap<Role, f64> = BTreeMap::new();
        for framework in &model.frameworks {
            let mut role = Some(framework.role.clone());
            while let Some(known) = role {
                role = known.parent();
                weights.entry(known).or_insert(1.0);
            }
        }
        weights.extend(
            model.roles.iter().map(|role| (role.role.clone(), f64::from(role.weight.milli()) / 1000.0)),
        );
        let names: Vec<Role> = weights.keys().cloned().collect();
        let place = |role: &Role| names.binary_search(role).ok();
        let chains: Vec<Vec<usize>> = model
            .frameworks
            .iter()
            .map(|framework| {
                let up = std::iter::successors(Some(framework.role.clone()), Role::parent);
                up.filter_map(|role| place(&role)).collect()
            })
            .collect();
        let mut roles: Vec<RoleState> = weights
            .values()
            .map(|weight| RoleState { used: steps(), weight: *weight, ..RoleState::default() })
            .collect();
        for chain in &chains {
            if let Some(own) = chain.first() {
                roles[*own].has_frameworks = true;
            }
        }
        let end = record.end.as_nanos();
        let interval =
            model.output.interval.map_or_else(|| round_interval(end, agents.len()), Span::nanos).max(1);
        let dirty_agents = (0..agents.len()).collect();
        let mut walk = Walk {
            totals: vector(&totals),
            amounts: model
                .frameworks
                .iter()
                .map(|framework| {
                    framework.workload.classes.iter().map(|class| vector(&class.amounts)).collect()
                })
                .collect(),
            used: steps(),
            series: Series {
                role_marks: vec![
                    RoleMark { share: 0.0, used: vec![0; kinds.len()], running: 0, waiting: 0 };
                    roles.len()
                ],
                agent_marks: vec![AgentMark { used: vec![0; kinds.len()], running: 0 }; agents.len()],
                ..Series::default()
            },
            model,
            record,
            kinds,
            names,
            roles,
            chains,
            frameworks: vec![Step::default(); model.frameworks.len()],
            agents,
            measure,
            idle: 0,
            fragmented: 0.0,
            fragmentation: Ratio::default(),
            jain: Ratio::default(),
            jain_index: JainIndex::default(),
            jain_time: 0,
            now: 0,
            dirty_roles: Vec::new(),
            dirty_agents,
            free: Vec::new(),
            interval,
            next_sample: interval,
            with_series,
        };
        walk.agents.iter_mut().for_each(|agent| agent.changed = true);
        walk
    }

    fn apply(&mut self, at: Time, what: &What) {
        self.advance(at.as_nanos());
        match what {
            What::Arrival { framework, tasks } => self.wait(*framework, i64::from(*tasks)),
            What::Start { run } => {
                self.use_by(*run, 1);
                let framework = self.record.tasks[*run as usize].framework;
                self.wait(framework, -1);
            }
            What::End { run } => {
                let task = &self.record.tasks[*run as usize];
                self.use_by(*run, -1);
                let by = self.record.frameworks.get(task.framework as usize);
                if by.is_some_and(|by| by.runs_again(task.outcome)) {
                    self.wait(task.framework, 1);
                }
            }
        }
    }

    fn wait(&mut self, framework: u32, by: i64) {
        let Some(chain) = self.chains.get(framework as usize) else { return };
        for role in chain {
            let state = &mut self.roles[*role];
            state.waiting.add(self.now, by);
            if !std::mem::replace(&mut state.changed, true) {
                self.dirty_roles.push(*role);
            }
        }
    }

    fn use_by(&mut self, run: u32, sign: i64) {
        let task = &self.record.tasks[run as usize];
        let framework = task.framework as usize;
        let Some(known) = self.model.frameworks.get(framework) else { return };
        let Some(job) = known.workload.jobs.get(task.job as usize) else { return };
        let amounts = &self.amounts[framework][job.class as usize];
        let agent = &mut self.agents[task.agent as usize];
        if !std::mem::replace(&mut agent.changed, true) {
            self.dirty_agents.push(task.agent as usize);
        }
        agent.running.add(self.now, sign);
        for (device, milli) in self.record.gpu_parts.get(&run).into_iter().flatten() {
            agent.gpus[*device] = agent.gpus[*device].saturating_add_signed(-(sign as i32) * *milli as i32);
        }
        self.frameworks[framework].add(self.now, sign);
        for (kind, amount) in amounts.iter().enumerate().filter(|(_, amount)| **amount != 0) {
            agent.used[kind].add(self.now, sign * amount);
            self.used[kind].add(self.now, sign * amount);
            for role in &self.chains[framework] {
                self.roles[*role].used[kind].add(self.now, sign * amount);
            }
        }
        for role in &self.chains[framework] {
            let state = &mut self.roles[*role];
            state.running.add(self.now, sign);
            if !std::mem::replace(&mut state.changed, true) {
                self.dirty_roles.push(*role);
            }
        }
    }

    /// Time goes on: what holds now, holds until then.
    fn advance(&mut self, to: u64) {
        if to <= self.now {
            return;
        }
        self.settle_shares();
        while self.with_series && to >= self.next_sample {
            self.sample(self.next_sample);
        }
        self.now = to;
    }

    /// Reckons anew what depends on several changes of one time.
    fn settle_shares(&mut self) {
        for role in self.dirty_roles.drain(..) {
            let state = &mut self.roles[role];
            state.changed = false;
            let shares = state.used.iter().zip(&self.totals);
            let share =
                shares.map(|(used, total)| used.value as f64 / (*total).max(1) as f64).fold(0.0, f64::max);
            state.share.set(self.now, share);
            let is_active = state.has_frameworks && (state.running.value > 0 || state.waiting.value > 0);
            let counts = is_active.then(|| JainShare::of(share / state.weight));
            self.jain_index.replace(std::mem::replace(&mut state.counted, counts), counts);
        }
        for agent in self.dirty_agents.drain(..) {
            let state = &mut self.agents[agent];
            state.changed = false;
            self.free.clear();
            self.free.extend(state.total.iter().zip(&state.used).map(|(total, used)| total - used.value));
            let idle = self.measure.idle(&self.free);
            let fragmented = self.measure.of(&self.free, &state.gpus, gpu_model(self.model, agent));
            self.idle += idle - state.idle;
            self.fragmented += fragmented - state.fragmented;
            (state.idle, state.fragmented) = (idle, fragmented);
        }
        let ratio = if self.idle > 0 { (self.fragmented / self.idle as f64).clamp(0.0, 1.0) } else { 0.0 };
        self.fragmentation.set(self.now, ratio);
        let before = self.jain.since;
        let was_defined = self.jain.value > 0.0;
        self.jain.set(self.now, self.jain_index.get().unwrap_or(0.0));
        if was_defined {
            self.jain_time += self.jain.since - before;
        }
    }

    /// Ends the interval that ends then.
    fn sample(&mut self, end: u64) {
        let start = self.next_sample - self.interval;
        let length = (end - start) as f64;
        if length > 0.0 {
            let at = Time::from_nanos(start);
            self.sample_roles(at, end, length);
            self.sample_agents(at, end, length);
            let integral = self.fragmentation.integral_until(end);
            self.series.fragmentation.push((integral - self.series.fragmentation_mark) / length);
            self.series.fragmentation_mark = integral;
        }
        self.next_sample += self.interval;
    }

    fn sample_roles(&mut self, at: Time, end: u64, length: f64) {
        for (role, (state, mark)) in self.roles.iter_mut().zip(&mut self.series.role_marks).enumerate() {
            let share = state.share.integral_until(end);
            let dominant_share = (share - std::mem::replace(&mut mark.share, share)) / length;
            let running = state.running.mean_since(&mut mark.running, end, length);
            let waiting = state.waiting.mean_since(&mut mark.waiting, end, length);
            let used = shares_since(&mut state.used, &mut mark.used, &self.totals, end, length);
            let (offers, declines) = (0, 0);
            let sample = RoleSample { at, role, dominant_share, used, running, waiting, offers, declines };
            self.series.roles.push(sample);
        }
    }

    fn sample_agents(&mut self, at: Time, end: u64, length: f64) {
        for (agent, (state, mark)) in self.agents.iter_mut().zip(&mut self.series.agent_marks).enumerate() {
            let running = state.running.mean_since(&mut mark.running, end, length);
            let used = shares_since(&mut state.used, &mut mark.used, &state.total, end, length);
            self.series.agents.push(AgentSample { at, agent, used, running });
        }
    }

    /// Counts offers to their intervals, once all of these are there.
    fn count_offers(&mut self) {
        let roles = self.roles.len();
        let last = (self.series.roles.len() / roles.max(1)).saturating_sub(1);
        for (at, framework, count) in self.record.offers.iter() {
            let interval = usize::try_from(at.as_nanos() / self.interval).unwrap_or(last).min(last);
            for role in self.chains.get(framework).into_iter().flatten() {
                if let Some(sample) = self.series.roles.get_mut(interval * roles + role) {
                    sample.offers += u64::from(count.offers);
                    sample.declines += u64::from(count.declines);
                }
            }
        }
    }

    fn finish(mut self) -> Timeline {
        let end = self.record.end.as_nanos();
        self.advance(end);
        self.settle_shares();
        if self.with_series && end > self.next_sample - self.interval {
            self.sample(end);
        }
        self.count_offers();
        let length = end.max(1) as f64;
        let used = |step: &mut Step, total: i64| {
            step.settle(end);
            Use {
                mean: step.integral as f64 / length / total.max(1) as f64,
                max: step.max as f64 / total.max(1) as f64,
            }
        };
        let utilisation =
            self.used.iter_mut().zip(&self.totals).map(|(step, total)| used(step, *total)).collect();
        let roles = self.names.into_iter().zip(&mut self.roles).map(|(name, state)| {
            state.share.set(end, state.share.value);
            // Rounding may not lift a mean above the most.
            let mean = (state.share.integral / length).min(state.share.max);
            let share = Use { mean, max: state.share.max };
            (name, RoleUse { weight: state.weight, dominant_share: share })
        });
        let frameworks = self.frameworks.iter_mut().map(|step| {
            step.settle(end);
            FrameworkUse { running_max: step.max as u64 }
        });
        Timeline {
            kinds: self.kinds,
            utilisation,
            roles: roles.collect(),
            frameworks: frameworks.collect(),
            jain_index: if self.jain_time == 0 { 1.0 } else { self.jain.integral / self.jain_time as f64 },
            fragmentation: self.fragmentation.integral / length,
            end: Span::from_nanos(end),
            interval: Span::from_nanos(self.interval),
            role_series: self.series.roles,
            agent_series: self.series.agents,
            fragmentation_series: self.series.fragmentation,
        }
    }
}

/// About a two-hundredth of the run in round numbers; longer ones for many agents, so that their table stays readable.
fn round_interval(end: u64, agents: usize) -> u64 {
    const ROWS: usize = 1_000_000;
    const STEPS_S: [u64; 22] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400,
        172_800, 604_800, 2_592_000, 31_536_000,
    ];
    let samples = (ROWS / agents.max(1)).clamp(10, 200) as u64;
    let least = end / samples;
    let steps = STEPS_S.iter().map(|step| step * 1_000_000_000);
    if least < 1_000_000_000 {
        // Runs of seconds or less are cut as they are.
        return least.max(1);
    }
    steps.clone().find(|step| *step >= least).unwrap_or(least)
}
