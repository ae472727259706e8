//! Agents: registration, pings, and what becomes of an agent that can't be reached.

use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::machine::{Master, Output, Timer};
use super::tasks::Task;
use crate::allocator::{AgentProfile, Allocation};
use crate::protocol::{
    AgentCall, AgentEvent, AgentId, AgentInfo, ConnectionId, ExecutorId, FrameworkId, HeldTask, OfferId,
    Reason, SchedulerEvent, TaskId, TaskState, TaskStatus,
};
use crate::resources::{Resources, Role};
use crate::time::Time;

/// How often an agent is asked whether it is there. Mesos' default.
pub const AGENT_PING_INTERVAL: Duration = Duration::from_secs(15);

/// After so many pings in a row without an answer an agent counts as unreachable. Mesos' default.
pub const AGENT_PING_LIMIT: u32 = 5;

/// What the master knows of an agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) info: AgentInfo,
    pub(super) connection: Option<ConnectionId>,
    pub(super) pings_missed: u32,
    pub(super) unreachable: bool,
    /// Tasks whose resources are taken here.
    pub(super) tasks: FxHashSet<(FrameworkId, TaskId)>,
    /// Executors of frameworks' own, and what they take besides their tasks.
    pub(super) executors: FxHashMap<(FrameworkId, ExecutorId), (Role, Resources)>,
    pub(super) offers: FxHashSet<OfferId>,
}

impl Master {
    pub(super) fn agent_call(
        &mut self,
        now: Time,
        connection: ConnectionId,
        agent: AgentId,
        call: AgentCall,
        out: &mut Vec<Output>,
    ) {
        if let AgentCall::Register { info, tasks } = call {
            return self.register(now, connection, agent, info, tasks, out);
        }
        if self.agents.get(&agent).and_then(|known| known.connection) != Some(connection) {
            return self.refuse(connection, "an agent registers before it says anything else", out);
        }
        match call {
            AgentCall::Register { .. } => {}
            AgentCall::Update { framework, status, latest } => {
                self.task_update(now, &agent, framework, status, latest, out);
            }
            AgentCall::ExecutorLost { framework, executor, message } => {
                self.free_executor(now, &agent, &framework, &executor);
                self.tell(&framework, SchedulerEvent::ExecutorLost { agent, executor, message }, out);
            }
            AgentCall::Message { framework, executor, data } => {
                self.tell(&framework, SchedulerEvent::Message { agent, executor, data }, out);
            }
            AgentCall::Pong => {
                if let Some(agent) = self.agents.get_mut(&agent) {
                    agent.pings_missed = 0;
                }
            }
        }
    }

    /// An agent registers, for the first time or again: what it says is the truth about what runs on it.
    fn register(
        &mut self,
        now: Time,
        connection: ConnectionId,
        id: AgentId,
        info: AgentInfo,
        held: Vec<HeldTask>,
        out: &mut Vec<Output>,
    ) {
        tracing::info!(agent = %id, resources = %info.resources, tasks = held.len(), "agent registers");
        if let Some(before) = self.agents.get(&id).and_then(|agent| agent.connection)
            && before != connection
        {
            self.refuse(before, "the agent has registered on another connection", out);
        }
        let known = self.forget_agent(now, &id, out);
        let held_ids: FxHashSet<(FrameworkId, TaskId)> =
            held.iter().map(|held| (held.framework.clone(), held.task.id.clone())).collect();

        let mut agent = Agent {
            info,
            connection: Some(connection),
            pings_missed: 0,
            unreachable: false,
            tasks: FxHashSet::default(),
            executors: FxHashMap::default(),
            offers: FxHashSet::default(),
        };
        let mut used = Vec::new();
        for held in held {
            self.adopt_task(now, &id, &mut agent, &mut used, held);
        }
        out.push(Output::ToAgent { connection, event: AgentEvent::Registered { agent: id.clone() } });
        self.allocator.add_agent(&id, &AgentProfile::from(&agent.info), &agent.info.resources, &used);
        self.agents.insert(id.clone(), agent);
        if self.pings {
            self.timers.set(Timer::Ping(id.clone()), now + AGENT_PING_INTERVAL);
        } else {
            self.timers.cancel(&Timer::Ping(id.clone()));
        }

        for (framework, task) in known {
            if !held_ids.contains(&(framework.clone(), task.clone())) {
                let status = TaskStatus::new(task, TaskState::Dropped, now)
                    .because(Reason::AgentGone, "its agent came back without it");
                self.master_update(now, &framework, status, out);
            }
        }
        self.resend_kills(&id, out);
        self.resend_shutdowns(&id, out);
    }

    /// Takes over a task that an agent says it holds.
    fn adopt_task(
        &mut self,
        now: Time,
        id: &AgentId,
        agent: &mut Agent,
        used: &mut Vec<Allocation>,
        held: HeldTask,
    ) {
        let HeldTask { framework: framework_id, role, task, state } = held;
        let framework = self.framework_or_recovered(now, &framework_id, &role);
        if !state.is_terminal() {
            used.push(Allocation {
                framework: framework_id.clone(),
                role: role.clone(),
                agent: id.clone(),
                resources: task.resources.clone(),
            });
            agent.tasks.insert((framework_id.clone(), task.id.clone()));
        }
        let executor = task.executor_id();
        if let crate::protocol::Work::Custom { executor: info, .. } = &task.work
            && !info.resources.is_empty()
            && !agent.executors.contains_key(&(framework_id.clone(), executor.clone()))
        {
            used.push(Allocation {
                framework: framework_id.clone(),
                role: role.clone(),
                agent: id.clone(),
                resources: info.resources.clone(),
            });
            agent.executors.insert((framework_id, executor), (role.clone(), info.resources.clone()));
        }
        let task_id = task.id.clone();
        framework
            .tasks
            .entry(task_id.clone())
            .and_modify(|known| known.state = state)
            .or_insert_with(|| Task::new(task, role, id.clone(), TaskStatus::new(task_id, state, now)));
    }

    pub(super) fn agent_disconnected(
        &mut self,
        now: Time,
        connection: ConnectionId,
        id: &AgentId,
        out: &mut Vec<Output>,
    ) {
        let Some(agent) = self.agents.get_mut(id).filter(|agent| agent.connection == Some(connection)) else {
            return;
        };
        tracing::warn!(agent = %id, "agent disconnected");
        agent.connection = None;
        self.allocator.set_agent_active(id, false);
        self.rescind_agent(now, id, out);
        self.timers.set(Timer::Ping(id.clone()), now + AGENT_PING_INTERVAL);
    }

    /// Asks an agent whether it is there; one that was silent for too long is unreachable.
    pub(super) fn ping_due(&mut self, now: Time, id: &AgentId, out: &mut Vec<Output>) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if agent.pings_missed >= AGENT_PING_LIMIT {
            return self.agent_unreachable(now, id, out);
        }
        agent.pings_missed += 1;
        if let Some(connection) = agent.connection {
            out.push(Output::ToAgent { connection, event: AgentEvent::Ping });
        }
        self.timers.set(Timer::Ping(id.clone()), now + AGENT_PING_INTERVAL);
    }

    /// The agent's tasks may still run, but nobody can say; its resources are not offered.
    fn agent_unreachable(&mut self, now: Time, id: &AgentId, out: &mut Vec<Output>) {
        tracing::warn!(agent = %id, "agent is unreachable");
        self.rescind_agent(now, id, out);
        self.allocator.remove_agent(id);
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.unreachable = true;
        let connection = agent.connection.take();
        let mut tasks: Vec<_> = agent.tasks.iter().cloned().collect();
        tasks.sort();
        if let Some(connection) = connection {
            self.refuse(connection, "it did not answer pings", out);
        }
        let mut told = FxHashSet::default();
        for (framework, task) in tasks {
            let status = TaskStatus::new(task, TaskState::Unreachable, now)
                .because(Reason::AgentUnreachable, "its agent does not answer");
            self.master_update(now, &framework, status, out);
            if told.insert(framework.clone()) {
                self.tell(&framework, SchedulerEvent::AgentLost(id.clone()), out);
            }
        }
    }

    /// Drops what is known of an agent, whose resources go with it. Returns the tasks that it had.
    fn forget_agent(&mut self, now: Time, id: &AgentId, out: &mut Vec<Output>) -> Vec<(FrameworkId, TaskId)> {
        self.rescind_agent(now, id, out);
        self.timers.cancel(&Timer::Ping(id.clone()));
        let Some(agent) = self.agents.remove(id) else { return Vec::new() };
        if !agent.unreachable {
            self.allocator.remove_agent(id);
        }
        let mut tasks: Vec<_> = agent.tasks.into_iter().collect();
        tasks.sort();
        tasks
    }

    fn free_executor(&mut self, now: Time, id: &AgentId, framework: &FrameworkId, executor: &ExecutorId) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if let Some((role, resources)) = agent.executors.remove(&(framework.clone(), executor.clone())) {
            let freed = Allocation { framework: framework.clone(), role, agent: id.clone(), resources };
            self.allocator.recover(now, &freed, None);
        }
    }
}
