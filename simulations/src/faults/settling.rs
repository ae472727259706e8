//! Liveness: after the last fault everything comes to rest, and when all is stopped nothing is left.

use std::collections::BTreeSet;
use std::time::Duration;

use apportion::protocol::TaskId;
use apportion::resources::Resources;
use apportion_service::Phase;

use super::frameworks::Process;
use super::ledger::Rule;
use super::network::End;
use super::node::Node;
use super::world::{Event, World};

/// So long after the last fault all has come to rest. The longest that anybody waits for by itself are the ten minutes in which a
/// master waits for frameworks that it knows of agents only, and the backoffs of services and jobs.
const SETTLING_LIMIT: Duration = Duration::from_secs(30 * 60);

/// How often is looked whether all has come to rest.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How many tasks an agent has that does not register: so somebody who does not is noticed, too.
const NOT_TOLD: usize = usize::MAX;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Faults strike.
    Trouble,
    /// Everything is repaired; services and jobs are to become what they should be.
    Settling,
    /// The services were stopped; nothing is to be left of them.
    Stopping,
    /// All agents register once more, with what they still hold.
    RollCall,
    /// All was as it should be.
    Done,
}

impl World {
    /// Goes on to the next stage when all is at rest, and complains when that takes too long.
    pub(super) fn look(&mut self) {
        self.note_ended_jobs();
        let Some(what) = self.unsettled() else {
            self.stage = match self.stage {
                Stage::Settling => {
                    self.stop_services();
                    Stage::Stopping
                }
                Stage::Stopping => {
                    self.call_roll();
                    Stage::RollCall
                }
                Stage::Trouble | Stage::RollCall | Stage::Done => Stage::Done,
            };
            self.ends = self.now;
            return self.later(self.now + LOOK_INTERVAL, Event::Look);
        };
        if self.now > self.ends + SETTLING_LIMIT {
            return self.ledger.violate(Rule::Convergence, || what);
        }
        if self.stage == Stage::RollCall {
            self.call_again();
        }
        self.later(self.now + LOOK_INTERVAL, Event::Look);
    }

    /// All agents connect anew, and tell what they have.
    fn call_roll(&mut self) {
        (0..self.agents.len()).for_each(|place| self.call(place));
    }

    /// What an agent told of may have been acknowledged since.
    fn call_again(&mut self) {
        let still_holds = |place: &usize| !matches!(self.agents[*place].told_tasks, 0 | NOT_TOLD);
        let holders: Vec<usize> = (0..self.agents.len()).filter(still_holds).collect();
        holders.into_iter().for_each(|place| self.call(place));
    }

    fn call(&mut self, place: usize) {
        self.agents[place].told_tasks = NOT_TOLD;
        if let Some(connection) = self.agents[place].link.connection {
            self.hang_up(connection, End::Server);
        }
    }

    /// What is not at rest, if anything.
    fn unsettled(&self) -> Option<String> {
        self.unsettled_process().or_else(|| self.unsettled_books()).or_else(|| self.unsettled_framework())
    }

    fn unsettled_process(&self) -> Option<String> {
        let is_needed = |node: &Node| !matches!(node, Node::Master(_)) || *node == self.leading_master();
        let down = self.nodes().into_iter().find(|node| is_needed(node) && !self.is_up(*node));
        let masters = self.masters.iter().any(|master| master.disk.is_writing());
        let agents = self.agents.iter().any(|agent| agent.disk.is_writing());
        let frameworks = self.frameworks.iter().any(|framework| framework.writing.is_some());
        down.map(|node| format!("{node} is down"))
            .or((masters || agents || frameworks).then(|| "something is being written".to_owned()))
    }

    /// Whether the master knows what is true.
    fn unsettled_books(&self) -> Option<String> {
        let node = &self.masters[self.leader];
        let state = node.machine.as_ref()?.cluster_state(node.clock.read(self.now));
        for (place, agent) in self.agents.iter().enumerate() {
            let Some(known) = state.agents.iter().find(|known| known.id == agent.id) else {
                return Some(format!("the master does not know {}", agent.id));
            };
            if !known.connected {
                return Some(format!("{} is not connected", agent.id));
            }
            if known.total != agent.info.resources {
                return Some(format!("{} has {}, not {}", agent.id, agent.info.resources, known.total));
            }
            let in_use: Resources = self.ledger.running(place).values().sum();
            if known.allocated != in_use {
                return Some(format!(
                    "of {} are allocated {}, but its tasks use {in_use}",
                    agent.id, known.allocated
                ));
            }
            if self.stage != Stage::Settling && !in_use.is_empty() {
                return Some(format!("{in_use} of {} are in use", agent.id));
            }
            if self.stage == Stage::RollCall && agent.told_tasks != 0 {
                return Some(format!("{} still holds {} tasks that have ended", agent.id, agent.told_tasks));
            }
        }
        let limbo = state.tasks.iter().find(|task| {
            !task.state.is_terminal()
                && !self.ledger.running_of(&task.framework).any(|running| *running == task.status.task)
        });
        let (down, offers) = (
            state.frameworks.iter().find(|framework| !framework.connected),
            state.frameworks.iter().map(|f| f.offers).sum::<u64>(),
        );
        limbo
            .map(|task| format!("the master has {} as {}, but it does not run", task.status.task, task.state))
            .or(down.map(|framework| format!("framework {} is not connected", framework.id)))
            .or((state.frameworks.len() != self.frameworks.len())
                .then(|| "a framework is missing".to_owned()))
            .or((offers > 0).then(|| format!("{offers} offers are outstanding")))
    }

    fn unsettled_framework(&self) -> Option<String> {
        self.frameworks.iter().find_map(|node| {
            let now = node.clock.read(self.now);
            let (believed, queued) = match node.process.as_ref()? {
                Process::Service(process) => {
                    let planned = process.scheduler().scheduler();
                    if let Some(what) = self.unsettled_services(planned.reconciler().services(now)) {
                        return Some(what);
                    }
                    (live(planned.tasks()), planned.queued())
                }
                Process::Batch(process) => {
                    let planned = process.scheduler().scheduler();
                    if let Some(job) = self.operator.jobs.iter().find(|job| !job.has_ended) {
                        return Some(format!("job {} ({:?}) goes on", job.spec.id, job.run));
                    }
                    (live(planned.tasks()), planned.queued())
                }
            };
            let running: BTreeSet<TaskId> = self.ledger.running_of(&node.id).cloned().collect();
            if believed != running {
                return Some(format!("{} believes that {believed:?} run, but {running:?} do", node.id));
            }
            (queued > 0).then(|| format!("{queued} tasks of {} wait for an offer", node.id))
        })
    }

    fn unsettled_services(&self, services: Vec<apportion_service::ServiceProgress>) -> Option<String> {
        if self.operator.has_stopped {
            return services.first().map(|service| format!("service {} is not stopped yet", service.id));
        }
        if services.len() != self.operator.services.len() {
            return Some(format!(
                "{} services are there, not {}",
                services.len(),
                self.operator.services.len()
            ));
        }
        services.into_iter().find_map(|service| {
            let wanted = self.operator.services.get(&service.id).map_or(0, |spec| spec.replicas);
            // An update that failed stays as it is, with what it has beyond what is wanted.
            let there = service.ready + service.outdated_ready;
            let is_there = (there == wanted || service.phase == Phase::Paused && there > wanted)
                && service.replicas == wanted
                && service.queued + service.starting + service.stopping == 0
                && service.phase.is_ended();
            (!is_there).then(|| format!("service {} is not as it should be: {service:?}", service.id))
        })
    }
}

fn live(tasks: &std::collections::BTreeMap<TaskId, apportion::scheduler::TaskRecord>) -> BTreeSet<TaskId> {
    tasks.iter().filter(|(_, task)| !task.state().is_terminal()).map(|(id, _)| id.clone()).collect()
}
