//! Clusters of one kind of agent, and the offers that are out.

use std::time::Duration;

use apportion::allocator::{
    AgentProfile, Allocation, Allocator, DemandGroup, DrfAllocator, DrfOptions, FrameworkProfile, Preemption,
    PreemptionOptions, PreemptionPolicy, Quota, RunningTask,
};
use apportion::protocol::{AgentId, FrameworkId, TaskId};
use apportion::resources::{Resources, Role};
use apportion::time::Time;

/// What every agent has.
pub(crate) const BIG: &str = "cpus:24;mem:4096;disk:4096;ports:[31000-32000]";

/// Ports in 16 ranges.
pub(crate) const FRAGMENTED: &str = "ports:[31000-31000,31002-31002,31004-31004,31006-31006,31008-31008,31010-31010,\
31012-31012,31014-31014,31016-31016,31018-31018,31020-31020,31022-31022,31024-31024,31026-31026,31028-31028,31030-32000]";

/// Which roles frameworks have.
#[derive(Clone, Copy)]
pub(crate) enum Roles {
    /// Each its own.
    Own,
    /// All the same.
    Shared,
}

/// An allocator, and what it has offered.
pub(crate) struct Cluster {
    allocator: DrfAllocator,
    now: Time,
    agents: usize,
    frameworks: Vec<FrameworkId>,
    most_frameworks: usize,
    offers: Vec<Allocation>,
    /// How many offers the last cycle that made any made.
    offered: usize,
    running: Vec<RunningTask>,
}

fn parsed(resources: &str) -> Resources {
    resources.parse().expect("the bench's own resources are valid")
}

fn role(framework: usize, roles: Roles) -> Role {
    match roles {
        Roles::Own => format!("role{framework}").parse().expect("a valid role"),
        Roles::Shared => Role::any(),
    }
}

impl Cluster {
    /// So many agents of [`BIG`], and so many frameworks.
    pub(crate) fn of(agents: usize, frameworks: usize, roles: Roles) -> Self {
        let mut cluster = Cluster {
            allocator: DrfAllocator::default(),
            now: Time::ZERO,
            agents: 0,
            frameworks: Vec::new(),
            most_frameworks: 0,
            offers: Vec::new(),
            offered: 0,
            running: Vec::new(),
        };
        for agent in 0..agents {
            // Each agent tells its resources on its own: they share no memory.
            cluster.allocator.add_agent(&cluster.agent(agent), &AgentProfile::default(), &parsed(BIG), &[]);
        }
        cluster.agents = agents;
        cluster.add_frameworks(frameworks, roles);
        cluster
    }

    /// Mesos' large and small quotas: roles that are guaranteed, and limited to, one or four cpus, and a framework in each.
    pub(crate) fn with_quotas(small: usize, large: usize) -> Self {
        let mut cluster = Cluster::of(0, small + large, Roles::Own);
        for agent in 0..small / 5 + 5 * large {
            let total = parsed("cpus:2;mem:2048;disk:2048");
            cluster.allocator.add_agent(&cluster.agent(agent), &AgentProfile::default(), &total, &[]);
            cluster.agents += 1;
        }
        for number in 0..small + large {
            let amounts =
                if number < small { "cpus:1;mem:1024;disk:1024" } else { "cpus:4;mem:4096;disk:4096" };
            let guarantee = amounts.parse().expect("valid amounts");
            let quota = Quota { guarantee, limit: amounts.parse().expect("valid limits") };
            let role = role(number, Roles::Own);
            cluster.allocator.set_quota(&role, &quota, false).expect("the cluster is large enough");
        }
        cluster
    }

    /// Agents that are full with ten equal tasks each, of frameworks in their own roles in turn; and one framework more, that waits
    /// for a hundred twice as large ones.
    pub(crate) fn full(agents: usize, frameworks: usize) -> Self {
        let mut cluster = Cluster::of(0, frameworks + 1, Roles::Own);
        let preemption =
            PreemptionOptions { policy: PreemptionPolicy::FairShare, ..PreemptionOptions::default() };
        cluster.allocator = DrfAllocator::new(DrfOptions { preemption, ..DrfOptions::default() });
        cluster.frameworks.clear();
        cluster.add_frameworks(frameworks + 1, Roles::Own);
        let (total, task) = (parsed("cpus:20;mem:2000"), parsed("cpus:2;mem:200"));
        for number in 0..agents {
            let agent = cluster.agent(number);
            let mut used = Vec::new();
            for place in 0..10 {
                let owner = (number * 10 + place) % frameworks;
                let (framework, role) = (cluster.frameworks[owner].clone(), role(owner, Roles::Own));
                cluster.running.push(RunningTask {
                    framework: framework.clone(),
                    task: TaskId::new(format!("{number}.{place}")).expect("a valid id"),
                    role: role.clone(),
                    agent: agent.clone(),
                    resources: task.clone(),
                    priority: 0,
                    started: Time::ZERO,
                    ending: false,
                });
                used.push(Allocation { framework, role, agent: agent.clone(), resources: task.clone() });
            }
            cluster.allocator.add_agent(&agent, &AgentProfile::default(), &total, &used);
        }
        cluster.agents = agents;
        let shape = "cpus:4;mem:400".parse().expect("valid amounts");
        let group = DemandGroup::new(100, shape);
        let late = (&cluster.frameworks[frameworks], role(frameworks, Roles::Own));
        cluster.allocator.set_demand(late.0, &late.1, Some(&[group]));
        cluster
    }

    /// Time passes until whatever was earmarked is forgotten, and somebody is due again.
    pub(crate) fn wait_for_preemption(&mut self) {
        self.now = self.now + Duration::from_secs(200);
        self.allocator.preemption_due(self.now);
        self.now = self.now + Duration::from_secs(100);
    }

    /// Names the tasks that make room.
    pub(crate) fn preempt(&mut self) -> Vec<Preemption> {
        self.allocator.preempt(self.now, &self.running)
    }

    /// Limits the first framework's role to more than there is.
    pub(crate) fn add_loose_quota(&mut self) {
        let limit = "cpus:10000000".parse().expect("a valid limit");
        let quota = Quota { limit, ..Quota::default() };
        self.allocator.set_quota(&role(0, Roles::Own), &quota, false).expect("nothing is guaranteed");
    }

    fn agent(&self, number: usize) -> AgentId {
        AgentId::new(format!("agent{number}")).expect("a valid id")
    }

    pub(crate) fn add_frameworks(&mut self, count: usize, roles: Roles) {
        for number in 0..count {
            let id = FrameworkId::new(format!("framework{number}")).expect("a valid id");
            self.allocator.add_framework(&id, &FrameworkProfile::new(&[role(number, roles)]));
            self.frameworks.push(id);
        }
        self.most_frameworks = self.most_frameworks.max(self.frameworks.len());
    }

    pub(crate) fn remove_frameworks(&mut self) {
        for framework in self.frameworks.drain(..) {
            self.allocator.remove_framework(&framework);
        }
    }

    /// An agent of which a framework in the shared role uses a part.
    pub(crate) fn add_agent_in_use(&mut self, total: &str, used: &str, number: usize) {
        let agent = self.agent(number);
        let framework = self.frameworks[number % self.frameworks.len()].clone();
        let used = Allocation { framework, role: Role::any(), agent: agent.clone(), resources: parsed(used) };
        self.allocator.add_agent(&agent, &AgentProfile::default(), &parsed(total), &[used]);
        self.agents += 1;
    }

    /// One cycle, a second after the last.
    pub(crate) fn cycle(&mut self) {
        self.now = self.now + Duration::from_secs(1);
        let before = self.offers.len();
        self.allocator.allocate(self.now, &mut self.offers);
        let offered = self.offers.len() - before;
        if offered > 0 {
            self.offered = offered;
        }
    }

    pub(crate) fn is_nothing_out(&self) -> bool {
        self.offers.is_empty()
    }

    /// Everyone forgets what it refused.
    pub(crate) fn revive(&mut self) {
        for framework in &self.frameworks {
            self.allocator.revive(framework, &[]);
        }
    }

    /// All offers come back.
    pub(crate) fn recover(&mut self, refuse: Duration) {
        self.recover_last(self.offers.len(), refuse);
    }

    /// So many offers come back.
    pub(crate) fn recover_some(&mut self, count: usize) {
        self.recover_last(count, Duration::ZERO);
    }

    fn recover_last(&mut self, count: usize, refuse: Duration) {
        let kept = self.offers.len() - count;
        for offer in self.offers.drain(kept..) {
            self.allocator.recover(self.now, &offer, (!refuse.is_zero()).then_some(refuse));
        }
    }

    pub(crate) fn agents(&self) -> usize {
        self.agents
    }

    pub(crate) fn frameworks(&self) -> usize {
        self.most_frameworks
    }

    pub(crate) fn offered(&self) -> usize {
        self.offered
    }
}
