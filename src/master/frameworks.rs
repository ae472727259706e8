//! Frameworks: subscription, failover, teardown, and the calls that need no offer.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::machine::{Master, Output, Timer};
use super::tasks::Task;
use crate::allocator::FrameworkProfile;
use crate::protocol::operator::TaskSummary;
use crate::protocol::{
    AgentEvent, AgentId, ConnectionId, FrameworkId, FrameworkInfo, OfferId, SchedulerCall, SchedulerEvent,
    TaskId, TaskState,
};
use crate::resources::Role;
use crate::store::{Change, Key};
use crate::time::Time;

/// How long a framework that only agents know of (the master started anew) is waited for.
pub const RECOVERED_FRAMEWORK_TIMEOUT: Duration = Duration::from_secs(600);

/// How many ends of a framework's tasks may wait for its acknowledgement. One that lets more wait launches nothing until it has caught up:
/// master and agents keep each of them.
pub const UNACKNOWLEDGED_ENDS: usize = 100_000;

/// What the master knows of a framework.
#[derive(Debug)]
pub(super) struct Framework {
    pub(super) info: FrameworkInfo,
    pub(super) connection: Option<ConnectionId>,
    /// It was torn down; it is kept until its tasks have ended.
    pub(super) ending: bool,
    pub(super) tasks: FxHashMap<TaskId, Task>,
    /// How many of them had not ended when they were counted last.
    pub(super) live_when_counted: usize,
    pub(super) completed: VecDeque<TaskSummary>,
    pub(super) offers: FxHashSet<OfferId>,
    pub(super) finished: u64,
    pub(super) failed: u64,
}

impl Framework {
    pub(super) fn new(info: FrameworkInfo) -> Self {
        Framework {
            info,
            connection: None,
            ending: false,
            tasks: FxHashMap::default(),
            live_when_counted: 0,
            completed: VecDeque::new(),
            offers: FxHashSet::default(),
            finished: 0,
            failed: 0,
        }
    }

    /// Whether more ends wait for its acknowledgement than may. They are counted only when there are so many tasks that it may be so.
    pub(super) fn owes_acknowledgements(&mut self) -> bool {
        let is_possible = |live: usize, tasks: usize| tasks > live + UNACKNOWLEDGED_ENDS;
        if !is_possible(self.live_when_counted, self.tasks.len()) {
            return false;
        }
        self.live_when_counted = self.tasks.values().filter(|task| !task.state.is_terminal()).count();
        is_possible(self.live_when_counted, self.tasks.len())
    }

    /// One of its tasks has ended.
    pub(super) fn count_end(&mut self, state: TaskState) {
        match state {
            TaskState::Finished => self.finished += 1,
            _ => self.failed += 1,
        }
    }
}

impl Master {
    pub(super) fn scheduler_call(
        &mut self,
        now: Time,
        connection: ConnectionId,
        id: FrameworkId,
        call: SchedulerCall,
        out: &mut Vec<Output>,
    ) {
        if let SchedulerCall::Subscribe { mut framework, suppressed } = call {
            self.keep_permitted_roles(connection, &mut framework, out);
            return self.subscribe(now, connection, id, *framework, &suppressed, out);
        }
        if self.frameworks.get(&id).and_then(|known| known.connection) != Some(connection) {
            return self.refuse(connection, "a framework subscribes before it says anything else", out);
        }
        match call {
            SchedulerCall::Subscribe { .. } => {}
            SchedulerCall::Accept { offers, operations, refuse } => {
                self.accept(now, &id, &offers, operations, refuse, out);
            }
            SchedulerCall::UpdateFramework { mut framework, suppressed } => {
                self.keep_permitted_roles(connection, &mut framework, out);
                self.update_framework(now, &id, *framework, &suppressed, out);
            }
            SchedulerCall::SetDemand { role, demand } => {
                self.allocator.set_demand(&id, &role, demand.as_deref());
            }
            SchedulerCall::AnswerInverseOffer { agent, accepts, refuse } => {
                self.note_answer(&id, &agent, accepts);
                self.allocator.answer_inverse_offer(now, &id, &agent, refuse);
            }
            SchedulerCall::AcceptSet { set, parts, refuse } => {
                self.accept_set(now, &id, set, parts, refuse, out);
            }
            SchedulerCall::Decline { offers, refuse } => self.decline(now, &id, &offers, refuse),
            SchedulerCall::Revive { roles } => self.allocator.revive(&id, &roles),
            SchedulerCall::Suppress { roles } => self.allocator.suppress(&id, &roles),
            SchedulerCall::Kill { task, stop } => self.kill(now, &id, task, stop, out),
            SchedulerCall::Acknowledge { task, agent, number } => {
                self.acknowledge(&id, task, &agent, number, out);
            }
            SchedulerCall::Reconcile { tasks } => self.reconcile(now, &id, tasks, out),
            SchedulerCall::Message { agent, executor, data } => {
                let event = AgentEvent::Message { framework: id, executor, data };
                self.tell_agent(&agent, event, out);
            }
            SchedulerCall::Teardown => self.teardown(now, &id, out),
            SchedulerCall::Reply { request, data, last } => self.relay_reply(&id, request, data, last, out),
            SchedulerCall::Explained { request, explanation } => {
                self.explained(now, &id, request, *explanation, out);
            }
        }
    }

    fn subscribe(
        &mut self,
        now: Time,
        connection: ConnectionId,
        id: FrameworkId,
        info: FrameworkInfo,
        suppressed: &[Role],
        out: &mut Vec<Output>,
    ) {
        if self.frameworks.get(&id).is_some_and(|framework| framework.ending) {
            let reason = "the framework was torn down and its tasks are still ending; subscribe again later";
            out.push(Output::ToScheduler { connection, event: SchedulerEvent::Error(reason.to_owned()) });
            return self.refuse(connection, reason, out);
        }
        let resumed = self.frameworks.contains_key(&id);
        tracing::info!(framework = %id, resumed, "framework subscribes");
        if resumed {
            self.replace_subscription(now, connection, &id, out);
            self.allocator.update_framework(&id, &FrameworkProfile::of(&info).suppressing(suppressed));
            for role in &info.roles {
                self.allocator.set_demand(&id, role, None);
            }
        } else {
            self.frameworks.insert(id.clone(), Framework::new(info.clone()));
            self.allocator.add_framework(&id, &FrameworkProfile::of(&info).suppressing(suppressed));
        }
        if let Some(framework) = self.frameworks.get_mut(&id) {
            framework.info = info;
            framework.connection = Some(connection);
        }
        self.record_framework(&id);
        self.timers.cancel(&Timer::Failover(id.clone()));
        self.allocator.set_framework_active(&id, true);
        let event = SchedulerEvent::Subscribed { framework: id.clone(), epoch: self.epoch, resumed };
        out.push(Output::ToScheduler { connection, event });
        if resumed {
            self.retell_updates(&id, out);
        }
    }

    fn update_framework(
        &mut self,
        now: Time,
        id: &FrameworkId,
        info: FrameworkInfo,
        suppressed: &[Role],
        out: &mut Vec<Output>,
    ) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let stays = framework.info.roles.iter().all(|role| info.roles.contains(role));
        self.allocator.update_framework(id, &FrameworkProfile::of(&info).suppressing(suppressed));
        framework.info = info;
        if !stays {
            self.rescind_framework(now, id, out);
        }
        self.record_framework(id);
    }

    /// A scheduler that subscribes on a new connection takes over from the one before.
    fn replace_subscription(
        &mut self,
        now: Time,
        connection: ConnectionId,
        id: &FrameworkId,
        out: &mut Vec<Output>,
    ) {
        self.rescind_framework(now, id, out);
        let before = self.frameworks.get_mut(id).and_then(|framework| framework.connection.take());
        if let Some(before) = before.filter(|before| *before != connection) {
            self.refuse(before, "the framework has subscribed on another connection", out);
        }
        self.drop_relays_of(id, out);
    }

    /// The framework, created when only an agent has told of it so far.
    pub(super) fn framework_or_recovered(
        &mut self,
        now: Time,
        id: &FrameworkId,
        role: &Role,
    ) -> &mut Framework {
        let (allocator, timers) = (&mut self.allocator, &mut self.timers);
        self.frameworks.entry(id.clone()).or_insert_with(|| {
            let info = FrameworkInfo::new(id.as_str(), role.clone());
            allocator.add_framework(id, &FrameworkProfile::of(&info));
            allocator.set_framework_active(id, false);
            timers.set(Timer::Failover(id.clone()), now + RECOVERED_FRAMEWORK_TIMEOUT);
            Framework::new(info)
        })
    }

    pub(super) fn framework_disconnected(
        &mut self,
        now: Time,
        connection: ConnectionId,
        id: &FrameworkId,
        out: &mut Vec<Output>,
    ) {
        let Some(framework) = self.frameworks.get_mut(id).filter(|f| f.connection == Some(connection)) else {
            return;
        };
        framework.connection = None;
        let failover = framework.info.failover_timeout;
        self.allocator.set_framework_active(id, false);
        self.rescind_framework(now, id, out);
        self.drop_relays_of(id, out);
        if failover.is_zero() {
            self.teardown(now, id, out);
        } else {
            tracing::warn!(framework = %id, ?failover, "framework disconnected");
            self.timers.set(Timer::Failover(id.clone()), now + failover);
        }
    }

    /// Ends a framework. Its tasks keep their resources until their agents say that they have ended.
    pub(super) fn teardown(&mut self, now: Time, id: &FrameworkId, out: &mut Vec<Output>) {
        if !self.frameworks.contains_key(id) {
            return;
        }
        tracing::info!(framework = %id, "framework ends");
        self.rescind_framework(now, id, out);
        self.drop_relays_of(id, out);
        self.timers.cancel(&Timer::Failover(id.clone()));
        self.allocator.set_framework_active(id, false);
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.ending = true;
            if let Some(connection) = framework.connection.take() {
                self.refuse(connection, "the framework was torn down", out);
            }
        }
        self.record_framework(id);
        let mut agents: Vec<AgentId> = self.agents.keys().cloned().collect();
        agents.sort();
        for agent in agents {
            self.tell_agent(&agent, AgentEvent::ShutdownFramework(id.clone()), out);
        }
        self.acknowledge_ends(id, out);
        self.forget_framework_if_ended(id);
    }

    /// Nobody will acknowledge what has ended already; agents would hold it for ever.
    fn acknowledge_ends(&mut self, id: &FrameworkId, out: &mut Vec<Output>) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let ended = framework.tasks.iter().filter(|(_, task)| task.status.state.is_terminal());
        let mut ends: Vec<_> = ended
            .filter_map(|(task, known)| Some((task.clone(), known.agent.clone(), known.status.number?)))
            .collect();
        ends.sort();
        for (task, agent, number) in ends {
            self.acknowledge(id, task, &agent, number, out);
        }
    }

    /// An agent that comes back is told again which frameworks have ended.
    pub(super) fn resend_shutdowns(&mut self, agent: &AgentId, out: &mut Vec<Output>) {
        let mut ending: Vec<_> =
            self.frameworks.iter().filter(|(_, f)| f.ending).map(|(id, _)| id.clone()).collect();
        ending.sort();
        for id in ending {
            self.tell_agent(agent, AgentEvent::ShutdownFramework(id), out);
        }
    }

    pub(super) fn forget_framework_if_ended(&mut self, id: &FrameworkId) {
        // Agents that are not back yet may have more of its tasks.
        let ended = !self.is_recovering()
            && self.frameworks.get(id).is_some_and(|f| {
                f.ending
                    && f.tasks.values().all(|task| {
                        task.state.is_terminal()
                            || self.agents.get(&task.agent).is_none_or(|agent| agent.unreachable.is_some())
                    })
            });
        if ended {
            self.frameworks.remove(id);
            self.registry.note(Change::Delete(Key::Framework(id.clone())));
            self.allocator.remove_framework(id);
            for agent in self.agents.values_mut() {
                agent.executors.retain(|(framework, _), _| framework != id);
                agent.tasks.retain(|(framework, _)| framework != id);
            }
        }
    }

    /// Tells a framework's scheduler, if it is connected.
    pub(super) fn tell(&mut self, id: &FrameworkId, event: SchedulerEvent, out: &mut Vec<Output>) {
        if let Some(connection) = self.frameworks.get(id).and_then(|framework| framework.connection) {
            out.push(Output::ToScheduler { connection, event });
        }
    }

    /// Tells an agent, if it is connected.
    pub(super) fn tell_agent(&mut self, id: &AgentId, event: AgentEvent, out: &mut Vec<Output>) -> bool {
        let connection = self.agents.get(id).and_then(|agent| agent.connection);
        if let Some(connection) = connection {
            out.push(Output::ToAgent { connection, event });
        }
        connection.is_some()
    }
}
