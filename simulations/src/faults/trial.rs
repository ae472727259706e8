//! One seed: its run, and what made it fail.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::Serialize;

use super::ledger::Violation;
use super::plan::{Fault, FaultKind, Plan};
use super::record::{Coverage, Record};
use super::tally::Tally;
use super::workload::Workload;
use super::world::{START, Sabotage, World};
use crate::digest::Digest;

/// Runs seeds in parallel, on the present thread pool; `report` is called after each.
pub fn run_all(seeds: Range<u64>, report: impl Fn(&Outcome) + Sync) -> Tally {
    let one = |mut tally: Tally, seed| {
        let outcome = Trial::of(seed).run();
        report(&outcome);
        tally.add(&outcome);
        tally
    };
    seeds.into_par_iter().fold(Tally::default, one).reduce(Tally::default, Tally::merged)
}

/// A seed to be run.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    seed: u64,
    kinds: &'static [FaultKind],
    sabotage: Option<Sabotage>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// How much time went by in the simulated cluster.
    pub simulated: Duration,
    /// How many things happened.
    pub steps: u64,
    /// How many faults struck, by kind.
    pub injected: BTreeMap<FaultKind, u64>,
    /// What was done, and how often.
    pub coverage: Coverage,
    /// The hash of all that happened: equal for equal runs.
    pub digest: Digest,
    /// The last that happened, in lines for people; empty unless it was asked for.
    pub trace: Vec<String>,
}

/// A run that broke a rule, and the fewest faults for which it does.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The rule that is broken when nothing is left out.
    pub violation: Violation,
    /// How many faults the seed has.
    pub faults: usize,
    /// The shortest beginning of these that breaks a rule.
    pub prefix: usize,
    /// What is left of that when all is left out that is not needed, in words.
    pub needed: Vec<String>,
    /// The rule that these break.
    pub minimised: Violation,
    /// How that happens, in lines for people.
    pub trace: Vec<String>,
}

impl Trial {
    /// The trial of a seed.
    pub fn of(seed: u64) -> Self {
        Trial { seed, kinds: &FaultKind::ALL, sabotage: None }
    }

    /// The same trial with faults of these kinds alone, which makes it another run: as of a version that knew no others.
    #[must_use]
    pub fn among(self, kinds: &'static [FaultKind]) -> Self {
        Trial { kinds, ..self }
    }

    /// The same trial in a world that breaks a rule: to see that it is noticed.
    #[must_use]
    pub fn sabotaged(self, sabotage: Sabotage) -> Self {
        Trial { sabotage: Some(sabotage), ..self }
    }

    /// Runs it. The same seed gives the same outcome.
    pub fn run(self) -> Outcome {
        self.run_with(&Plan::draw(self.seed, self.kinds), false)
    }

    /// Runs it, with the last lines of what happens.
    pub fn run_traced(self) -> Outcome {
        self.run_with(&Plan::draw(self.seed, self.kinds), true)
    }

    fn run_with(self, plan: &Plan, is_traced: bool) -> Outcome {
        let workload = Workload::draw(self.seed, plan.ends).expect("the simulator's own specs are right");
        let mut world = World::new(self.seed, plan, workload, self.sabotage, Record::new(is_traced));
        world.run();
        let simulated = world.now.since(START);
        let violation =
            world.ledger.broken.take().map(|(rule, what)| Violation { rule, what, at: simulated });
        let trace = world.record.take_trace();
        let Record { steps, injected, coverage, digest, .. } = world.record;
        Outcome {
            seed: self.seed,
            violation,
            simulated,
            steps,
            injected,
            coverage,
            digest: digest.finish(),
            trace,
        }
    }

    /// Looks for the fewest faults that break the same rule; `None` when all of them together break none.
    pub fn minimise(self) -> Option<Failure> {
        let plan = Plan::draw(self.seed, self.kinds);
        let violation = self.run_with(&plan, false).violation?;
        let fails = |faults: &[Fault]| {
            let fewer = Plan { faults: faults.to_vec(), ends: plan.ends };
            self.run_with(&fewer, false).violation.is_some_and(|found| found.rule == violation.rule)
        };
        let prefix =
            (0..plan.faults.len()).find(|length| fails(&plan.faults[..*length])).unwrap_or(plan.faults.len());
        let mut needed = plan.faults[..prefix].to_vec();
        for place in (0..needed.len()).rev() {
            let mut fewer = needed.clone();
            fewer.remove(place);
            if fails(&fewer) {
                needed = fewer;
            }
        }
        let least = Plan { faults: needed, ends: plan.ends };
        let outcome = self.run_with(&least, true);
        Some(Failure {
            seed: self.seed,
            faults: plan.faults.len(),
            prefix,
            needed: least.faults.iter().map(ToString::to_string).collect(),
            minimised: outcome.violation.unwrap_or_else(|| violation.clone()),
            violation,
            trace: outcome.trace,
        })
    }
}
