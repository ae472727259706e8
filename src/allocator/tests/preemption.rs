//! Preemption comes to an end, and takes nobody below what it is entitled to.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{agent, cases, framework, role};
use crate::allocator::{
    AgentProfile, Allocation, Allocator, DemandGroup, DrfAllocator, DrfOptions, FrameworkProfile,
    PreemptionOptions, PreemptionPolicy, Quota, RunningTask,
};
use crate::protocol::{FrameworkId, TaskId, Weight};
use crate::resources::{Resources, Role};
use crate::time::Time;

/// A framework alone in its role, and how many tasks of its shape wait.
#[derive(Clone, Debug)]
struct User {
    role: &'static str,
    milli_weight: u32,
    guarantee: &'static str,
    shape: Resources,
    waiting: u32,
    /// So many of them start together.
    together: u32,
}

/// The framework of a role.
fn owner(role: &str) -> FrameworkId {
    framework(&role.replace('/', "-"))
}

/// An allocator, and frameworks that launch whatever they can and want again what was taken from them.
struct World {
    allocator: DrfAllocator,
    users: Vec<User>,
    running: Vec<RunningTask>,
    now: Time,
    launched: u64,
    /// Whoever room is made for is offered it. Not always: where others are offered what is free elsewhere in between, guarantees may
    /// keep it back, and it is decided anew.
    is_always_served: bool,
}

impl World {
    fn new(policy: PreemptionPolicy, agents: &[Resources]) -> Self {
        let preemption = PreemptionOptions { policy, ..PreemptionOptions::default() };
        let mut allocator = DrfAllocator::new(DrfOptions { preemption, ..DrfOptions::default() });
        for (number, total) in agents.iter().enumerate() {
            allocator.add_agent(&agent(&format!("agent{number}")), &AgentProfile::default(), total, &[]);
        }
        World {
            allocator,
            users: Vec::new(),
            running: Vec::new(),
            now: Time::ZERO,
            launched: 0,
            is_always_served: false,
        }
    }

    fn add_user(&mut self, user: &User) {
        let (id, of) = (owner(user.role), role(user.role));
        self.allocator.set_weight(&of, Weight::from_milli(user.milli_weight).unwrap());
        let quota = Quota { guarantee: user.guarantee.parse().unwrap(), ..Quota::default() };
        // Guarantees that contradict each other are left out.
        let _ = self.allocator.set_quota(&of, &quota, false);
        self.allocator.add_framework(&id, &FrameworkProfile::new(&[of]));
        self.users.push(user.clone());
        self.state_demand(self.users.len() - 1);
    }

    fn state_demand(&mut self, user: usize) {
        let User { role: name, shape, waiting, together, .. } = &self.users[user];
        let mut group = DemandGroup::new(*waiting, shape.quantities());
        if *together > 1 && *waiting > 0 {
            group = group.starting_together(*together.min(waiting));
        }
        self.allocator.set_demand(&owner(name), &role(name), Some(&[group]));
    }

    fn user_of(&self, role: &Role) -> usize {
        self.users.iter().position(|user| user.role == role.to_string()).unwrap()
    }

    /// Launches until nothing is offered any more.
    fn launch(&mut self) {
        let (mut offers, mut sets) = (Vec::new(), Vec::new());
        loop {
            self.allocator.allocate(self.now, &mut offers);
            self.allocator.offer_sets(&mut sets);
            offers.extend(sets.drain(..).flat_map(|set| set.allocations));
            if offers.is_empty() {
                return;
            }
            for offer in offers.drain(..) {
                self.accept(offer);
            }
        }
    }

    fn accept(&mut self, mut offer: Allocation) {
        let user = self.user_of(&offer.role);
        while self.users[user].waiting > 0 && offer.resources.try_subtract(&self.users[user].shape).is_ok() {
            self.users[user].waiting -= 1;
            self.launched += 1;
            self.running.push(RunningTask {
                framework: offer.framework.clone(),
                task: TaskId::new(format!("t{}", self.launched)).unwrap(),
                role: offer.role.clone(),
                agent: offer.agent.clone(),
                resources: self.users[user].shape.clone(),
                priority: 0,
                started: self.now,
                ending: false,
            });
        }
        if !offer.resources.is_empty() {
            self.allocator.recover(self.now, &offer, None);
        }
        self.state_demand(user);
    }

    fn end(&mut self, task: &TaskId) {
        let index = self.running.iter().position(|running| running.task == *task).unwrap();
        let RunningTask { framework, role, agent, resources, .. } = self.running.remove(index);
        let user = self.user_of(&role);
        self.users[user].waiting += 1;
        self.allocator.recover(
            self.now,
            &Allocation { framework, role: role.clone(), agent, resources },
            None,
        );
        self.state_demand(user);
    }

    fn is_deprived(&self, of: &Role) -> bool {
        let leaf = self.allocator.leaf(&owner(of.as_str()), of).unwrap();
        let ledger = self.allocator.entitlements();
        // Guarantees may be met at the cost of fair shares.
        let counts_fair = self.users.iter().all(|user| user.guarantee.is_empty());
        ledger.is_deprived(self.allocator.tree.group_of(leaf), counts_fair)
    }

    fn deprived(&self) -> BTreeSet<&'static str> {
        self.users.iter().map(|user| user.role).filter(|name| self.is_deprived(&role(name))).collect()
    }

    /// Preempts when it is due, and until nobody is named any more. Tasks end one by one, each followed by offers, so that others
    /// may come between.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        let mut made = 0;
        loop {
            self.launch();
            // Each adds a task within what its role is entitled to, and none takes one back; but those for guarantees can take what
            // was within a fair share.
            let rights = if self.users.iter().all(|user| user.guarantee.is_empty()) { 1 } else { 4 };
            prop_assert!(made <= rights * self.running.len(), "{made} for {} tasks", self.running.len());
            let Some(due) = self.allocator.preemption_due(self.now) else { return Ok(()) };
            self.now = self.now.max(due);
            // As things stand when it is decided; where offers come between that and the end, who got them may lose them again.
            let before = self.deprived();
            let preemptions = self.allocator.preempt(self.now, &self.running);
            if preemptions.is_empty() && self.allocator.earmarks.next_expiry().is_none() {
                return Ok(());
            }
            for preemption in &preemptions {
                if !self.allocator.is_room_awaited(preemption) {
                    continue;
                }
                for (_, victim) in &preemption.victims {
                    self.end(victim);
                    self.launch();
                }
                made += 1;
                self.allocator.check_invariants().map_err(|wrong| TestCaseError::fail(wrong.to_string()))?;
            }
            if self.is_always_served || self.allocator.earmarks.next_expiry().is_none() {
                let after = self.deprived();
                prop_assert!(after.is_subset(&before), "{after:?} have too little after {preemptions:?}");
            }
        }
    }
}

fn users(guarantees: bool, together: &'static [u32]) -> impl Strategy<Value = Vec<User>> {
    let guarantee = if guarantees { vec!["", "", "cpus:2", "cpus:4;mem:400"] } else { vec![""] };
    let user = move |role: &'static str| {
        let shape = (1..=4_u32, 1..=4_u32).prop_map(|(cpus, mem)| Resources::cpus_mem(cpus * 500, mem * 50));
        let weight = prop::sample::select(&[500_u32, 1000, 1000, 2000][..]);
        let together = prop::sample::select(together);
        (weight, prop::sample::select(guarantee.clone()), shape, 0..30_u32, together).prop_map(
            move |(milli_weight, guarantee, shape, waiting, together)| User {
                role,
                milli_weight,
                guarantee,
                shape,
                waiting,
                together,
            },
        )
    };
    let all: Vec<_> = ["a", "b", "c", "a/x", "a/y"].into_iter().map(user).collect();
    (all, 2..=5_usize)
        .prop_map(|(mut users, count)| {
            users.truncate(count);
            users
        })
        .prop_shuffle()
}

fn agents() -> impl Strategy<Value = Vec<Resources>> {
    let agent = (2..=8_u32, 2..=8_u32).prop_map(|(cpus, mem)| Resources::cpus_mem(cpus * 1000, mem * 100));
    prop::collection::vec(agent, 1..4)
}

proptest! {
    #![proptest_config(cases(500))]

    /// Frameworks come one after the other, when others may have everything already.
    #[test]
    fn it_settles(agents in agents(), users in users(false, &[1])) {
        let mut world = World::new(PreemptionPolicy::FairShare, &agents);
        for user in &users {
            world.add_user(user);
            world.settle()?;
        }
    }

    /// With guarantees, which outrank fair shares.
    #[test]
    fn it_settles_with_guarantees(agents in agents(), users in users(true, &[1]), only_guarantees: bool) {
        let policy =
            if only_guarantees { PreemptionPolicy::Guarantees } else { PreemptionPolicy::FairShare };
        let mut world = World::new(policy, &agents);
        for user in &users {
            world.add_user(user);
            world.settle()?;
        }
    }

    /// With tasks that start together, too.
    #[test]
    fn it_settles_with_gangs(agents in agents(), users in users(true, &[1, 2, 3]), only_guarantees: bool) {
        let policy =
            if only_guarantees { PreemptionPolicy::Guarantees } else { PreemptionPolicy::FairShare };
        let mut world = World::new(policy, &agents);
        for user in &users {
            world.add_user(user);
            world.settle()?;
        }
    }
}

/// Rare ways in which tasks were taken again and again, or in vain.
#[test]
fn it_settles_where_it_once_did_not() {
    let user = |role, guarantee, shape, waiting| User {
        role,
        milli_weight: 1000,
        guarantee,
        shape,
        waiting,
        together: 1,
    };
    let small = Resources::cpus_mem(500, 50);
    for (agents, users) in [
        // What is kept back for x lies on one agent; there b took what its tasks on the other gave back for c.
        (
            vec![Resources::cpus_mem(7000, 600), Resources::cpus_mem(5000, 300)],
            vec![
                user("a/x", "cpus:2", small.clone(), 0),
                user("b", "", Resources::cpus_mem(1000, 50), 8),
                user("c", "", Resources::cpus_mem(2000, 50), 2),
            ],
        ),
        // What y gives back is kept back for the guarantee of a, above both, so that x was not offered it.
        (
            vec![Resources::cpus_mem(6000, 600)],
            vec![
                user("b", "", small.clone(), 2),
                user("a/y", "", small.clone(), 8),
                user("a", "cpus:4;mem:400", small.clone(), 0),
                user("a/x", "cpus:2", Resources::cpus_mem(500, 150), 1),
            ],
        ),
        // What x got counted for what is kept back for itself only, what y lost for the guarantee of a, so that a lacked more.
        (
            vec![
                Resources::cpus_mem(2000, 600),
                Resources::cpus_mem(3000, 500),
                Resources::cpus_mem(3000, 500),
            ],
            vec![
                user("a/y", "", Resources::cpus_mem(500, 150), 4),
                user("b", "", Resources::cpus_mem(1500, 50), 3),
                user("a", "cpus:4;mem:400", Resources::cpus_mem(500, 100), 0),
                user("a/x", "cpus:2", small.clone(), 4),
            ],
        ),
    ] {
        let mut world = World::new(PreemptionPolicy::FairShare, &agents);
        world.is_always_served = true;
        for user in &users {
            world.add_user(user);
            world.settle().unwrap();
        }
    }
}

#[test]
fn the_fewest_the_revocable_the_unimportant_and_the_youngest_go_first() {
    let running = |task: &str, resources: &str, priority: i32, started: u64| RunningTask {
        framework: framework("b"),
        task: TaskId::new(task).unwrap(),
        role: role("b"),
        agent: agent("agent1"),
        resources: resources.parse().unwrap(),
        priority,
        started: Time::from_secs(started),
        ending: false,
    };
    let small = "cpus:1;mem:10";
    for (tasks, wanted, expected) in [
        (vec![running("old", small, 0, 1), running("young", small, 0, 2)], "cpus:1", vec!["young"]),
        (vec![running("low", small, 0, 1), running("high", small, 1, 2)], "cpus:1", vec!["low"]),
        (
            vec![running("firm", small, 0, 2), running("revocable", "cpus{REV}:1", 5, 1)],
            "cpus:1",
            vec!["revocable"],
        ),
        (
            vec![
                running("one", small, 0, 3),
                running("two", small, 0, 2),
                running("large", "cpus:2;mem:10", 9, 1),
            ],
            "cpus:2",
            vec!["large"],
        ),
        (
            vec![running("a", small, 0, 3), running("b", small, 0, 2), running("c", small, 0, 1)],
            "cpus:2",
            vec!["a", "b"],
        ),
        (
            vec![
                running("cpus", "cpus:2", 0, 3),
                running("mem", "mem:20", 0, 2),
                running("both", small, 0, 1),
            ],
            "cpus:1;mem:10",
            vec!["both"],
        ),
    ] {
        let preemption =
            PreemptionOptions { policy: PreemptionPolicy::FairShare, ..PreemptionOptions::default() };
        let mut allocator = DrfAllocator::new(DrfOptions { preemption, ..DrfOptions::default() });
        let total: Resources = tasks.iter().map(|task| &task.resources).sum();
        let used = Allocation {
            framework: framework("b"),
            role: role("b"),
            agent: agent("agent1"),
            resources: total.clone(),
        };
        allocator.add_agent(&agent("agent1"), &AgentProfile::default(), &total, &[used]);
        // Much is entitled to much.
        allocator.set_weight(&role("a"), Weight::from_milli(1_000_000).unwrap());
        allocator.add_framework(&framework("a"), &FrameworkProfile::new(&[role("a")]));
        let group = DemandGroup::new(1, wanted.parse().unwrap());
        allocator.set_demand(&framework("a"), &role("a"), Some(&[group]));
        assert_eq!(allocator.preemption_due(Time::ZERO), Some(Time::from_secs(60)));
        assert_eq!(allocator.preempt(Time::from_secs(59), &tasks), []);
        let preemptions = allocator.preempt(Time::from_secs(60), &tasks);
        let victims: Vec<&str> =
            preemptions.iter().flat_map(|each| &each.victims).map(|(_, task)| task.as_str()).collect();
        assert_eq!(victims, expected);
    }
}

#[test]
fn room_is_made_for_a_gang_as_a_whole() {
    let mut world = World::new(
        PreemptionPolicy::FairShare,
        &[Resources::cpus_mem(2000, 64), Resources::cpus_mem(2000, 64)],
    );
    let ids = ["a", "b"].map(framework);
    for (id, name) in ids.iter().zip(["a", "b"]) {
        world.allocator.add_framework(id, &FrameworkProfile::new(&[role(name)]));
    }
    world.allocator.suppress(&ids[1], &[]);
    let mut offers = Vec::new();
    world.allocator.allocate(Time::ZERO, &mut offers);
    // Each agent is used whole by two tasks of a.
    let half = Resources::cpus_mem(1000, 32);
    let running: Vec<RunningTask> = offers
        .iter()
        .flat_map(|offer| [1, 2].map(|number| (offer, number)))
        .map(|(offer, number)| RunningTask {
            framework: ids[0].clone(),
            task: TaskId::new(format!("{}.{number}", offer.agent)).unwrap(),
            role: role("a"),
            agent: offer.agent.clone(),
            resources: half.clone(),
            priority: 0,
            started: Time::ZERO,
            ending: false,
        })
        .collect();
    assert_eq!(running.len(), 4);
    let mut wait_for = |size: u32| {
        let gang = DemandGroup::new(size, half.quantities()).starting_together(size);
        world.allocator.revive(&ids[1], &[]);
        world.allocator.set_demand(&ids[1], &role("b"), Some(&[gang]));
        world.allocator.allocate(world.now, &mut offers);
        let due = world.allocator.preemption_due(world.now).expect("b has less than half");
        world.now = due;
        world.allocator.preempt(due, &running)
    };
    assert_eq!(wait_for(3), [], "three tasks are more than half, so nobody makes room for any");
    let victims: Vec<_> = wait_for(2).into_iter().flat_map(|made| made.victims).collect();
    assert_eq!(victims.len(), 2);
    for (framework, task) in victims {
        let ended = running.iter().find(|running| running.task == task).unwrap();
        let (role, agent) = (ended.role.clone(), ended.agent.clone());
        let freed = Allocation { framework, role, agent, resources: ended.resources.clone() };
        world.allocator.recover(world.now, &freed, None);
    }
    offers.clear();
    world.allocator.allocate(world.now, &mut offers);
    let mut sets = Vec::new();
    world.allocator.offer_sets(&mut sets);
    assert_eq!(offers, [], "the room is b's");
    assert_eq!((sets.len(), &sets[0].allocations[0].framework), (1, &ids[1]));
}
