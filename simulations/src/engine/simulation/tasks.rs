//! What becomes of jobs and tasks: they arrive, start, and end.

use apportion::master::Input;
use apportion::protocol::{RequestId, TaskId, TaskInfo, TaskState};
use apportion::scheduler::SchedulerInput;
use apportion::time::Time;

use super::{Core, Event, Message, Simulation, agent_connection};
use crate::engine::agent::{Deed, RunId};
use crate::engine::calendar::Class;
use crate::engine::placement::Effect;
use crate::engine::post::Edge;
use crate::engine::record::{Outcome, TaskRun};
use crate::frameworks::TimerTask;
use crate::values::Span;

impl Simulation<'_> {
    pub(super) fn arrive(&mut self, framework: u32) {
        let seat = &mut self.seats[framework as usize];
        let job = seat.record.arrived;
        seat.record.arrived += 1;
        self.arrivals_to_come -= 1;
        self.active_at = self.now;
        if let Some(next) = self.workloads[framework as usize].jobs.get(job + 1) {
            self.calendar.push(next.at, self.arrivals, Event::Arrival(framework));
        }
        self.note(1, framework, job as u64);
        let now = self.now;
        self.tell_observers(|observer| observer.arrived(now, framework, job as u32));
        let data = self.seats[framework as usize].arrival(job as u32);
        self.tell_framework(framework, SchedulerInput::LocalRequest { request: RequestId(job as u64), data });
    }

    /// A task's run ends by itself; nothing happens when it has ended before.
    pub(super) fn time_is_over(&mut self, run: RunId) {
        // Others on its machine may have moved its end.
        if self.contention.as_ref().is_none_or(|contention| contention.is_due(self.now, run))
            && let Some(outcome) = self.failures.outcome(run)
        {
            self.end(run, outcome);
        }
    }

    pub(super) fn end(&mut self, run: RunId, outcome: Outcome) {
        let agent = self.tasks[run.0 as usize].agent;
        let state = if outcome == Outcome::Finished { TaskState::Finished } else { TaskState::Failed };
        let call = match &mut self.core {
            Core::Full { agents, .. } => agents[agent as usize].end(self.now, run, state),
            Core::Placement(cluster) => {
                if cluster.runs(run) {
                    self.close(run, outcome);
                    self.instant.push_back(Message::Ended(run, state));
                }
                return;
            }
        };
        let Some(call) = call else { return };
        self.close(run, outcome);
        let connection = agent_connection(agent);
        self.send(Edge::FromAgent(agent), Message::Master(Box::new(Input::Agent { connection, call })));
    }

    pub(in crate::engine) fn close(&mut self, run: RunId, outcome: Outcome) {
        let task = &mut self.tasks[run.0 as usize];
        (task.end, task.outcome) = (self.now, outcome);
        let (framework, machine) = (task.framework as usize, task.agent);
        let job = self.workloads[framework].jobs.get(task.job as usize);
        let ends = job.is_some_and(|job| job.lengths.of(task.index).is_some());
        self.running -= u64::from(ends);
        if !self.seats[framework].record.runs_again(outcome) {
            self.to_end -= u64::from(ends);
        }
        self.active_at = self.now;
        self.note(2, run.0, outcome as u64);
        let task = self.tasks[run.0 as usize];
        self.tell_observers(|observer| observer.ended(run.0 as usize, &task));
        if let Some(contention) = &mut self.contention {
            contention.end(self.now, machine, run, &mut self.moved);
            self.move_ends();
        }
    }

    /// A framework hears whether a task of it is to make room for others.
    pub(super) fn make_room(&mut self, framework: u32, task: &TaskId, makes_room: bool) {
        if let Core::Full { agents, .. } = &mut self.core {
            let task = (self.names[framework as usize].clone(), task.clone());
            agents.iter_mut().for_each(|agent| agent.make_room(&task, makes_room));
        }
    }

    pub(in crate::engine) fn carry_out_effects(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Tell(framework, event) => {
                    self.instant.push_back(Message::Framework(framework, event));
                }
                Effect::Start { framework, agent, task, role } => {
                    let run = self.begin(agent, framework, &task);
                    if self.failures.is_down(agent) {
                        // The master does not know it yet.
                        self.lose(run);
                    }
                    if let Core::Placement(cluster) = &mut self.core {
                        if self.seats[framework as usize].heeds(TaskState::Running) {
                            let told = cluster.starting(self.now, agent, &task.id);
                            self.instant.push_back(Message::Framework(framework, told));
                        }
                        cluster.started(run, framework, agent, role, task);
                    }
                }
                Effect::Stopped(run) => self.close(run, Outcome::Killed),
            }
        }
        self.effects = effects;
    }

    pub(super) fn carry_out(&mut self, agent: u32, deed: Deed) {
        match deed {
            Deed::Say(call) => {
                let connection = agent_connection(agent);
                self.send(
                    Edge::FromAgent(agent),
                    Message::Master(Box::new(Input::Agent { connection, call })),
                );
            }
            Deed::Start(framework, task) => {
                let Some(place) = self.by_name.get(&framework).copied() else { return };
                let run = self.begin(agent, place, &task);
                if let Core::Full { agents, .. } = &mut self.core {
                    agents[agent as usize].started(run, framework, task.id);
                }
            }
            Deed::Stopped(run, outcome) => self.close(run, outcome),
        }
    }

    /// A framework that has no workload runs a task: it counts as a job that arrives now.
    fn note_own(&mut self, framework: u32, task: &TaskInfo, length: Option<Span>) -> (u32, u32) {
        let workload = std::sync::Arc::make_mut(&mut self.workloads[framework as usize]);
        let job = workload.note(task.id.as_str(), self.now, &task.resources, length);
        self.seats[framework as usize].record.arrived += 1;
        self.to_end += u64::from(length.is_some());
        (job, 0)
    }

    /// What a framework has run that has no workload of its model.
    pub(crate) fn workload(&self, framework: usize) -> std::sync::Arc<crate::workload::Workload> {
        self.workloads[framework].clone()
    }

    /// Counts all tasks of a framework as jobs of their own.
    pub(crate) fn free(&mut self, framework: usize) {
        self.seats[framework].free = true;
        self.open_ended = true;
    }

    /// A task starts.
    fn begin(&mut self, agent: u32, framework: u32, task: &TaskInfo) -> RunId {
        let run = RunId(self.tasks.len() as u32);
        let known = TimerTask::played_by(task, &self.workloads[framework as usize]);
        let length = known.map_or_else(|| labelled_length(task), |known| known.length);
        let known = match self.seats[framework as usize].free {
            true => Some(self.note_own(framework, task, length)),
            false => known.map(|known| (known.job, known.index)),
        };
        let (job, index) = known.unwrap_or((u32::MAX, run.0));
        self.tasks.push(TaskRun {
            framework,
            job,
            index,
            agent,
            start: self.now,
            end: Time::MAX,
            outcome: Outcome::Running,
        });
        if let Some(parts) = &mut self.gpu_parts {
            let of_task = task.resources.gpu_parts();
            if !of_task.is_empty() {
                parts.insert(run.0, of_task);
            }
        }
        let name = self.names[framework as usize].as_str();
        let lasts = self.failures.cut((framework, name), run, length.map(Span::duration));
        match (&mut self.contention, lasts) {
            (Some(contention), lasts) => {
                contention.start(self.now, agent, run, lasts, &mut self.moved);
                self.move_ends();
            }
            (None, Some(lasts)) => self.calendar.push(self.now + lasts, Class::End, Event::End(run)),
            (None, None) => {}
        }
        self.running += u64::from(known.is_some() && length.is_some());
        self.active_at = self.now;
        self.note(4, framework, u64::from(job) << 32 | u64::from(index));
        self.digester.add([u64::from(agent)]);
        let task = self.tasks[run.0 as usize];
        self.tell_observers(|observer| observer.started(run.0 as usize, &task));
        run
    }

    /// Notes the ends that contention has moved.
    fn move_ends(&mut self) {
        for (run, at) in self.moved.drain(..) {
            self.calendar.push(at, Class::End, Event::End(run));
        }
    }
}

/// The label of a plugged-in scheduler's task that says how long it lasts, such as `100s`.
const LENGTH_LABEL: &str = "length";

fn labelled_length(task: &TaskInfo) -> Option<Span> {
    task.labels.get(LENGTH_LABEL)?.parse().ok()
}
