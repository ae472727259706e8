//! What goes over connections, named and told briefly.

use apportion::protocol::{
    AgentCall, AgentEvent, ExecutorCall, ExecutorEvent, Operation, SchedulerCall, SchedulerEvent, TaskId,
    TaskInfo, TaskStatus,
};

/// One message of a connection.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    /// The first one: the server learns that there is a client.
    Opened,
    AgentCall(AgentCall),
    AgentEvent(AgentEvent),
    SchedulerCall(SchedulerCall),
    SchedulerEvent(SchedulerEvent),
    ExecutorCall(ExecutorCall),
    ExecutorEvent(ExecutorEvent),
}

impl Packet {
    /// What it is, and the state that it tells of, for counting what was covered.
    pub(super) fn label(&self) -> (&'static str, &'static str) {
        match self {
            Packet::Opened => ("connection", ""),
            Packet::AgentCall(call) => match call {
                AgentCall::Register { tasks, .. } if tasks.is_empty() => ("agent registers", "empty"),
                AgentCall::Register { .. } => ("agent registers", "with tasks"),
                AgentCall::Update { status, .. } => ("update to master", status.state.as_str()),
                AgentCall::ExecutorLost { .. } => ("agent says", "executor lost"),
                AgentCall::Message { .. } => ("agent says", "message"),
                AgentCall::Pong => ("agent says", "pong"),
                AgentCall::Unregister => ("agent says", "unregister"),
                AgentCall::Leaving => ("agent says", "leaving"),
                AgentCall::Holds { .. } => ("agent says", "part of its tasks"),
            },
            Packet::AgentEvent(event) => match event {
                AgentEvent::Registered { .. } => ("agent told", "registered"),
                AgentEvent::Launch { .. } => ("agent told", "launch"),
                AgentEvent::Kill { .. } => ("agent told", "kill"),
                AgentEvent::Acknowledge { .. } => ("agent told", "acknowledged"),
                AgentEvent::ShutdownFramework(_) => ("agent told", "framework ends"),
                AgentEvent::KeepVolumes(_) => ("agent told", "volumes"),
                AgentEvent::SetRules(_) => ("agent told", "rules"),
                AgentEvent::Message { .. } => ("agent told", "message"),
                AgentEvent::Ping => ("agent told", "ping"),
            },
            Packet::SchedulerCall(call) => match call {
                SchedulerCall::Subscribe { .. } => ("framework says", "subscribe"),
                SchedulerCall::Accept { .. } => ("framework says", "accept"),
                SchedulerCall::Decline { .. } => ("framework says", "decline"),
                SchedulerCall::Kill { .. } => ("framework says", "kill"),
                SchedulerCall::Acknowledge { .. } => ("framework says", "acknowledged"),
                SchedulerCall::Reconcile { .. } => ("framework says", "reconcile"),
                SchedulerCall::SetDemand { .. } => ("framework says", "demand"),
                SchedulerCall::Suppress { .. } => ("framework says", "suppress"),
                SchedulerCall::Revive { .. } => ("framework says", "revive"),
                _ => ("framework says", "something else"),
            },
            Packet::SchedulerEvent(event) => match event {
                SchedulerEvent::Subscribed { resumed: false, .. } => ("framework told", "subscribed"),
                SchedulerEvent::Subscribed { resumed: true, .. } => ("framework told", "resumed"),
                SchedulerEvent::Offers(_) => ("framework told", "offers"),
                SchedulerEvent::Rescind(_) => ("framework told", "rescind"),
                SchedulerEvent::Update(status) => ("update to framework", status.state.as_str()),
                SchedulerEvent::AgentLost(_) => ("framework told", "agent lost"),
                SchedulerEvent::Error(_) => ("framework told", "error"),
                _ => ("framework told", "something else"),
            },
            Packet::ExecutorCall(call) => match call {
                ExecutorCall::Register { unacknowledged, .. } if unacknowledged.is_empty() => {
                    ("executor registers", "")
                }
                ExecutorCall::Register { .. } => ("executor registers", "with updates"),
                ExecutorCall::Update(status) => ("update to agent", status.state.as_str()),
                ExecutorCall::Message(_) => ("executor says", "message"),
            },
            Packet::ExecutorEvent(event) => match event {
                ExecutorEvent::Launch(_) => ("executor told", "launch"),
                ExecutorEvent::Kill { .. } => ("executor told", "kill"),
                ExecutorEvent::Acknowledge { .. } => ("executor told", "acknowledged"),
                ExecutorEvent::Shutdown => ("executor told", "shut down"),
                _ => ("executor told", "something else"),
            },
        }
    }

    /// Whether it says nothing but that its sender lives.
    pub(super) fn is_heartbeat(&self) -> bool {
        matches!(self, Packet::AgentCall(AgentCall::Pong) | Packet::AgentEvent(AgentEvent::Ping))
    }

    /// The message in a line, for a trace.
    pub(super) fn describe(&self) -> String {
        let ids = |ids: Vec<&TaskId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        match self {
            Packet::AgentCall(AgentCall::Register { info, tasks, .. }) => {
                let held: Vec<_> =
                    tasks.iter().map(|held| format!("{}={}", held.task.id, held.status.state)).collect();
                format!("registers with {}; holds [{}]", info.resources, held.join(" "))
            }
            Packet::AgentCall(AgentCall::Update { status, latest, .. }) => {
                format!("update {} (latest: {latest})", brief(status))
            }
            Packet::AgentEvent(AgentEvent::Launch { framework, tasks, .. }) => {
                format!("launch for {framework}: {}", ids(tasks.iter().map(|task| &task.id).collect()))
            }
            Packet::AgentEvent(AgentEvent::Kill { task, .. })
            | Packet::SchedulerCall(SchedulerCall::Kill { task, .. })
            | Packet::ExecutorEvent(ExecutorEvent::Kill { task, .. }) => format!("kill {task}"),
            Packet::AgentEvent(AgentEvent::Acknowledge { task, number, .. })
            | Packet::SchedulerCall(SchedulerCall::Acknowledge { task, number, .. })
            | Packet::ExecutorEvent(ExecutorEvent::Acknowledge { task, number }) => {
                format!("acknowledged {task}#{}", number.0)
            }
            Packet::SchedulerCall(SchedulerCall::Accept { offers, operations, .. }) => {
                let tasks = launched(operations).map(|task| &task.id).collect();
                format!("accepts {offers:?}: {}", ids(tasks))
            }
            Packet::SchedulerCall(SchedulerCall::Reconcile { tasks }) => {
                format!("asks about {}", ids(tasks.iter().map(|(task, _)| task).collect()))
            }
            Packet::SchedulerEvent(SchedulerEvent::Offers(offers)) => {
                let each: Vec<_> =
                    offers.iter().map(|offer| format!("{} {}", offer.agent, offer.resources)).collect();
                format!("offers {}", each.join(", "))
            }
            Packet::SchedulerEvent(SchedulerEvent::Update(status))
            | Packet::ExecutorCall(ExecutorCall::Update(status)) => format!("update {}", brief(status)),
            Packet::SchedulerEvent(SchedulerEvent::Error(message)) => format!("error: {message}"),
            Packet::ExecutorCall(ExecutorCall::Register { unacknowledged, .. }) => {
                let updates: Vec<_> = unacknowledged.iter().map(brief).collect();
                format!("registers with [{}]", updates.join(" "))
            }
            Packet::ExecutorEvent(ExecutorEvent::Launch(tasks)) => {
                format!("launch {}", ids(tasks.iter().map(|task| &task.id).collect()))
            }
            other => {
                let (what, which) = other.label();
                format!("{what} {which}")
            }
        }
    }
}

/// The tasks that operations launch.
pub(super) fn launched(operations: &[Operation]) -> impl Iterator<Item = &TaskInfo> {
    operations.iter().flat_map(|operation| match operation {
        Operation::Launch(task) => std::slice::from_ref(task),
        Operation::LaunchGroup(tasks) => tasks,
        _ => &[],
    })
}

/// A status in a few words.
pub(super) fn brief(status: &TaskStatus) -> String {
    let number =
        status.number.map_or_else(|| "from the master".to_owned(), |number| format!("#{}", number.0));
    format!("{} {} {number}", status.task, status.state)
}
