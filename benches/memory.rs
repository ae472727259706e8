//! What a master's memory takes per agent, per framework and per task, its allocator included: `cargo bench --bench memory`. Connections come on
//! top; what may wait for each of them is bounded (see `net::Outbox`).

#[path = "support/counting.rs"]
mod counting;

use std::sync::Arc;

use apportion::allocator::DrfAllocator;
use apportion::master::{Input, Master};
use apportion::protocol::{
    AgentCall, AgentInfo, Command, CommandInfo, ConnectionId, FrameworkInfo, HeldTask, Identity,
    IdentityKind, SchedulerCall, TaskId, TaskInfo, TaskState, TaskStatus, UpdateNumber, Work,
};
use apportion::resources::{Resources, Role};
use apportion::time::Time;

const FRAMEWORKS: u64 = 100;
const AGENTS: u64 = 10_000;
const TASKS_PER_AGENT: u64 = 10;

/// A master whose peers are played.
struct Cluster {
    master: Master,
    now: Time,
    last_connection: u64,
}

impl Cluster {
    /// Has a peer connect and say its first call.
    fn join(&mut self, kind: IdentityKind, name: &str, first: impl FnOnce(ConnectionId) -> Input) {
        self.last_connection += 1;
        let connection = ConnectionId(self.last_connection);
        let peer = Identity::new("bench", kind, name).expect("a valid name");
        for input in [Input::Connected { connection, peer }, first(connection)] {
            // What is sent is on its way, and not in the master any more.
            self.master.handle(self.now, input, &mut Vec::new());
        }
    }

    /// Lets everything be offered that can be.
    fn settle(&mut self) {
        while let Some(deadline) = self.master.next_deadline().filter(|deadline| *deadline <= self.now) {
            self.now = self.now.max(deadline);
            self.master.handle(self.now, Input::Tick, &mut Vec::new());
        }
    }

    fn add_agents(&mut self, name: &str, tasks: u64) {
        for number in 0..AGENTS {
            let name = format!("{name}{number}.cluster");
            let tasks = (0..tasks).map(|task| held(number * tasks + task)).collect();
            let resources: Resources =
                "cpus:32;mem:131072;disk:1000000;ports:[31000-32000]".parse().expect("valid");
            let info = AgentInfo::new(name.clone(), resources);
            self.join(IdentityKind::Agent, &name, |connection| Input::Agent {
                connection,
                call: AgentCall::Register { info, tasks, executors: Vec::new() },
            });
        }
        self.settle();
    }
}

/// A task that runs, as its agent tells of it; what it runs is its own, as nothing is shared with others after it came over the wire.
fn held(number: u64) -> HeldTask {
    let id: TaskId = format!("job-{number}.step.{number}.1").parse().expect("a valid id");
    let line = format!("exec bin/train --part {number} --of 100000 --out parts/results/{number}");
    let work = Work::Command(Arc::new(CommandInfo::new(Command::Shell(line))));
    let mut status = TaskStatus::new(id.clone(), TaskState::Running, Time::from_secs(1));
    status.number = Some(UpdateNumber(1));
    HeldTask {
        framework: framework(number % FRAMEWORKS).parse().expect("a valid id"),
        role: Role::any(),
        task: TaskInfo::new(id, Resources::cpus_mem(1000, 2048), work),
        status,
    }
}

fn framework(number: u64) -> String {
    format!("framework{number}")
}

fn main() {
    let mut cluster =
        Cluster { master: Master::new(DrfAllocator::default()), now: Time::from_secs(1), last_connection: 0 };
    let mut before = counting::in_use();
    let mut grown = || counting::in_use() - std::mem::replace(&mut before, counting::in_use());
    for number in 0..FRAMEWORKS {
        let name = framework(number);
        let framework = FrameworkInfo::new(name.clone(), Role::any());
        cluster.join(IdentityKind::Framework, &name, |connection| Input::Scheduler {
            connection,
            call: SchedulerCall::Subscribe { framework: Box::new(framework), suppressed: Vec::new() },
        });
    }
    cluster.settle();
    report("frameworks", FRAMEWORKS, grown());
    cluster.add_agents("idle", 0);
    let idle = grown();
    report("agents, with an offer of each", AGENTS, idle);
    cluster.add_agents("busy", TASKS_PER_AGENT);
    report("tasks that run", AGENTS * TASKS_PER_AGENT, grown() - idle);
}

fn report(what: &str, number: u64, bytes: usize) {
    println!("{number:>7} {what}: {:.1} MB, {} bytes each", bytes as f64 / 1e6, bytes / number as usize);
}
