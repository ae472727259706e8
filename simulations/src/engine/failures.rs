//! What fails: machines, and single runs of tasks.
//!
//! Machines that fail at random draw from streams named `failures/<agent>`, runs of a framework's tasks from
//! `framework/<name>/failures`: nothing that is added shifts them.

use std::time::Duration;

use apportion::master::Input;
use apportion::protocol::AgentCall;
use rustc_hash::{FxHashMap, FxHashSet};

use super::agent::RunId;
use super::calendar::Class;
use super::post::Edge;
use super::record::Outcome;
use super::simulation::{Core, Event, Message, Simulation, agent_connection};
use crate::random::Stream;
use crate::scenario::{AgentModel, FailureModel, Model};
use crate::values::Span;

/// A machine that is to fail.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) machine: u32,
    pub(super) repair_after: Option<Span>,
    /// At random, so that its next failure is drawn when it is repaired.
    pub(super) drawn: bool,
}

/// What fails when, and what has failed.
#[derive(Debug)]
pub(super) struct Failures {
    model: FailureModel,
    seed: u64,
    machines: Vec<AgentModel>,
    by_machine: FxHashMap<u32, Stream>,
    by_framework: FxHashMap<u32, Stream>,
    /// Machines that have failed, and whether the master knows.
    down: FxHashMap<u32, bool>,
    /// Runs that end with a failure.
    failing: FxHashSet<RunId>,
    /// Runs that were lost with their machines.
    lost: FxHashSet<RunId>,
}

impl Failures {
    pub(super) fn new(model: &Model) -> Self {
        let machines = if model.failures.are_of_machines() { model.agents.clone() } else { Vec::new() };
        Failures {
            model: model.failures.clone(),
            seed: model.seed,
            machines,
            by_machine: FxHashMap::default(),
            by_framework: FxHashMap::default(),
            down: FxHashMap::default(),
            failing: FxHashSet::default(),
            lost: FxHashSet::default(),
        }
    }

    /// How long a run goes on that would take so long: perhaps it fails before.
    pub(super) fn cut(
        &mut self,
        framework: (u32, &str),
        run: RunId,
        length: Option<Duration>,
    ) -> Option<Duration> {
        let Some(tasks) = &self.model.tasks else { return length };
        let (place, name) = framework;
        let seed = self.seed;
        let named = || Stream::named(seed, &format!("framework/{name}/failures"));
        let fails_after = tasks.draw(self.by_framework.entry(place).or_insert_with(named)).duration();
        if length.is_some_and(|length| length <= fails_after) {
            return length;
        }
        self.failing.insert(run);
        Some(fails_after)
    }

    /// How a run ends that ends by itself; `None` when it was lost before.
    pub(super) fn outcome(&mut self, run: RunId) -> Option<Outcome> {
        if self.lost.remove(&run) {
            self.failing.remove(&run);
            return None;
        }
        Some(if self.failing.remove(&run) { Outcome::Failed } else { Outcome::Finished })
    }

    pub(super) fn is_down(&self, machine: u32) -> bool {
        self.down.contains_key(&machine)
    }

    /// A time that is drawn for a machine.
    fn draw(&mut self, machine: u32, of_repair: bool) -> Option<Duration> {
        let agents = self.model.agents.as_ref()?;
        let length = if of_repair { &agents.time_to_repair } else { &agents.time_to_failure };
        let (seed, id) = (self.seed, &self.machines[machine as usize].id);
        let stream =
            self.by_machine.entry(machine).or_insert_with(|| Stream::named(seed, &format!("failures/{id}")));
        Some(length.draw(stream).duration())
    }
}

impl Simulation<'_> {
    /// Puts the first failures into the calendar.
    pub(super) fn expect_failures(&mut self) {
        for machine in 0..self.failures.machines.len() as u32 {
            self.expect_next_failure(machine);
        }
        for outage in self.failures.model.outages.clone() {
            let failure =
                Failure { machine: outage.machine, repair_after: outage.repair_after, drawn: false };
            self.calendar.push(outage.at, Class::Failure, Event::Failure(Box::new(failure)));
        }
    }

    fn expect_next_failure(&mut self, machine: u32) {
        let (Some(after), Some(repair)) =
            (self.failures.draw(machine, false), self.failures.draw(machine, true))
        else {
            return;
        };
        let repair_after = Some(Span::from_nanos(repair.as_nanos() as u64));
        let failure = Failure { machine, repair_after, drawn: true };
        self.calendar.push(self.now + after, Class::Failure, Event::Failure(Box::new(failure)));
    }

    /// A machine fails; one that has failed already does not fail again.
    pub(super) fn fail(&mut self, failure: &Failure) {
        let Failure { machine, repair_after, drawn } = *failure;
        if self.failures.is_down(machine) {
            if drawn {
                self.expect_next_failure(machine);
            }
            return;
        }
        self.note(8, machine, 0);
        self.failures.down.insert(machine, false);
        let runs = match &mut self.core {
            Core::Full { agents, .. } => agents[machine as usize].fail(),
            Core::Placement(cluster) => cluster.runs_on(machine),
        };
        for run in runs {
            self.lose(run);
        }
        match self.failures.model.detection {
            Span::ZERO => self.detect(machine),
            after => {
                self.calendar.push(self.now + after.duration(), Class::Failure, Event::Detected(machine))
            }
        }
        if let Some(after) = repair_after {
            let event = Event::Repair { machine, drawn };
            self.calendar.push(self.now + after.duration(), Class::Failure, event);
        }
    }

    /// A run is lost with its machine.
    pub(super) fn lose(&mut self, run: RunId) {
        self.close(run, Outcome::Lost);
        self.failures.lost.insert(run);
    }

    /// The master gets to know that a machine has failed.
    pub(super) fn detect(&mut self, machine: u32) {
        match self.failures.down.get_mut(&machine) {
            Some(known) if !*known => *known = true,
            _ => return,
        }
        self.note(9, machine, 0);
        if let Core::Placement(cluster) = &mut self.core {
            cluster.fail(self.now, machine, &mut self.effects);
            return self.carry_out_effects();
        }
        let message = Input::Agent { connection: agent_connection(machine), call: AgentCall::Unregister };
        self.send(Edge::FromAgent(machine), Message::Master(Box::new(message)));
    }

    /// A machine comes back, with nothing on it.
    pub(super) fn repair(&mut self, machine: u32, drawn: bool) {
        self.detect(machine);
        self.note(10, machine, 0);
        self.failures.down.remove(&machine);
        let model = &self.failures.machines[machine as usize];
        match &mut self.core {
            Core::Placement(cluster) => cluster.introduce(model),
            Core::Full { agents, .. } => {
                let call = agents[machine as usize].register(model);
                agents[machine as usize].repair();
                let message = Input::Agent { connection: agent_connection(machine), call };
                self.send(Edge::FromAgent(machine), Message::Master(Box::new(message)));
            }
        }
        if drawn {
            self.expect_next_failure(machine);
        }
    }
}
