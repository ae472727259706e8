//! Agents: registration, what they say, and the tasks that they bring along.

use rustc_hash::{FxHashMap, FxHashSet};

use super::doubts::Doubts;
use super::machine::{Master, Output, Timer};
use super::tasks::Task;
use crate::allocator::{AgentProfile, Allocation};
use crate::protocol::codec::encoded_len;
use crate::protocol::{
    AgentCall, AgentEvent, AgentId, AgentInfo, ConnectionId, ExecutorId, FrameworkId, HeldExecutor, HeldTask,
    OfferId, Reason, Rules, SchedulerEvent, TaskId, TaskState, TaskStatus,
};
use crate::resources::{Resources, Role, VolumeName};
use crate::store::{Change, Key};
use crate::time::Time;

/// What the master knows of an agent.
#[derive(Debug)]
pub(super) struct Agent {
    /// As it introduced itself, but with the reservations that were made on its resources.
    pub(super) info: AgentInfo,
    /// The resources that it introduced itself with.
    pub(super) introduced: Resources,
    pub(super) connection: Option<ConnectionId>,
    pub(super) pings_missed: u32,
    /// Of this connection.
    pub(super) doubts: Doubts,
    /// Since when it counts as unreachable.
    pub(super) unreachable: Option<Time>,
    /// Tasks whose resources are taken here.
    pub(super) tasks: FxHashSet<(FrameworkId, TaskId)>,
    /// Executors of frameworks' own, and what they take besides their tasks.
    pub(super) executors: FxHashMap<(FrameworkId, ExecutorId), (Role, Resources)>,
    pub(super) offers: FxHashSet<OfferId>,
}

impl Agent {
    /// An agent that is not connected and runs nothing.
    pub(super) fn new(info: AgentInfo) -> Self {
        Agent {
            introduced: info.resources.clone(),
            info,
            connection: None,
            pings_missed: 0,
            doubts: Doubts::default(),
            unreachable: None,
            tasks: FxHashSet::default(),
            executors: FxHashMap::default(),
            offers: FxHashSet::default(),
        }
    }
}

/// So many bytes of tasks and executors an agent may hold without saying who it is: a thousand tasks of the largest kind, or a million
/// of the smallest. No machine runs as many.
pub(super) const HELD_BYTES_AT_MOST: usize = 1 << 30;

/// What an agent has said that it holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    tasks: Vec<HeldTask>,
    executors: Vec<HeldExecutor>,
    /// What they take in memory, about.
    pub(super) bytes: usize,
}

impl Held {
    fn add(&mut self, tasks: Vec<HeldTask>, executors: Vec<HeldExecutor>) {
        // What has been decoded can be encoded.
        let written = encoded_len(&tasks).unwrap_or(0) + encoded_len(&executors).unwrap_or(0);
        self.bytes += written + size_of_val(&*tasks) + size_of_val(&*executors);
        self.tasks.extend(tasks);
        self.executors.extend(executors);
    }
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
        let Some(call) = self.put_together(now, connection, call, out) else { return };
        if self.gone.contains(&agent) {
            return self.hear_of_gone(connection, call, out);
        }
        if let AgentCall::Register { info, tasks, executors } = call {
            return self.register(now, connection, agent, info, (tasks, executors), out);
        }
        if self.agents.get(&agent).and_then(|known| known.connection) != Some(connection) {
            return self.refuse(connection, "an agent registers before it says anything else", out);
        }
        match call {
            AgentCall::Holds { .. } | AgentCall::Register { .. } => {}
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
            AgentCall::Unregister => self.unregister(now, &agent, out),
            AgentCall::Leaving => {
                self.allocator.set_agent_active(&agent, false);
                self.rescind_agent(now, &agent, out);
            }
            AgentCall::Pong => self.pong(now, &agent, out),
        }
    }

    /// An agent's call; its registration with all that it said before. `None`: there is more to come.
    fn put_together(
        &mut self,
        now: Time,
        connection: ConnectionId,
        call: AgentCall,
        out: &mut Vec<Output>,
    ) -> Option<AgentCall> {
        match call {
            AgentCall::Holds { tasks, executors } => {
                let held = &mut self.peers.get_mut(&connection)?.held;
                held.add(tasks, executors);
                if held.bytes > HELD_BYTES_AT_MOST {
                    self.disconnected(now, connection, out);
                    self.refuse(connection, "an agent that holds so much registers first", out);
                }
                None
            }
            AgentCall::Register { info, tasks, executors } => {
                let mut all = std::mem::take(&mut self.peers.get_mut(&connection)?.held);
                all.tasks.extend(tasks);
                all.executors.extend(executors);
                Some(AgentCall::Register { info, tasks: all.tasks, executors: all.executors })
            }
            other => Some(other),
        }
    }

    /// An agent registers, for the first time or again: what it says is the truth about what runs on it.
    fn register(
        &mut self,
        now: Time,
        connection: ConnectionId,
        id: AgentId,
        info: AgentInfo,
        (held, executors): (Vec<HeldTask>, Vec<HeldExecutor>),
        out: &mut Vec<Output>,
    ) {
        tracing::info!(agent = %id, resources = %info.resources, tasks = held.len(), "agent registers");
        if let Some(before) = self.agents.get(&id).and_then(|agent| agent.connection)
            && before != connection
        {
            self.refuse(before, "the agent has registered on another connection", out);
        }
        // Reservations last for as long as what they are made on.
        let reserved = self
            .agents
            .get(&id)
            .filter(|before| before.introduced == info.resources)
            .map(|before| before.info.resources.clone());
        let recorded = self.agents.get(&id).map(|before| before.record(&id));
        let known = self.forget_agent(now, &id, out);
        let held_ids: FxHashSet<(FrameworkId, TaskId)> =
            held.iter().map(|held| (held.framework.clone(), held.task.id.clone())).collect();

        let mut agent = Agent { connection: Some(connection), ..Agent::new(info) };
        let are_volumes_known = reserved.is_some();
        if let Some(reserved) = reserved {
            agent.info.resources = reserved;
        }
        let mut used = Vec::new();
        for HeldExecutor { framework, role, executor } in executors {
            self.framework_or_recovered(now, &framework, &role);
            let resources = executor.resources.clone();
            let key = (framework.clone(), executor.id.clone());
            if agent.executors.insert(key, (role.clone(), resources.clone())).is_none() {
                used.push(Allocation { framework, role, agent: id.clone(), resources });
            }
        }
        for held in held {
            self.adopt_task(now, &id, &mut agent, &mut used, held, out);
        }
        out.push(Output::ToAgent {
            connection,
            event: AgentEvent::Registered { agent: id.clone(), epoch: self.epoch },
        });
        let rules = Rules::clone(&self.rules);
        out.push(Output::ToAgent { connection, event: AgentEvent::SetRules(rules) });
        self.allocator.add_agent(&id, &AgentProfile::from(&agent.info), &agent.info.resources, &used);
        let is_recorded = recorded.is_some_and(|before| before == agent.record(&id));
        self.agents.insert(id.clone(), agent);
        if are_volumes_known {
            self.keep_volumes(&id, &[], out);
        }
        self.heed_maintenance(now, &id);
        if !is_recorded {
            self.record_agent(&id);
        }
        if self.asks_agents {
            self.timers.set(Timer::Ping(id.clone()), now + self.pings.interval.into());
        } else {
            self.timers.cancel(&Timer::Ping(id.clone()));
        }

        for (framework, task) in known {
            if !held_ids.contains(&(framework.clone(), task.clone())) {
                let known = self.frameworks.get(&framework).and_then(|known| known.tasks.get(&task));
                let never_started = known.is_some_and(|known| known.state == TaskState::Staging);
                let state = if never_started { TaskState::Dropped } else { TaskState::Lost };
                let status = TaskStatus::new(task, state, now)
                    .because(Reason::AgentGone, "its agent came back without it");
                self.master_update(now, &framework, status, out);
            }
        }
        self.resend_kills(&id, out);
        self.resend_shutdowns(&id, out);
        self.agent_is_back(&id);
    }

    /// Tells an agent which volumes it has, but for those that were just destroyed: a new one of the same name begins empty.
    pub(super) fn keep_volumes(&mut self, id: &AgentId, destroyed: &[VolumeName], out: &mut Vec<Output>) {
        let Some(agent) = self.agents.get(id) else { return };
        let names = agent.info.resources.volume_names();
        let volumes = names.filter(|name| !destroyed.contains(name)).collect();
        self.tell_agent(id, AgentEvent::KeepVolumes(volumes), out);
    }

    /// An agent that leaves is forgotten, and what it should still have had ends.
    fn unregister(&mut self, now: Time, id: &AgentId, out: &mut Vec<Output>) {
        tracing::info!(agent = %id, "agent leaves");
        self.registry.note(Change::Delete(Key::Agent(id.clone())));
        self.cancel_maintenance(now, id);
        for (framework, task) in self.forget_agent(now, id, out) {
            let status = TaskStatus::new(task, TaskState::Lost, now)
                .because(Reason::AgentGone, "its agent has left the cluster");
            self.master_update(now, &framework, status, out);
        }
    }

    /// Takes over a task that an agent says it holds, and tells its scheduler, which may know otherwise or nothing of it. The end
    /// of a task is not told here: the agent sends it again.
    fn adopt_task(
        &mut self,
        now: Time,
        id: &AgentId,
        agent: &mut Agent,
        used: &mut Vec<Allocation>,
        held: HeldTask,
        out: &mut Vec<Output>,
    ) {
        let HeldTask { framework: framework_id, role, task, status } = held;
        let framework = self.framework_or_recovered(now, &framework_id, &role);
        let known = framework.tasks.get_mut(&task.id);
        if status.state.is_terminal() {
            match known {
                None => {
                    framework.tasks.insert(task.id.clone(), Task::new(task, role, id.clone(), status));
                }
                // What it used is free already: it is not among what is used here.
                Some(known) if !known.state.is_terminal() => {
                    known.state = status.state;
                    framework.count_end(status.state);
                }
                Some(_) => {}
            }
            return;
        }
        used.push(Allocation {
            framework: framework_id.clone(),
            role: role.clone(),
            agent: id.clone(),
            resources: task.resources.clone(),
        });
        agent.tasks.insert((framework_id.clone(), task.id.clone()));
        let is_news = known
            .as_ref()
            .is_none_or(|known| known.status.state != status.state || known.status.number < status.number);
        match known {
            Some(known) => {
                known.state = status.state;
                known.status = status.clone();
            }
            None => {
                framework.tasks.insert(task.id.clone(), Task::new(task, role, id.clone(), status.clone()));
            }
        }
        if is_news {
            self.tell(&framework_id, SchedulerEvent::Update(status), out);
        }
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
        agent.doubts.clear();
        self.allocator.set_agent_active(id, false);
        self.rescind_agent(now, id, out);
        self.timers.set(Timer::Ping(id.clone()), now + self.pings.interval.into());
    }

    /// Drops what is known of an agent, whose resources go with it. Returns the tasks that it had.
    pub(super) fn forget_agent(
        &mut self,
        now: Time,
        id: &AgentId,
        out: &mut Vec<Output>,
    ) -> Vec<(FrameworkId, TaskId)> {
        self.rescind_agent(now, id, out);
        self.timers.cancel(&Timer::Ping(id.clone()));
        let Some(agent) = self.agents.remove(id) else { return Vec::new() };
        match agent.unreachable {
            Some(since) => self.forget_unreachable(since, id),
            None => self.allocator.remove_agent(id),
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
